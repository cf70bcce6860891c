//! What is sled's own: its directory, its lock, what is not a store, and large values.

use std::path::Path;
use std::sync::Arc;

use opifex_conformance::block_on;
use opifex_conformance::script::{START, filter, message, message_of};
use opifex_storage::encoding::key;
use opifex_storage::{
    Author, Batch, Durability, ErrorKind, Op, PageLimit, Persistence, RecordKind, Result, StoreError,
};
use opifex_storage_sled::{SledOptions, SledStore};
use tempfile::TempDir;

fn open(directory: &Path) -> Result<SledStore> {
    SledStore::open_with(directory, SledOptions { reserve_bytes: 0, ..SledOptions::default() })
}

fn retain(store: &SledStore, message: opifex_storage::Message) {
    let batch = Batch::new(Author::Broker, Durability::Process, START).with(Op::Retain(Arc::new(message)));
    block_on(async { store.submit(batch).await?.durable().await }).expect("it is stored");
}

fn refusal(opened: Result<SledStore>) -> (ErrorKind, String) {
    let error = opened.err().expect("it is refused");
    (error.kind(), error.to_string())
}

#[test]
fn a_directory_is_open_once() {
    let directory = TempDir::new().unwrap();
    let first = open(directory.path()).unwrap();
    let (kind, text) = refusal(open(directory.path()));
    assert_eq!(kind, ErrorKind::Retry, "{text}");
    assert!(text.contains(&directory.path().display().to_string()), "{text}");
    assert!(text.contains(&format!("process {}", std::process::id())), "{text}");
    drop(first);
    open(directory.path()).unwrap();
}

#[test]
fn a_store_that_is_let_go_a_moment_later_is_waited_for() {
    let directory = TempDir::new().unwrap();
    let first = open(directory.path()).unwrap();
    block_on(first.close()).unwrap();
    let last_user = std::thread::spawn(move || {
        // So that the other one has begun to wait.
        std::thread::sleep(std::time::Duration::from_millis(100));
        drop(first);
    });
    open(directory.path()).unwrap();
    last_user.join().unwrap();
}

#[test]
fn a_directory_with_somebodys_files_is_refused_and_left_alone() {
    let directory = TempDir::new().unwrap();
    std::fs::write(directory.path().join("notes.txt"), "a person's notes").unwrap();
    let (kind, text) = refusal(open(directory.path()));
    assert_eq!(kind, ErrorKind::Unsupported);
    assert!(text.contains("notes.txt") && text.contains(&directory.path().display().to_string()), "{text}");
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1, "nothing was put beside them");
}

#[test]
fn a_directory_whose_making_was_cut_short_is_a_new_store() {
    let directory = TempDir::new().unwrap();
    drop(open(directory.path()).unwrap());
    let configuration = directory.path().join("conf");
    let bytes = std::fs::read(&configuration).unwrap();
    for len in 0..bytes.len() {
        std::fs::write(&configuration, &bytes[..len]).unwrap();
        std::fs::remove_file(directory.path().join("db")).unwrap();
        drop(open(directory.path()).unwrap_or_else(|error| panic!("{len} bytes: {error}")));
    }
}

#[test]
fn another_programs_database_is_refused_and_left_alone() {
    let directory = TempDir::new().unwrap();
    let theirs = || sled::open(directory.path()).unwrap();
    theirs().insert("theirs", "value").unwrap();
    assert_eq!(refusal(open(directory.path())).0, ErrorKind::Unsupported);
    let db = theirs();
    assert_eq!((db.len(), db.get("theirs").unwrap().as_deref()), (1, Some(&b"value"[..])));
}

#[test]
fn a_database_with_trees_of_another_program_is_refused() {
    let directory = TempDir::new().unwrap();
    sled::open(directory.path()).unwrap().open_tree("theirs").unwrap().insert("k", "v").unwrap();
    let (kind, text) = refusal(open(directory.path()));
    assert_eq!(kind, ErrorKind::Unsupported, "{text}");
}

#[test]
fn a_file_in_the_directorys_place_is_refused() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("file");
    std::fs::write(&path, "a person's notes").unwrap();
    let (_, text) = refusal(open(&path));
    assert!(text.contains(&path.display().to_string()), "{text}");
    assert_eq!(std::fs::read(&path).unwrap(), b"a person's notes");
}

#[test]
fn a_store_that_was_dropped_without_closing_has_what_was_durable() {
    let directory = TempDir::new().unwrap();
    let store = open(directory.path()).unwrap();
    retain(&store, message("small", "x"));
    retain(&store, message_of(1 << 20));
    drop(store);
    let store = open(directory.path()).unwrap();
    let page =
        block_on(store.retained(&[filter("#")], None, PageLimit { items: 10, bytes: usize::MAX })).unwrap();
    let sizes: Vec<_> = page.items.iter().map(|item| item.message.size_bytes()).collect();
    assert_eq!(sizes, [1 << 20, 6]);
}

#[test]
fn power_loss_is_not_claimed() {
    let directory = TempDir::new().unwrap();
    let store = open(directory.path()).unwrap();
    assert_eq!(store.capabilities().max_durability, Durability::Process);
    let batch = Batch::new(Author::Broker, Durability::Disk, START);
    assert_eq!(block_on(store.submit(batch)).unwrap_err().kind(), ErrorKind::Unsupported);
}

/// What is said of a store when it is opened.
fn told(directory: &Path) -> Vec<String> {
    let store = open(directory).expect("it opens");
    let page = block_on(store.scan(RecordKind::Session, None, PageLimit::items(1))).expect("it is read");
    page.damaged.iter().map(StoreError::to_string).collect()
}

#[test]
fn a_last_write_that_is_missing_but_for_its_number_is_told() {
    let directory = TempDir::new().unwrap();
    let rows = || -> sled::Db { sled::Config::new().path(directory.path()).open().unwrap() };
    let retained = || key::all(key::kind::RETAINED);
    let store = open(directory.path()).unwrap();
    retain(&store, message("kept", "x"));
    drop(store);
    let counters = rows().get(key::counters()).unwrap().unwrap();
    let store = open(directory.path()).unwrap();
    retain(&store, message("lost", "x"));
    drop(store);
    assert_eq!(told(directory.path()), [""; 0]);
    // All that counts is as it was before.
    let db = rows();
    let (lost, _) = db.range(retained().0..retained().1).next_back().unwrap().unwrap();
    db.remove(lost).unwrap();
    db.insert(key::counters(), counters).unwrap();
    drop(db);
    let line = "the store's counters are not those of the last write: what was written with them may be missing, too";
    assert_eq!(told(directory.path()), [line]);
}

#[test]
fn half_a_snapshot_is_passed_over() {
    let directory = TempDir::new().unwrap();
    // Twice, so that there is a whole one.
    for number in ["1", "2"] {
        let store = open(directory.path()).unwrap();
        retain(&store, message(&format!("t/{number}"), number));
    }
    for half in ["snap.0000000000000000.generating", "snap.FFFFFFFFFFFFFFFF.generating"] {
        std::fs::write(directory.path().join(half), b"half").unwrap();
    }
    let store = open(directory.path()).unwrap();
    let filters = [filter("t/#")];
    let page = block_on(store.retained(&filters, None, PageLimit::items(10))).unwrap();
    assert_eq!(page.items.len(), 2);
}
