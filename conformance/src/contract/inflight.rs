//! Outgoing messages in flight: the packet id recorded, PUBREC seen, the delivery ended.

use std::sync::Arc;

use opifex_packet::QoS;
use opifex_storage::{Op, OpenedSession, Outcome, QueuedState, Seq, Target};

use crate::script::{id, message, packet_id, target};
use crate::{Factory, Subject};

/// A session with so many entries at QoS 2, with payloads "1", "2", ...
async fn session_with<F: Factory>(s: &Subject<F>, entries: u64) -> OpenedSession {
    let c = s.connect("c").await;
    for n in 1..=entries {
        let targets = vec![Target { qos: QoS::ExactlyOnce, ..target(id(&c)) }];
        let message = Arc::new(message("t", n.to_string()));
        s.one(s.by_broker(), Op::Enqueue { message, targets }).await;
    }
    c
}

fn assign(seq: u64, id: u16) -> Op {
    Op::Assign { seq: Seq(seq), packet_id: packet_id(id) }
}

async fn states<F: Factory>(s: &Subject<F>, session: &OpenedSession) -> Vec<QueuedState> {
    s.queue(id(session)).await.iter().map(|entry| entry.state).collect()
}

fn assigned(id: u16) -> QueuedState {
    QueuedState::Assigned(packet_id(id))
}

fn released(id: u16) -> QueuedState {
    QueuedState::Released(packet_id(id))
}

/// The entry keeps its message, place and QoS.
pub async fn assigning_records_the_packet_id<F: Factory>(s: Subject<F>) {
    let c = session_with(&s, 2).await;
    assert_eq!(s.one(s.by(&c), assign(2, 77)).await, Outcome::Done);
    assert_eq!(states(&s, &c).await, [QueuedState::Waiting, assigned(77)]);
    let entry = s.queue(id(&c)).await.remove(1);
    assert_eq!((entry.seq, entry.qos), (Seq(2), QoS::ExactlyOnce));
    assert_eq!(s.payloads(id(&c)).await, ["1", "2"]);
}

/// An entry that has gone cannot be sent.
pub async fn assigning_to_a_settled_entry_finds_it_absent<F: Factory>(s: Subject<F>) {
    let c = session_with(&s, 2).await;
    s.one(s.by(&c), Op::Settle(Seq(1))).await;
    assert_eq!(s.one(s.by(&c), assign(1, 7)).await, Outcome::Absent);
    assert_eq!(s.one(s.by(&c), assign(3, 7)).await, Outcome::Absent);
    assert_eq!(states(&s, &c).await, [QueuedState::Waiting]);
}

/// After a crash a QoS 1 entry may get another.
pub async fn assigning_again_replaces_the_packet_id<F: Factory>(s: Subject<F>) {
    let c = session_with(&s, 1).await;
    s.one(s.by(&c), assign(1, 7)).await;
    assert_eq!(s.one(s.by(&c), assign(1, 8)).await, Outcome::Done);
    assert_eq!(states(&s, &c).await, [assigned(8)]);
}

/// The smallest and the largest.
pub async fn packet_ids_reach_from_1_to_65535<F: Factory>(s: Subject<F>) {
    let c = session_with(&s, 3).await;
    s.submit(s.by(&c).with(assign(1, 1)).with(assign(2, 65_535)).with(assign(3, 32_768))).await;
    assert_eq!(states(&s, &c).await, [assigned(1), assigned(65_535), assigned(32_768)]);
}

/// PUBREC: the message is never sent again, its id still counts.
pub async fn releasing_keeps_the_id_and_lets_the_message_go<F: Factory>(s: Subject<F>) {
    let c = session_with(&s, 2).await;
    s.one(s.by(&c), assign(1, 7)).await;
    assert_eq!(s.one(s.by(&c), Op::Release(Seq(1))).await, Outcome::Done);
    assert_eq!(states(&s, &c).await, [released(7), QueuedState::Waiting]);
    assert_eq!(s.payloads(id(&c)).await, ["-", "2"]);
}

/// What was never sent cannot have been received.
pub async fn releasing_without_a_packet_id_changes_nothing<F: Factory>(s: Subject<F>) {
    let c = session_with(&s, 1).await;
    assert_eq!(s.one(s.by(&c), Op::Release(Seq(1))).await, Outcome::Absent);
    assert_eq!(states(&s, &c).await, [QueuedState::Waiting]);
    assert_eq!(s.payloads(id(&c)).await, ["1"]);
}

/// A PUBREC that comes late.
pub async fn releasing_a_settled_entry_finds_it_absent<F: Factory>(s: Subject<F>) {
    let c = session_with(&s, 1).await;
    s.submit(s.by(&c).with(assign(1, 7)).with(Op::Settle(Seq(1)))).await;
    assert_eq!(s.one(s.by(&c), Op::Release(Seq(1))).await, Outcome::Absent);
    assert!(s.queue(id(&c)).await.is_empty());
}

/// A PUBREC that comes twice.
pub async fn releasing_twice_is_done_twice<F: Factory>(s: Subject<F>) {
    let c = session_with(&s, 1).await;
    let batch = s.by(&c).with(assign(1, 7)).with(Op::Release(Seq(1))).with(Op::Release(Seq(1)));
    assert_eq!(s.submit(batch).await, [Outcome::Done, Outcome::Done, Outcome::Done]);
    assert_eq!(states(&s, &c).await, [released(7)]);
}

/// PUBCOMP ends what PUBREC left.
pub async fn a_released_entry_is_settled<F: Factory>(s: Subject<F>) {
    let c = session_with(&s, 2).await;
    s.submit(s.by(&c).with(assign(1, 7)).with(Op::Release(Seq(1)))).await;
    assert_eq!(s.one(s.by(&c), Op::Settle(Seq(1))).await, Outcome::Done);
    assert_eq!(s.payloads(id(&c)).await, ["2"]);
}

/// The window is resent in order, with its packet ids, by whoever takes the session over.
pub async fn the_window_is_read_back_in_order_after_a_takeover<F: Factory>(s: Subject<F>) {
    let c = session_with(&s, 4).await;
    let batch =
        s.by(&c).with(assign(3, 30)).with(assign(1, 10)).with(assign(2, 20)).with(Op::Release(Seq(1)));
    s.submit(batch).await;
    let c = s.connect("c").await;
    assert_eq!(states(&s, &c).await, [released(10), assigned(20), assigned(30), QueuedState::Waiting]);
    assert_eq!(s.payloads(id(&c)).await, ["-", "2", "3", "4"]);
}

/// And also by whoever opens the store again.
pub async fn the_window_is_there_after_reopening<F: Factory>(mut s: Subject<F>) {
    let c = session_with(&s, 3).await;
    let batch = s.by(&c).with(assign(1, 10)).with(assign(2, 20)).with(Op::Release(Seq(1)));
    s.submit(batch).await;
    let before = s.queue(id(&c)).await;
    s.reopen().await;
    assert_eq!(s.queue(id(&c)).await, before);
    assert_eq!(states(&s, &c).await, [released(10), assigned(20), QueuedState::Waiting]);
}

/// Acknowledgements come in any order.
pub async fn entries_are_settled_in_any_order<F: Factory>(s: Subject<F>) {
    let c = session_with(&s, 6).await;
    for (seq, left) in [(4, "1 2 3 5 6"), (1, "2 3 5 6"), (6, "2 3 5"), (3, "2 5"), (2, "5"), (5, "")] {
        assert_eq!(s.one(s.by(&c), Op::Settle(Seq(seq))).await, Outcome::Done);
        assert_eq!(s.payloads(id(&c)).await.join(" "), left);
    }
    assert_eq!(s.enqueue(id(&c), "7").await, Seq(7));
}

/// Both sessions use the same number.
pub async fn packet_ids_are_a_sessions_own<F: Factory>(s: Subject<F>) {
    let (a, b) = (s.connect("a").await, s.connect("b").await);
    for session in [&a, &b] {
        s.enqueue(id(session), "x").await;
        s.one(s.by(session), assign(1, 7)).await;
    }
    s.one(s.by(&a), Op::Release(Seq(1))).await;
    assert_eq!(states(&s, &a).await, [released(7)]);
    assert_eq!(states(&s, &b).await, [assigned(7)]);
}

/// A message that is still queued elsewhere, or retained, is let go here alone.
pub async fn releasing_takes_the_message_from_nobody_else<F: Factory>(s: Subject<F>) {
    let (a, b) = (s.connect("a").await, s.connect("b").await);
    let body = Arc::new(message("t", "shared"));
    let targets = vec![target(id(&a)), target(id(&b))];
    let batch = s.by_broker().with(Op::Retain(Arc::clone(&body)));
    s.submit(batch.with(Op::Enqueue { message: body, targets })).await;
    s.submit(s.by(&a).with(assign(1, 7)).with(Op::Release(Seq(1)))).await;
    assert_eq!(s.payloads(id(&b)).await, ["shared"]);
    s.one(s.by(&a), Op::Settle(Seq(1))).await;
    s.one(s.by(&b), Op::Settle(Seq(1))).await;
    assert_eq!(&s.retained(&["t"]).await.0[0].message.payload[..], b"shared");
}
