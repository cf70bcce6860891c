//! Who takes part in a run.

use opifex_packet::QoS;
use tokio::sync::watch;

use crate::client::{Client, FENCER, Habit, Identity, Phase};
use crate::dice::Dice;
use crate::event;
use crate::journal::Journal;
use crate::publishing::Topic;

use Habit::{Away, Flapping, Hermit, Restarting, Steady};
use QoS::{AtLeastOnce as Q1, ExactlyOnce as Q2};

type Filters = &'static [(&'static str, QoS)];

/// Everybody, and who of them subscribes: always, and when all are to come.
pub(crate) struct Roster {
    pub(crate) clients: Vec<Client>,
    pub(crate) subscribers: Vec<event::Client>,
    pub(crate) hermits: Vec<event::Client>,
}

pub(crate) fn roster(dice: &Dice, journal: &Journal, phase: &watch::Receiver<Phase>) -> Roster {
    let mut roster = Roster { clients: Vec::new(), subscribers: Vec::new(), hermits: Vec::new() };
    let transient = |who: Identity| Identity { expiry_secs: 0, ..who };
    let window = |receive_maximum, who: Identity| Identity { receive_maximum: Some(receive_maximum), ..who };
    let mut add = |who: Identity, topics: Vec<Topic>, filters: Filters, toggled: Filters| {
        match who.habit {
            _ if filters.is_empty() => {}
            Hermit => roster.hermits.push(who.name),
            _ => roster.subscribers.push(who.name),
        }
        let phase = phase.clone();
        roster.clients.push(Client::new(who, topics, filters, toggled, dice, journal, phase));
    };

    add(Identity::v5("pub-a", Steady), topics("a", true), &[], &[]);
    add(Identity::v3("pub-b", Steady), topics("b", false), &[], &[]);
    add(Identity::v5("pub-c", Flapping), topics("c", true), &[], &[]);
    add(transient(Identity::v5("pub-d", Flapping)), topics("d", false), &[], &[]);
    add(transient(Identity::v3("pub-e", Steady)), topics("e", false), &[], &[]);
    add(Identity::v5(FENCER, Steady), Vec::new(), &[], &[]);

    add(window(8, Identity::v5("sub-a", Steady)), Vec::new(), &[("load/#", Q2), ("will/#", Q2)], &[]);
    add(Identity::v3("sub-b", Steady), Vec::new(), &[("load/#", Q1), ("ret/#", Q1)], &[]);
    add(window(20, Identity::v5("sub-c", Flapping)), Vec::new(), &[("load/+/0", Q2), ("load/+/1", Q2)], &[]);
    add(Identity::v3("sub-d", Flapping), Vec::new(), &[("load/#", Q2)], &[]);
    let away = &[("load/a/#", Q2), ("load/b/#", Q2), ("exp/#", Q2)];
    add(window(5, Identity::v5("sub-e", Away)), Vec::new(), away, &[]);
    add(Identity::v5("sub-f", Hermit), Vec::new(), &[("load/c/#", Q1), ("exp/#", Q1), ("will/#", Q2)], &[]);
    let toggled = &[("load/b/#", Q2), ("load/c/1", Q1), ("ret/#", Q2)];
    add(Identity::v5("sub-g", Steady), Vec::new(), &[("load/a/0", Q2)], toggled);
    add(Identity::v3("sub-h", Flapping), Vec::new(), &[("load/a/0", Q1)], &[("load/c/#", Q2)]);
    add(Identity::v5("sub-i", Restarting), Vec::new(), &[("load/a/#", Q2), ("load/d/#", Q1)], &[]);
    let lazy = Identity { lazy: true, ..Identity::v5("sub-k", Steady) };
    add(lazy, Vec::new(), &[("load/#", Q2)], &[]);
    add(transient(Identity::v3("sub-j", Flapping)), Vec::new(), &[("load/#", Q2)], &[]);

    const SHARE: Filters = &[("$share/group/sh/#", Q2)];
    add(window(4, Identity::v5("share-a", Steady)), Vec::new(), SHARE, &[]);
    add(Identity::v3("share-b", Flapping), Vec::new(), SHARE, &[]);
    add(Identity::v5("share-c", Away), Vec::new(), SHARE, &[]);
    add(Identity::v5("share-d", Restarting), Vec::new(), SHARE, &[]);

    let mortal = |expiry_secs, millis, who: fn(&'static str, Habit) -> Identity, name, delays| Identity {
        expiry_secs,
        will_delays_secs: delays,
        ..who(name, Habit::Mortal { stays_away_millis: millis })
    };
    add(mortal(event::NEVER, 2_500, Identity::v5, "will-a", &[0, 1, 2]), Vec::new(), &[], &[]);
    add(mortal(event::NEVER, 500, Identity::v3, "will-b", &[0]), Vec::new(), &[], &[]);
    add(mortal(event::NEVER, 1_500, Identity::v5, "will-c", &[1]), Vec::new(), &[], &[]);
    add(mortal(1, 2_000, Identity::v5, "mortal-a", &[]), Vec::new(), &[], &[]);
    add(mortal(2, 4_000, Identity::v5, "mortal-b", &[]), Vec::new(), &[], &[]);
    roster
}

/// What a publisher publishes on.
fn topics(publisher: &str, expiring: bool) -> Vec<Topic> {
    let topic = |name: String, qos| Topic { name, qos, retain: false, expiry_secs: None };
    let mut topics = Vec::new();
    for qos in [Q1, Q2] {
        for n in 0..3 {
            topics.push(topic(format!("load/{publisher}/{n}"), qos));
        }
        topics.push(topic(format!("sh/{publisher}"), qos));
        let retained = topic(format!("ret/{publisher}/{}", qos as u8), qos);
        topics.push(Topic { retain: true, ..retained });
        if expiring {
            topics.push(Topic { expiry_secs: Some(1), ..topic(format!("exp/{publisher}"), qos) });
        }
    }
    topics
}
