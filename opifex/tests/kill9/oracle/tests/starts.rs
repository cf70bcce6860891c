//! Promise 6: a start says what it recovers, and counts it.

use opifex_packet::QoS;

use super::journal::{Journal, M1, M2};
use crate::event::{Ending, Event, MessageId, NEVER, Recovered};

/// What a start may say in these tests, with the one who looks at what is retained and without.
fn recovered(sessions: u64, interrupted: u64, subscriptions: u64, queued: u64) -> Recovered {
    Recovered { sessions, interrupted, subscriptions, queued }
}

impl Journal {
    /// The broker is killed and started again, and says that; answers whether that is wrong.
    fn wrong_after_a_kill(mut self, said: Option<Recovered>) -> bool {
        self.event(Event::Killed);
        self.ends("sub", Ending::Lost);
        self.says(said)
    }

    fn says(&mut self, said: Option<Recovered>) -> bool {
        self.event(Event::Listening);
        self.event(Event::Recovered(said));
        match self.oracle.take_violations().as_slice() {
            [] => false,
            [violation] => violation.promise == 6,
            more => panic!("{more:?}"),
        }
    }
}

#[test]
fn promise_6_a_start_says_what_it_recovers() {
    assert!(Journal::with_subscriber().wrong_after_a_kill(None));
    for (said, wrong) in [
        (recovered(1, 1, 1, 0), false),
        (recovered(2, 2, 3, 0), false),
        (recovered(0, 0, 0, 0), true),
        (recovered(3, 1, 1, 0), true),
        (recovered(1, 0, 1, 0), true),
        (recovered(2, 3, 1, 0), true),
        (recovered(1, 1, 0, 0), true),
        (recovered(1, 1, 4, 0), true),
        (recovered(1, 1, 1, 9), true),
    ] {
        assert_eq!(Journal::with_subscriber().wrong_after_a_kill(Some(said)), wrong, "{said}");
    }
}

#[test]
fn promise_6_a_start_counts_what_was_acknowledged_and_has_not_come() {
    for (queued, wrong) in [(0, true), (1, false), (3, false), (5, true)] {
        let mut journal = Journal::with_subscriber();
        journal.publishes(M1, QoS::AtLeastOnce);
        journal.publishes(M2, QoS::ExactlyOnce);
        journal.arrives(M2, QoS::ExactlyOnce, 1, false);
        let said = recovered(1, 1, 1, queued);
        assert_eq!(journal.wrong_after_a_kill(Some(said)), wrong, "{said}");
    }
}

#[test]
fn promise_6_what_is_settled_is_not_counted() {
    let mut journal = Journal::with_subscriber();
    for n in 1..=5 {
        journal.publishes(MessageId(n), QoS::AtLeastOnce);
        journal.takes(MessageId(n), QoS::AtLeastOnce, n as u16);
    }
    journal.settles();
    assert!(journal.wrong_after_a_kill(Some(recovered(1, 1, 2, 4))));
}

#[test]
fn promise_6_who_was_found_offline_by_a_start_was_not_connected_at_the_next_one() {
    let mut journal = Journal::with_subscriber();
    journal.connects("other", false, NEVER, false);
    journal.event(Event::Killed);
    journal.ends("sub", Ending::Lost);
    journal.ends("other", Ending::Goodbye);
    assert!(!journal.says(Some(recovered(2, 1, 1, 0))), "whether DISCONNECT was heard, nobody knows");
    journal.connects("other", false, NEVER, true);
    journal.event(Event::Killed);
    journal.ends("other", Ending::Lost);
    assert!(journal.says(Some(recovered(2, 3, 1, 0))), "two, and the one who looks");
    journal.event(Event::Killed);
    journal.event(Event::StartKilled);
    assert!(!journal.says(Some(recovered(2, 0, 1, 0))));
}

#[test]
fn promise_6_a_broker_that_was_killed_while_it_started_may_have_written_down_who_was_gone() {
    let mut journal = Journal::with_subscriber();
    journal.event(Event::Killed);
    journal.ends("sub", Ending::Lost);
    journal.event(Event::StartKilled);
    assert!(!journal.says(Some(recovered(1, 0, 1, 0))));
}

#[test]
fn promise_6_sessions_that_may_have_ended_or_begun_may_be_found() {
    let begin = || {
        let mut journal = Journal::with_subscriber();
        journal.connects("transient", true, 0, false);
        journal.connects("mortal", false, 1, false);
        let client = "nobody knows";
        journal.event(Event::Connecting { client, clean_start: false, expiry_secs: NEVER, will: None });
        journal.event(Event::Killed);
        journal.ends("mortal", Ending::Lost);
        journal.ends("sub", Ending::Lost);
        journal
    };
    assert!(begin().says(Some(recovered(1, 1, 1, 0))), "that of the mortal one lives");
    assert!(!begin().says(Some(recovered(2, 2, 1, 0))));
    assert!(!begin().says(Some(recovered(4, 4, 1, 0))), "with the one who looks");
    assert!(begin().says(Some(recovered(5, 4, 1, 0))));
    let mut later = begin();
    later.now += 2_000;
    assert!(!later.says(Some(recovered(1, 1, 1, 0))), "it may have ended");
}
