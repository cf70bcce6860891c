//! Promises 1 to 3: what is acknowledged comes, at QoS 2 once, and in its order.

use opifex_packet::QoS;

use super::journal::{Journal, M1, M2};
use crate::event::{Arrival, Ending, Event, NEVER};

#[test]
fn promise_1_a_message_that_was_acknowledged_and_does_not_come_is_lost() {
    let mut journal = Journal::with_subscriber();
    journal.publishes(M1, QoS::AtLeastOnce);
    journal.publishes(M2, QoS::AtLeastOnce);
    journal.restarts();
    journal.takes(M2, QoS::AtLeastOnce, 1);
    assert_eq!(journal.broken(), [1]);
    journal.takes(M1, QoS::AtLeastOnce, 2);
    assert_eq!(journal.broken(), [3], "it came, but late");
}

#[test]
fn promise_1_what_was_not_acknowledged_and_whom_it_did_not_reach_in_time_is_no_loss() {
    let mut journal = Journal::with_subscriber();
    journal.made(M1, QoS::AtLeastOnce);
    journal.event(Event::Sent { message: M1 });
    journal.connects("late", false, NEVER, false);
    journal.subscribes("late", "#");
    journal.restarts();
    assert_eq!(journal.broken(), [0; 0]);
    journal.event(Event::Sent { message: M1 });
    journal.event(Event::Accepted { message: M1 });
    assert_eq!(journal.broken(), [1], "it is promised to the one who was there before");
}

#[test]
fn promise_1_nobody_of_a_shared_subscription_gets_it() {
    let mut journal = Journal::with_subscriber();
    journal.event(Event::Unsubscribing { client: "sub", filter: "#" });
    journal.event(Event::Unsubscribed { client: "sub", filter: "#" });
    for member in ["a", "b"] {
        journal.connects(member, false, NEVER, false);
        journal.subscribes(member, "$share/group/load/#");
    }
    journal.publishes(M1, QoS::ExactlyOnce);
    assert_eq!(journal.broken(), [1]);
    let arrival = Arrival { message: M1, qos: QoS::ExactlyOnce, packet_id: 1, dup: false, retain: false };
    journal.event(Event::Arrived { client: "a", arrival });
    assert_eq!(journal.broken(), [0; 0]);
    journal.event(Event::Arrived { client: "b", arrival });
    assert_eq!(journal.broken(), [2], "one of them is enough");
}

#[test]
fn promise_1_a_session_that_was_ended_is_promised_nothing() {
    let mut journal = Journal::with_subscriber();
    journal.publishes(M1, QoS::AtLeastOnce);
    journal.ends("sub", Ending::Cut);
    journal.connects("sub", true, NEVER, false);
    assert_eq!(journal.broken(), [0; 0]);
}

#[test]
fn promise_2_a_qos_2_message_that_is_delivered_again_under_another_packet_id() {
    let mut journal = Journal::with_subscriber();
    journal.publishes(M1, QoS::ExactlyOnce);
    journal.arrives(M1, QoS::ExactlyOnce, 1, false);
    journal.restarts();
    journal.arrives(M1, QoS::ExactlyOnce, 1, true);
    assert_eq!(journal.broken(), [0; 0], "the same id is the same message");
    journal.arrives(M1, QoS::ExactlyOnce, 2, true);
    assert_eq!(journal.broken(), [2]);
}

#[test]
fn promise_2_a_qos_2_message_that_comes_again_after_its_release() {
    let mut journal = Journal::with_subscriber();
    journal.publishes(M1, QoS::ExactlyOnce);
    journal.takes(M1, QoS::ExactlyOnce, 1);
    journal.restarts();
    journal.event(Event::Released { client: "sub", packet_id: 1 });
    assert_eq!(journal.broken(), [0; 0], "PUBREL may come again");
    journal.arrives(M1, QoS::ExactlyOnce, 1, true);
    assert_eq!(journal.broken(), [2]);
}

#[test]
fn promise_3_first_arrivals_that_are_out_of_order() {
    let mut journal = Journal::with_subscriber();
    journal.publishes(M1, QoS::AtLeastOnce);
    journal.publishes(M2, QoS::AtLeastOnce);
    journal.takes(M2, QoS::AtLeastOnce, 1);
    journal.takes(M1, QoS::AtLeastOnce, 2);
    assert_eq!(journal.broken(), [3]);
}

#[test]
fn promise_3_holds_for_each_qos_and_not_between_them() {
    let mut journal = Journal::with_subscriber();
    journal.publishes(M1, QoS::ExactlyOnce);
    journal.publishes(M2, QoS::AtLeastOnce);
    journal.takes(M2, QoS::AtLeastOnce, 1);
    journal.takes(M1, QoS::ExactlyOnce, 2);
    assert_eq!(journal.broken(), [0; 0]);
}
