//! What no walk of records comes by, put into a store by hand: each wrong is named when a person asks.

use std::path::Path;

use opifex_conformance::block_on;
use opifex_conformance::script::START;
use opifex_storage::transfer::{self, Event};
use opifex_storage::{ErrorKind, Persistence};
use rusqlite::Connection;

use crate::hidden::lose_one;
use crate::scene::{copy, filled, open, small};

fn inspected(dir: &Path) -> Vec<String> {
    let store = open(dir).expect("it opens");
    let found = block_on(store.inspect()).expect("it is read");
    found.iter().map(ToString::to_string).collect()
}

/// What `opifex store check` says.
fn checked(dir: &Path) -> Vec<String> {
    let store = open(dir).expect("it opens");
    let mut lines = Vec::new();
    let tell = |event: Event<'_>| {
        if let Event::Fault(line) = event {
            lines.push(line);
        }
    };
    block_on(transfer::check(&store, START, tell)).expect("it is read");
    lines
}

fn change(dir: &Path, sql: &str) {
    let db = Connection::open(dir.join("opifex.db")).expect("it opens");
    assert_eq!(db.execute(sql, []).expect("it is changed"), 1, "{sql}");
}

#[test]
fn a_store_that_is_whole_has_nothing_to_tell() {
    for dir in [filled(), small()] {
        assert_eq!(inspected(dir.path()), [""; 0]);
        assert_eq!(checked(dir.path()), [""; 0]);
    }
}

#[test]
fn an_engine_that_fails_is_no_finding() {
    let dir = small();
    let store = open(dir.path()).expect("it opens");
    Connection::open(dir.path().join("opifex.db"))
        .expect("it opens")
        .execute_batch("DROP TABLE wills")
        .unwrap();
    let error = block_on(store.inspect()).expect_err("it cannot be looked through");
    assert_eq!(error.kind(), ErrorKind::Fatal, "{error}");
}

#[test]
fn a_body_that_no_row_names_is_named() {
    let dir = small();
    let orphan = "INSERT INTO messages SELECT 999, 1, topic, qos, expires_at, properties, payload, -1, checksum FROM \
                  messages WHERE id = 1";
    change(dir.path(), orphan);
    let line = "the row of table messages with id 999 is there, and no row names it";
    assert_eq!(inspected(dir.path()), [line]);
    assert_eq!(checked(dir.path()), [line]);
}

#[test]
fn a_count_of_references_that_is_not_theirs_is_named() {
    let dir = small();
    let db = Connection::open(dir.path().join("opifex.db")).expect("it opens");
    let sql = "SELECT id, refs FROM messages WHERE refs > 1 LIMIT 1";
    let (id, refs): (i64, i64) =
        db.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?))).expect("there is one");
    drop(db);
    for wrong in [refs - 1, refs + 1] {
        let place = copy(dir.path());
        change(
            place.path(),
            &format!("UPDATE messages SET refs = {wrong}, refs_check = -{wrong} WHERE id = {id}"),
        );
        let line = format!(
            "the row of table messages with id {id} counts {wrong} references, and {refs} rows name it"
        );
        assert_eq!(checked(place.path()), [line]);
    }
}

#[test]
fn a_body_that_is_missing_is_named_once() {
    let dir = small();
    for of in ["queue", "retained", "wills"] {
        let place = copy(dir.path());
        let sql = format!("DELETE FROM messages WHERE id = (SELECT max(message) FROM {of})");
        change(place.path(), &sql);
        let is_missing =
            |line: &&String| line.starts_with("the row of table messages") && line.ends_with("is missing");
        assert_eq!(inspected(place.path()).iter().filter(is_missing).count(), 1, "{of}");
        let lines = checked(place.path());
        assert_eq!(lines.iter().filter(is_missing).count(), 1, "{lines:?}");
    }
}

#[test]
fn what_the_engine_finds_in_its_pages_is_told() {
    let dir = small();
    lose_one(dir.path(), "inbound");
    let lines = inspected(dir.path());
    assert!(lines.iter().any(|line| line.starts_with("sqlite's integrity check: ")), "{lines:?}");
}
