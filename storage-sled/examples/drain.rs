//! What a queue costs that is filled and drained: time, and space on the disk before and after.
//!
//! `cargo run --release -p opifex-storage-sled --example drain -- 100000`: messages of 256 bytes, written and settled
//! in batches of 100, three times over, in a directory that is made here and removed.

use std::fs;
use std::path::Path;
use std::time::Instant;

use opifex_conformance::Backlog;
use opifex_storage::Durability;
use opifex_storage_sled::{SledOptions, SledStore};

const BATCH: usize = 100;

fn main() {
    let messages = std::env::args().nth(1).map_or(100_000, |word| word.parse().expect("a number"));
    let directory = tempfile::tempdir_in(".").expect("a directory can be made here");
    let options = || SledOptions { reserve_bytes: 0, ..SledOptions::default() };
    let store = SledStore::open_with(directory.path(), options()).expect("it opens");
    let backlog = Backlog::open(&store, Durability::Process, 247);
    for _ in 0..3 {
        let start = Instant::now();
        for first in (0..messages).step_by(BATCH) {
            backlog.publish(first..first + BATCH as u64).expect("it is stored");
        }
        println!("filled in {:.1?}: {} MB", start.elapsed(), megabytes(directory.path()));
        let start = Instant::now();
        let drained = backlog.drain().expect("it is settled");
        println!("drained {drained} in {:.1?}: {} MB", start.elapsed(), megabytes(directory.path()));
    }
    drop(store);
    let start = Instant::now();
    drop(SledStore::open_with(directory.path(), options()).expect("it opens again"));
    println!("closed, and opened in {:.1?}: {} MB", start.elapsed(), megabytes(directory.path()));
}

fn megabytes(directory: &Path) -> u64 {
    let files = fs::read_dir(directory).expect("it is a directory").flatten();
    files.map(|file| file.metadata().map_or(0, |data| data.len())).sum::<u64>() / 1_000_000
}
