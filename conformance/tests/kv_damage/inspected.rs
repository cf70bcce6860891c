//! What no walk of records comes by, put into a store by hand: each wrong is named when a person asks, and once.

use opifex_storage::encoding::{BodyReferences, ClientPointer, DueRow, StoredRecord, key::DueKey, seal};
use opifex_storage::transfer::{self, Event};
use opifex_storage::{RecordVersion, Timestamp};

use super::*;

fn inspected(rows: Map) -> Vec<String> {
    let store = KvPersistence::open(Tree::of(rows)).expect("it opens");
    let found = block_on(store.inspect()).expect("it is read");
    found.iter().map(StoreError::to_string).collect()
}

/// What `opifex store check` says of the rows.
fn checked(rows: Map) -> Vec<String> {
    let store = KvPersistence::open(Tree::of(rows)).expect("it opens");
    let mut lines = Vec::new();
    let tell = |event: Event<'_>| {
        if let Event::Fault(line) = event {
            lines.push(line);
        }
    };
    let checked = block_on(transfer::check(&store, START, tell)).expect("it is read");
    assert_eq!(checked.faults, lines.len() as u64);
    lines
}

fn put<R: StoredRecord>(rows: &mut Map, key: Bytes, record: R) {
    let value = seal(&key, &record);
    rows.insert(key, value);
}

/// The number of a body, and the row that counts its references.
fn shared_body(rows: &Map) -> (u64, Bytes) {
    let key = rows.keys().find(|key| key[0] == kind::REFERENCES).expect("there is one").clone();
    (key::session_of(&key).expect("it has a number").0, key)
}

#[test]
fn a_store_that_is_whole_has_nothing_to_tell() {
    let (rows, _) = filled();
    assert_eq!(inspected(rows.clone()), [""; 0]);
    assert_eq!(checked(rows), [""; 0]);
}

#[test]
fn a_body_that_nobody_refers_to_is_named() {
    let (mut rows, _) = filled();
    put(&mut rows, key::body(99), message("q", "left behind"));
    let line = "message body 99 is there, and no queue entry refers to it";
    assert_eq!(inspected(rows.clone()), [line]);
    assert!(checked(rows).contains(&line.to_owned()));
}

#[test]
fn a_count_of_references_that_is_not_theirs_is_named() {
    let (rows, _) = filled();
    let (body, key) = shared_body(&rows);
    for counted in [2, 4] {
        let mut rows = rows.clone();
        put(&mut rows, key.clone(), BodyReferences(counted));
        let line =
            format!("message body {body} counts {counted} references, and 3 queue entries refer to it");
        assert_eq!(inspected(rows), [line]);
    }
    let mut rows = rows.clone();
    rows.remove(&key);
    let line = format!("message body {body} counts 1 references, and 3 queue entries refer to it");
    assert_eq!(inspected(rows), [line]);
}

#[test]
fn what_a_damaged_queue_entry_refers_to_is_not_claimed_to_be_known() {
    let (rows, [a, ..]) = filled();
    let (body, _) = shared_body(&rows);
    let tree = Tree::of(rows);
    tree.flip_a_bit(&key::queued(a, Seq(1)));
    let line =
        format!("message body {body} counts 3 references, and 2 queue entries that can be read refer to it");
    let lines = inspected(tree.rows());
    assert!(lines.contains(&line), "{lines:?}");
}

#[test]
fn a_body_that_is_missing_is_named_once_by_a_check() {
    let (mut rows, _) = filled();
    let (body, key) = shared_body(&rows);
    rows.remove(&key::body(body));
    let line = format!("message body {body} is missing");
    assert_eq!(inspected(rows.clone()), [line.as_str()]);
    assert_eq!(checked(rows.clone()).iter().filter(|said| **said == line).count(), 1);
    // Without an entry that needs it, what counts its references is left.
    let entries: Vec<_> = rows.keys().filter(|key| key[0] == kind::QUEUED).cloned().collect();
    for entry in entries {
        rows.remove(&entry);
    }
    let lines = inspected(rows);
    let line = format!("{} are counted, and it is not there", key::describe(&key));
    assert!(lines.contains(&line), "{lines:?}");
}

#[test]
fn a_pointer_and_a_due_item_that_lead_nowhere_are_named() {
    let (rows, [a, ..]) = filled();
    let mut pointed = rows.clone();
    put(&mut pointed, key::client("nobody"), ClientPointer(SessionId(77)));
    let line = "the pointer of client \"nobody\" leads to session 77, which is not there";
    assert_eq!(inspected(pointed), [line]);
    let mut due = rows;
    let key = key::due(Timestamp(1), &DueKey::Queued(a, Seq(50)));
    let line = format!("{} is of a record that is not there", key::describe(&key));
    put(&mut due, key, DueRow { version: RecordVersion(50) });
    assert_eq!(inspected(due), [line]);
}

#[test]
fn a_damaged_row_hides_none_of_the_others() {
    let (mut rows, _) = filled();
    put(&mut rows, key::body(99), message("q", "left behind"));
    let (_, references) = shared_body(&rows);
    for row in [references, key::client("a")] {
        let tree = Tree::of(rows.clone());
        tree.flip_a_bit(&row);
        let lines = inspected(tree.rows());
        assert!(lines.iter().any(|line| line.starts_with(&key::describe(&row))), "{lines:?}");
        assert!(lines.iter().any(|line| line.starts_with("message body 99 is there")), "{lines:?}");
    }
}
