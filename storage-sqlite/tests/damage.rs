//! Damaged files: what is wrong is found and named, and the rest is read. Never a panic, never a wrong answer.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use opifex_conformance::block_on;
use opifex_conformance::script::{
    START, at, connect, expiring, filter, message, packet_id, subscription, target, topic,
};
use opifex_storage::{
    Author, Batch, Durability, ErrorKind, NewWill, Op, OpenSession, OpenedSession, PageLimit, Persistence,
    RecordKind, Result, Seq, SessionExpiry, SessionId,
};
use opifex_storage_sqlite::SqliteStore;
use rusqlite::Connection;
use tempfile::TempDir;

const SESSIONS: usize = 5;

fn submit(store: &SqliteStore, author: Author, ops: Vec<Op>) {
    let batch = Batch { ops, ..Batch::new(author, Durability::Disk, START) };
    block_on(async { store.submit(batch).await?.durable().await }).expect("it is stored");
}

/// A store with some of everything, closed. Small pages, so that each table has several.
fn filled() -> TempDir {
    let dir = tempfile::tempdir().expect("a directory");
    let db = Connection::open(dir.path().join("opifex.db")).expect("it opens");
    db.execute_batch("PRAGMA page_size = 1024; PRAGMA auto_vacuum = INCREMENTAL; VACUUM").expect("it is set");
    drop(db);
    let store = SqliteStore::open(dir.path()).expect("it opens");
    let sessions: Vec<OpenedSession> = (0..SESSIONS)
        .map(|n| {
            let will = NewWill {
                message: Arc::new(message(&format!("will/{n}"), "gone")),
                retain: n % 2 == 0,
                delay_secs: 60,
                expiry_secs: Some(30),
            };
            let expiry = SessionExpiry::Secs(3600);
            let open = OpenSession { expiry, will: Some(will), ..connect(&format!("client-{n}")) };
            block_on(store.open_session(open)).expect("it opens")
        })
        .collect();
    for n in 0..12 {
        let body = Arc::new(expiring(&format!("all/{n}"), format!("for all, {n}"), at(7200)));
        let targets = sessions.iter().map(|opened| target(opened.session.id)).collect();
        submit(&store, Author::Broker, vec![Op::Enqueue { message: body, targets }]);
        let retained = Arc::new(expiring(&format!("home/room{n}/lamp"), format!("on {n}"), at(9000)));
        submit(&store, Author::Broker, vec![Op::Retain(retained)]);
    }
    for (n, opened) in sessions.iter().enumerate() {
        let one = Arc::new(message(&format!("one/{n}"), [n as u8; 300]));
        let enqueue = Op::Enqueue { message: one, targets: vec![target(opened.session.id)] };
        let own = vec![
            enqueue,
            Op::Subscribe(subscription(&format!("home/{n}/#"))),
            Op::Subscribe(subscription("all/+")),
            Op::Subscribe(subscription("zone/+/state")),
            Op::Assign { seq: Seq(2), packet_id: packet_id(7) },
            Op::Assign { seq: Seq(3), packet_id: packet_id(8) },
            Op::Release(Seq(3)),
            Op::PutInbound(packet_id(3)),
            Op::PutInbound(packet_id(70)),
            Op::PutInbound(packet_id(700)),
            Op::GoOffline,
        ];
        submit(&store, Author::Session(opened.session.id, opened.session.epoch), own);
    }
    block_on(store.close()).expect("it closes");
    dir
}

/// What a store shows: its records as text, and what it calls damaged.
#[derive(Debug, Default)]
struct Shown {
    records: BTreeSet<String>,
    damaged: BTreeSet<String>,
}

fn read_all(dir: &Path) -> Result<Shown> {
    let store = SqliteStore::open(dir)?;
    block_on(async {
        let mut shown = Shown::default();
        use RecordKind::*;
        for kind in [Session, Subscription, Queued, Inbound, Retained, Will] {
            let mut cursor = None;
            loop {
                let page = store.scan(kind, cursor, PageLimit::items(7)).await?;
                shown.records.extend(page.items.iter().map(|record| format!("{record:?}")));
                shown.damaged.extend(page.damaged.iter().map(ToString::to_string));
                cursor = page.next;
                if cursor.is_none() {
                    break;
                }
            }
        }
        for id in 1..=SESSIONS as u64 {
            let mut after = Seq::ZERO;
            loop {
                let page = store.queue(SessionId(id), after, PageLimit::items(5)).await?;
                shown.records.extend(page.items.iter().map(|entry| format!("session {id}: {entry:?}")));
                shown.damaged.extend(page.damaged.iter().map(ToString::to_string));
                if !page.more {
                    break;
                }
                assert!(page.final_up_to > after, "a walk goes on");
                after = page.final_up_to;
            }
        }
        let mut cursor = None;
        loop {
            let filters = [filter("home/+/lamp"), filter("#")];
            let page = store.retained(&filters, cursor, PageLimit::items(5)).await?;
            shown.records.extend(page.items.iter().map(|item| format!("matches: {item:?}")));
            shown.damaged.extend(page.damaged.iter().map(ToString::to_string));
            cursor = page.next;
            if cursor.is_none() {
                break;
            }
        }
        let page = store.due(at(100_000), PageLimit::items(1000)).await?;
        shown.records.extend(page.items.iter().map(|due| format!("due: {due:?}")));
        shown.damaged.extend(page.damaged.iter().map(ToString::to_string));
        Ok(shown)
    })
}

/// Nothing is shown that was not stored; what is missing is accounted for.
fn check(shown: &Result<Shown>, whole: &Shown, what: &str) {
    let Ok(shown) = shown else { return };
    let wrong: Vec<_> = shown.records.difference(&whole.records).collect();
    assert!(wrong.is_empty(), "{what}: shown and never stored: {wrong:?}");
    let lost: Vec<_> = whole.records.difference(&shown.records).collect();
    // An index of deadlines has no checksums: what it does not lead to is not due, and is there all the same.
    let lost: Vec<_> = lost.iter().filter(|record| !record.starts_with("due: ")).collect();
    assert!(lost.is_empty() || !shown.damaged.is_empty(), "{what}: missing without a word: {lost:?}");
}

fn copy(from: &Path) -> TempDir {
    let to = tempfile::tempdir().expect("a directory");
    for file in fs::read_dir(from).expect("it is there") {
        let file = file.expect("it is there");
        fs::copy(file.path(), to.path().join(file.file_name())).expect("it is copied");
    }
    to
}

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
    let store = SqliteStore::open(dir.path()).expect("it opens");
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
    let store = SqliteStore::open(dir.path()).expect("it opens");
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
    let store = SqliteStore::open(dir.path()).expect("it opens");
    let opened = block_on(store.open_session(connect("client-0"))).expect("it opens");
    assert_eq!((opened.subscriptions.len(), opened.inbound.len()), (2, 2));
    let lines: Vec<_> = opened.damaged.iter().map(ToString::to_string).collect();
    assert!(lines[0].contains("table subscriptions with session 1, filter \"all/+\""), "{lines:?}");
    assert!(lines[1].contains("table inbound with session 1, packet_id 70"), "{lines:?}");
}

/// Bits of the file itself: rows, but also page headers, cell pointers, indices, the schema.
#[test]
fn a_flipped_bit_anywhere_in_the_file_is_never_a_wrong_answer() {
    let dir = filled();
    let whole = read_all(dir.path()).expect("it is read");
    let database = fs::read(dir.path().join("opifex.db")).expect("it is there");
    let (mut errors, mut losses, mut silent) = (0, 0, 0);
    // Far apart, and odd, so that all places in a page come about.
    for bit in (0..database.len() * 8).step_by(1511) {
        let place = copy(dir.path());
        let mut damaged = database.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        fs::write(place.path().join("opifex.db"), damaged).expect("it is written");
        let shown = read_all(place.path());
        check(&shown, &whole, &format!("bit {bit}"));
        match shown {
            Err(error) => {
                assert!(!error.to_string().is_empty());
                errors += 1;
            }
            Ok(shown) if !shown.damaged.is_empty() => losses += 1,
            Ok(_) => silent += 1,
        }
    }
    println!("{errors} errors, {losses} with damage named, {silent} where nothing was stored");
    assert!(errors > 0 && losses > 0, "the bits met something");
}

#[test]
fn truncated_files_are_refused_or_named() {
    let dir = filled();
    let whole = read_all(dir.path()).expect("it is read");
    let database = fs::read(dir.path().join("opifex.db")).expect("it is there");
    for length in [1, 16, 50, 99, 512, 1023, 1024, 5000, database.len() / 2, database.len() - 1024] {
        let place = copy(dir.path());
        fs::write(place.path().join("opifex.db"), &database[..length]).expect("it is written");
        let shown = read_all(place.path());
        check(&shown, &whole, &format!("{length} bytes"));
        match shown {
            Err(error) => println!("{length}: {error}"),
            Ok(shown) => assert!(!shown.damaged.is_empty(), "{length} bytes are not all"),
        }
    }
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

#[test]
fn zeroed_pages_are_errors_or_named() {
    let dir = filled();
    let whole = read_all(dir.path()).expect("it is read");
    let database = fs::read(dir.path().join("opifex.db")).expect("it is there");
    for page in 1..database.len() / 1024 {
        let place = copy(dir.path());
        let mut damaged = database.clone();
        damaged[page * 1024..(page + 1) * 1024].fill(0);
        fs::write(place.path().join("opifex.db"), damaged).expect("it is written");
        check(&read_all(place.path()), &whole, &format!("page {page}"));
    }
}

/// What a crash leaves: the files of a store that is open.
fn crashed() -> (TempDir, Shown) {
    let dir = filled();
    let whole = read_all(dir.path()).expect("it is read");
    let store = SqliteStore::open(dir.path()).expect("it opens");
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
