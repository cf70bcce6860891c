//! Shared subscriptions: what a member leaves is read, and handed on to another.

use std::sync::Arc;

use opifex_packet::QoS;
use opifex_storage::{
    Due, DueItem, ErrorKind, Op, OpenSession, OpenedSession, Outcome, QueuedState, Seq, Target, TargetOutcome,
};

use crate::script::{START, connect, id, message, packet_id, shared_target, target};
use crate::{Factory, Subject};

const SHARE: &str = "$share/g/t/#";

/// Queues a message for a member of the group.
async fn share<F: Factory>(s: &Subject<F>, to: &OpenedSession, payload: &str) {
    let targets = vec![Target { qos: QoS::ExactlyOnce, ..shared_target(id(to), SHARE) }];
    s.one(s.by_broker(), Op::Enqueue { message: Arc::new(message("t", payload)), targets }).await;
}

/// The member `a` of a group with an own entry and three of the group, of which it was sent the second and had the
/// third acknowledged; its session has ended. Beside it `b`.
async fn member_that_ended<F: Factory>(s: &Subject<F>) -> (OpenedSession, OpenedSession, Due) {
    let (a, b) = (s.connect("a").await, s.connect("b").await);
    s.enqueue(id(&a), "own").await;
    for payload in ["1", "2", "3"] {
        share(s, &a, payload).await;
    }
    let batch = s
        .by(&a)
        .with(Op::Assign { seq: Seq(3), packet_id: packet_id(1) })
        .with(Op::Assign { seq: Seq(4), packet_id: packet_id(2) })
        .with(Op::Release(Seq(4)))
        .with(Op::EndSession(id(&a)));
    s.submit(batch).await;
    let due = s.only_due(START).await;
    assert_eq!(due.item, DueItem::SessionEnded(id(&a)));
    (a, b, due)
}

/// Who hands on must see what belongs to the group, and what was never sent.
pub async fn entries_of_an_ended_member_are_read_with_share_and_state<F: Factory>(s: Subject<F>) {
    let (a, _, _) = member_that_ended(&s).await;
    let entries = s.queue(id(&a)).await;
    let shares: Vec<_> = entries.iter().map(|entry| entry.share.as_deref()).collect();
    assert_eq!(shares, [None, Some(SHARE), Some(SHARE), Some(SHARE)]);
    let states: Vec<_> = entries.iter().map(|entry| entry.state).collect();
    let (waiting, sent, acked) =
        (QueuedState::Waiting, QueuedState::Assigned(packet_id(1)), QueuedState::Released(packet_id(2)));
    assert_eq!(states, [waiting, waiting, sent, acked]);
    assert!(entries.iter().all(|entry| (entry.qos == QoS::ExactlyOnce) == entry.share.is_some()));
}

/// To another session and out of this one, in one batch.
pub async fn an_entry_is_handed_on_in_one_batch<F: Factory>(s: Subject<F>) {
    let (a, b, due) = member_that_ended(&s).await;
    let entry = s.queue(id(&a)).await.remove(1);
    let message = entry.message.expect("it was not released");
    let targets = vec![shared_target(id(&b), SHARE)];
    let batch = s.by_claim(&due, START).with(Op::Enqueue { message, targets }).with(Op::Settle(Seq(2)));
    let queued = TargetOutcome::Queued { seq: Seq(1), displaced: Vec::new() };
    assert_eq!(s.submit(batch).await, [Outcome::Enqueued(vec![queued]), Outcome::Done]);
    assert_eq!(s.payloads(id(&a)).await, ["own", "2", "-"]);
    assert_eq!(s.payloads(id(&b)).await, ["1"]);
    assert_eq!(s.queue(id(&b)).await[0].share.as_deref(), Some(SHARE));
}

/// The other member ended meanwhile: choose again. The same batch can say so, and settle nothing.
pub async fn handing_on_to_a_member_that_ended_is_gone<F: Factory>(s: Subject<F>) {
    let (a, b, due) = member_that_ended(&s).await;
    s.one(s.by(&b), Op::EndSession(id(&b))).await;
    let message = Arc::new(message("t", "1"));
    let op = Op::Enqueue { message, targets: vec![shared_target(id(&b), SHARE)] };
    assert_eq!(s.one(s.by_claim(&due, START), op).await, Outcome::Enqueued(vec![TargetOutcome::Gone]));
    assert_eq!(s.seqs(id(&a)).await, [1, 2, 3, 4]);
}

/// The item stays, at its version, while something is left; and goes with the last.
pub async fn the_item_goes_with_the_last_entry<F: Factory>(s: Subject<F>) {
    let (a, _, due) = member_that_ended(&s).await;
    for seq in [3, 1, 4] {
        assert_eq!(s.one(s.by_claim(&due, START), Op::Settle(Seq(seq))).await, Outcome::Done);
        assert_eq!(s.due(START).await, std::slice::from_ref(&due));
    }
    assert_eq!(s.one(s.by_claim(&due, START), Op::Settle(Seq(2))).await, Outcome::Done);
    assert!(s.due(START).await.is_empty());
    assert!(s.queue(id(&a)).await.is_empty());
    s.refuse(s.by_claim(&due, START).with(Op::Settle(Seq(2))), ErrorKind::Conflict).await;
}

/// The same client came back with another session: what the old one left is still the old one's.
pub async fn a_new_session_of_the_client_does_not_get_in_the_way<F: Factory>(s: Subject<F>) {
    let a = s.connect("a").await;
    share(&s, &a, "1").await;
    let new = s.open(OpenSession { clean_start: true, ..connect("a") }).await;
    let due = s.only_due(START).await;
    assert_eq!(due.item, DueItem::SessionEnded(id(&a)));
    let message = s.queue(id(&a)).await.remove(0).message.expect("it was not released");
    let batch = s.by_claim(&due, START).with(Op::Enqueue { message, targets: vec![target(id(&new))] });
    s.submit(batch.with(Op::Settle(Seq(1)))).await;
    assert_eq!(s.payloads(id(&new)).await, ["1"]);
    assert!(s.queue(id(&a)).await.is_empty());
    assert!(s.due(START).await.is_empty());
}

/// They are owed to the group, over a restart too.
pub async fn remains_and_their_item_are_there_after_reopening<F: Factory>(mut s: Subject<F>) {
    let (a, _, due) = member_that_ended(&s).await;
    let before = s.queue(id(&a)).await;
    s.reopen().await;
    assert_eq!(s.due(START).await, [due]);
    assert_eq!(s.queue(id(&a)).await, before);
}
