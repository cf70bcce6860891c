//! A full disk: what grows is refused and not applied, what makes room works, nothing is lost, and the store goes on when
//! there is space again. When somebody else takes the last byte, the store closes, without a hang, and what it had told
//! is there when it is opened again.
//!
//! Not a test harness: the program is its own child, in a mount namespace in which it makes a small disk (tmpfs).

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::{env, io};

use opifex_conformance::block_on;
use opifex_conformance::script::{START, connect, message, target};
use opifex_storage::{
    Author, Batch, Durability, ErrorKind, Op, OpenSession, PageLimit, Persistence, Result, Seq, SessionId,
};
use opifex_storage_sled::{SledOptions, SledStore};
use tempfile::TempDir;

const CHILD: &str = "OPIFEX_FULL_DISK_TEST";
const BATCH: u64 = 16;

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
    let mount = Command::new("mount").args(["-t", "tmpfs", "-o", "size=40m", "none"]).arg(directory).status();
    assert!(mount.is_ok_and(|status| status.success()), "it could be mounted elsewhere");
    let store = directory.join("store");
    let told = a_full_disk_drains_and_fills_again(&store);
    somebody_else_takes_the_last_byte(&store, &directory.join("theirs"), told);
    ExitCode::SUCCESS
}

fn open(directory: &Path) -> Result<SledStore> {
    let options = SledOptions { reserve_bytes: 5 << 20, cache_bytes: 4 << 20, ..SledOptions::default() };
    SledStore::open_with(directory, options)
}

fn session(store: &SledStore) -> (SessionId, Author) {
    let open = OpenSession { durability: Durability::Process, ..connect("c") };
    let session = block_on(store.open_session(open)).expect("it opens, with a full disk, too").session;
    (session.id, Author::Session(session.id, session.epoch))
}

fn submit(store: &SledStore, author: &Author, ops: Vec<Op>) -> Result<()> {
    let batch = Batch { ops, ..Batch::new(author.clone(), Durability::Process, START) };
    block_on(async { store.submit(batch).await?.durable().await }).map(drop)
}

/// Publishes numbered messages of a kilobyte from `next` on until the store refuses; answers the first that it refused.
fn fill(store: &SledStore, id: SessionId, mut next: u64) -> (u64, ErrorKind) {
    loop {
        let op = |n: u64| Op::Enqueue {
            message: Arc::new(message("t", [&n.to_be_bytes()[..], &[b'x'; 1000]].concat())),
            targets: vec![target(id)],
        };
        match submit(store, &Author::Broker, (next..next + BATCH).map(op).collect()) {
            Ok(()) => next += BATCH,
            Err(error) => return (next, error.kind()),
        }
    }
}

/// The numbers of all messages in the queue, and their places.
fn queue(store: &SledStore, id: SessionId) -> Vec<(Seq, u64)> {
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

fn settle(store: &SledStore, author: &Author, entries: &[(Seq, u64)]) -> Result<()> {
    entries
        .chunks(100)
        .try_for_each(|some| submit(store, author, some.iter().map(|(seq, _)| Op::Settle(*seq)).collect()))
}

fn numbers(entries: &[(Seq, u64)]) -> Vec<u64> {
    entries.iter().map(|(_, number)| *number).collect()
}

/// Answers the number that the next message would have had, of a store whose disk is full.
fn a_full_disk_drains_and_fills_again(directory: &Path) -> u64 {
    let store = open(directory).expect("it opens");
    let (id, author) = session(&store);
    let mut next = 0;
    for round in 0..2 {
        let first = next;
        let kind;
        (next, kind) = fill(&store, id, first);
        assert_eq!(kind, ErrorKind::Full, "round {round}");
        assert!(next - first > 1_000, "round {round}: room for {} messages", next - first);
        println!("round {round}: full with {} messages", next - first);
        let entries = queue(&store, id);
        assert_eq!(
            numbers(&entries),
            (first..next).collect::<Vec<_>>(),
            "all that was told, and nothing refused"
        );
        settle(&store, &author, &entries).expect("what makes room works");
        assert_eq!(queue(&store, id), []);
        // Whether there is room again is looked at once a second.
        std::thread::sleep(std::time::Duration::from_millis(1100));
    }
    let (next, kind) = fill(&store, id, next);
    assert_eq!(kind, ErrorKind::Full);
    next
}

fn somebody_else_takes_the_last_byte(directory: &Path, theirs: &Path, next: u64) {
    let store = open(directory).expect("a store with a full disk opens");
    let (id, author) = session(&store);
    let before = queue(&store, id);
    assert_eq!(before.last().map(|(_, number)| *number), Some(next - 1));
    take_the_last_byte(theirs);
    let mut settled = 0;
    let error = loop {
        let Some(entries) =
            before.get(settled..(settled + 10).min(before.len())).filter(|some| !some.is_empty())
        else {
            break None;
        };
        match settle(&store, &author, entries) {
            Ok(()) => settled += entries.len(),
            Err(error) => break Some(error),
        }
    };
    println!("somebody took the last byte: {settled} of {} were settled, then {error:?}", before.len());
    drop(store);
    fs::remove_file(theirs).expect("it can be removed");
    let store = open(directory).expect("with space again it opens");
    let (id, author) = session(&store);
    let after = queue(&store, id);
    // The batch that was refused may be there or not.
    let gone = before.len() - after.len();
    assert!((settled..=settled + 10).contains(&gone), "{gone} are gone, {settled} were settled");
    assert_eq!(after, before[gone..], "what was told to be settled is, and nothing else is gone");
    settle(&store, &author, &after).expect("it drains");
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
