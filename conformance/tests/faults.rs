//! What the store that fails on command does: at which call, and what becomes of the call.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use opifex_conformance::block_on;
use opifex_conformance::faults::{At, Effect, Fault, Faulty};
use opifex_conformance::script::{START, connect, filter, message};
use opifex_packet::TopicName;
use opifex_storage::{
    Author, Batch, Certainty, Durability, ErrorKind, Op, PageLimit, Persistence, StoreError,
};
use opifex_storage_memory::MemoryStore;

fn store() -> Faulty<MemoryStore> {
    Faulty::over(MemoryStore::new())
}

fn retain(topic: &str) -> Batch {
    let batch = Batch::new(Author::Broker, Durability::Memory, START);
    batch.with(Op::Retain(message(topic, "x").into()))
}

fn clears(batch: &Batch) -> bool {
    batch.ops.iter().any(|op| matches!(op, Op::Unretain(_)))
}

/// Retains something, and waits until it is durable.
fn write(store: &Faulty<MemoryStore>, topic: &str) -> Result<(), StoreError> {
    block_on(async { store.submit(retain(topic)).await?.durable().await.map(drop) })
}

fn topics(store: &Faulty<MemoryStore>) -> Vec<String> {
    let page = block_on(store.inner().retained(&[filter("#")], None, PageLimit::items(100)));
    page.expect("it is whole").items.iter().map(|item| item.message.topic.as_str().to_owned()).collect()
}

fn poll<T>(future: std::pin::Pin<&mut impl Future<Output = T>>) -> Poll<T> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

const EVERY_BATCH: At = At::Batch(|_| true);

#[test]
fn a_fault_strikes_the_call_whose_turn_it_is_and_no_other() {
    for k in 0..4 {
        let store = store();
        store.set([Fault::new(EVERY_BATCH, Effect::Refuse(ErrorKind::Full)).after(k).once()]);
        let failed: Vec<usize> = (0..4).filter(|n| write(&store, &n.to_string()).is_err()).collect();
        assert_eq!(failed, [k]);
        assert_eq!(topics(&store).len(), 3);
        assert_eq!(store.mend(), 1);
        assert_eq!(store.mend(), 0);
    }
}

#[test]
fn an_error_says_of_what_was_done_what_it_is_told_to() {
    let kind = ErrorKind::Retry;
    for (effect, certainty, is_there) in [
        (Effect::Refuse(kind), Certainty::NotApplied, false),
        (Effect::Lose(kind), Certainty::Unknown, false),
        (Effect::Hide(kind), Certainty::Unknown, true),
        (Effect::FailCommit(kind), Certainty::Unknown, true),
    ] {
        let store = store();
        store.set([Fault::new(EVERY_BATCH, effect)]);
        let error = write(&store, "a").expect_err("it is told to fail");
        assert_eq!((error.kind(), error.certainty()), (kind, certainty));
        assert_eq!(!topics(&store).is_empty(), is_there, "{effect:?}");
    }
}

#[test]
fn a_commit_that_fails_was_ordered() {
    let store = store();
    store.set([Fault::new(EVERY_BATCH, Effect::FailCommit(ErrorKind::Fatal))]);
    let receipt = block_on(store.submit(retain("a"))).expect("only its commit fails");
    assert_eq!(receipt.outcomes().len(), 1);
    assert!(block_on(receipt.durable()).is_err());
}

#[test]
fn what_is_held_goes_on_when_the_store_is_mended() {
    for (effect, was_done) in [(Effect::Hold, false), (Effect::HoldAnswer, true), (Effect::HoldCommit, true)]
    {
        let store = store();
        store.set([Fault::new(EVERY_BATCH, effect)]);
        let mut written = pin!(async { store.submit(retain("a")).await?.durable().await });
        for _ in 0..3 {
            assert!(poll(written.as_mut()).is_pending(), "{effect:?}");
        }
        assert_eq!(!topics(&store).is_empty(), was_done, "{effect:?}");
        // As long as the next faults hold it, too, it waits on.
        store.set([Fault::new(EVERY_BATCH, effect)]);
        assert!(poll(written.as_mut()).is_pending(), "{effect:?}");
        assert_eq!(store.mend(), 1);
        assert!(poll(written.as_mut()).is_ready(), "{effect:?}");
    }
}

#[test]
fn a_call_that_is_held_may_fail_when_it_goes_on() {
    let store = store();
    store.set([Fault::new(EVERY_BATCH, Effect::Hold)]);
    let mut submitted = pin!(store.submit(retain("a")));
    assert!(poll(submitted.as_mut()).is_pending());
    store.set([Fault::new(EVERY_BATCH, Effect::Refuse(ErrorKind::Full))]);
    assert!(matches!(poll(submitted.as_mut()), Poll::Ready(Err(_))));
}

#[test]
fn a_fault_is_about_the_calls_that_it_names() {
    let store = store();
    let fails = |at| store.set([Fault::new(at, Effect::Refuse(ErrorKind::Corrupt))]);
    fails(At::Batch(clears));
    write(&store, "a").expect("it clears nothing");
    let clear = Op::Unretain(TopicName::new("a").expect("a valid topic"));
    let clear = Batch::new(Author::Broker, Durability::Memory, START).with(clear);
    assert!(block_on(store.submit(clear)).is_err());

    let limit = PageLimit::items(1);
    let asked = || {
        block_on(async {
            [
                store.open_session(connect("c")).await.is_err(),
                store.retained(&[filter("#")], None, limit).await.is_err(),
                store.scan(opifex_storage::RecordKind::Session, None, limit).await.is_err(),
                store.due(START, None, limit).await.is_err(),
            ]
        })
    };
    for (n, at) in [At::Open, At::Retained, At::Scan, At::Due].into_iter().enumerate() {
        fails(at);
        assert_eq!(asked(), std::array::from_fn(|m| m == n), "{at:?}");
    }
    fails(At::Any);
    assert_eq!(asked(), [true; 4]);
}
