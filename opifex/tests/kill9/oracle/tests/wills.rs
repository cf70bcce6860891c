//! Promise 4, of wills: each in its time, and none that was renounced.

use opifex_packet::QoS;

use super::journal::{Journal, M1, M2, publication};
use crate::event::{Ending, Event, MessageId, NEVER, Publication, Will};
use crate::oracle::WILL_LATE;

/// A client with a will that has this delay, whose connection the end of the broker cuts.
fn with_will(delay_secs: u32) -> Journal {
    let mut journal = Journal::with_subscriber();
    let publication = Publication { topic: "will/w".to_owned(), publisher: "w", ..publication() };
    journal.event(Event::Made { message: M1, publication });
    arm(&mut journal, M1, delay_secs, false);
    journal
}

fn arm(journal: &mut Journal, message: MessageId, delay_secs: u32, present: bool) {
    let will = Some(Will { message, delay_secs });
    journal.event(Event::Connecting { client: "w", clean_start: false, expiry_secs: NEVER, will });
    journal.event(Event::Connected { client: "w", present });
}

#[test]
fn promise_4_a_will_that_is_never_published() {
    let mut journal = with_will(1);
    journal.event(Event::Killed);
    journal.ends("w", Ending::Lost);
    journal.event(Event::Listening);
    journal.now += 1_000;
    assert_eq!(journal.broken(), [0; 0], "it is hardly due");
    journal.now += WILL_LATE + 1;
    assert_eq!(journal.broken(), [4]);
    journal.arrives(M1, QoS::AtLeastOnce, 1, false);
    assert_eq!(journal.broken(), [0; 0]);
}

#[test]
fn promise_4_a_will_before_its_time() {
    let mut journal = with_will(0);
    journal.arrives(M1, QoS::AtLeastOnce, 1, false);
    assert_eq!(journal.broken(), [4], "its connection stands");
    let mut journal = with_will(2);
    journal.ends("w", Ending::Cut);
    journal.now += 1_000;
    journal.arrives(M1, QoS::AtLeastOnce, 1, false);
    assert_eq!(journal.broken(), [4], "its delay runs");
}

#[test]
fn promise_4_a_will_that_was_renounced_or_whose_client_was_back_in_time() {
    for how in [Ending::Goodbye, Ending::Cut] {
        let mut journal = with_will(1);
        journal.ends("w", how);
        journal.event(Event::Made { message: M2, publication: publication() });
        arm(&mut journal, M2, 1, true);
        journal.restarts();
        journal.now += 2_000;
        journal.arrives(M1, QoS::AtLeastOnce, 1, false);
        assert_eq!(journal.broken(), [4], "{how:?}");
    }
}

#[test]
fn promise_4_a_will_that_was_renounced_when_nobody_could_hear_it() {
    let mut journal = with_will(0);
    journal.event(Event::Killed);
    journal.ends("w", Ending::Goodbye);
    journal.event(Event::Listening);
    journal.event(Event::Made { message: M2, publication: publication() });
    arm(&mut journal, M2, 0, true);
    journal.arrives(M1, QoS::AtLeastOnce, 1, false);
    assert_eq!(journal.broken(), [0; 0]);
}
