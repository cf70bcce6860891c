//! What a queue costs that is filled and drained: time, and space on the disk before, full, and after.
//!
//! `cargo run --release -p opifex-storage-sqlite --example drain -- 100000`: messages of 256 bytes, written and settled
//! in batches of 100, twice over, in a directory that is made here and removed. The reserve is not counted.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use opifex_conformance::Backlog;
use opifex_storage::Durability;
use opifex_storage_sqlite::{SqliteOptions, SqliteStore};

const BATCH: usize = 100;

fn main() {
    let messages = std::env::args().nth(1).map_or(100_000, |word| word.parse().expect("a number"));
    let directory = tempfile::tempdir_in(".").expect("a directory can be made here");
    let options = SqliteOptions { reserve_bytes: 0, ..SqliteOptions::new(directory.path()) };
    let store = SqliteStore::open(options).expect("it opens");
    let backlog = Backlog::open(&store, Durability::Disk, 247);
    println!("empty: {} KB", kilobytes(directory.path()));
    for _ in 0..2 {
        let start = Instant::now();
        for first in (0..messages).step_by(BATCH) {
            backlog.publish(first..first + BATCH as u64).expect("it is stored");
        }
        println!("filled in {:.1?}: {} KB", start.elapsed(), kilobytes(directory.path()));
        let start = Instant::now();
        let drained = backlog.drain().expect("it is settled");
        println!("drained {drained} in {:.1?}: {} KB", start.elapsed(), kilobytes(directory.path()));
        let start = Instant::now();
        let size = at_rest(directory.path());
        println!("at rest after {:.1?}: {size} KB", start.elapsed());
    }
}

/// The files' size when it has not changed for two seconds.
fn at_rest(directory: &Path) -> u64 {
    let (mut size, mut since) = (kilobytes(directory), Instant::now());
    while since.elapsed() < Duration::from_secs(2) {
        std::thread::sleep(Duration::from_millis(50));
        let now = kilobytes(directory);
        if now != size {
            (size, since) = (now, Instant::now());
        }
    }
    size
}

fn kilobytes(directory: &Path) -> u64 {
    let files = fs::read_dir(directory).expect("it is a directory").flatten();
    files.map(|file| file.metadata().map_or(0, |data| data.len())).sum::<u64>() / 1_000
}
