//! All of a batch or nothing, in the order of its operations.

use std::sync::Arc;

use opifex_storage::{
    Batch, DropReason, Durability, ErrorKind, Expectation, FullPolicy, Guard, GuardedRecord, Op,
    OpenedSession, Outcome, Persistence, RecordKind, Seq, SessionExpiry, Target, TargetOutcome,
};

use crate::script::{
    START, expiring, id, items, message, message_of, packet_id, subscription, target, topic,
};
use crate::{Factory, Subject};

/// A batch of the session with an operation of every kind that leaves a trace.
fn everything(batch: Batch, of: &OpenedSession) -> Batch {
    let body = Arc::new(message("t", "trace"));
    batch
        .with(Op::SetExpiry(SessionExpiry::Secs(1)))
        .with(Op::GoOffline)
        .with(Op::Subscribe(subscription("trace")))
        .with(Op::Unsubscribe(crate::script::filter("a")))
        .with(Op::Enqueue { message: Arc::clone(&body), targets: vec![target(id(of))] })
        .with(Op::Assign { seq: Seq(1), packet_id: packet_id(9) })
        .with(Op::Settle(Seq(2)))
        .with(Op::PutInbound(packet_id(9)))
        .with(Op::DeleteInbound(packet_id(1)))
        .with(Op::Retain(body))
        .with(Op::Unretain(topic("kept")))
        .with(Op::TakeWill)
}

/// A session that `everything` would change in all its parts.
async fn prepared<F: Factory>(s: &Subject<F>) -> OpenedSession {
    let will = Some(crate::script::will("w", "kept"));
    let c = s.open(opifex_storage::OpenSession { will, ..crate::script::connect("c") }).await;
    s.submit(s.by(&c).with(Op::Subscribe(subscription("a"))).with(Op::PutInbound(packet_id(1)))).await;
    s.enqueue(id(&c), "1").await;
    s.enqueue(id(&c), "2").await;
    s.retain(message("kept", "")).await;
    c
}

/// Everything that can be read.
async fn picture<F: Factory>(s: &Subject<F>) -> Vec<opifex_storage::Record> {
    let mut all = Vec::new();
    for kind in [
        RecordKind::Session,
        RecordKind::Subscription,
        RecordKind::Queued,
        RecordKind::Inbound,
        RecordKind::Retained,
        RecordKind::Will,
    ] {
        all.extend(s.scan(kind).await);
    }
    all
}

/// The batch is refused, and all that can be read is as it was.
async fn without_a_trace<F: Factory>(s: &Subject<F>, batch: Batch, kind: ErrorKind) {
    let (before, due) = (picture(s).await, s.due(START).await);
    s.refuse(batch, kind).await;
    assert_eq!(picture(s).await, before);
    assert_eq!(s.due(START).await, due);
}

/// The batch that the refusals below are about leaves a trace everywhere when it is applied.
pub async fn a_batch_of_every_operation_is_applied_whole<F: Factory>(s: Subject<F>) {
    let c = prepared(&s).await;
    let outcomes = s.submit(everything(s.by(&c), &c)).await;
    assert!(!outcomes.contains(&Outcome::Absent), "{outcomes:?}");
    let session = s.session(id(&c)).await.expect("it is there");
    assert_eq!((session.expiry, session.offline_since), (SessionExpiry::Secs(1), Some(START)));
    assert_eq!(s.subscriptions(id(&c)).await, [subscription("trace")]);
    assert_eq!(s.payloads(id(&c)).await, ["1", "trace"]);
    assert_eq!(s.inbound(id(&c)).await, [9]);
    assert_eq!(s.topics(&["#"]).await, ["t"]);
    assert!(s.wills().await.is_empty());
}

/// A guard that does not hold.
pub async fn a_failed_guard_leaves_no_trace<F: Factory>(s: Subject<F>) {
    let c = prepared(&s).await;
    let mut batch = everything(s.by(&c), &c);
    let record = GuardedRecord::Retained(topic("kept"));
    batch.guards.push(Guard { record, expect: Expectation::Absent });
    without_a_trace(&s, batch, ErrorKind::Conflict).await;
}

/// An author that was taken over.
pub async fn a_fenced_author_leaves_no_trace<F: Factory>(s: Subject<F>) {
    let c = prepared(&s).await;
    s.connect("c").await;
    without_a_trace(&s, everything(s.by(&c), &c), ErrorKind::Fenced).await;
}

/// The message that is too large comes last.
pub async fn a_message_that_is_too_large_leaves_no_trace<F: Factory>(s: Subject<F>) {
    let c = prepared(&s).await;
    let large = Arc::new(message_of(s.capabilities().max_message_bytes + 1));
    let batch = everything(s.by(&c), &c);
    without_a_trace(&s, batch.clone().with(Op::Retain(Arc::clone(&large))), ErrorKind::TooLarge).await;
    let enqueue = Op::Enqueue { message: large, targets: vec![target(id(&c))] };
    without_a_trace(&s, batch.with(enqueue), ErrorKind::TooLarge).await;
}

/// The operation that its author may not ask for comes last.
pub async fn an_operation_that_is_not_allowed_leaves_no_trace<F: Factory>(s: Subject<F>) {
    let (c, other) = (prepared(&s).await, s.connect("d").await);
    let batch = everything(s.by(&c), &c);
    without_a_trace(&s, batch.clone().with(Op::EndSession(id(&other))), ErrorKind::Unsupported).await;
    without_a_trace(&s, batch.with(Op::Purge { limit: 1 }), ErrorKind::Unsupported).await;
}

/// A claim that does not hold any more.
pub async fn a_lost_claim_leaves_no_trace<F: Factory>(s: Subject<F>) {
    let c = prepared(&s).await;
    let seq = s.enqueue_message(id(&c), expiring("t", "x", START)).await;
    let due = s.only_due(START).await;
    s.one(s.by(&c), Op::Assign { seq, packet_id: packet_id(5) }).await;
    let batch = everything(s.by_claim(&due, START), &c);
    without_a_trace(&s, batch, ErrorKind::Conflict).await;
}

/// A level that is not offered.
pub async fn a_durability_that_is_not_offered_leaves_no_trace<F: Factory>(s: Subject<F>) {
    let c = prepared(&s).await;
    for durability in [Durability::Process, Durability::Disk, Durability::Quorum] {
        if durability > s.strongest() {
            let batch = Batch { durability, ..everything(s.by(&c), &c) };
            without_a_trace(&s, batch, ErrorKind::Unsupported).await;
        }
    }
}

/// The next batch is applied as if the refused one had not been.
pub async fn a_refused_batch_takes_no_numbers<F: Factory>(s: Subject<F>) {
    let c = s.connect("c").await;
    let op = Op::Enqueue { message: Arc::new(message("t", "x")), targets: vec![target(id(&c))] };
    let mut refused = s.by_broker().with(op);
    let record = GuardedRecord::Session(id(&c));
    refused.guards.push(Guard { record, expect: Expectation::Absent });
    for _ in 0..3 {
        s.refuse(refused.clone(), ErrorKind::Conflict).await;
    }
    assert_eq!(s.enqueue(id(&c), "next").await, Seq(1));
}

/// What is normal is an outcome: drops, absent records and gone targets refuse nothing.
pub async fn outcomes_fail_no_batch<F: Factory>(s: Subject<F>) {
    let (c, gone) = (s.connect("c").await, s.connect("gone").await);
    s.one(s.by(&gone), Op::EndSession(id(&gone))).await;
    let full = Target { limits: items(0, FullPolicy::DropNewest), ..target(id(&c)) };
    let body = Arc::new(message("t", "x"));
    let batch = s
        .by(&c)
        .with(Op::Settle(Seq(77)))
        .with(Op::Unretain(topic("nothing")))
        .with(Op::EndSession(id(&c)))
        .with(Op::Enqueue { message: Arc::clone(&body), targets: vec![target(id(&gone)), full] })
        .with(Op::Retain(body));
    let outcomes = s.submit(batch).await;
    let targets = vec![TargetOutcome::Gone, TargetOutcome::Gone];
    let expected = [Outcome::Absent, Outcome::Absent, Outcome::Done, Outcome::Enqueued(targets)];
    assert_eq!(outcomes[..4], expected);
    assert!(matches!(outcomes[4], Outcome::Retained(_)));
    assert_eq!(s.topics(&["t"]).await, ["t"]);
}

/// A limit refuses its own target alone.
pub async fn a_drop_fails_no_batch<F: Factory>(s: Subject<F>) {
    let c = s.connect("c").await;
    let full = Target { limits: items(0, FullPolicy::DropNewest), ..target(id(&c)) };
    let body = Arc::new(message("t", "x"));
    let batch = s
        .by(&c)
        .with(Op::PutInbound(packet_id(1)))
        .with(Op::Enqueue { message: body, targets: vec![full] })
        .with(Op::PutInbound(packet_id(2)));
    let dropped = Outcome::Enqueued(vec![TargetOutcome::Dropped(DropReason::QueueItems)]);
    assert_eq!(s.submit(batch).await, [Outcome::Done, dropped, Outcome::Done]);
    assert_eq!(s.inbound(id(&c)).await, [1, 2]);
}

/// Each sees what those before it did.
pub async fn operations_are_applied_in_order<F: Factory>(s: Subject<F>) {
    let c = s.connect("c").await;
    let enqueue = |payload: &str| Op::Enqueue {
        message: Arc::new(message("t", payload)),
        targets: vec![Target { limits: items(1, FullPolicy::DropNewest), ..target(id(&c)) }],
    };
    let batch = s
        .by(&c)
        .with(Op::Retain(Arc::new(message("r", "1"))))
        .with(Op::Unretain(topic("r")))
        .with(Op::Retain(Arc::new(message("r", "2"))))
        .with(Op::PutInbound(packet_id(1)))
        .with(Op::DeleteInbound(packet_id(1)))
        .with(enqueue("1"))
        .with(Op::Settle(Seq(1)))
        .with(enqueue("2"))
        .with(Op::Assign { seq: Seq(2), packet_id: packet_id(1) });
    let outcomes = s.submit(batch).await;
    assert!(!outcomes.contains(&Outcome::Absent), "{outcomes:?}");
    assert_eq!(&s.retained(&["r"]).await.0[0].message.payload[..], b"2");
    assert!(s.inbound(id(&c)).await.is_empty());
    assert_eq!(s.payloads(id(&c)).await, ["2"]);
}

/// A batch without operations is one all the same: its author and guards are asked.
pub async fn an_empty_batch_is_applied<F: Factory>(s: Subject<F>) {
    assert!(s.submit(s.by_broker()).await.is_empty());
}

/// Nobody waits for it; it is applied.
pub async fn a_receipt_that_is_dropped_takes_nothing_back<F: Factory>(mut s: Subject<F>) {
    let batch = s.by_broker().with(Op::Retain(Arc::new(message("r", "x"))));
    drop(s.store().submit(batch).await.expect("it is applied"));
    s.reopen().await;
    assert_eq!(s.topics(&["r"]).await, ["r"]);
}

/// A future that is dropped before it ran leaves the state before the call.
pub async fn a_submit_that_never_ran_leaves_no_trace<F: Factory>(s: Subject<F>) {
    let c = prepared(&s).await;
    let before = picture(&s).await;
    drop(s.store().submit(everything(s.by(&c), &c)));
    assert_eq!(picture(&s).await, before);
}
