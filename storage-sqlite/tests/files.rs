//! The store's files: what is refused and why, who may have them open, what a person can read.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use opifex_conformance::block_on;
use opifex_conformance::script::{connect, message, target};
use opifex_storage::{Author, Batch, Durability, Op, Persistence, Seq, StoreError, Timestamp};
use opifex_storage_sqlite::{SqliteOptions, SqliteStore};
use rusqlite::{Connection, OpenFlags};

fn refusal(dir: &Path) -> String {
    match SqliteStore::open(dir) {
        Ok(_) => panic!("{} was opened", dir.display()),
        Err(error) => error.to_string(),
    }
}

fn fill(store: &SqliteStore) {
    let opened = block_on(store.open_session(connect("kitchen"))).expect("it opens");
    let body = Arc::new(message("home/lamp", "on"));
    let batch = Batch::new(Author::Broker, Durability::Disk, Timestamp(1))
        .with(Op::Retain(Arc::clone(&body)))
        .with(Op::Enqueue { message: body, targets: vec![target(opened.session.id)] });
    block_on(async { store.submit(batch).await?.durable().await }).expect("it is stored");
}

#[test]
fn a_file_that_is_not_a_database_is_refused_and_left_alone() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("opifex.db");
    for text in ["these are my notes, do not touch them", "x"] {
        fs::write(&file, text).expect("it is written");
        let error = refusal(dir.path());
        assert!(error.contains("opifex.db") && error.contains("is not an SQLite database"), "{error}");
        assert_eq!(fs::read_to_string(&file).expect("it is there"), text);
    }
}

#[test]
fn a_database_whose_pages_are_garbage_is_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut bytes = b"SQLite format 3\0".to_vec();
    bytes.extend([0xa5; 8192]);
    fs::write(dir.path().join("opifex.db"), &bytes).expect("it is written");
    let error = refusal(dir.path());
    assert!(error.contains("opifex.db") && error.contains("damaged"), "{error}");
}

#[test]
fn the_database_of_another_program_is_refused_and_left_alone() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("opifex.db");
    let other = Connection::open(&file).expect("it opens");
    other.execute_batch("CREATE TABLE notes (text); PRAGMA application_id = 17;").expect("it is written");
    drop(other);
    let before = fs::read(&file).expect("it is there");
    let error = refusal(dir.path());
    assert!(error.contains("another program") && error.contains("0x11"), "{error}");
    assert!(fs::read(&file).expect("it is there") == before);
}

#[test]
fn the_tables_of_a_newer_program_are_refused_by_their_version() {
    let dir = tempfile::tempdir().expect("a directory");
    fill(&SqliteStore::open(dir.path()).expect("it opens"));
    let db = Connection::open(dir.path().join("opifex.db")).expect("it opens");
    db.pragma_update(None, "user_version", 99).expect("it is written");
    drop(db);
    let error = refusal(dir.path());
    assert!(error.contains("version 99") && error.contains("newer"), "{error}");
}

#[test]
fn an_empty_file_becomes_a_store() {
    let dir = tempfile::tempdir().expect("a directory");
    fs::write(dir.path().join("opifex.db"), "").expect("it is written");
    fill(&SqliteStore::open(dir.path()).expect("it opens"));
}

#[test]
fn a_second_store_in_one_directory_is_refused_and_told_who_has_it() {
    let dir = tempfile::tempdir().expect("a directory");
    let first = SqliteStore::open(dir.path()).expect("it opens");
    let error = refusal(dir.path());
    let holder = format!("process {}", std::process::id());
    for part in [dir.path().to_str().expect("plain text"), &holder, "--data-dir"] {
        assert!(error.contains(part), "{part:?} is not in {error:?}");
    }
    block_on(first.close()).expect("it closes");
    let second = SqliteStore::open(dir.path()).expect("it is free after close");
    drop(second);
    SqliteStore::open(dir.path()).expect("it is free after drop");
}

#[test]
fn a_person_reads_the_tables_while_the_store_is_open() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = SqliteStore::open(dir.path()).expect("it opens");
    fill(&store);
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY;
    let reader = Connection::open_with_flags(dir.path().join("opifex.db"), flags).expect("it opens");
    let text = |sql: &str| -> String { reader.query_row(sql, [], |row| row.get(0)).expect(sql) };
    assert_eq!(text("SELECT client_id || ' ' || topic FROM queued_messages"), "kitchen home/lamp");
    assert_eq!(text("SELECT topic || ' ' || CAST(payload AS TEXT) FROM retained_messages"), "home/lamp on");
    assert_eq!(text("SELECT count(*) || ' body, ' || refs || ' refs' FROM messages"), "1 body, 2 refs");
    let plan = text("PRAGMA integrity_check");
    assert_eq!(plan, "ok");
    assert!(reader.query_row("PRAGMA foreign_key_check", [], |_| Ok(())).is_err(), "no key is broken");
}

#[test]
fn what_was_durable_is_there_when_the_handle_was_dropped_without_closing() {
    let dir = tempfile::tempdir().expect("a directory");
    fill(&SqliteStore::open(dir.path()).expect("it opens"));
    let store = SqliteStore::open(dir.path()).expect("it opens again");
    let again = block_on(store.open_session(connect("kitchen"))).expect("it opens");
    assert!(again.present);
    assert_eq!(again.session.queued_items, 1);
}

#[test]
fn a_level_that_sqlite_does_not_have_is_refused_by_name() {
    let dir = tempfile::tempdir().expect("a directory");
    for durability in [Durability::Memory, Durability::Quorum] {
        let options = SqliteOptions { durability, ..SqliteOptions::new(dir.path()) };
        let error: Option<StoreError> = SqliteStore::open(options).err();
        let error = error.expect("it is refused").to_string();
        assert!(error.contains(&durability.to_string()) && error.contains("process and disk"), "{error}");
    }
}

#[test]
fn a_body_goes_with_the_last_row_that_names_it() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = SqliteStore::open(dir.path()).expect("it opens");
    fill(&store);
    let opened = block_on(store.open_session(connect("kitchen"))).expect("it opens");
    let author = Author::Session(opened.session.id, opened.session.epoch);
    let bodies = || -> i64 {
        let db = Connection::open(dir.path().join("opifex.db")).expect("it opens");
        db.query_row("SELECT count(*) FROM messages", [], |row| row.get(0)).expect("it counts")
    };
    let submit = |batch: Batch| {
        block_on(async { store.submit(batch).await?.durable().await }).expect("it is stored");
    };
    let topic = message("home/lamp", "").topic;
    submit(Batch::new(author.clone(), Durability::Disk, Timestamp(2)).with(Op::Unretain(topic)));
    assert_eq!(bodies(), 1);
    submit(Batch::new(author, Durability::Disk, Timestamp(2)).with(Op::Settle(Seq(1))));
    assert_eq!(bodies(), 0);
}
