//! Declared limits: what meets them is taken, what exceeds them is refused; and the levels of durability.

use std::sync::Arc;

use opifex_storage::{
    Batch, Durability, ErrorKind, NewWill, Op, OpenSession, Outcome, Persistence, StoreError, TargetOutcome,
};

use crate::script::{connect, id, message, message_of, target, topic, will};
use crate::{Factory, Subject};

/// An operation that is absent everywhere, and costs nothing.
fn nothing() -> Op {
    Op::Unretain(topic("nothing"))
}

/// What is declared must be of use.
pub async fn the_declared_limits_are_sane<F: Factory>(s: Subject<F>) {
    let declared = s.capabilities();
    assert!(!declared.name.is_empty());
    assert!(declared.max_batch_ops >= 256, "a read batch has some messages");
    assert!(declared.max_message_bytes >= 2 << 20, "packets of 1 MiB are common");
    assert!(declared.max_batch_bytes >= declared.max_message_bytes, "a message fits a batch");
}

/// Topic, properties and payload together.
pub async fn a_message_of_the_largest_size_is_taken<F: Factory>(s: Subject<F>) {
    let c = s.connect("c").await;
    let max = s.capabilities().max_message_bytes;
    let body = Arc::new(message_of(max));
    s.one(s.by_broker(), Op::Retain(Arc::clone(&body))).await;
    s.one(s.by_broker(), Op::Enqueue { message: body, targets: vec![target(id(&c))] }).await;
    assert_eq!(s.retained(&["size"]).await.0[0].message.size_bytes(), max);
    let queued = s.queue(id(&c)).await.remove(0).message.expect("it was not released");
    assert_eq!(queued.size_bytes(), max);
}

/// One byte more.
pub async fn a_message_beyond_the_largest_size_is_refused<F: Factory>(s: Subject<F>) {
    let c = s.connect("c").await;
    let body = Arc::new(message_of(s.capabilities().max_message_bytes + 1));
    s.refuse(s.by_broker().with(Op::Retain(Arc::clone(&body))), ErrorKind::TooLarge).await;
    let op = Op::Enqueue { message: body, targets: vec![target(id(&c))] };
    s.refuse(s.by_broker().with(op), ErrorKind::TooLarge).await;
    assert_eq!(s.enqueue(id(&c), "next").await.0, 1);
}

/// A will is a message.
pub async fn a_will_beyond_the_largest_size_is_refused<F: Factory>(s: Subject<F>) {
    let c = s.connect("c").await;
    let message = Arc::new(message_of(s.capabilities().max_message_bytes + 1));
    let will = Some(NewWill { message, ..will("w", "") });
    let error = s.try_open(OpenSession { will, clean_start: true, ..connect("c") }).await;
    let error = error.expect_err("the will is too large");
    assert_eq!(error.kind(), ErrorKind::TooLarge, "{error}");
    // It has ended nothing and fenced nobody.
    assert_eq!(s.one(s.by(&c), Op::GoOffline).await, Outcome::Done);
}

/// As many operations as are declared.
pub async fn a_batch_of_the_most_operations_is_taken<F: Factory>(s: Subject<F>) {
    let max = s.capabilities().max_batch_ops;
    let mut batch = s.by_broker();
    batch.ops = vec![nothing(); max];
    assert!(s.submit(batch).await.iter().all(|outcome| *outcome == Outcome::Absent));
}

/// One more.
pub async fn a_batch_of_too_many_operations_is_refused<F: Factory>(s: Subject<F>) {
    let mut batch = s.by_broker();
    batch.ops = vec![nothing(); s.capabilities().max_batch_ops + 1];
    s.refuse(batch, ErrorKind::TooLarge).await;
}

/// Each target of an enqueue counts as one more.
pub async fn targets_count_as_operations<F: Factory>(s: Subject<F>) {
    let c = s.connect("c").await;
    let max = s.capabilities().max_batch_ops;
    let targets = |count| vec![target(id(&c)); count];
    let message = Arc::new(message_of(10));
    let enqueue = |count| Op::Enqueue { message: Arc::clone(&message), targets: targets(count) };
    let batch = s.by_broker();
    s.refuse(batch.clone().with(enqueue(max)), ErrorKind::TooLarge).await;
    s.refuse(batch.clone().with(enqueue(max - 2)).with(nothing()).with(nothing()), ErrorKind::TooLarge).await;
    let outcomes = s.submit(batch.with(enqueue(max - 2)).with(nothing())).await;
    let Outcome::Enqueued(targets) = &outcomes[0] else { panic!("an enqueue answered {outcomes:?}") };
    assert!(targets.iter().all(|target| matches!(target, TargetOutcome::Queued { .. })));
    assert_eq!(targets.len(), max - 2);
}

/// Messages of a batch together, each counted once for its operation.
pub async fn a_batch_of_too_many_bytes_is_refused<F: Factory>(s: Subject<F>) {
    let declared = s.capabilities();
    let size = declared.max_message_bytes.min(declared.max_batch_bytes / 2);
    let body = Arc::new(message_of(size));
    let count = declared.max_batch_bytes / size;
    let mut batch = s.by_broker();
    batch.ops = vec![Op::Retain(body); count];
    let last = declared.max_batch_bytes - count * size;
    let rest = |size| Op::Retain(Arc::new(message_of(size)));
    s.refuse(batch.clone().with(rest((last + 1).max(10))), ErrorKind::TooLarge).await;
    if last >= 10 {
        batch.ops.push(rest(last));
    }
    s.submit(batch).await;
}

/// A store that declares a limit is filled up to it: what grows is refused whole, what replaces or removes is not.
/// One that declares none takes what is left of the case.
pub async fn a_store_full_of_retained_messages_can_be_drained<F: Factory>(s: Subject<F>) {
    let c = s.connect("c").await;
    let seq = s.enqueue(id(&c), "x").await;
    let limit = s.capabilities().max_retained_messages;
    s.retain_all((0..limit.unwrap_or(1000)).map(|n| message(&format!("r/{n}"), ""))).await;
    if limit.is_some() {
        let one_more = Op::Retain(Arc::new(message("r/more", "")));
        let batch = s.by(&c).with(Op::Settle(seq)).with(one_more);
        s.refuse(batch, ErrorKind::Full).await;
        assert_eq!(s.payloads(id(&c)).await, ["x"], "all or nothing");
        assert!(s.topics(&["r/more"]).await.is_empty());
    }
    s.retain(message("r/0", "replaced")).await;
    assert_eq!(&s.retained(&["r/0"]).await.0[0].message.payload[..], b"replaced");
    assert_eq!(s.one(s.by(&c), Op::Settle(seq)).await, Outcome::Done);
    assert_eq!(s.one(s.by_broker(), Op::Unretain(topic("r/1"))).await, Outcome::Done);
    s.retain(message("r/more", "")).await;
    assert_eq!(s.topics(&["r/1", "r/more"]).await, ["r/more"]);
}

/// Every level up to the declared one is reached, as it was asked for.
pub async fn every_declared_level_of_durability_is_reached<F: Factory>(s: Subject<F>) {
    for durability in [Durability::Memory, Durability::Process, Durability::Disk, Durability::Quorum] {
        if durability > s.strongest() {
            continue;
        }
        s.submit(Batch { durability, ..s.by_broker() }.with(nothing())).await;
        let opened = s.store().open_session(OpenSession { durability, ..connect("c") }).await;
        opened.unwrap_or_else(|error| panic!("an open at {durability}: {error}"));
        s.claimed(&format!("durability {durability}"));
    }
}

/// What is not declared is refused, not weakened in silence.
pub async fn a_level_that_is_not_declared_is_refused<F: Factory>(s: Subject<F>) {
    let c = s.connect("c").await;
    for durability in [Durability::Process, Durability::Disk, Durability::Quorum] {
        if durability <= s.strongest() {
            continue;
        }
        s.refuse(Batch { durability, ..s.by_broker() }.with(nothing()), ErrorKind::Unsupported).await;
        let opened = s.store().open_session(OpenSession { durability, ..connect("c") }).await;
        assert_eq!(opened.as_ref().map_err(StoreError::kind), Err(ErrorKind::Unsupported), "{opened:?}");
        s.not_claimed(&format!("durability {durability}"), &format!("{durability} is refused"));
    }
    assert_eq!(s.one(s.by(&c), Op::GoOffline).await, Outcome::Done);
}
