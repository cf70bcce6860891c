//! Promise 4: sessions, subscriptions, expiries and retained messages are as they were acknowledged.

use std::collections::BTreeMap;

use opifex_packet::QoS;

use super::journal::{Journal, M1, M2, TOPIC, publication};
use crate::event::{Ending, Event, MessageId, NEVER, Publication};
use crate::oracle::EXPIRY_SLACK;

#[test]
fn promise_4_a_session_that_is_gone() {
    let mut journal = Journal::with_subscriber();
    journal.event(Event::Killed);
    journal.ends("sub", Ending::Lost);
    journal.event(Event::Listening);
    journal.connects("sub", false, NEVER, false);
    assert_eq!(journal.broken(), [4]);
}

#[test]
fn promise_4_an_expiry_may_run_from_the_disconnect_on() {
    for (leaves_early, broken) in [(true, &[][..]), (false, &[4][..])] {
        let mut journal = Journal::with_subscriber();
        journal.connects("mortal", false, 1, false);
        if leaves_early {
            journal.event(Event::Leaving { client: "mortal" });
        }
        // The client is slow to see that the connection has ended.
        journal.now += 900;
        journal.ends("mortal", Ending::Goodbye);
        journal.now += 300;
        journal.connects("mortal", false, 1, false);
        assert_eq!(journal.broken(), broken);
    }
}

#[test]
fn promise_4_an_expiry_that_does_not_run_while_the_broker_is_down() {
    for (waits, present, broken) in
        [(500, true, 0), (500, false, 1), (2_500, false, 0), (2_500, true, 1), (1_500, true, 0)]
    {
        let mut journal = Journal::with_subscriber();
        journal.connects("mortal", false, 2, false);
        journal.event(Event::Killed);
        journal.ends("mortal", Ending::Lost);
        journal.event(Event::Listening);
        journal.event(Event::Killed);
        journal.now += waits;
        journal.event(Event::Listening);
        journal.connects("mortal", false, 2, present);
        assert_eq!(journal.broken().len(), broken, "{waits} ms, present: {present}");
    }
}

#[test]
fn promise_4_a_message_without_a_subscription() {
    let mut journal = Journal::with_subscriber();
    journal.event(Event::Unsubscribing { client: "sub", filter: "#" });
    journal.event(Event::Unsubscribed { client: "sub", filter: "#" });
    journal.restarts();
    journal.publishes(M1, QoS::AtLeastOnce);
    journal.takes(M1, QoS::AtLeastOnce, 1);
    assert_eq!(journal.broken(), [4]);
}

#[test]
fn promise_4_a_message_after_its_expiry() {
    let mut journal = Journal::with_subscriber();
    let publication = Publication { expiry_secs: Some(1), ..publication() };
    journal.event(Event::Made { message: M1, publication });
    journal.event(Event::Sent { message: M1 });
    journal.event(Event::Accepted { message: M1 });
    journal.now += 1_000 + EXPIRY_SLACK;
    assert_eq!(journal.broken(), [0; 0], "it need not come");
    journal.arrives(M1, QoS::AtLeastOnce, 1, false);
    assert_eq!(journal.broken(), [4]);
}

#[test]
fn promise_4_a_retained_message_that_is_not_the_last() {
    let mut journal = Journal::with_subscriber();
    let retained = Publication { retain: true, ..publication() };
    for (message, clears) in [(M1, false), (M2, true)] {
        let publication = Publication { clears, ..retained.clone() };
        journal.event(Event::Made { message, publication });
        journal.event(Event::Sent { message });
        if message == M1 {
            journal.event(Event::Accepted { message });
        }
    }
    let mut seen = |topics: &[(&str, MessageId)]| {
        let topics = topics.iter().map(|(topic, message)| ((*topic).to_owned(), *message));
        journal.event(Event::Retained { topics: topics.collect::<BTreeMap<_, _>>() });
        journal.oracle.take_violations().len()
    };
    assert_eq!(seen(&[(TOPIC, M1)]), 0, "its removal is not acknowledged");
    assert_eq!(seen(&[]), 0, "and may have happened");
    assert_eq!(seen(&[(TOPIC, MessageId(3))]), 1);
    assert_eq!(seen(&[("other", M1)]), 1);
    journal.event(Event::Accepted { message: M2 });
    let topics = BTreeMap::from([(TOPIC.to_owned(), M1)]);
    journal.event(Event::Retained { topics });
    assert_eq!(journal.oracle.take_violations().len(), 1, "it was removed");
}
