//! What a backlog costs that waits for a subscriber: messages of 256 bytes at QoS 1 that a broker has queued for a durable
//! session which is away; then the session's client comes back over TCP, is sent all of them and acknowledges each. Time
//! from its CONNECT to the last message, and the store's space on the disk when it is empty, full, and settled. The first
//! round fills files that are new, the second those that the first has left.
//!
//! `cargo bench -p opifex-broker --bench returning_subscriber -- memory|sqlite|sled [messages, 100000]`. The store lies below
//! the current directory, at the highest level that the backend offers; its reserve is not counted.
//!
//! Last run, 2026-11-23, efcef09, two cores for broker and client, first round and second: 100,000 drained from memory in 0.04 s
//! and 0.06 s; from SQLite in 0.51 s and 0.48 s, 0.1 MB empty, 35 MB full, 1.1 MB settled, in both rounds; from sled in 0.49 s and
//! 0.47 s, 58 MB and 69 MB full, and as much settled, since it gives nothing back; 58 MB when it was closed and opened again.

#[allow(dead_code, reason = "shared with the other benchmark")]
#[path = "../durable_publish/broker_side.rs"]
mod broker_side;
mod space;

use std::path::Path;
use std::time::{Duration, Instant};

use broker_side::{connect, listen, subscribe_and_leave};
use opifex_broker::{Broker, Limits, Publication};
use opifex_packet::QoS;
use opifex_storage::Persistence;
use opifex_storage_memory::MemoryStore;
use opifex_storage_sled::{SledOptions, SledStore};
use opifex_storage_sqlite::{SqliteOptions, SqliteStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::runtime::Builder;
use tokio::task::JoinSet;

/// The program's.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const PUBLISHERS: u64 = 64;
const ROUNDS: usize = 2;
const PUBLISH_AT_QOS_1: u8 = 0x32;

fn main() {
    let mut words = std::env::args().skip(1).filter(|word| !word.starts_with("--"));
    let engine = words.next().unwrap_or_else(|| "sqlite".into());
    let messages = words.next().map_or(100_000, |count| count.parse().expect("a number of messages"));
    let place = tempfile::tempdir_in(".").expect("a directory can be made here");
    let dir = place.path().join("store");
    match engine.as_str() {
        "memory" => measure(MemoryStore::new(), &dir, messages),
        "sqlite" => {
            let options = SqliteOptions { reserve_bytes: 0, ..SqliteOptions::new(&dir) };
            measure(SqliteStore::open(options).expect("it opens"), &dir, messages);
        }
        "sled" => {
            let options = || SledOptions { reserve_bytes: 0, ..SledOptions::default() };
            measure(SledStore::open_with(&dir, options()).expect("it opens"), &dir, messages);
            drop(SledStore::open_with(&dir, options()).expect("it opens again"));
            println!("closed and opened again: {}", space::of(&dir));
        }
        other => panic!("memory, sqlite or sled, not {other}"),
    }
}

fn measure<P: Persistence>(store: P, dir: &Path, messages: u64) {
    let server = Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    let client = Builder::new_current_thread().enable_all().build().expect("a runtime");
    let broker = server.block_on(async {
        let limits =
            Limits { max_queued_messages: u64::MAX, max_queued_bytes: u64::MAX, ..Limits::default() };
        Broker::builder(store).limits(limits).start().await.expect("it starts")
    });
    let address = listen(&server, broker.clone());
    client.block_on(subscribe_and_leave(address));
    println!("empty: {}", space::of(dir));
    for _ in 0..ROUNDS {
        let start = Instant::now();
        server.block_on(fill(&broker, messages));
        println!("filled in {:.2?}: {}", start.elapsed(), space::of(dir));
        let took = client.block_on(drain(address, messages));
        let rate = messages as f64 / took.as_secs_f64();
        println!("drained {messages} in {took:.2?}, {rate:.0} a second: {}", space::of(dir));
        println!("settled, and at rest: {}", space::at_rest(dir));
    }
    server.block_on(broker.shutdown());
}

/// What is queued is queued by the broker, each message acknowledged.
async fn fill<P: Persistence>(broker: &Broker<P>, messages: u64) {
    let mut publishers = JoinSet::new();
    for number in 0..PUBLISHERS {
        let broker = broker.clone();
        publishers.spawn(async move {
            for _ in (number..messages).step_by(PUBLISHERS as usize) {
                let message = Publication::new("bench/0", vec![b'x'; 256]).qos(QoS::AtLeastOnce);
                broker.publish(message).await.expect("it is stored");
            }
        });
    }
    publishers.join_all().await;
}

/// The client comes back, and acknowledges what it gets as soon as it has read it.
async fn drain(address: std::net::SocketAddr, messages: u64) -> Duration {
    let start = Instant::now();
    let mut stream = connect(address, "away".into(), false).await;
    let (mut received, mut took) = (0, Duration::ZERO);
    let (mut input, mut output) = (Vec::with_capacity(1 << 16), Vec::new());
    while received < messages {
        assert!(stream.read_buf(&mut input).await.expect("the broker sends") > 0, "it closed");
        output.clear();
        let mut rest = input.as_slice();
        while let Some((packet_id, behind)) = next_packet_id(rest) {
            received += 1;
            output.extend_from_slice(&[0x40, 2, packet_id[0], packet_id[1]]);
            rest = behind;
        }
        took = start.elapsed();
        let left = rest.len();
        input.drain(..input.len() - left);
        stream.write_all(&output).await.expect("the broker reads");
    }
    // DISCONNECT; the broker closes when all that was acknowledged is settled.
    stream.write_all(&[0xe0, 0]).await.expect("the broker reads");
    assert_eq!(stream.read(&mut [0]).await.expect("the broker closes"), 0, "no message comes twice");
    took
}

/// The packet id of the PUBLISH that the bytes begin with, and what is behind it.
fn next_packet_id(bytes: &[u8]) -> Option<([u8; 2], &[u8])> {
    let first = *bytes.first()?;
    assert_eq!(first, PUBLISH_AT_QOS_1, "it is sent for the first time");
    // 256 bytes and a topic: the length takes two bytes.
    let (low, high) = (*bytes.get(1)?, *bytes.get(2)?);
    let length = usize::from(low & 0x7f) | usize::from(high) << 7;
    let packet = bytes.get(3..3 + length)?;
    let topic = usize::from(u16::from_be_bytes([packet[0], packet[1]]));
    Some(([packet[2 + topic], packet[3 + topic]], &bytes[3 + length..]))
}
