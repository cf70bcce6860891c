//! Logs of the engine's own making, whole and damaged.

use std::fs;
use std::path::PathBuf;

use rusqlite::Connection;

use super::*;

const TRANSACTIONS: usize = 6;

/// A database and its log, while the engine has them open: several transactions of several pages each.
struct Store {
    dir: tempfile::TempDir,
    db: Connection,
}

impl Store {
    fn new() -> Store {
        let dir = tempfile::tempdir().expect("a directory");
        let db = Connection::open(dir.path().join("opifex.db")).expect("it opens");
        db.execute_batch(
            "PRAGMA page_size = 1024; PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0; CREATE TABLE t (x BLOB)",
        )
        .expect("it is set");
        let store = Store { dir, db };
        store.fill();
        store
    }

    fn fill(&self) {
        for _ in 0..TRANSACTIONS {
            self.db.execute("INSERT INTO t VALUES (randomblob(5000))", []).expect("it is written");
        }
    }

    fn database(&self) -> PathBuf {
        self.dir.path().join("opifex.db")
    }

    fn log(&self) -> Vec<u8> {
        fs::read(self.dir.path().join("opifex.db-wal")).expect("it is there")
    }

    /// The verdict on this log beside the database as it is.
    fn check(&self, log: &[u8]) -> Result<()> {
        let place = tempfile::tempdir().expect("a directory");
        let database = place.path().join("opifex.db");
        fs::copy(self.database(), &database).expect("it is copied");
        fs::write(place.path().join("opifex.db-wal"), log).expect("it is written");
        check(&database)
    }
}

/// Where each transaction ends.
fn ends(log: &[u8]) -> Vec<usize> {
    let frame = FRAME_HEADER + 1024;
    (HEADER..log.len()).step_by(frame).filter(|at| word(log, at + 4) != 0).map(|at| at + frame).collect()
}

fn flipped(log: &[u8], byte: usize) -> Vec<u8> {
    let mut log = log.to_vec();
    log[byte] ^= 0x10;
    log
}

#[test]
fn a_whole_log_and_one_that_is_not_there_are_fine() {
    let store = Store::new();
    assert!(ends(&store.log()).len() > TRANSACTIONS && store.log().len() > 40 * 1024);
    store.check(&store.log()).expect("it is whole");
    store.check(&[]).expect("there is nothing in it");
    check(&store.dir.path().join("other.db")).expect("there is none");
}

#[test]
fn a_flipped_bit_in_front_of_other_transactions_is_found_and_placed() {
    let store = Store::new();
    let log = store.log();
    let ends = ends(&log);
    // A salt, or whether a frame ends a transaction, may be what flipped: then the next transaction is missed, too.
    let before_the_last_two = ends[ends.len() - 3];
    for byte in (HEADER..before_the_last_two).step_by(197) {
        let said = store.check(&flipped(&log, byte)).expect_err("it is damaged").to_string();
        let frame = HEADER + (byte - HEADER) / (FRAME_HEADER + 1024) * (FRAME_HEADER + 1024);
        // A frame whose stored checksum flipped is the one that is damaged.
        assert!(said.contains(&format!("damaged at byte {frame},")), "byte {byte}: {said}");
    }
}

#[test]
fn a_damaged_header_is_found() {
    let store = Store::new();
    let log = store.log();
    for byte in 4..HEADER {
        let said = store.check(&flipped(&log, byte)).expect_err("it is damaged").to_string();
        assert!(said.contains("damaged at byte 0,"), "byte {byte}: {said}");
    }
}

#[test]
fn what_a_crash_leaves_is_no_damage() {
    let store = Store::new();
    let log = store.log();
    for len in (0..log.len()).step_by(151) {
        store.check(&log[..len]).expect("it may have been written so far");
    }
    // Any part of the last transaction.
    let ends = ends(&log);
    for byte in (ends[ends.len() - 2]..log.len()).step_by(83) {
        store.check(&flipped(&log, byte)).expect("the last transaction may be there in part");
    }
}

#[test]
fn a_log_that_begins_anew_over_an_old_one_is_no_damage() {
    let store = Store::new();
    let old = store.log();
    store.db.query_row("PRAGMA wal_checkpoint(RESTART)", [], |_| Ok(())).expect("it is copied");
    // All of it is in the database: its header may be lost.
    for byte in 0..HEADER {
        store.check(&flipped(&old, byte)).expect("nothing is lost");
    }
    store.db.execute("INSERT INTO t VALUES (randomblob(3000))", []).expect("it is written");
    let new = store.log();
    assert_eq!(new.len(), old.len());
    store.check(&new).expect("what follows is of the old log");
    for byte in (HEADER..new.len()).step_by(149) {
        store.check(&flipped(&new, byte)).expect("it is the last transaction, or of the old log");
    }
}
