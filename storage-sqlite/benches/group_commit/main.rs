//! Durable enqueues a second by 64 publishers, beside a bare loop of batched inserts with the same engine, rows and
//! pragmas, in batches of the mean size that the store reached. Both on the same disk, in turns.
//!
//! `cargo bench -p opifex-storage-sqlite --bench group_commit`; the rounds take two seconds each. With `TMPDIR=/dev/shm`
//! a sync costs nothing, and what is left is the processor's work.

mod bare_loop;

use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use opifex_conformance::block_on;
use opifex_conformance::script::{connect, message, target};
use opifex_storage::{Author, Batch, Durability, Op, Persistence, Result, SessionId, Timestamp};
use opifex_storage_sqlite::SqliteStore;

const PUBLISHERS: usize = 64;
const ROUND: Duration = Duration::from_secs(1);
const ROUNDS: usize = 5;

/// A publisher's waker: it is to be polled again.
struct Ready {
    ready: AtomicBool,
    thread: Thread,
}

impl Wake for Ready {
    fn wake(self: Arc<Self>) {
        self.ready.store(true, Ordering::Release);
        self.thread.unpark();
    }
}

async fn publish(store: &SqliteStore, session: SessionId) -> Result<()> {
    let op = Op::Enqueue {
        message: Arc::new(message(bare_loop::TOPIC, bare_loop::PAYLOAD)),
        targets: vec![target(session)],
    };
    store
        .submit(Batch::new(Author::Broker, Durability::Disk, Timestamp(1)).with(op))
        .await?
        .durable()
        .await?;
    Ok(())
}

type Publish<'a> = Pin<Box<dyn Future<Output = Result<()>> + 'a>>;

/// Batches a second, and the mean of them in a commit.
fn by_store(dir: &Path) -> (f64, f64) {
    let store = SqliteStore::open(dir).expect("it opens");
    let session = block_on(store.open_session(connect("c"))).expect("it opens").session.id;
    let before = store.commit_counts();
    let start = Instant::now();
    let mut publishers: Vec<(Publish<'_>, Arc<Ready>)> = (0..PUBLISHERS)
        .map(|_| {
            let ready = Ready { ready: AtomicBool::new(true), thread: thread::current() };
            (Box::pin(publish(&store, session)) as Publish<'_>, Arc::new(ready))
        })
        .collect();
    while start.elapsed() < ROUND {
        for (publisher, ready) in &mut publishers {
            if !ready.ready.swap(false, Ordering::Acquire) {
                continue;
            }
            let waker = Waker::from(Arc::clone(ready));
            while let Poll::Ready(result) = publisher.as_mut().poll(&mut Context::from_waker(&waker)) {
                result.expect("it is stored");
                *publisher = Box::pin(publish(&store, session));
            }
        }
        if !publishers.iter().any(|(_, ready)| ready.ready.load(Ordering::Acquire)) {
            thread::park_timeout(Duration::from_millis(10));
        }
    }
    let elapsed = start.elapsed().as_secs_f64();
    let after = store.commit_counts();
    let (batches, commits) = (after.batches - before.batches, after.commits - before.commits);
    drop(publishers);
    (batches as f64 / elapsed, batches as f64 / commits as f64)
}

fn main() {
    let mut ratios = Vec::new();
    for round in 1..=ROUNDS {
        let place = || tempfile::tempdir().expect("a directory");
        let (store, mean) = by_store(place().path());
        let bare = bare_loop::messages_a_second(place().path(), mean.round() as usize, ROUND);
        println!(
            "round {round}: store {store:.0}/s ({mean:.1} a commit), loop {bare:.0}/s, ratio {:.2}",
            store / bare
        );
        ratios.push(store / bare);
    }
    ratios.sort_by(f64::total_cmp);
    println!("median ratio {:.2}", ratios[ROUNDS / 2]);
    for batch in [16, 64, 256, 1024, 4096] {
        let dir = tempfile::tempdir().expect("a directory");
        println!(
            "loop with batches of {batch}: {:.0}/s",
            bare_loop::messages_a_second(dir.path(), batch, ROUND)
        );
    }
}
