//! Sends messages through a broker over a backend and ends: for counting instructions, not for measuring time.
//!
//! `messages_through memory|sqlite|sled ROUNDS QOS`; `benches/instructions` runs it under callgrind.

#![allow(clippy::unwrap_used, reason = "a panic is how it fails")]

#[path = "../tests/hot_path/pair.rs"]
mod pair;

use opifex_broker::Broker;
use opifex_packet::QoS;
use opifex_storage::Persistence;
use opifex_storage_memory::MemoryStore;
use opifex_storage_sled::SledStore;
use opifex_storage_sqlite::SqliteStore;
use pair::{BATCH, Pair};
use tempfile::TempDir;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [backend, rounds, qos] = arguments.as_slice() else {
        panic!("messages_through memory|sqlite|sled ROUNDS QOS")
    };
    let rounds = rounds.parse().unwrap();
    let qos = QoS::try_from(qos.parse::<u8>().unwrap()).unwrap();
    let place = TempDir::new().unwrap();
    match backend.as_str() {
        "memory" => send(MemoryStore::new(), rounds, qos),
        "sqlite" => send(SqliteStore::open(place.path()).unwrap(), rounds, qos),
        "sled" => send(SledStore::open(place.path().join("sled")).unwrap(), rounds, qos),
        other => panic!("no backend {other}"),
    }
}

fn send(store: impl Persistence, rounds: usize, qos: QoS) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let broker = Broker::builder(store).start().await.unwrap();
        let mut pair = Pair::new(&broker, qos).await;
        let batch = pair.batch();
        for _ in 0..rounds {
            pair.round(&batch).await;
        }
    });
    println!("{} messages", rounds * BATCH);
}
