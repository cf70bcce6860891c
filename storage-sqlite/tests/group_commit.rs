//! Many batches share a commit, and each of them is durable when it says so.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use opifex_conformance::block_on;
use opifex_conformance::script::{connect, message, target};
use opifex_storage::{
    Author, Batch, Durability, Op, Outcome, PageLimit, Persistence, Seq, SessionId, TargetOutcome, Timestamp,
};
use opifex_storage_sqlite::{SqliteOptions, SqliteStore};

fn enqueue(session: SessionId, payload: &str) -> Batch {
    let message = Arc::new(message("t", payload));
    Batch::new(Author::Broker, Durability::Disk, Timestamp(1))
        .with(Op::Enqueue { message, targets: vec![target(session)] })
}

#[test]
fn batches_that_wait_together_are_committed_together() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = SqliteStore::open(dir.path()).expect("it opens");
    let session = block_on(store.open_session(connect("c"))).expect("it opens").session.id;
    let before = store.commit_counts();
    const BATCHES: u64 = 2000;
    block_on(async {
        // All are in the writer's queue before the first is waited for: a future puts its batch there when it is
        // first polled.
        let mut submits: Vec<_> =
            (0..BATCHES).map(|n| Box::pin(store.submit(enqueue(session, &n.to_string())))).collect();
        let mut context = Context::from_waker(Waker::noop());
        let mut receipts: Vec<_> =
            submits.iter_mut().map(|submit| submit.as_mut().poll(&mut context)).collect();
        for (n, (submit, early)) in submits.into_iter().zip(receipts.drain(..)).enumerate() {
            let receipt = match early {
                Poll::Ready(receipt) => receipt,
                Poll::Pending => submit.await,
            };
            let receipt = receipt.expect("it is applied");
            let queued = TargetOutcome::Queued { seq: Seq(n as u64 + 1), displaced: Vec::new() };
            assert_eq!(
                receipt.outcomes(),
                [Outcome::Enqueued(vec![queued])],
                "in the order of their submits"
            );
            receipt.durable().await.expect("it becomes durable");
        }
    });
    let after = store.commit_counts();
    assert_eq!(after.batches - before.batches, BATCHES);
    let commits = after.commits - before.commits;
    assert!(commits <= BATCHES / 20, "{commits} commits for {BATCHES} batches");
}

#[test]
fn publishers_with_one_batch_in_flight_each_share_commits() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = SqliteStore::open(dir.path()).expect("it opens");
    let session = block_on(store.open_session(connect("c"))).expect("it opens").session.id;
    let before = store.commit_counts();
    const THREADS: u64 = 16;
    const ROUNDS: u64 = 20;
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                for _ in 0..ROUNDS {
                    let receipt = block_on(store.submit(enqueue(session, "x"))).expect("it is applied");
                    block_on(receipt.durable()).expect("it becomes durable");
                }
            });
        }
    });
    let after = store.commit_counts();
    let (batches, commits) = (after.batches - before.batches, after.commits - before.commits);
    println!("{batches} batches in {commits} commits");
    assert_eq!(batches, THREADS * ROUNDS);
    assert!(commits < batches, "{commits} commits for {batches} batches");
}

#[test]
fn a_receipt_is_ordered_before_it_is_durable_and_reads_show_it_then() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = SqliteStore::open(dir.path()).expect("it opens");
    let session = block_on(store.open_session(connect("c"))).expect("it opens").session.id;
    for n in 1..=50 {
        let receipt = block_on(store.submit(enqueue(session, "x"))).expect("it is applied");
        let commit = block_on(receipt.durable()).expect("it becomes durable");
        assert_eq!(commit.durability, Durability::Disk);
        let page = block_on(store.queue(session, Seq::ZERO, PageLimit::items(100))).expect("it is read");
        assert_eq!(page.items.len(), n);
        assert_eq!(page.final_up_to, Seq(n as u64));
    }
}

#[test]
fn a_full_queue_makes_submits_wait_and_loses_none() {
    let dir = tempfile::tempdir().expect("a directory");
    let options = SqliteOptions { max_waiting: 2, ..SqliteOptions::new(dir.path()) };
    let store = SqliteStore::open(options).expect("it opens");
    let session = block_on(store.open_session(connect("c"))).expect("it opens").session.id;
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let mut receipts = Vec::new();
                for _ in 0..50 {
                    receipts.push(block_on(store.submit(enqueue(session, "x"))).expect("it is applied"));
                }
                for receipt in receipts {
                    block_on(receipt.durable()).expect("it becomes durable");
                }
            });
        }
    });
    let opened = block_on(store.open_session(connect("c"))).expect("it opens");
    assert_eq!(opened.session.queued_items, 400);
}

#[test]
fn a_submit_that_is_dropped_while_it_waits_is_in_nobodys_way() {
    let dir = tempfile::tempdir().expect("a directory");
    let options = SqliteOptions { max_waiting: 1, ..SqliteOptions::new(dir.path()) };
    let store = SqliteStore::open(options).expect("it opens");
    let session = block_on(store.open_session(connect("c"))).expect("it opens").session.id;
    let mut context = Context::from_waker(Waker::noop());
    let mut receipts = Vec::new();
    for n in 0..200 {
        let mut dropped = Box::pin(store.submit(enqueue(session, "dropped")));
        let _ = dropped.as_mut().poll(&mut context);
        let mut kept = pin!(store.submit(enqueue(session, &n.to_string())));
        let early = kept.as_mut().poll(&mut context);
        drop(dropped);
        receipts.push(match early {
            Poll::Ready(receipt) => receipt.expect("it is applied"),
            Poll::Pending => block_on(kept).expect("it is applied"),
        });
    }
    for receipt in receipts {
        block_on(receipt.durable()).expect("it becomes durable");
    }
    let page = block_on(store.queue(session, Seq::ZERO, PageLimit::items(1000))).expect("it is read");
    let kept = page.items.iter().filter_map(|entry| entry.message.as_ref());
    assert_eq!(kept.filter(|message| message.payload != "dropped").count(), 200);
}

#[test]
fn a_weaker_batch_is_never_told_more_than_it_reached() {
    let dir = tempfile::tempdir().expect("a directory");
    let options = SqliteOptions { durability: Durability::Process, ..SqliteOptions::new(dir.path()) };
    let store = SqliteStore::open(options).expect("it opens");
    let batch = |durability| Batch::new(Author::Broker, durability, Timestamp(1));
    for asked in [Durability::Memory, Durability::Process] {
        let receipt = block_on(store.submit(batch(asked))).expect("it is applied");
        assert_eq!(block_on(receipt.durable()).expect("durable").durability, Durability::Process);
    }
    let refused = block_on(store.submit(batch(Durability::Disk))).expect_err("it is not offered");
    assert_eq!(refused.kind(), opifex_storage::ErrorKind::Unsupported, "{refused}");
}
