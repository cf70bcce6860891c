//! Commits that were durable and are missing: a log that somebody removed or cut, an older database put in its place.
//! The engine takes all of these for a whole store; the mark beside it does not.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use opifex_conformance::block_on;
use opifex_conformance::script::{START, connect, message};
use opifex_storage::transfer::{self, Event};
use opifex_storage::{
    Author, Batch, CommitMark, Durability, Op, OpenSession, PageLimit, Persistence, RecordKind, Timestamp,
};
use opifex_storage_sqlite::{SqliteOptions, SqliteStore};
use tempfile::TempDir;

fn retain(store: &SqliteStore, n: usize, durability: Durability) {
    let op = Op::Retain(Arc::new(message(&format!("home/{n}"), "on")));
    let batch = Batch::new(Author::Broker, durability, START).with(op);
    block_on(async { store.submit(batch).await?.durable().await }).expect("it is stored");
}

fn copy(from: &Path, without: &str) -> TempDir {
    let to = tempfile::tempdir().expect("a directory");
    for file in fs::read_dir(from).expect("it is there").flatten() {
        if file.file_name() != without {
            fs::copy(file.path(), to.path().join(file.file_name())).expect("it is copied");
        }
    }
    to
}

/// What a crash leaves of a store with ten commits, each with a retained message. None was copied into the database.
fn crashed() -> TempDir {
    let place = tempfile::tempdir().expect("a directory");
    let store = SqliteStore::open(place.path()).expect("it opens");
    (0..10).for_each(|n| retain(&store, n, Durability::Disk));
    // Of the reserve nothing is read.
    copy(place.path(), "opifex.reserve")
}

/// What the first page of a walk calls damaged, and how many messages are there.
fn shown(store: &SqliteStore) -> (Vec<String>, usize) {
    let limit = PageLimit::items(100);
    let page = block_on(store.scan(RecordKind::Session, None, limit)).expect("it is read");
    let damaged = page.damaged.iter().map(ToString::to_string).collect();
    let retained = block_on(store.scan(RecordKind::Retained, None, limit)).expect("it is read");
    (damaged, retained.items.len())
}

fn reopened(place: &TempDir) -> SqliteStore {
    SqliteStore::open(place.path()).expect("it opens")
}

#[test]
fn what_a_crash_leaves_is_whole() {
    assert_eq!(shown(&reopened(&crashed())), (vec![], 10));
}

#[test]
fn a_log_that_was_removed_is_said_with_how_much_it_held() {
    let place = crashed();
    fs::remove_file(place.path().join("opifex.db-wal")).expect("it is there");
    let store = reopened(&place);
    let (damaged, left) = shown(&store);
    assert_eq!((damaged.len(), left), (1, 0));
    assert!(damaged[0].contains("the last 10 commits that were durable are missing"), "{damaged:?}");
    let mut faults = Vec::new();
    let checked = block_on(transfer::check(&store, Timestamp(0), |event| {
        if let Event::Fault(fault) = event {
            faults.push(fault);
        }
    }));
    assert_eq!(checked.expect("it is read").faults, 1);
    assert_eq!(faults, damaged);
}

#[test]
fn a_log_that_was_cut_anywhere_is_said() {
    let place = crashed();
    let log = fs::read(place.path().join("opifex.db-wal")).expect("it is there");
    let frame = 24 + 4096;
    for length in (32..log.len()).step_by(frame / 2) {
        let cut = copy(place.path(), "");
        fs::write(cut.path().join("opifex.db-wal"), &log[..length]).expect("it is written");
        let (damaged, left) = shown(&reopened(&cut));
        assert_eq!(damaged.len(), 1, "{length} of {} bytes", log.len());
        let missing = format!("the last {} commits", 10 - left);
        assert!(damaged[0].contains(&missing), "{length} of {} bytes, {left} left: {damaged:?}", log.len());
    }
}

#[test]
fn an_older_database_in_the_place_of_a_newer_one_is_said() {
    let place = tempfile::tempdir().expect("a directory");
    let file = place.path().join("opifex.db");
    let store = SqliteStore::open(place.path()).expect("it opens");
    (0..3).for_each(|n| retain(&store, n, Durability::Disk));
    block_on(store.close()).expect("it closes");
    let backup = fs::read(&file).expect("it is there");
    let store = reopened(&place);
    assert_eq!(shown(&store).0, [""; 0]);
    (3..5).for_each(|n| retain(&store, n, Durability::Disk));
    block_on(store.close()).expect("it closes");
    fs::write(&file, backup).expect("it is written");
    let (damaged, left) = shown(&reopened(&place));
    assert_eq!((damaged.len(), left), (1, 3));
    assert!(damaged[0].contains("the last 2 commits"), "{damaged:?}");
}

#[test]
fn a_loss_is_said_until_something_is_written_and_commits_count_on_behind_it() {
    let place = crashed();
    fs::remove_file(place.path().join("opifex.db-wal")).expect("it is there");
    let store = reopened(&place);
    block_on(store.close()).expect("it closes");
    let store = reopened(&place);
    assert_eq!(shown(&store).0.len(), 1, "who only looked has not taken note for everybody");
    retain(&store, 0, Durability::Disk);
    block_on(store.close()).expect("it closes");
    assert_eq!(shown(&reopened(&place)), (vec![], 1));
    let mark = fs::read_to_string(place.path().join(CommitMark::FILE)).expect("it is there");
    assert!(mark.starts_with("00000000000000000011 "), "{mark}");
}

#[test]
fn a_store_without_its_mark_or_with_a_damaged_one_claims_nothing() {
    let place = crashed();
    let moved = copy(place.path(), CommitMark::FILE);
    assert_eq!(shown(&reopened(&moved)), (vec![], 10));
    let file = place.path().join(CommitMark::FILE);
    let mut mark = fs::read(&file).expect("it is there");
    mark[3] = b'9';
    fs::write(&file, mark).expect("it is written");
    assert_eq!(shown(&reopened(&place)), (vec![], 10));
}

/// A power loss may take them, and that is no damage.
#[test]
fn commits_that_are_not_synced_are_not_marked_in_a_store_that_syncs() {
    let place = tempfile::tempdir().expect("a directory");
    let mark = place.path().join(CommitMark::FILE);
    let store = SqliteStore::open(place.path()).expect("it opens");
    retain(&store, 0, Durability::Disk);
    let before = fs::read(&mark).expect("it is there");
    retain(&store, 1, Durability::Process);
    assert_eq!(fs::read(&mark).expect("it is there"), before);
    retain(&store, 2, Durability::Disk);
    assert!(fs::read_to_string(&mark).expect("it is there").starts_with("00000000000000000003 "));
    drop(store);
    let process = SqliteOptions { durability: Durability::Process, ..SqliteOptions::new(place.path()) };
    retain(&SqliteStore::open(process).expect("it opens"), 3, Durability::Process);
    assert!(fs::read_to_string(&mark).expect("it is there").starts_with("00000000000000000004 "));
}

#[test]
fn what_changes_nothing_has_no_commit_number() {
    let place = tempfile::tempdir().expect("a directory");
    let mark = || fs::read_to_string(place.path().join(CommitMark::FILE)).expect("it is there");
    let store = SqliteStore::open(place.path()).expect("it opens");
    let open = OpenSession { durability: Durability::Disk, ..connect("c") };
    block_on(store.open_session(open)).expect("it opens");
    let before = mark();
    let batch = Batch::new(Author::Broker, Durability::Disk, START);
    let absent = batch.with(Op::Unretain(opifex_conformance::script::topic("absent")));
    block_on(async { store.submit(absent).await?.durable().await }).expect("it is done");
    assert_eq!(mark(), before);
}
