//! What starting costs on a store with many queued messages: time until the first client is let in, and memory over
//! that of a broker that starts on an empty store.
//!
//! A short run is part of every test. The whole one, a million messages of 256 B:
//!
//! ```sh
//! OPIFEX_RECOVERY_MESSAGES=1000000 cargo test --release -p opifex --features sled --test recovery -- --nocapture
//! ```
//!
//! Last run, 2026-11-23, written down in c722a37, two cores: SQLite lets the first client in after 0.20 s (0.13 s on an empty
//! store) with 1 MiB more than on an empty store; sled, whose store counts all of its rows when it opens, after 1.6 s (0.15 s)
//! with 135 MiB more.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

#[allow(dead_code, reason = "shared with the other tests")]
#[path = "../program/child.rs"]
mod child;
#[allow(dead_code, reason = "shared with the other tests")]
#[path = "../program/peer.rs"]
mod peer;

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use child::Program;
use opifex_conformance::block_on;
use opifex_packet::{Properties, QoS, SubscriptionOptions, TopicFilter, TopicName};
use opifex_storage::{
    Author, Batch, Durability, Message, Op, OpenSession, Persistence, QueueLimits, SessionExpiry,
    SubscriptionRecord, Target, Timestamp,
};
use peer::Peer;

const PAYLOAD_BYTES: usize = 256;

/// Messages of one session.
const A_SESSION: usize = 1_000;

/// The memory that a million messages may cost; a smaller store is held to the same.
const MAX_GROWTH_BYTES: u64 = 256 << 20;

/// Until the first client is let in.
const MAX_WAIT: Duration = Duration::from_secs(30);

fn messages() -> usize {
    std::env::var("OPIFEX_RECOVERY_MESSAGES").map_or(20_000, |number| number.parse().expect("a number"))
}

/// Sessions that went offline, each with a subscription and a full queue of messages of its own.
async fn fill<P: Persistence>(store: &P, messages: usize) {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let now = Timestamp(since.as_millis() as u64);
    let durability = Durability::Process.min(store.capabilities().max_durability);
    for n in 0..messages.div_ceil(A_SESSION) {
        let open = OpenSession {
            client_id: format!("client-{n}").into(),
            clean_start: false,
            expiry: SessionExpiry::Never,
            will: None,
            durability,
            now,
        };
        let opened = store.open_session(open).await.unwrap().session;
        let filter = TopicFilter::new(format!("sessions/{n}/#")).unwrap();
        let options = SubscriptionOptions::from(QoS::AtLeastOnce);
        let author = Author::Session(opened.id, opened.epoch);
        let batch = Batch::new(author, durability, now)
            .with(Op::Subscribe(SubscriptionRecord { filter, options, identifier: None }))
            .with(Op::GoOffline);
        store.submit(batch).await.unwrap();
        let mut batch = Batch::new(Author::Broker, durability, now);
        for message in 0..A_SESSION.min(messages - n * A_SESSION) {
            let message = Message {
                topic: TopicName::new(format!("sessions/{n}/{message}")).unwrap(),
                qos: QoS::AtLeastOnce,
                properties: Properties::new(),
                payload: vec![message as u8; PAYLOAD_BYTES].into(),
                expires_at: None,
            };
            let target = Target {
                session: opened.id,
                qos: QoS::AtLeastOnce,
                retain: false,
                subscription_ids: Vec::new(),
                share: None,
                limits: QueueLimits::UNLIMITED,
            };
            batch.ops.push(Op::Enqueue { message: Arc::new(message), targets: vec![target] });
        }
        store.submit(batch).await.unwrap().durable().await.unwrap();
    }
    store.close().await.unwrap();
}

/// What a start was like.
struct Start {
    connack: Duration,
    peak_bytes: u64,
    log: Vec<String>,
}

fn start(storage: &str, place: &Path) -> Start {
    let begun = Instant::now();
    let mut command = Command::new(env!("CARGO_BIN_EXE_opifex"));
    command.args(["serve", "--listen", "127.0.0.1:0", "--storage", storage, "--data-dir"]);
    let program = Program::start(command.arg(place), 1);
    Peer::connect(program.address(), "first");
    let connack = begun.elapsed();
    let peak_bytes = program.peak_bytes();
    Start { connack, peak_bytes, log: program.stop() }
}

fn starts_within_its_bounds(storage: &str, fill: impl FnOnce(&Path)) {
    let here = tempfile::tempdir().unwrap();
    let empty = start(storage, &here.path().join("empty"));
    let full = here.path().join("full");
    let begun = Instant::now();
    fill(&full);
    let filled_in = begun.elapsed();
    let started = start(storage, &full);

    let growth = started.peak_bytes.saturating_sub(empty.peak_bytes);
    println!(
        "{storage}: {} messages filled in {filled_in:?}; first CONNACK after {:?} (empty store: {:?}), peak memory {} MiB \
         ({} MiB over an empty store)",
        messages(),
        started.connack,
        empty.connack,
        started.peak_bytes >> 20,
        growth >> 20,
    );
    let found = started.log.iter().find(|line| line.contains("recovered from the store")).unwrap();
    assert!(found.contains(&format!("queued={}", messages())), "{found}");
    assert!(found.contains(&format!("subscriptions={}", messages().div_ceil(A_SESSION))), "{found}");
    assert!(growth <= MAX_GROWTH_BYTES, "{growth} bytes over an empty store");
    assert!(started.connack <= MAX_WAIT, "{:?}", started.connack);
    says_each_second(&started);
}

/// No two lines of the log are further apart than a second and what a busy machine adds to it.
fn says_each_second(start: &Start) {
    let secs = |line: &String| {
        let time = line.split(' ').next().unwrap().split('T').nth(1).unwrap();
        let parts: Vec<f64> =
            time.trim_end_matches('Z').split(':').map(|part| part.parse().unwrap()).collect();
        parts[0] * 3600.0 + parts[1] * 60.0 + parts[2]
    };
    let until = start.log.iter().position(|line| line.contains("recovered from the store")).unwrap();
    let times: Vec<f64> = start.log[..=until].iter().map(secs).collect();
    for pair in times.windows(2) {
        assert!(pair[1] - pair[0] < 3.0, "{:#?}", start.log);
    }
}

#[test]
fn sqlite_starts_on_many_messages_in_bounded_time_and_memory() {
    starts_within_its_bounds("sqlite", |place| {
        let store = opifex_storage_sqlite::SqliteStore::open(place).unwrap();
        block_on(fill(&store, messages()));
    });
}

#[cfg(feature = "sled")]
#[test]
fn sled_starts_on_many_messages_in_bounded_time_and_memory() {
    starts_within_its_bounds("sled", |place| {
        let store = opifex_storage_sled::SledStore::open(place).unwrap();
        block_on(fill(&store, messages()));
    });
}
