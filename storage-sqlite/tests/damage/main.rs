//! Damaged files: what is wrong is found and named, and the rest is read. Never a panic, never a wrong answer.

mod every_bit;
mod hidden;
mod inspected;
mod pages;
mod scene;

use std::collections::BTreeSet;
use std::fs;

use opifex_conformance::block_on;
use opifex_conformance::script::{connect, topic};
use opifex_storage::{Author, ErrorKind, Op, PageLimit, Persistence, Seq};
use rusqlite::Connection;
use tempfile::TempDir;

use crate::scene::{Shown, check, copy, filled, open, read_all, submit};

#[test]
fn a_store_that_is_whole_shows_no_damage() {
    let dir = filled();
    let shown = read_all(dir.path()).expect("it is read");
    assert_eq!(shown.damaged, BTreeSet::new());
    assert!(shown.records.len() > 150, "{}", shown.records.len());
}

/// Each column of a row of each table: one bit of a number, one letter of a text.
#[test]
fn a_changed_bit_in_any_column_is_found_and_named_and_the_rest_is_read() {
    let dir = filled();
    let whole = read_all(dir.path()).expect("it is read");
    let schema = Connection::open(dir.path().join("opifex.db")).expect("it opens");
    let columns: Vec<(String, String)> = schema
        .prepare(
            "SELECT t.name, c.name FROM sqlite_schema t, pragma_table_info(t.name) c \
             WHERE t.type = 'table' AND t.name <> 'counters' ORDER BY 1, c.cid",
        )
        .and_then(|mut sql| sql.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect())
        .expect("it is read");
    drop(schema);
    assert!(columns.len() > 40, "{columns:?}");
    for (table, column) in columns {
        let place = copy(dir.path());
        let db = Connection::open(place.path().join("opifex.db")).expect("it opens");
        let key = match table.as_str() {
            "queue" => "(session, seq) = (2, 4)",
            "subscriptions" => "(session, filter) = (2, 'all/+')",
            "inbound" => "(session, packet_id) = (2, 70)",
            "retained" => "key = (SELECT key FROM retained ORDER BY key LIMIT 1 OFFSET 3)",
            "messages" => "topic = 'all/3'",
            "wills" => "session = 2",
            _ => "id = 2",
        };
        let flipped = format!(
            "CASE typeof({column}) WHEN 'integer' THEN ({column} | 4096) - ({column} & 4096) \
             WHEN 'null' THEN 1 WHEN 'text' THEN 'x' || substr({column}, 2) \
             ELSE CAST('x' || ifnull(substr({column}, 2), '') AS BLOB) END"
        );
        db.pragma_update(None, "foreign_keys", false).expect("it is set");
        let changed = db
            .execute(&format!("UPDATE {table} SET {column} = {flipped} WHERE {key}"), [])
            .expect("it is changed");
        assert_eq!(changed, 1, "{table}.{column}");
        drop(db);
        let shown = read_all(place.path()).expect("the rest is read");
        check(&Ok(Shown { records: shown.records.clone(), damaged: shown.damaged.clone() }), &whole, &column);
        let named = shown.damaged.iter().any(|line| line.contains(&format!("table {table} ")));
        assert!(named, "{table}.{column} is not named in {:?}", shown.damaged);
        let lost = whole.records.difference(&shown.records).count();
        // A body is named by an entry of each session, a queue's rest by its session's row.
        assert!(lost < 40, "{table}.{column}: {lost} of {} are lost", whole.records.len());
    }
}

#[test]
fn a_damaged_counter_gives_no_number() {
    let dir = filled();
    let db = Connection::open(dir.path().join("opifex.db")).expect("it opens");
    db.execute("UPDATE counters SET value = value - 1", []).expect("it is changed");
    drop(db);
    let store = open(dir.path()).expect("it opens");
    let error = block_on(store.open_session(connect("new"))).expect_err("an epoch would come again");
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(error.to_string().contains("table counters with name \"epoch\""), "{error}");
}

#[test]
fn damaged_records_can_be_removed_and_count_no_more() {
    let dir = filled();
    let db = Connection::open(dir.path().join("opifex.db")).expect("it opens");
    db.execute_batch(
        "UPDATE queue SET message = message + 1, size = 1000000 WHERE (session, seq) = (1, 1);
         UPDATE retained SET message = message + 1 WHERE version = 1;",
    )
    .expect("it is changed");
    let bodies = || -> i64 {
        let db = Connection::open(dir.path().join("opifex.db")).expect("it opens");
        db.query_row("SELECT count(*) FROM messages", [], |row| row.get(0)).expect("it counts")
    };
    drop(db);
    let store = open(dir.path()).expect("it opens");
    // This takes the will of the last connection with it.
    let opened = block_on(store.open_session(connect("client-0"))).expect("it opens");
    let before = bodies();
    let author = Author::Session(opened.session.id, opened.session.epoch);
    submit(&store, author, vec![Op::Settle(Seq(1)), Op::Unretain(topic("home/room0/lamp"))]);
    let after = block_on(store.open_session(connect("client-0"))).expect("it opens").session;
    assert_eq!(after.queued_items, opened.session.queued_items - 1);
    assert!(after.queued_bytes < opened.session.queued_bytes, "{after:?}");
    assert_eq!(bodies(), before, "what they named is not taken at their word");
    let page = block_on(store.queue(after.id, Seq::ZERO, PageLimit::items(100))).expect("it is read");
    assert_eq!(page.damaged, []);
}

#[test]
fn an_open_names_the_subscriptions_and_ids_that_it_leaves_out() {
    let dir = filled();
    let db = Connection::open(dir.path().join("opifex.db")).expect("it opens");
    db.execute_batch(
        "UPDATE subscriptions SET options = options + 1 WHERE (session, filter) = (1, 'all/+');
         UPDATE inbound SET checksum = checksum + 1 WHERE (session, packet_id) = (1, 70);",
    )
    .expect("it is changed");
    drop(db);
    let store = open(dir.path()).expect("it opens");
    let opened = block_on(store.open_session(connect("client-0"))).expect("it opens");
    assert_eq!((opened.subscriptions.len(), opened.inbound.len()), (2, 2));
    let lines: Vec<_> = opened.damaged.iter().map(ToString::to_string).collect();
    assert!(lines[0].contains("table subscriptions with session 1, filter \"all/+\""), "{lines:?}");
    assert!(lines[1].contains("table inbound with session 1, packet_id 70"), "{lines:?}");
}

#[test]
fn a_zeroed_header_is_refused() {
    let dir = filled();
    let file = dir.path().join("opifex.db");
    let mut database = fs::read(&file).expect("it is there");
    database[..100].fill(0);
    fs::write(&file, database).expect("it is written");
    let error = read_all(dir.path()).expect_err("it is refused").to_string();
    assert!(error.contains("opifex.db") && error.contains("not an SQLite database"), "{error}");
}

/// What a crash leaves: the files of a store that is open.
fn crashed() -> (TempDir, Shown) {
    let dir = filled();
    let whole = read_all(dir.path()).expect("it is read");
    let store = open(dir.path()).expect("it opens");
    submit(&store, Author::Broker, vec![Op::Unretain(topic("home/room0/lamp"))]);
    (copy(dir.path()), whole)
}

#[test]
fn a_log_that_is_there_after_a_crash_is_read() {
    let (dir, whole) = crashed();
    let shown = read_all(dir.path()).expect("it is read");
    assert_eq!(shown.damaged, BTreeSet::new());
    let lost: Vec<_> = whole.records.difference(&shown.records).collect();
    assert!(lost.iter().all(|record| record.contains("home/room0/lamp")), "{lost:?}");
}
