//! What "acknowledged means stored" costs: QoS 1 messages of 256 bytes that 64 publishers have acknowledged a second,
//! over TCP into the queue of a durable session that is away, beside a bare loop of batched inserts with the same
//! engine, rows and sync policy, in batches of the mean size that the broker reached. Five rounds, in turns, on the same
//! disk; then the loop's own best batch size.
//!
//! `cargo bench -p opifex-broker --bench durable_publish -- sqlite|sled [in flight of each publisher, 20]`. The store
//! lies below the current directory; where a sync costs nothing (a tmpfs) what is left is the processor's work.
//!
//! Last runs, 2026-11-23, 2 cores for broker and clients, median ratio [lowest..highest]: SQLite, at b5cfd0a, 0.79 [0.75..0.85]
//! with 20 in flight (261,000 to 276,000 acknowledged a second, 880 to 915 a sync), and at c6cd834 with 1 in flight 0.41
//! [0.37..0.47] (46,000, 46 a sync); sled, at 6453947, 0.73 [0.63..0.90] with 20 (94,000 to 122,000, 640 to 675 a sync; the loop's
//! best batch is 1,024, 144,000 a second): undecided. The aim is 0.70. SQLite's loop runs a statement for each row; the store one
//! for up to 32.

mod broker_side;
#[path = "../../../storage-sled/examples/group_commit/bare_loop.rs"]
mod sled_loop;
#[path = "../../../storage-sqlite/benches/group_commit/bare_loop.rs"]
mod sqlite_loop;

use std::path::Path;
use std::time::Duration;

use broker_side::{Measured, published};
use opifex_storage_sled::SledStore;
use opifex_storage_sqlite::SqliteStore;

/// The program's.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Time that a round measures.
const ROUND: Duration = Duration::from_secs(3);
const ROUNDS: usize = 5;
const BATCHES: [usize; 5] = [16, 64, 256, 1024, 4096];

fn main() {
    let mut words = std::env::args().skip(1).filter(|word| !word.starts_with("--"));
    let engine = words.next().unwrap_or_else(|| "sqlite".into());
    let window = words.next().map_or(20, |count| count.parse().expect("a number of messages"));
    match engine.as_str() {
        "sqlite" => {
            compare(window, |dir| SqliteStore::open(dir).expect("it opens"), sqlite_loop::messages_a_second)
        }
        "sled" => {
            compare(window, |dir| SledStore::open(dir).expect("it opens"), sled_loop::messages_a_second)
        }
        other => panic!("sqlite or sled, not {other}"),
    }
}

fn compare<P: Measured>(
    window: usize,
    open: impl Fn(&Path) -> P,
    bare: impl Fn(&Path, usize, Duration) -> f64,
) {
    let place = || tempfile::tempdir_in(".").expect("a directory can be made here");
    let mut ratios: Vec<f64> = (1..=ROUNDS)
        .map(|round| {
            let (stored, bared) = (place(), place());
            let (rate, mean) = published(open(&stored.path().join("store")), window, ROUND);
            let floor = bare(&bared.path().join("store"), mean.round() as usize, ROUND);
            println!(
                "round {round}: {rate:.0} acknowledged/s, {mean:.1} a sync; bare loop {floor:.0}/s; ratio {:.2}",
                rate / floor
            );
            rate / floor
        })
        .collect();
    ratios.sort_by(f64::total_cmp);
    println!("median ratio {:.2} [{:.2}..{:.2}]", ratios[ROUNDS / 2], ratios[0], ratios[ROUNDS - 1]);
    for batch in BATCHES {
        let dir = place();
        println!("bare loop in batches of {batch}: {:.0}/s", bare(&dir.path().join("store"), batch, ROUND));
    }
}
