//! Durable enqueues a second by 64 publishers, beside a bare loop of batched inserts with the same engine, rows and
//! pragmas, in batches of the mean size that the store reached. Both on the same disk, in turns.
//!
//! `cargo bench -p opifex-storage-sqlite --bench group_commit`; the rounds take two seconds each. With `TMPDIR=/dev/shm`
//! a sync costs nothing, and what is left is the processor's work.

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
use rusqlite::{Connection, params};

const PUBLISHERS: usize = 64;
const PAYLOAD: [u8; 256] = [b'x'; 256];
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
    let op = Op::Enqueue { message: Arc::new(message("t", PAYLOAD)), targets: vec![target(session)] };
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

/// Messages a second of the bare loop: a body and an entry each, and once a transaction what the session's row counts.
fn by_loop(dir: &Path, batch: usize) -> f64 {
    drop(SqliteStore::open(dir).expect("it makes the tables"));
    let db = Connection::open(dir.join("opifex.db")).expect("it opens");
    db.execute_batch(
        "PRAGMA synchronous = FULL; PRAGMA foreign_keys = OFF; PRAGMA temp_store = MEMORY;
         PRAGMA cache_size = -16000; PRAGMA wal_autocheckpoint = 10000;
         INSERT INTO sessions (id, client_id, epoch) VALUES (1, 'c', 1);",
    )
    .expect("it is set up");
    let (mut seq, start) = (0_i64, Instant::now());
    while start.elapsed() < ROUND {
        db.execute_batch("BEGIN IMMEDIATE").expect("it begins");
        let run = |sql: &str, params: &[&dyn rusqlite::ToSql]| {
            db.prepare_cached(sql).and_then(|mut sql| sql.execute(params)).expect("it runs");
        };
        for _ in 0..batch {
            seq += 1;
            run(
                "INSERT INTO messages (refs, topic, qos, properties, payload) VALUES (?1, ?2, ?3, ?4, ?5)",
                params![1, "t", 1, &[][..] as &[u8], &PAYLOAD[..]],
            );
            let body = db.last_insert_rowid();
            run(
                "INSERT INTO queue (session, seq, message, size, qos, retain) VALUES (1, ?1, ?2, 257, 1, 0)",
                params![seq, body],
            );
        }
        run(
            "UPDATE sessions SET next_seq = ?1, queued_items = ?2, queued_bytes = ?3, \
             waiting_items = ?2, waiting_bytes = ?3 WHERE id = 1",
            params![seq + 1, seq, seq * 257],
        );
        db.execute_batch("COMMIT").expect("it commits");
    }
    seq as f64 / start.elapsed().as_secs_f64()
}

fn main() {
    let mut ratios = Vec::new();
    for round in 1..=ROUNDS {
        let place = || tempfile::tempdir().expect("a directory");
        let (store, mean) = by_store(place().path());
        let bare = by_loop(place().path(), mean.round() as usize);
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
        println!("loop with batches of {batch}: {:.0}/s", by_loop(dir.path(), batch));
    }
}
