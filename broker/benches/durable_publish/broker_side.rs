//! The broker's side of the comparison: a broker on TCP, a durable session that is away, and publishers that always
//! have so many messages unacknowledged.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use opifex_broker::{Broker, Limits, Peer};
use opifex_packet::{
    Connect, Delivery, Disconnect, Packet, PacketId, Publish, QoS, RetainHandling, Subscribe, Subscription,
    SubscriptionOptions, TopicFilter, TopicName, Version,
};
use opifex_storage::Persistence;
use opifex_storage_sled::SledStore;
use opifex_storage_sqlite::SqliteStore;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;

const PUBLISHERS: usize = 64;
/// Before anything is counted.
const WARM_UP: Duration = Duration::from_millis(500);
const PUBACK_BYTES: usize = 4;

/// A store that counts its commits.
pub(crate) trait Measured: Persistence {
    fn commits(&self) -> u64;
}

impl Measured for SqliteStore {
    fn commits(&self) -> u64 {
        self.commit_counts().commits
    }
}

impl Measured for SledStore {
    fn commits(&self) -> u64 {
        self.commit_counts().commits
    }
}

/// Messages that were acknowledged a second, and the mean of them in a commit.
pub(crate) fn published<P: Measured>(store: P, window: usize, round: Duration) -> (f64, f64) {
    let store = Arc::new(store);
    let server = Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    let broker = server.block_on(async {
        let limits =
            Limits { max_queued_messages: u64::MAX, max_queued_bytes: u64::MAX, ..Limits::default() };
        Broker::builder(Arc::clone(&store)).limits(limits).start().await.expect("it starts")
    });
    let address = listen(&server, broker.clone());
    let (acknowledged, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let clients = thread::spawn({
        let (acknowledged, stop) = (Arc::clone(&acknowledged), Arc::clone(&stop));
        move || {
            let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                subscribe_and_leave(address).await;
                let mut publishers = JoinSet::new();
                for number in 0..PUBLISHERS {
                    publishers.spawn(publish(address, number, window, acknowledged.clone(), stop.clone()));
                }
                publishers.join_all().await;
            });
        }
    });
    while acknowledged.load(Relaxed) == 0 {
        thread::sleep(WARM_UP);
    }
    let (start, acknowledged_before, commits_before) =
        (Instant::now(), acknowledged.load(Relaxed), store.commits());
    thread::sleep(round);
    let count = (acknowledged.load(Relaxed) - acknowledged_before) as f64;
    let (commits, elapsed) = ((store.commits() - commits_before) as f64, start.elapsed().as_secs_f64());
    stop.store(true, Relaxed);
    clients.join().expect("no publisher fails");
    server.block_on(broker.shutdown());
    (count / elapsed, count / commits)
}

/// Serves clients at the address that it answers.
pub(crate) fn listen<P: Persistence>(server: &Runtime, broker: Broker<P>) -> SocketAddr {
    let listener = server.block_on(TcpListener::bind("127.0.0.1:0")).expect("a port is free");
    let address = listener.local_addr().expect("it is bound");
    server.spawn(async move {
        while let Ok((stream, peer)) = listener.accept().await {
            let (reader, writer) = stream.into_split();
            tokio::spawn(broker.serve_halves(reader, writer, Peer::Network(peer)));
        }
    });
    address
}

/// A client that was let in.
pub(crate) async fn connect(address: SocketAddr, client_id: String, clean_start: bool) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.expect("the broker listens");
    stream.set_nodelay(true).expect("it is TCP");
    let connect = Connect { clean_start, ..Connect::new(Version::V3_1_1, client_id) };
    send(&mut stream, connect).await;
    let mut connack = [0; 4];
    stream.read_exact(&mut connack).await.expect("the broker answers");
    assert_eq!(connack[3], 0, "accepted");
    stream
}

async fn send<'a>(stream: &mut TcpStream, packet: impl Into<Packet<'a>>) {
    let mut bytes = Vec::new();
    packet.into().encode(Version::V3_1_1, &mut bytes);
    stream.write_all(&bytes).await.expect("the broker reads");
}

/// Leaves a durable session that is subscribed to all messages.
pub(crate) async fn subscribe_and_leave(address: SocketAddr) {
    let mut stream = connect(address, "away".into(), false).await;
    let options = SubscriptionOptions {
        qos: QoS::AtLeastOnce,
        no_local: false,
        retain_as_published: false,
        retain_handling: RetainHandling::SendAtSubscribe,
    };
    let filter = TopicFilter::new("bench/#").expect("it is a filter");
    let subscriptions = vec![Subscription { filter, options }];
    send(&mut stream, Subscribe { packet_id: PacketId::MIN, properties: Default::default(), subscriptions })
        .await;
    let mut suback = [0; 5];
    stream.read_exact(&mut suback).await.expect("the broker answers");
    send(&mut stream, Disconnect::default()).await;
    assert_eq!(stream.read(&mut suback).await.expect("the broker closes"), 0);
}

/// Keeps `window` messages unacknowledged until it is to stop; then waits for what is under way.
async fn publish(
    address: SocketAddr,
    number: usize,
    window: usize,
    acknowledged: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
) {
    let mut stream = connect(address, format!("publisher{number}"), true).await;
    let topic = TopicName::new(format!("bench/{number}")).expect("it is a topic");
    let encoded = |packet_id: u16| {
        let publish = Publish {
            delivery: Delivery::AtLeastOnce(PacketId::new(packet_id).expect("counted from 1")),
            ..Publish::new(topic.borrow(), [b'x'; 256].as_slice())
        };
        let mut bytes = Vec::new();
        Packet::from(publish).encode(Version::V3_1_1, &mut bytes);
        bytes
    };
    let packets: Vec<Vec<u8>> = (1..=window as u16).map(encoded).collect();
    stream.write_all(&packets.concat()).await.expect("the broker reads");
    let (mut under_way, mut input, mut output) = (window, Vec::new(), Vec::new());
    while under_way > 0 {
        assert!(stream.read_buf(&mut input).await.expect("the broker answers") > 0);
        let pubacks = input.chunks_exact(PUBACK_BYTES);
        let rest = pubacks.remainder().to_vec();
        output.clear();
        for puback in pubacks {
            assert_eq!(puback[..2], [0x40, 2]);
            acknowledged.fetch_add(1, Relaxed);
            under_way -= 1;
            if !stop.load(Relaxed) {
                under_way += 1;
                output
                    .extend_from_slice(&packets[usize::from(u16::from_be_bytes([puback[2], puback[3]])) - 1]);
            }
        }
        input = rest;
        stream.write_all(&output).await.expect("the broker reads");
    }
}
