//! What the direct road promises: no allocation per message, and no call of the store, at QoS 0 and between sessions
//! that are not durable, whichever backend is configured.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod pair;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use allocation_counter::measure;
use opifex_broker::Broker;
use opifex_packet::{QoS, TopicFilter};
use opifex_storage::{
    Batch, Capabilities, Cursor, Due, OpenSession, OpenedSession, Page, PageLimit, Persistence, QueuePage,
    Receipt, Record, RecordKind, Result, Retained, Seq, SessionId, Timestamp,
};
use opifex_storage_memory::MemoryStore;
use opifex_storage_sled::SledStore;
use opifex_storage_sqlite::SqliteStore;
use pair::{BATCH, Pair};
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// A store that counts what a client's traffic asks of it.
struct Counting<P> {
    store: P,
    calls: Arc<AtomicU64>,
}

impl<P> Counting<P> {
    fn count(&self) {
        self.calls.fetch_add(1, Relaxed);
    }
}

impl<P: Persistence> Persistence for Counting<P> {
    fn capabilities(&self) -> &Capabilities {
        self.store.capabilities()
    }

    async fn open_session(&self, open: OpenSession) -> Result<OpenedSession> {
        self.count();
        self.store.open_session(open).await
    }

    async fn submit(&self, batch: Batch) -> Result<Receipt> {
        self.count();
        self.store.submit(batch).await
    }

    async fn queue(&self, session: SessionId, after: Seq, limit: PageLimit) -> Result<QueuePage> {
        self.count();
        self.store.queue(session, after, limit).await
    }

    async fn retained(
        &self,
        filters: &[TopicFilter<'_>],
        cursor: Option<Cursor>,
        limit: PageLimit,
    ) -> Result<Page<Retained>> {
        self.count();
        self.store.retained(filters, cursor, limit).await
    }

    async fn scan(&self, kind: RecordKind, cursor: Option<Cursor>, limit: PageLimit) -> Result<Page<Record>> {
        self.count();
        self.store.scan(kind, cursor, limit).await
    }

    /// Asked once a second by the broker itself: not a client's doing.
    async fn due(&self, now: Timestamp, cursor: Option<Cursor>, limit: PageLimit) -> Result<Page<Due>> {
        self.store.due(now, cursor, limit).await
    }

    async fn close(&self) -> Result<()> {
        self.store.close().await
    }
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

#[track_caller]
fn assert_next_to_no_allocations(qos: QoS) {
    let runtime = runtime();
    let mut pair = runtime.block_on(async {
        let broker = Broker::builder(MemoryStore::new()).start().await.unwrap();
        Pair::new(&broker, qos).await
    });
    let batch = pair.batch();
    let mut rounds = |count: usize| {
        runtime.block_on(async {
            for _ in 0..count {
                pair.round(&batch).await;
            }
        });
    };
    // Buffers grow to the size that is needed.
    rounds(5);
    let counted = measure(|| rounds(10));
    // What is left belongs to batches (a run's bytes behind a reference, a partial packet), not to messages.
    let allowed = (10 * BATCH / 20) as u64;
    assert!(counted.count_total < allowed, "{} allocations for {} messages", counted.count_total, 10 * BATCH);
}

#[test]
fn messages_of_qos_0_are_delivered_without_an_allocation_each() {
    assert_next_to_no_allocations(QoS::AtMostOnce);
}

#[test]
fn messages_of_qos_1_are_delivered_without_an_allocation_each() {
    assert_next_to_no_allocations(QoS::AtLeastOnce);
}

#[track_caller]
fn assert_no_calls(store: impl Persistence) {
    runtime().block_on(async {
        let calls = Arc::new(AtomicU64::new(0));
        let broker = Broker::builder(Counting { store, calls: calls.clone() }).start().await.unwrap();
        for qos in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
            let mut pair = Pair::new(&broker, qos).await;
            // The new subscription asks for retained messages.
            assert!(calls.swap(0, Relaxed) > 0, "the calls are not counted");
            let batch = pair.batch();
            pair.round(&batch).await;
            pair.round(&batch).await;
            assert_eq!(calls.load(Relaxed), 0, "{qos:?}");
        }
    });
}

#[test]
fn memory_hears_nothing_of_messages_between_sessions_that_are_not_durable() {
    assert_no_calls(MemoryStore::new());
}

#[test]
fn sqlite_hears_nothing_of_messages_between_sessions_that_are_not_durable() {
    let place = TempDir::new().unwrap();
    assert_no_calls(SqliteStore::open(place.path()).unwrap());
}

#[test]
fn sled_hears_nothing_of_messages_between_sessions_that_are_not_durable() {
    let place = TempDir::new().unwrap();
    assert_no_calls(SledStore::open(place.path().join("sled")).unwrap());
}
