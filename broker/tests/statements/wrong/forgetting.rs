//! Brokers that forget, or bring back, something when they are restarted.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;

use opifex_conformance::statements::{BoxFuture, Options, Stream, Target, run};
use opifex_packet::{Packet, Properties, Property, ReasonCode};

use super::between::Between;
use super::{Lie, Way, each};
use crate::backend::Backend;
use crate::house::House;
use crate::pipe::Pipe;
use crate::store::Store;

/// A broker with a liar before it, which is restarted.
struct Restarted {
    broker: Arc<Pipe>,
    liar: Between,
}

impl Target for Restarted {
    fn connect(&self) -> BoxFuture<'_, io::Result<Box<dyn Stream>>> {
        self.liar.connect()
    }

    fn restart(&self) -> Option<BoxFuture<'_, io::Result<()>>> {
        self.broker.restart()
    }
}

/// The cases that restart the broker and fail when this is done to its store meanwhile, and this to what is said to it.
fn caught(between: fn(Store) -> Store, lie: fn() -> Lie) -> BTreeSet<String> {
    let mut failed = BTreeSet::new();
    Backend::Memory.talk(|| async {
        let options = Options { only: Some("restart::".to_owned()), ..Options::default() };
        let broker = Arc::new(Pipe::with(House::Plain, between).await);
        let liar = Between::new(broker.clone(), lie);
        let target = Arc::new(Restarted { broker, liar });
        let report = run(target, House::Plain.descriptor(), options, |_| {}).await.unwrap();
        assert_eq!(report.ended_early, None);
        failed = report.failures().map(|case| case.id.clone()).collect();
    });
    failed
}

fn honest() -> Lie {
    each(|_, _| {})
}

#[test]
fn a_broker_that_forgets_everything_is_caught_by_whatever_is_to_come_back() {
    let expected = [
        "a_delayed_will_is_published_once",
        "a_message_that_was_received_is_not_delivered_twice",
        "a_message_without_its_puback_comes_again",
        "a_message_without_its_pubrec_comes_again_with_its_id",
        "a_pubrel_for_a_message_of_before_is_answered",
        "a_pubrel_without_its_pubcomp_comes_again_with_its_id",
        "a_retained_message_comes_back",
        "a_session_comes_back_with_its_queue_in_order",
        "a_session_expires_though_the_broker_restarts",
        "a_will_that_was_taken_back_stays_away",
        "subscriptions_come_back_and_those_that_ended_do_not",
        "subscriptions_come_back_with_their_options",
        "the_will_of_a_client_that_was_connected_is_published_once",
    ];
    let expected: BTreeSet<_> = expected.iter().map(|name| format!("restart::{name}")).collect();
    assert_eq!(caught(|_| Store::new(), honest), expected);
}

#[test]
fn a_broker_that_forgets_nothing_is_not() {
    assert_eq!(caught(Store::reopen, honest), BTreeSet::new());
}

/// Every client is taken for one whose session lasts.
fn everybody_lasts() -> Lie {
    each(|_, packet| {
        if let Packet::Connect(connect) = packet {
            connect.clean_start = false;
            if connect.version.is_v5() && connect.properties.session_expiry_interval().is_none() {
                connect.properties.push(Property::SessionExpiryInterval(300));
            }
        }
    })
}

#[test]
fn a_broker_that_brings_back_what_had_ended_is_caught() {
    let caught = caught(Store::reopen, everybody_lasts);
    // A will waits for its session's end, which does not come.
    let expected = [
        "restart::a_delayed_will_is_published_once",
        "restart::a_session_that_ended_with_its_connection_stays_away",
        "restart::the_will_of_a_client_that_was_connected_is_published_once",
    ];
    assert_eq!(caught, expected.map(str::to_owned).into());
}

/// DISCONNECT takes no will back.
fn wills_stay() -> Lie {
    Box::new(|way, packet| match packet {
        Packet::Disconnect(mut disconnect) if way == Way::In => {
            disconnect.reason = ReasonCode::DisconnectWithWill;
            vec![disconnect.into()]
        }
        packet => vec![packet],
    })
}

#[test]
fn a_broker_that_brings_back_a_will_is_caught() {
    let caught = caught(Store::reopen, wills_stay);
    assert_eq!(caught, BTreeSet::from(["restart::a_will_that_was_taken_back_stays_away".to_owned()]));
}

/// Sessions last longer than they were asked to.
fn nothing_expires() -> Lie {
    each(|_, packet| {
        if let Packet::Connect(connect) = packet
            && connect.properties.session_expiry_interval() == Some(2)
        {
            connect.properties = Properties::new().with(Property::SessionExpiryInterval(300));
        }
    })
}

#[test]
fn a_broker_whose_sessions_live_longer_for_its_restart_is_caught() {
    let caught = caught(Store::reopen, nothing_expires);
    let expected = "restart::a_session_expires_though_the_broker_restarts".to_owned();
    assert_eq!(caught, BTreeSet::from([expected]));
}
