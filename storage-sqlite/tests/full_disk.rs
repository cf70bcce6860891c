//! A full disk, a real one: what grows is refused and not applied, what makes room works, nothing is lost, the database
//! gives its room back, and the store goes on. Also when somebody else takes the last byte, and over a reopening.
//!
//! Not a test harness: the program is its own child, in a mount namespace in which it makes a small disk (tmpfs).

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::time::{Duration, Instant};
use std::{env, thread};

use opifex_conformance::block_on;
use opifex_conformance::script::{START, connect, message, target};
use opifex_storage::{
    Author, Batch, Durability, ErrorKind, Op, PageLimit, Persistence, Result, Seq, SessionId,
};
use opifex_storage_sqlite::{SqliteOptions, SqliteStore};
use tempfile::TempDir;

const CHILD: &str = "OPIFEX_SQLITE_FULL_DISK_TEST";
const BATCH: u64 = 16;
const RESERVE: u64 = 4 << 20;

/// Longer than it may take until a store has found that it has room again.
const PATIENCE: Duration = Duration::from_secs(20);

fn main() -> ExitCode {
    if let Some(directory) = env::var_os(CHILD) {
        return in_a_namespace_of_its_own(Path::new(&directory));
    }
    let directory = TempDir::new().expect("a directory can be made");
    let program = env::current_exe().expect("this program has a path");
    let child = |with: &[&str]| {
        let mut unshare = Command::new("unshare");
        unshare.args(with).arg("--").arg(&program).env(CHILD, directory.path());
        unshare.status().is_ok_and(|status| status.success())
    };
    let can_mount = |with: &[&str]| {
        let mount = ["--", "mount", "-t", "tmpfs", "none", "/mnt"];
        Command::new("unshare").args(with).args(mount).output().is_ok_and(|done| done.status.success())
    };
    let ways: [&[&str]; 2] = [&["-m"], &["-rm"]];
    match ways.into_iter().find(|way| can_mount(way)) {
        Some(way) if child(way) => ExitCode::SUCCESS,
        Some(_) => ExitCode::FAILURE,
        None => {
            eprintln!("NOT TESTED: a full disk, since no tmpfs can be mounted here");
            ExitCode::SUCCESS
        }
    }
}

fn in_a_namespace_of_its_own(directory: &Path) -> ExitCode {
    let mount = Command::new("mount").args(["-t", "tmpfs", "-o", "size=24m", "none"]).arg(directory).status();
    assert!(mount.is_ok_and(|status| status.success()), "it could be mounted elsewhere");
    let store = directory.join("store");
    let next = a_full_disk_drains_and_fills_again(&store);
    somebody_else_takes_the_last_byte(&store, &directory.join("theirs"), next);
    ExitCode::SUCCESS
}

fn open(directory: &Path) -> SqliteStore {
    let options = SqliteOptions { reserve_bytes: RESERVE, ..SqliteOptions::new(directory) };
    SqliteStore::open(options).expect("it opens, with a full disk, too")
}

fn session(store: &SqliteStore) -> (SessionId, Author) {
    let session = block_on(store.open_session(connect("c"))).expect("with a full disk, too").session;
    (session.id, Author::Session(session.id, session.epoch))
}

fn submit(store: &SqliteStore, author: &Author, ops: Vec<Op>) -> Result<()> {
    let batch = Batch { ops, ..Batch::new(author.clone(), Durability::Disk, START) };
    block_on(async { store.submit(batch).await?.durable().await }).map(drop)
}

fn publish(store: &SqliteStore, id: SessionId, numbers: std::ops::Range<u64>) -> Result<()> {
    let op = |n: u64| Op::Enqueue {
        message: Arc::new(message("t", [&n.to_be_bytes()[..], &[b'x'; 1000]].concat())),
        targets: vec![target(id)],
    };
    submit(store, &Author::Broker, numbers.map(op).collect())
}

/// Publishes numbered messages of a kilobyte from `next` on until the store refuses; answers the first that it refused.
fn fill(store: &SqliteStore, id: SessionId, mut next: u64) -> u64 {
    loop {
        match publish(store, id, next..next + BATCH) {
            Ok(()) => next += BATCH,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Full, "{error}");
                return next;
            }
        }
    }
}

/// The numbers of all messages in the queue, and their places.
fn queue(store: &SqliteStore, id: SessionId) -> Vec<(Seq, u64)> {
    let (mut all, mut after) = (Vec::new(), Seq::ZERO);
    loop {
        let page = block_on(store.queue(id, after, PageLimit::items(500))).expect("it is read");
        after = page.final_up_to;
        all.extend(page.items.iter().map(|entry| {
            let payload = &entry.message.as_ref().expect("it is not released").payload;
            (entry.seq, u64::from_be_bytes(*payload.first_chunk().expect("a number")))
        }));
        if !page.more {
            return all;
        }
    }
}

fn settle(store: &SqliteStore, author: &Author, entries: &[(Seq, u64)]) {
    for some in entries.chunks(100) {
        let ops = some.iter().map(|(seq, _)| Op::Settle(*seq)).collect();
        submit(store, author, ops).expect("what makes room works");
    }
}

fn numbers(entries: &[(Seq, u64)]) -> Vec<u64> {
    entries.iter().map(|(_, number)| *number).collect()
}

fn bytes(directory: &Path) -> u64 {
    let entries = fs::read_dir(directory).expect("it is read");
    entries.map(|entry| entry.and_then(|entry| entry.metadata()).expect("it is there").len()).sum()
}

/// Files send no events: it is looked at again and again, with an end to the patience.
fn wait_until(what: &str, mut reached: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !reached() {
        assert!(begun.elapsed() < PATIENCE, "{what}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// Answers the number that the next message would have had, of a store whose disk is full.
fn a_full_disk_drains_and_fills_again(directory: &Path) -> u64 {
    let store = open(directory);
    let (id, author) = session(&store);
    let empty = bytes(directory);
    let (mut next, mut first_round) = (0, 0);
    for round in 0..3 {
        let first = next;
        wait_until("there is room again", || publish(&store, id, next..next + BATCH).is_ok());
        next = fill(&store, id, next + BATCH);
        println!("round {round}: full with {} messages", next - first);
        let least = if round == 0 { 5_000 } else { first_round * 9 / 10 };
        assert!(next - first >= least, "round {round}: room for {} messages", next - first);
        first_round = first_round.max(next - first);
        let entries = queue(&store, id);
        assert_eq!(
            numbers(&entries),
            (first..next).collect::<Vec<_>>(),
            "all that was told, and nothing refused"
        );
        settle(&store, &author, &entries);
        assert_eq!(queue(&store, id), []);
        wait_until("the files are as small as before", || bytes(directory) <= empty + (1 << 20));
    }
    fill(&store, id, next)
}

/// Also what the reserve had left, which is what nobody can do anything about.
fn somebody_else_takes_the_last_byte(directory: &Path, theirs: &Path, next: u64) {
    let store = open(directory);
    let (id, _) = session(&store);
    assert_eq!(queue(&store, id).last().map(|(_, number)| *number), Some(next - 1));
    // Opening may have made some room.
    let next = fill(&store, id, next);
    let before = queue(&store, id);
    take_the_last_byte(theirs);
    let error = publish(&store, id, next..next + 1).expect_err("there is no room");
    assert_eq!(error.kind(), ErrorKind::Full, "{error}");
    drop(store);
    let Err(error) = SqliteStore::open(directory) else { panic!("not even its shared memory has room") };
    assert!(error.to_string().contains("opifex.db") && error.to_string().contains("no room"), "{error}");
    fs::remove_file(theirs).expect("it can be removed");
    let store = open(directory);
    assert_eq!(numbers(&queue(&store, id)), numbers(&before));
    let (_, author) = session(&store);
    settle(&store, &author, &before);
    wait_until("there is room again", || publish(&store, id, next..next + 1).is_ok());
}

fn take_the_last_byte(theirs: &Path) {
    let mut file = File::create(theirs).expect("a file without bytes has room");
    for size in [1 << 20, 4096, 1] {
        let bytes = vec![0; size];
        loop {
            match file.write_all(&bytes) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::StorageFull => break,
                Err(error) => panic!("it cannot be written: {error}"),
            }
        }
    }
}
