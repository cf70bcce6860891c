//! Rows that no damaged row points at: a page that says it has fewer, an index that leads to less.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use opifex_conformance::block_on;
use opifex_conformance::script::START;
use opifex_storage::{Author, DueItem, Op, PageLimit, Persistence, SessionId};
use rusqlite::Connection;

use crate::scene::{check, copy, filled, open, read_all, small, submit};

/// Has the page of a table or an index say that it has one row less. Answers how many there were.
pub(crate) fn lose_one(dir: &Path, name: &str) -> u16 {
    let file = dir.join("opifex.db");
    let db = Connection::open(&file).expect("it opens");
    let sql = "SELECT rootpage, (SELECT page_size FROM pragma_page_size) FROM sqlite_schema WHERE name = ?1";
    let (page, size): (u32, u32) =
        db.query_row(sql, [name], |row| Ok((row.get(0)?, row.get(1)?))).expect("it is there");
    drop(db);
    let mut database = fs::read(&file).expect("it is there");
    let at = ((page - 1) * size) as usize;
    assert!(matches!(database[at], 10 | 13), "{name} has more than one page");
    let count = u16::from_be_bytes([database[at + 3], database[at + 4]]);
    database[at + 3..at + 5].copy_from_slice(&(count - 1).to_be_bytes());
    fs::write(&file, database).expect("it is written");
    count
}

#[test]
fn an_index_that_leads_to_less_is_made_again_and_nothing_is_lost() {
    let dir = small();
    let whole = read_all(dir.path()).expect("it is read");
    for index in ["sessions_by_client", "sessions_due", "queue_due", "retained_due", "wills_due"] {
        let place = copy(dir.path());
        lose_one(place.path(), index);
        let shown = read_all(place.path()).expect("it is read");
        let line =
            format!("index {index} was damaged, and was made again from its table: nothing is lost with it");
        assert_eq!(shown.damaged, BTreeSet::from([line]));
        assert_eq!(shown.records, whole.records, "{index}");
        let again = read_all(place.path()).expect("it is read");
        assert_eq!((again.damaged, again.records), (BTreeSet::new(), whole.records.clone()), "{index}");
    }
}

#[test]
fn nobody_waits_for_entries_of_an_ended_session_that_are_lost() {
    let dir = small();
    let db = Connection::open(dir.path().join("opifex.db")).expect("it opens");
    assert_eq!(db.execute("DELETE FROM queue WHERE session = 1 AND seq = 4", []), Ok(1));
    drop(db);
    let store = open(dir.path()).expect("it opens");
    let id = SessionId(1);
    submit(&store, Author::Broker, vec![Op::EndSession(id)]);
    let ended = || {
        let due = block_on(store.due(START, None, PageLimit::items(100))).expect("it is read");
        due.items.into_iter().find(|due| due.item == DueItem::SessionEnded(id))
    };
    submit(&store, Author::Claim(ended().expect("it has ended")), vec![Op::Purge { limit: 1_000 }]);
    assert_eq!(ended(), None, "a broker would ask for ever");
}

/// One byte of its key says that it is behind all others: a walk comes by it where it was, and a search does not.
#[test]
fn an_entry_that_cannot_be_found_by_its_key_keeps_no_other_from_being_purged() {
    let dir = small();
    let id = SessionId(2);
    let file = |dir: &Path| dir.join("opifex.db");
    let seqs = |dir: &Path| -> Vec<i64> {
        let db = Connection::open(file(dir)).expect("it opens");
        let mut walk =
            db.prepare("SELECT seq FROM queue WHERE session = 2 ORDER BY seq").expect("it is whole");
        let rows = walk.query_map([], |row| row.get(0)).expect("it is read");
        rows.collect::<Result<_, _>>().expect("it is read")
    };
    assert_eq!(seqs(dir.path()), [1, 2, 3, 4, 5, 6]);
    let database = fs::read(file(dir.path())).expect("it is there");
    let place = (0..database.len() - 1)
        .filter(|at| database[*at..].starts_with(&[2, 4]))
        .find_map(|at| {
            let place = copy(dir.path());
            let mut damaged = database.clone();
            damaged[at + 1] = 100;
            fs::write(file(place.path()), damaged).expect("it is written");
            (seqs(place.path()) == [1, 2, 3, 100, 5, 6]).then_some(place)
        })
        .expect("the key is there");
    let store = open(place.path()).expect("it opens");
    submit(&store, Author::Broker, vec![Op::EndSession(id)]);
    let ended = || {
        let due = block_on(store.due(START, None, PageLimit::items(100))).expect("it is read");
        due.items.into_iter().find(|due| due.item == DueItem::SessionEnded(id))
    };
    // Few at a time: those that stay in their place are met again.
    for _ in 0..20 {
        let Some(due) = ended() else { break };
        submit(&store, Author::Claim(due), vec![Op::Purge { limit: 2 }]);
    }
    assert_eq!(ended(), None, "a broker would ask for ever");
    block_on(store.close()).expect("it closes");
    assert_eq!(seqs(place.path()), Vec::<i64>::new(), "nothing is left");
}

#[test]
fn rows_that_are_not_there_any_more_are_missed_by_their_number() {
    let dir = small();
    for table in ["sessions", "retained", "wills"] {
        let place = copy(dir.path());
        let rows = lose_one(place.path(), table);
        let named = read_all(place.path()).expect("it is read").damaged;
        let line =
            format!("table {table} is damaged: {rows} rows were counted there, and {} are found", rows - 1);
        assert!(named.contains(&line), "{named:?}");
    }
}

/// One bit of a row's header makes a text of a blob, which sorts in front of all others: a search goes astray there.
#[test]
fn a_retained_key_that_turns_into_a_text_is_named_and_a_walk_shows_the_rest() {
    let dir = small();
    let whole = read_all(dir.path()).expect("it is read");
    let database = fs::read(dir.path().join("opifex.db")).expect("it is there");
    for room in 0..5 {
        let key = format!("home\0room{room}\0lamp").into_bytes();
        let is_row = |at: usize| database[at - 6] == 6 && database[at - 5] as usize == 12 + 2 * key.len();
        let at = (6..database.len() - key.len())
            .find(|at| database[*at..].starts_with(&key) && is_row(*at))
            .expect("it is there");
        let place = copy(dir.path());
        let mut damaged = database.clone();
        damaged[at - 5] ^= 1;
        fs::write(place.path().join("opifex.db"), damaged).expect("it is written");
        let shown = read_all(place.path()).expect("the rest is read");
        let named = format!("table retained with key \"home/room{room}/lamp\" is damaged");
        assert!(shown.damaged.iter().any(|line| line.contains(&named)), "{:?}", shown.damaged);
        // What is sought by a key may be lost with it, not what is walked through.
        let walked = |records: &BTreeSet<String>| -> BTreeSet<String> {
            records.iter().filter(|record| record.starts_with("Retained(")).cloned().collect()
        };
        let lost = &walked(&whole.records) - &walked(&shown.records);
        assert_eq!(lost.len(), 1, "room {room}: {lost:?}");
    }
}

/// One bit of its key, and a walk in pages that begins in front of it takes it for one of those behind the walk, while the
/// pages that follow count it among those that were shown.
#[test]
fn an_entry_with_the_key_of_an_earlier_session_is_missed_by_its_number() {
    let dir = filled();
    let whole = read_all(dir.path()).expect("it is read");
    let database = fs::read(dir.path().join("opifex.db")).expect("it is there");
    // The number of session 1 has no byte of its own.
    for session in 2..=5 {
        // The header of a released entry, with the types of its columns, then session, number and packet id.
        let is_row = |row: &[u8]| {
            row.starts_with(&[12, 1, 1, 0, 8, 9, 8, 1, 0, 0, 0]) && row[12..].starts_with(&[session, 3, 8])
        };
        let at = database.windows(15).position(is_row).expect("it is there");
        let mut damaged = database.clone();
        damaged[at + 12] = 0;
        let place = copy(dir.path());
        fs::write(place.path().join("opifex.db"), damaged).expect("it is written");
        let shown = read_all(place.path());
        check(&shown, &whole, &format!("session {session}"));
        let lost = shown.map(|shown| whole.records.difference(&shown.records).count());
        assert!(lost.is_ok_and(|lost| lost > 0), "session {session}");
    }
}
