//! Idempotency keys: where an outcome can be unknown, a batch submitted twice is applied once; elsewhere they are
//! ignored.

use std::sync::Arc;

use opifex_storage::{Batch, ErrorKind, IdempotencyKey, Op, Outcome, Persistence};

use crate::script::{message, packet_id};
use crate::{Factory, Subject};

const WRITER: u64 = 4711;

fn keyed(batch: Batch, writer: u64, n: u64, known_below: u64) -> Batch {
    Batch { key: Some(IdempotencyKey { writer, n, known_below }), ..batch }
}

/// With keys the first outcomes come again; without, the batch is a batch.
pub async fn a_batch_submitted_again_is_applied_as_declared<F: Factory>(s: Subject<F>) {
    s.claimed(if s.capabilities().unknown_outcomes { "unknown outcomes" } else { "no unknown outcomes" });
    let c = s.connect("c").await;
    let batch = keyed(s.by(&c).with(Op::PutInbound(packet_id(1))), WRITER, 1, 1);
    assert_eq!(s.submit(batch.clone()).await, [Outcome::Done]);
    let again = s.submit(batch).await;
    if s.capabilities().unknown_outcomes {
        assert_eq!(again, [Outcome::Done], "the first outcomes");
    } else {
        assert_eq!(again, [Outcome::Present], "a batch like any other");
    }
}

/// One writer's numbers are not another's.
pub async fn writers_do_not_share_numbers<F: Factory>(s: Subject<F>) {
    let c = s.connect("c").await;
    for (writer, id) in [(WRITER, 1), (WRITER + 1, 2), (WRITER << 32, 3), (WRITER + (1 << 32), 4)] {
        let batch = keyed(s.by(&c).with(Op::PutInbound(packet_id(id))), writer, 1, 1);
        assert_eq!(s.submit(batch).await, [Outcome::Done]);
    }
    assert_eq!(s.inbound(crate::script::id(&c)).await, [1, 2, 3, 4]);
}

/// One number of a writer is one batch.
pub async fn the_next_number_is_the_next_batch<F: Factory>(s: Subject<F>) {
    let c = s.connect("c").await;
    for n in 1..=20_u16 {
        let batch = keyed(s.by(&c).with(Op::PutInbound(packet_id(n))), WRITER, u64::from(n), u64::from(n));
        assert_eq!(s.submit(batch).await, [Outcome::Done]);
    }
    assert_eq!(s.inbound(crate::script::id(&c)).await.len(), 20);
}

/// Nothing of it was applied, so it may be tried again.
pub async fn a_refused_batch_does_not_use_its_key_up<F: Factory>(s: Subject<F>) {
    let c = s.connect("c").await;
    let batch = keyed(s.by(&c).with(Op::PutInbound(packet_id(1))), WRITER, 1, 1);
    s.refuse(batch.clone().with(Op::Purge { limit: 1 }), ErrorKind::Unsupported).await;
    assert_eq!(s.submit(batch).await, [Outcome::Done]);
}

/// Outcomes of many batches, and of retained versions, are the first ones while the writer does not know them; also
/// after the store was opened again.
pub async fn unknown_outcomes_are_kept_over_a_reopening<F: Factory>(mut s: Subject<F>) {
    let batch = |n: u64| {
        let op = Op::Retain(Arc::new(message(&format!("r/{n}"), "")));
        keyed(s.by_broker().with(op), WRITER, n, 1)
    };
    let batches: Vec<_> = (1..=5).map(batch).collect();
    let mut first = Vec::new();
    for batch in &batches {
        first.push(s.submit(batch.clone()).await);
    }
    s.reopen().await;
    for (batch, first) in batches.into_iter().zip(first) {
        let receipt = s.store().submit(batch).await.expect("the batch is applied");
        let same = receipt.outcomes() == first;
        assert_eq!(
            same,
            s.capabilities().unknown_outcomes,
            "the first outcome if keys are kept, else a new one"
        );
    }
}
