//! Everything that a broker left in a store moves to a store of every other backend, and is the same there.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

#[allow(dead_code, reason = "shared with the other tests")]
#[path = "../program/peer.rs"]
mod peer;

use std::future::Future;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use opifex_broker::{Broker, Peer as Origin};
use opifex_packet::{
    Connect, Delivery, Disconnect, Packet, PacketId, Property, Publish, Pubrec, QoS, ReasonCode, Subscribe,
    Subscription, TopicFilter, TopicName, Version, Will,
};
use opifex_storage::transfer::{Event, check, export, import};
use opifex_storage::{PageLimit, Persistence, QueuedState, Record, RecordKind, Seq, Timestamp};
use opifex_storage_memory::MemoryStore;
use opifex_storage_sled::SledStore;
use opifex_storage_sqlite::SqliteStore;
use peer::Peer;

fn id(id: u16) -> PacketId {
    PacketId::new(id).unwrap()
}

fn connect(address: SocketAddr, client_id: &str, expiry_secs: u32, will: Option<Will<'_>>) -> Peer {
    let mut peer = Peer::open(address);
    let mut connect = Connect::new(Version::V5_0, client_id);
    connect.clean_start = false;
    connect.properties.push(Property::SessionExpiryInterval(expiry_secs));
    connect.will = will;
    assert!(!peer.log_in(connect).reason.is_error());
    peer
}

fn subscribe(peer: &mut Peer, filter: &str, qos: QoS) {
    let subscription = Subscription::new(TopicFilter::new(filter).unwrap(), qos);
    let mut subscribe = Subscribe::new(id(1), vec![subscription]);
    subscribe.properties.push(Property::SubscriptionIdentifier(7));
    peer.send(subscribe);
    assert!(matches!(peer.receive(), Some(Packet::Suback(_))));
}

fn leave(mut peer: Peer) {
    peer.send(Disconnect::new(ReasonCode::Success));
    assert_eq!(peer.receive(), None);
}

fn publish(peer: &mut Peer, topic: &str, payload: &[u8], delivery: Delivery, retain: bool) {
    let mut publish = Publish::new(TopicName::new(topic).unwrap(), payload);
    (publish.delivery, publish.retain) = (delivery, retain);
    publish.properties.push(Property::UserProperty("a", "b"));
    publish.properties.push(Property::MessageExpiryInterval(3600));
    peer.send(publish);
    assert!(matches!(peer.receive(), Some(Packet::Puback(_) | Packet::Pubrec(_))));
}

/// Clients that leave something of everything.
fn fill(address: SocketAddr) {
    for name in ["one", "two", "three"] {
        let mut peer = connect(address, name, 3600, None);
        subscribe(&mut peer, "fan/#", QoS::AtLeastOnce);
        subscribe(&mut peer, "$share/group/work", QoS::AtLeastOnce);
        leave(peer);
    }
    // Ends with entries of the group: what is left of it is handed on, or still there.
    let mut ends = connect(address, "ends", 3600, None);
    subscribe(&mut ends, "fan/#", QoS::AtLeastOnce);
    let mut will = Will::new(TopicName::new("will").unwrap(), &b"late"[..]);
    will.qos = QoS::AtLeastOnce;
    will.retain = true;
    will.properties.push(Property::WillDelayInterval(1800));
    drop(connect(address, "dies", 3600, Some(will)));

    let mut receiver = connect(address, "receiver", 3600, None);
    subscribe(&mut receiver, "twice", QoS::ExactlyOnce);
    let mut publisher = connect(address, "publisher", 3600, None);
    for n in 0..20 {
        let topic = format!("fan/{}", n % 3);
        publish(&mut publisher, &topic, &[n; 300], Delivery::AtLeastOnce(id(1)), n % 4 == 0);
        publish(&mut publisher, "work", &[n], Delivery::AtLeastOnce(id(1)), false);
    }
    publish(&mut publisher, "twice", b"released", Delivery::ExactlyOnce(id(11)), false);
    publish(&mut publisher, "twice", b"assigned", Delivery::ExactlyOnce(id(12)), false);
    let Some(Packet::Publish(first)) = receiver.receive() else { panic!("no PUBLISH") };
    assert!(matches!(receiver.receive(), Some(Packet::Publish(_))));
    receiver.send(Pubrec::new(first.delivery.packet_id().unwrap()));
    assert!(matches!(receiver.receive(), Some(Packet::Pubrel(_))));
    leave(publisher);
    let _ = ends;
}

/// Runs a broker over the store while clients fill it.
async fn filled<P: Persistence>(store: P) {
    let broker = Broker::builder(store).start().await.unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = broker.clone();
    let accepting = tokio::spawn(async move {
        loop {
            let (stream, peer) = listener.accept().await.unwrap();
            let broker = serving.clone();
            tokio::spawn(async move { broker.serve(stream, Origin::Network(peer)).await });
        }
    });
    tokio::task::spawn_blocking(move || fill(address)).await.unwrap();
    accepting.abort();
    broker.shutdown().await;
}

async fn everything<P: Persistence>(store: &P) -> Vec<Record> {
    let mut records = Vec::new();
    for kind in RecordKind::ALL {
        let mut cursor = None;
        loop {
            let page = store.scan(kind, cursor, PageLimit::items(100)).await.unwrap();
            assert_eq!(page.damaged, []);
            for record in page.items {
                if let Record::Ended(session, _) = &record {
                    let id = session.id;
                    let left = store.queue(id, Seq::ZERO, PageLimit::items(1_000)).await.unwrap();
                    records.extend(left.items.into_iter().map(|entry| Record::Queued(id, entry)));
                }
                records.push(record);
            }
            cursor = page.next;
            if cursor.is_none() {
                break;
            }
        }
    }
    // Each backend walks retained messages in an order of its own.
    records.sort_by_key(|record| match record {
        Record::Retained(retained) => retained.message.topic.as_str().to_owned(),
        _ => String::new(),
    });
    records
}

fn now() -> Timestamp {
    Timestamp(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64)
}

fn no_faults(event: Event<'_>) {
    if let Event::Fault(fault) = event {
        panic!("{fault}");
    }
}

/// Moves a store into an empty one and answers the file that carried it.
async fn moved<P: Persistence, Q: Persistence>(from: &P, to: &Q) -> Vec<u8> {
    let mut file = Vec::new();
    let exported = export(from, &mut file, no_faults).await.unwrap();
    let imported = import(to, &file[..], now(), no_faults).await.unwrap();
    assert_eq!(exported, imported);
    assert_eq!(everything(to).await, everything(from).await);
    let checked = check(to, now(), no_faults).await.unwrap();
    assert_eq!((checked.counts, checked.faults), (exported, 0));
    file
}

/// From this store to each of the others.
async fn to_all<P: Persistence>(from: &P, here: &Path, name: &str) {
    let files = [
        moved(from, &MemoryStore::new()).await,
        moved(from, &SqliteStore::open(here.join(format!("{name}-sqlite"))).unwrap()).await,
        moved(from, &SledStore::open(here.join(format!("{name}-sled"))).unwrap()).await,
    ];
    assert!(files.iter().all(|file| *file == files[0]), "a store makes the same file each time");
    // A message of 300 bytes that four queues hold is there once, beside the retained ones.
    let long = files[0].windows(300).filter(|bytes| **bytes == [19; 300]).count();
    assert_eq!(long, 1, "a shared message is written once");
}

fn on_a_runtime(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
        .block_on(test);
}

async fn holds_something_of_everything<P: Persistence>(store: &P) {
    let records = everything(store).await;
    let some = |wanted: &dyn Fn(&Record) -> bool| assert!(records.iter().any(wanted), "{records:#?}");
    some(&|record| matches!(record, Record::Will(will) if will.due_at.is_some()));
    some(&|record| matches!(record, Record::Inbound(_)));
    some(&|record| matches!(record, Record::Retained(_)));
    some(&|record| matches!(record, Record::Queued(_, entry) if entry.share.is_some()));
    some(
        &|record| matches!(record, Record::Queued(_, entry) if matches!(entry.state, QueuedState::Released(_))),
    );
    some(
        &|record| matches!(record, Record::Queued(_, entry) if matches!(entry.state, QueuedState::Assigned(_))),
    );
}

#[test]
fn a_store_in_memory_moves_everywhere() {
    on_a_runtime(async {
        let here = tempfile::tempdir().unwrap();
        let store = MemoryStore::new();
        filled(store.clone()).await;
        let store = store.reopen();
        holds_something_of_everything(&store).await;
        to_all(&store, here.path(), "memory").await;
    });
}

#[test]
fn an_sqlite_store_moves_everywhere() {
    on_a_runtime(async {
        let here = tempfile::tempdir().unwrap();
        filled(SqliteStore::open(here.path().join("old")).unwrap()).await;
        let store = SqliteStore::open(here.path().join("old")).unwrap();
        holds_something_of_everything(&store).await;
        to_all(&store, here.path(), "sqlite").await;
    });
}

#[test]
fn a_sled_store_moves_everywhere() {
    on_a_runtime(async {
        let here = tempfile::tempdir().unwrap();
        filled(SledStore::open(here.path().join("old")).unwrap()).await;
        let store = SledStore::open(here.path().join("old")).unwrap();
        holds_something_of_everything(&store).await;
        to_all(&store, here.path(), "sled").await;
    });
}
