//! A store of the first version is brought up to date with everything in it, and one that is not ours is not touched.

use opifex_conformance::block_on;
use opifex_conformance::script::connect;
use opifex_storage::{PageLimit, Persistence, Record, RecordKind, Seq, SessionId, Timestamp};
use opifex_storage_sqlite::SqliteStore;
use rusqlite::Connection;
use tempfile::TempDir;

/// What a program of version 1 has written: two sessions, a body that both have queued, one of them in flight, a
/// retained message, a will, an inbound id.
fn version_1() -> TempDir {
    let dir = tempfile::tempdir().expect("a directory");
    let db = Connection::open(dir.path().join("opifex.db")).expect("it opens");
    db.execute_batch("PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL").expect("it is set up");
    db.execute_batch(include_str!("version_1.sql")).expect("the tables are made");
    db.execute_batch(
        "PRAGMA application_id = 1332766328; PRAGMA user_version = 1;
         UPDATE counters SET value = 7;
         INSERT INTO sessions VALUES (1, 'kitchen', 5, NULL, 1000, NULL, NULL, 4, 2, 30, 1, 15);
         INSERT INTO sessions VALUES (2, 'hall', 7, 60, NULL, NULL, NULL, 2, 1, 15, 1, 15);
         INSERT INTO messages VALUES (1, 3, 'home/lamp', 1, NULL, x'', CAST('on' AS BLOB));
         INSERT INTO messages VALUES (2, 1, 'home/door', 0, 90000, x'', CAST('open' AS BLOB));
         INSERT INTO messages VALUES (3, 1, 'home/gone', 2, NULL, x'', CAST('gone' AS BLOB));
         INSERT INTO subscriptions VALUES (1, 'home/#', 1, 5), (1, 'zone/+', 2, NULL);
         INSERT INTO queue VALUES (1, 2, 1, 15, 1, 0, 9, NULL, '5,6', NULL);
         INSERT INTO queue VALUES (1, 3, 1, 15, 1, 1, NULL, 80000, NULL, '$share/g/home/#');
         INSERT INTO queue VALUES (2, 1, 1, 15, 2, 0, NULL, NULL, NULL, NULL);
         INSERT INTO inbound VALUES (2, 700);
         INSERT INTO retained VALUES (x'686f6d6500646f6f72', 2, 6, 90000);
         INSERT INTO wills VALUES (2, 7, 3, 1, 30, NULL, NULL);",
    )
    .expect("it is filled");
    dir
}

fn scan(store: &SqliteStore, kind: RecordKind) -> Vec<Record> {
    let page = block_on(store.scan(kind, None, PageLimit::items(100))).expect("it is read");
    assert_eq!(page.damaged, [], "{kind:?}");
    page.items
}

#[test]
fn a_store_of_version_1_is_brought_up_to_date_with_all_that_it_holds() {
    let dir = version_1();
    let store = SqliteStore::open(dir.path()).expect("it opens");
    use RecordKind::*;
    let counts =
        [Session, Subscription, Queued, Inbound, Retained, Will].map(|kind| scan(&store, kind).len());
    assert_eq!(counts, [2, 2, 3, 1, 1, 1]);
    let page = block_on(store.queue(SessionId(1), Seq::ZERO, PageLimit::items(10))).expect("it is read");
    assert_eq!(page.damaged, []);
    let entry = &page.items[0];
    assert_eq!((entry.seq, &entry.subscription_ids[..]), (Seq(2), &[5, 6][..]));
    let due = block_on(store.due(Timestamp(85_000), None, PageLimit::items(10))).expect("it is read");
    assert_eq!((due.items.len(), due.damaged.len()), (1, 0), "the entry that expires");
    let opened = block_on(store.open_session(connect("kitchen"))).expect("it opens");
    assert!(opened.present);
    assert_eq!((opened.session.epoch.0, opened.subscriptions.len(), opened.damaged.len()), (8, 2, 0));
    block_on(store.close()).expect("it closes");
    let again = SqliteStore::open(dir.path()).expect("it opens again");
    assert_eq!(scan(&again, RecordKind::Queued).len(), 3);
}

#[test]
fn an_upgraded_store_has_the_tables_of_a_new_one() {
    let tables = |dir: &TempDir| -> Vec<(String, String, String, i64)> {
        drop(SqliteStore::open(dir.path()).expect("it opens"));
        let db = Connection::open(dir.path().join("opifex.db")).expect("it opens");
        let mut sql = db
            .prepare(
                "SELECT t.type, t.name, ifnull(c.name, ''), ifnull(c.pk, 0) FROM sqlite_schema t \
                 LEFT JOIN pragma_table_info(t.name) c ORDER BY 1, 2, 3",
            )
            .expect("it is asked");
        let rows = sql.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)));
        rows.and_then(Iterator::collect).expect("it is read")
    };
    let new = tempfile::tempdir().expect("a directory");
    assert_eq!(tables(&version_1()), tables(&new));
}
