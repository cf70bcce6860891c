//! What a queue costs that is filled and drained: time, and space on the disk before and after.
//!
//! `cargo run --release -p opifex-storage-sled --example drain -- 100000`: messages of 256 bytes, written and settled
//! in batches of 100, three times over, in a directory that is made here and removed.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use opifex_conformance::block_on;
use opifex_conformance::script::{START, connect, message, target};
use opifex_storage::{Author, Batch, Durability, Op, PageLimit, Persistence, Result, Seq, SessionRecord};
use opifex_storage_sled::{SledOptions, SledStore};

const BATCH: usize = 100;

fn main() {
    let messages = std::env::args().nth(1).map_or(100_000, |word| word.parse().expect("a number"));
    let directory = tempfile::tempdir_in(".").expect("a directory can be made here");
    let options = || SledOptions { reserve_bytes: 0, ..SledOptions::default() };
    let store = SledStore::open_with(directory.path(), options()).expect("it opens");
    let session = block_on(store.open_session(connect("c"))).expect("it opens").session;
    for _ in 0..3 {
        let start = Instant::now();
        fill(&store, &session, messages).expect("it is stored");
        println!("filled in {:.1?}: {} MB", start.elapsed(), megabytes(directory.path()));
        let start = Instant::now();
        let drained = drain(&store, &session).expect("it is settled");
        println!("drained {drained} in {:.1?}: {} MB", start.elapsed(), megabytes(directory.path()));
    }
    drop(store);
    let start = Instant::now();
    drop(SledStore::open_with(directory.path(), options()).expect("it opens again"));
    println!("closed, and opened in {:.1?}: {} MB", start.elapsed(), megabytes(directory.path()));
}

fn submit(store: &SledStore, author: Author, ops: Vec<Op>) -> Result<()> {
    let batch = Batch { ops, ..Batch::new(author, Durability::Process, START) };
    block_on(async { store.submit(batch).await?.durable().await }).map(drop)
}

fn fill(store: &SledStore, session: &SessionRecord, messages: usize) -> Result<()> {
    for _ in 0..messages / BATCH {
        let enqueue = |_| Op::Enqueue {
            message: Arc::new(message("t", [b'x'; 255])),
            targets: vec![target(session.id)],
        };
        submit(store, Author::Broker, (0..BATCH).map(enqueue).collect())?;
    }
    Ok(())
}

fn drain(store: &SledStore, session: &SessionRecord) -> Result<usize> {
    let (mut drained, mut after) = (0, Seq::ZERO);
    loop {
        let page = block_on(store.queue(session.id, after, PageLimit::items(BATCH)))?;
        after = page.final_up_to;
        drained += page.items.len();
        let settle = page.items.iter().map(|entry| Op::Settle(entry.seq)).collect();
        submit(store, Author::Session(session.id, session.epoch), settle)?;
        if !page.more {
            return Ok(drained);
        }
    }
}

fn megabytes(directory: &Path) -> u64 {
    let files = fs::read_dir(directory).expect("it is a directory").flatten();
    files.map(|file| file.metadata().map_or(0, |data| data.len())).sum::<u64>() / 1_000_000
}
