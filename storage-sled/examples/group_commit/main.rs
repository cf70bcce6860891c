//! What group commit makes of sled: durable batches a second with so many publishers, beside a bare loop that writes
//! rows of the same sizes with the same flush, in batches of the mean size that the store reached.
//!
//! `cargo run --release -p opifex-storage-sled --example group_commit -- 64 10000`: publishers, messages each round.
//! Five rounds, interleaved; the last line is the ratio of the medians. Behind them the loop's own best batch size.
//!
//! The publishers are tasks on a runtime of two threads, as in a broker; each waits for its receipt before it
//! publishes the next message of 256 bytes into one queue.

mod bare_loop;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use opifex_conformance::block_on;
use opifex_conformance::script::{START, connect, message, target};
use opifex_storage::{Author, Batch, Durability, Op, Persistence, SessionId};
use opifex_storage_sled::SledStore;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;

const ROUNDS: usize = 5;
/// Time that the bare loop runs each round.
const LOOP: Duration = Duration::from_secs(1);

fn main() {
    let mut arguments = std::env::args().skip(1).map(|word| word.parse().expect("a number"));
    let publishers: usize = arguments.next().unwrap_or(64);
    let messages: usize = arguments.next().unwrap_or(10_000);
    let directory = tempfile::tempdir_in(".").expect("a directory can be made here");
    let store = Arc::new(SledStore::open(directory.path().join("store")).expect("it opens"));
    let session = block_on(store.open_session(connect("c"))).expect("it opens").session.id;
    let bare = |group| {
        let place = tempfile::tempdir_in(directory.path()).expect("a directory can be made here");
        bare_loop::messages_a_second(place.path(), group, LOOP)
    };
    let runtime = Builder::new_multi_thread().worker_threads(2).build().expect("a runtime can be made");

    let mut rates = [Vec::new(), Vec::new()];
    for _ in 0..ROUNDS {
        let before = store.commit_counts();
        let published = published(&runtime, &store, session, publishers, messages);
        let after = store.commit_counts();
        let group = (after.batches - before.batches).div_ceil(after.commits - before.commits) as usize;
        let looped = bare(group);
        println!("store {published:.0}/s in groups of {group}, bare loop {looped:.0}/s");
        rates[0].push(published);
        rates[1].push(looped);
    }
    let medians = rates.map(median);
    println!("ratio of the medians {:.2}", medians[0] / medians[1]);
    for group in [16, 64, 256, 1024] {
        let rate = median((0..ROUNDS).map(|_| bare(group)).collect());
        println!("bare loop in batches of {group}: {rate:.0}/s");
    }
}

fn median(mut rates: Vec<f64>) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates[rates.len() / 2]
}

/// Messages that became durable, a second.
fn published(
    runtime: &Runtime,
    store: &Arc<SledStore>,
    session: SessionId,
    publishers: usize,
    messages: usize,
) -> f64 {
    let left = Arc::new(AtomicUsize::new(messages));
    let start = Instant::now();
    let mut tasks = JoinSet::new();
    for _ in 0..publishers {
        let (store, left) = (Arc::clone(store), Arc::clone(&left));
        let publish = async move {
            while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1)).is_ok() {
                let message = Arc::new(message("t", [b'x'; 255]));
                let op = Op::Enqueue { message, targets: vec![target(session)] };
                let batch = Batch::new(Author::Broker, Durability::Process, START).with(op);
                let receipt = store.submit(batch).await.expect("it is applied");
                receipt.durable().await.expect("it becomes durable");
            }
        };
        tasks.spawn_on(publish, runtime.handle());
    }
    runtime.block_on(tasks.join_all());
    messages as f64 / start.elapsed().as_secs_f64()
}
