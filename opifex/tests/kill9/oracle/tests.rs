//! For each promise a journal that keeps it and one that breaks it: the oracle has to see the difference. Long because
//! the promises are many; each test stands alone.

use std::collections::BTreeMap;

use opifex_packet::QoS;

use super::{EXPIRY_SLACK, Oracle, WILL_LATE};
use crate::event::{
    Ack, Arrival, Client, Ending, Event, MessageId, Millis, NEVER, Publication, Recovered, Will,
};

const M1: MessageId = MessageId(1);
const M2: MessageId = MessageId(2);
const TOPIC: &str = "load/a/0";

/// A journal that is being written.
struct Journal {
    oracle: Oracle,
    now: Millis,
}

impl Journal {
    /// A subscriber `sub` with a durable session, subscribed to everything at QoS 2.
    fn with_subscriber() -> Journal {
        let mut journal = Journal { oracle: Oracle::default(), now: 1_000 };
        journal.event(Event::Listening);
        journal.connects("sub", false, NEVER, false);
        journal.subscribes("sub", "#");
        journal
    }

    fn event(&mut self, event: Event) {
        self.now += 1;
        self.oracle.observe(self.now, &event);
    }

    fn connects(&mut self, client: Client, clean_start: bool, expiry_secs: u32, present: bool) {
        self.event(Event::Connecting { client, clean_start, expiry_secs, will: None });
        self.event(Event::Connected { client, present });
    }

    fn ends(&mut self, client: Client, how: Ending) {
        self.event(Event::Ended { client, how });
    }

    /// The broker is killed and started again, and the subscriber is back.
    fn restarts(&mut self) {
        self.event(Event::Killed);
        self.ends("sub", Ending::Lost);
        self.event(Event::Listening);
        self.connects("sub", false, NEVER, true);
    }

    fn subscribes(&mut self, client: Client, filter: &'static str) {
        self.event(Event::Subscribing { client, filter, qos: QoS::ExactlyOnce });
        self.event(Event::Subscribed { client, filter });
    }

    fn made(&mut self, message: MessageId, qos: QoS) {
        let publication = Publication { qos, ..publication() };
        self.event(Event::Made { message, publication });
    }

    /// A message that is sent and acknowledged.
    fn publishes(&mut self, message: MessageId, qos: QoS) {
        self.made(message, qos);
        self.event(Event::Sent { message });
        self.event(Event::Accepted { message });
    }

    fn arrives(&mut self, message: MessageId, qos: QoS, packet_id: u16, dup: bool) {
        let arrival = Arrival { message, qos, packet_id, dup, retain: false };
        self.event(Event::Arrived { client: "sub", arrival });
    }

    fn acks(&mut self, ack: Ack, packet_id: u16) {
        self.event(Event::Acked { client: "sub", ack, packet_id });
    }

    /// The whole handshake of the receiver.
    fn takes(&mut self, message: MessageId, qos: QoS, packet_id: u16) {
        self.arrives(message, qos, packet_id, false);
        if qos == QoS::AtLeastOnce {
            self.acks(Ack::Puback, packet_id);
        } else {
            self.acks(Ack::Pubrec, packet_id);
            self.event(Event::Released { client: "sub", packet_id });
            self.acks(Ack::Pubcomp, packet_id);
        }
    }

    fn settles(&mut self) {
        self.subscribes("sub", "barrier");
        self.subscribes("sub", "barrier");
    }

    /// The numbers of the promises that are broken.
    fn broken(&mut self) -> Vec<u8> {
        let mut found = self.oracle.take_violations();
        found.extend(self.oracle.missing(self.now));
        found.into_iter().map(|violation| violation.promise).collect()
    }
}

fn publication() -> Publication {
    Publication {
        publisher: "pub",
        durable: true,
        topic: TOPIC.to_owned(),
        qos: QoS::AtLeastOnce,
        retain: false,
        clears: false,
        expiry_secs: None,
    }
}

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
