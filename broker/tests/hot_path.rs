//! What the direct road promises: no allocation per message, and no call of the store, at QoS 0 and between sessions
//! that are not durable at QoS 1.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use allocation_counter::measure;
use opifex_broker::{Broker, Peer};
use opifex_packet::{
    Connect, Delivery, Packet, PacketId, Properties, Puback, Publish, QoS, RetainHandling, Subscribe,
    Subscription, SubscriptionOptions, TopicFilter, TopicName, Version,
};
use opifex_storage::{
    Batch, Capabilities, Cursor, Due, OpenSession, OpenedSession, Page, PageLimit, Persistence, QueuePage,
    Receipt, Record, RecordKind, Result, Retained, Seq, SessionId, Timestamp,
};
use opifex_storage_memory::MemoryStore;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::runtime::Runtime;

/// Messages that a client sends in one write.
const BATCH: usize = 500;
const PAYLOAD: [u8; 64] = [7; 64];

/// A store that counts what a client's traffic asks of it.
struct Counting {
    store: MemoryStore,
    calls: Arc<AtomicU64>,
}

impl Counting {
    fn count(&self) {
        self.calls.fetch_add(1, Relaxed);
    }
}

impl Persistence for Counting {
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
    async fn due(&self, now: Timestamp, limit: PageLimit) -> Result<Page<Due>> {
        self.store.due(now, limit).await
    }

    async fn close(&self) -> Result<()> {
        self.store.close().await
    }
}

/// One publisher and one subscriber over pipes in memory.
struct Pair {
    publisher: DuplexStream,
    subscriber: DuplexStream,
    calls: Arc<AtomicU64>,
    buffer: Vec<u8>,
    acks: Vec<u8>,
    qos: QoS,
}

fn encoded<'a>(packet: impl Into<Packet<'a>>) -> Vec<u8> {
    let mut bytes = Vec::new();
    packet.into().encode(Version::V3_1_1, &mut bytes);
    bytes
}

async fn connect(broker: &Broker<Counting>, client_id: &str) -> DuplexStream {
    let (mut ours, theirs) = tokio::io::duplex(1 << 20);
    let broker = broker.clone();
    tokio::spawn(async move { broker.serve(theirs, Peer::Local).await });
    let connect = Connect {
        version: Version::V3_1_1,
        clean_start: true,
        keep_alive_secs: 0,
        client_id: client_id.into(),
        will: None,
        user_name: None,
        password: None,
        properties: Properties::new(),
    };
    ours.write_all(&encoded(connect)).await.unwrap();
    let mut connack = [0; 4];
    ours.read_exact(&mut connack).await.unwrap();
    ours
}

impl Pair {
    async fn new(qos: QoS) -> Pair {
        let calls = Arc::new(AtomicU64::new(0));
        let store = Counting { store: MemoryStore::new(), calls: calls.clone() };
        let broker = Broker::builder(store).start().await.unwrap();
        let publisher = connect(&broker, "publisher").await;
        let mut subscriber = connect(&broker, "subscriber").await;
        let options = SubscriptionOptions {
            qos,
            no_local: false,
            retain_as_published: false,
            // Retained messages are the store's: asking for them would be a call.
            retain_handling: RetainHandling::SendAtSubscribe,
        };
        let filter = TopicFilter::new("a/topic").unwrap();
        let subscribe = Subscribe {
            packet_id: PacketId::MIN,
            properties: Properties::new(),
            subscriptions: vec![Subscription { filter, options }],
        };
        subscriber.write_all(&encoded(subscribe)).await.unwrap();
        let mut suback = [0; 5];
        subscriber.read_exact(&mut suback).await.unwrap();
        calls.store(0, Relaxed);
        Pair {
            publisher,
            subscriber,
            calls,
            buffer: vec![0; 1 << 20],
            acks: Vec::with_capacity(1 << 16),
            qos,
        }
    }

    fn batch(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for n in 1..=BATCH as u16 {
            let mut publish = Publish::new(TopicName::new("a/topic").unwrap(), &PAYLOAD[..]);
            if self.qos == QoS::AtLeastOnce {
                publish.delivery = Delivery::AtLeastOnce(PacketId::new(n).unwrap());
            }
            bytes.extend(encoded(publish));
        }
        bytes
    }

    /// Sends a batch, takes it at the other end, acknowledges what is to be acknowledged on both sides.
    async fn round(&mut self, batch: &[u8]) {
        self.publisher.write_all(batch).await.unwrap();
        // A message comes out as long as it went in.
        self.subscriber.read_exact(&mut self.buffer[..batch.len()]).await.unwrap();
        if self.qos == QoS::AtMostOnce {
            return;
        }
        let len = batch.len() / BATCH;
        self.acks.clear();
        for message in self.buffer[..batch.len()].chunks_exact(len) {
            let id_at = len - PAYLOAD.len() - 2;
            let id = u16::from_be_bytes([message[id_at], message[id_at + 1]]);
            Packet::from(Puback::new(PacketId::new(id).unwrap())).encode(Version::V3_1_1, &mut self.acks);
        }
        self.subscriber.write_all(&self.acks).await.unwrap();
        self.publisher.read_exact(&mut self.buffer[..4 * BATCH]).await.unwrap();
    }
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

#[track_caller]
fn assert_next_to_no_allocations(qos: QoS) {
    let runtime = runtime();
    let mut pair = runtime.block_on(Pair::new(qos));
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

#[test]
fn the_store_hears_nothing_of_messages_between_sessions_that_are_not_durable() {
    for qos in [QoS::AtMostOnce, QoS::AtLeastOnce] {
        runtime().block_on(async {
            let mut pair = Pair::new(qos).await;
            let batch = pair.batch();
            pair.round(&batch).await;
            assert_eq!(pair.calls.load(Relaxed), 0);
        });
    }
}
