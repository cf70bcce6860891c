//! Promise 5: nothing settled comes again, and the window comes first, with its packet ids.

use opifex_packet::QoS;

use super::journal::{Journal, M1, M2};
use crate::event::{Ack, Ending, Event, NEVER};

#[test]
fn promise_5_a_message_that_comes_again_after_its_acknowledgement_was_stored() {
    let mut journal = Journal::with_subscriber();
    journal.publishes(M1, QoS::AtLeastOnce);
    journal.takes(M1, QoS::AtLeastOnce, 1);
    journal.restarts();
    journal.arrives(M1, QoS::AtLeastOnce, 2, true);
    assert_eq!(journal.broken(), [0; 0], "nobody knows whether PUBACK was stored");
    journal.acks(Ack::Puback, 2);
    journal.settles();
    journal.restarts();
    journal.arrives(M1, QoS::AtLeastOnce, 3, true);
    assert_eq!(journal.broken(), [5]);
}

#[test]
fn promise_5_a_release_that_comes_again_after_pubcomp_was_stored() {
    let mut journal = Journal::with_subscriber();
    journal.publishes(M1, QoS::ExactlyOnce);
    journal.takes(M1, QoS::ExactlyOnce, 1);
    journal.settles();
    journal.restarts();
    journal.event(Event::Released { client: "sub", packet_id: 1 });
    assert_eq!(journal.broken(), [5]);
}

#[test]
fn promise_5_a_message_that_comes_after_all_was_quiet() {
    let mut journal = Journal::with_subscriber();
    journal.publishes(M1, QoS::AtLeastOnce);
    journal.takes(M1, QoS::AtLeastOnce, 1);
    journal.oracle.close();
    journal.arrives(M1, QoS::AtLeastOnce, 2, true);
    assert_eq!(journal.broken(), [5]);
}

#[test]
fn promise_5_something_new_before_the_window() {
    for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
        let mut journal = Journal::with_subscriber();
        journal.publishes(M1, qos);
        journal.publishes(M2, QoS::AtLeastOnce);
        journal.arrives(M1, qos, 1, false);
        journal.ends("sub", Ending::Cut);
        journal.connects("sub", false, NEVER, true);
        journal.arrives(M2, QoS::AtLeastOnce, 2, false);
        assert!(journal.broken().contains(&5), "{qos:?}");
    }
}

#[test]
fn promise_5_the_window_without_dup_or_with_another_packet_id() {
    let mut journal = Journal::with_subscriber();
    journal.publishes(M1, QoS::AtLeastOnce);
    journal.arrives(M1, QoS::AtLeastOnce, 1, false);
    journal.restarts();
    journal.arrives(M1, QoS::AtLeastOnce, 2, true);
    assert_eq!(journal.broken(), [0; 0], "another process may choose another id");
    journal.ends("sub", Ending::Cut);
    journal.connects("sub", false, NEVER, true);
    journal.arrives(M1, QoS::AtLeastOnce, 3, true);
    assert_eq!(journal.broken(), [5], "the same process may not");

    let mut journal = Journal::with_subscriber();
    journal.publishes(M1, QoS::AtLeastOnce);
    journal.arrives(M1, QoS::AtLeastOnce, 1, false);
    journal.restarts();
    journal.arrives(M1, QoS::AtLeastOnce, 2, false);
    assert_eq!(journal.broken(), [5], "it may have been sent, and says so");
}

#[test]
fn promise_5_an_inbound_packet_id_that_is_forgotten() {
    let mut journal = Journal::with_subscriber();
    journal.event(Event::Forgotten { message: M1 });
    assert_eq!(journal.broken(), [5]);
}

#[test]
fn promise_5_a_packet_id_that_another_message_has() {
    for (first, second) in [(1, 1), (1, 2), (2, 1), (2, 2)] {
        let qos = |qos| QoS::try_from(qos).unwrap();
        let mut journal = Journal::with_subscriber();
        journal.publishes(M1, qos(first));
        journal.publishes(M2, qos(second));
        journal.arrives(M1, qos(first), 7, false);
        journal.arrives(M2, qos(second), 7, false);
        assert_eq!(journal.broken(), [5], "{first}, {second}");
    }
}
