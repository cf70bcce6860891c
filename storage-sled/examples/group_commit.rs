//! What group commit makes of sled: durable batches a second with so many publishers, beside a bare loop that writes
//! batches of rows of the same sizes with the same flush.
//!
//! `cargo run --release -p opifex-storage-sled --example group_commit -- 64 10000`: publishers, messages each round.
//! Five rounds, interleaved; the last line is the ratio of the medians.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use opifex_conformance::block_on;
use opifex_conformance::script::{START, connect, message, target};
use opifex_storage::{Author, Batch, Durability, Op, Persistence, SessionId};
use opifex_storage_sled::SledStore;

fn main() {
    let mut arguments = std::env::args().skip(1).map(|word| word.parse().expect("a number"));
    let publishers: usize = arguments.next().unwrap_or(64);
    let messages: usize = arguments.next().unwrap_or(10_000);
    let directory = tempfile::tempdir_in(".").expect("a directory can be made here");
    let store = SledStore::open(directory.path().join("store")).expect("it opens");
    let session = block_on(store.open_session(connect("c"))).expect("it opens").session.id;
    let bare = sled::Config::new().path(directory.path().join("bare")).flush_every_ms(None).open();
    let bare = bare.expect("it opens");

    let mut rates = [Vec::new(), Vec::new()];
    for round in 0..5 {
        rates[0].push(published(&store, session, publishers, messages));
        rates[1].push(bare_loop(&bare, round, publishers, messages));
        println!("store {:.0}/s, bare loop {:.0}/s", rates[0][round], rates[1][round]);
    }
    let medians = rates.map(|mut rates| {
        rates.sort_by(f64::total_cmp);
        rates[2]
    });
    println!("ratio of the medians {:.2}", medians[0] / medians[1]);
}

/// Messages of 256 bytes into one queue, each publisher waiting for its receipt before the next; a second.
fn published(store: &SledStore, session: SessionId, publishers: usize, messages: usize) -> f64 {
    let left = AtomicUsize::new(messages);
    let payload = [b'x'; 255];
    let start = Instant::now();
    thread::scope(|scope| {
        for _ in 0..publishers {
            scope.spawn(|| {
                while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1)).is_ok() {
                    let op = Op::Enqueue {
                        message: Arc::new(message("t", payload)),
                        targets: vec![target(session)],
                    };
                    let batch = Batch::new(Author::Broker, Durability::Process, START).with(op);
                    let durable = async { store.submit(batch).await?.durable().await };
                    block_on(durable).expect("it becomes durable");
                }
            });
        }
    });
    messages as f64 / start.elapsed().as_secs_f64()
}

/// Rows of the same sizes (entry and body a message, session and counters a batch) in batches of as many messages as
/// there are publishers; messages a second.
fn bare_loop(db: &sled::Db, round: usize, publishers: usize, messages: usize) -> f64 {
    let start = Instant::now();
    let mut n = (round * messages) as u64;
    for _ in 0..messages / publishers {
        let mut batch = sled::Batch::default();
        batch.insert(&b"M"[..], &[0; 12][..]);
        batch.insert(&b"Sxxxxxxxx"[..], &[0; 32][..]);
        for _ in 0..publishers {
            n += 1;
            batch.insert([&b"Qxxxxxxxx"[..], &n.to_be_bytes()].concat(), &[0; 16][..]);
            batch.insert([&b"B"[..], &n.to_be_bytes()].concat(), &[0; 268][..]);
        }
        db.apply_batch(batch).expect("it is written");
        db.flush().expect("it is flushed");
    }
    (messages / publishers * publishers) as f64 / start.elapsed().as_secs_f64()
}
