//! Closing: nothing more is taken, everything that was ordered is there when the place is opened again.

use std::sync::Arc;

use opifex_storage::{Durability, ErrorKind, Op, PageLimit, Persistence, RecordKind, Result, Seq};

use crate::script::{START, connect, filter, id, message, target};
use crate::{Factory, Subject};

fn is_closed<T: std::fmt::Debug>(result: Result<T>) {
    match result {
        Err(error) => assert_eq!(error.kind(), ErrorKind::Closed, "{error}"),
        Ok(value) => panic!("a closed store answered {value:?}"),
    }
}

/// Every call, closing too.
pub async fn a_closed_store_refuses_every_call<F: Factory>(s: Subject<F>) {
    let c = s.connect("c").await;
    let batch = s.by(&c).with(Op::GoOffline);
    s.store().close().await.expect("an open store can be closed");
    let limit = PageLimit::items(10);
    is_closed(s.try_open(connect("c")).await);
    is_closed(s.store().submit(batch).await);
    is_closed(s.store().queue(id(&c), Seq::ZERO, limit).await);
    is_closed(s.store().retained(&[filter("#")], None, limit).await);
    is_closed(s.store().scan(RecordKind::Session, None, limit).await);
    is_closed(s.store().due(START, None, limit).await);
    is_closed(s.store().close().await);
    assert!(!s.capabilities().name.is_empty(), "what it declares is still known");
}

/// What is refused is not applied later.
pub async fn what_a_closed_store_refused_is_not_there_after_reopening<F: Factory>(mut s: Subject<F>) {
    s.store().close().await.expect("an open store can be closed");
    is_closed(s.store().submit(s.by_broker().with(Op::Retain(Arc::new(message("r", "x"))))).await);
    is_closed(s.try_open(connect("c")).await);
    s.open_again().await;
    assert!(s.topics(&["#"]).await.is_empty());
    assert!(!s.connect("c").await.present);
}

/// Batches whose durability nobody waited for.
pub async fn closing_makes_what_was_ordered_durable<F: Factory>(mut s: Subject<F>) {
    let c = s.connect("c").await;
    let mut receipts = Vec::new();
    for n in 0..20 {
        let op =
            Op::Enqueue { message: Arc::new(message("t", n.to_string())), targets: vec![target(id(&c))] };
        receipts.push(s.store().submit(s.by_broker().with(op)).await.expect("the batch is applied"));
    }
    s.reopen().await;
    for receipt in receipts {
        receipt.durable().await.expect("closing made it durable");
    }
    let expected: Vec<_> = (0..20).map(|n| n.to_string()).collect();
    assert_eq!(s.payloads(id(&c)).await, expected);
}

/// Opened and closed again and again, nothing is lost and nothing grows.
pub async fn reopening_changes_nothing<F: Factory>(mut s: Subject<F>) {
    let c = s.connect("c").await;
    s.enqueue(id(&c), "x").await;
    s.retain(message("r", "x")).await;
    let before = (s.session(id(&c)).await, s.queue(id(&c)).await, s.retained(&["#"]).await.0);
    for _ in 0..3 {
        s.reopen().await;
        assert_eq!((s.session(id(&c)).await, s.queue(id(&c)).await, s.retained(&["#"]).await.0), before);
    }
}

/// A version that was seen before is not given to another message afterwards.
pub async fn versions_go_on_after_reopening<F: Factory>(mut s: Subject<F>) {
    let first = s.retain(message("r", "x")).await;
    s.reopen().await;
    assert_eq!(s.retained(&["r"]).await.0[0].version, first);
    assert_ne!(s.retain(message("r", "x")).await, first);
}

/// A store that one process alone may have open refuses whoever opens it too, and goes on; another one lets both see what
/// either wrote. What lies in no directory cannot be opened from outside.
pub async fn a_store_that_is_open_is_opened_again_as_declared<F: Factory>(s: Subject<F>) {
    let exclusive = s.capabilities().exclusive;
    s.claimed(if exclusive { "exclusive" } else { "shared" });
    if exclusive && s.strongest() == Durability::Memory {
        return;
    }
    if exclusive && s.factory().directory(s.place()).is_none() {
        s.not_verified("exclusive", "the factory names no directory that a second store could be opened in");
        return;
    }
    s.retain(message("r/1", "")).await;
    let second = s.factory().open(s.place()).await;
    if exclusive {
        let error = second.err().expect("a second store in the directory is refused");
        assert!(!error.to_string().is_empty(), "it says why");
    } else {
        let second = second.expect("a store that is shared can be opened twice");
        let found = second.retained(&[filter("#")], None, PageLimit::items(10)).await;
        assert_eq!(found.expect("it can be read").items.len(), 1);
    }
    s.retain(message("r/2", "")).await;
    assert_eq!(s.topics(&["#"]).await, ["r/1", "r/2"]);
}
