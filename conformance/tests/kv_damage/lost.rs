//! Rows that an engine has lost, or gives back as they were before: nothing in them is damaged, the counts tell.

use opifex_storage::encoding::{
    Counters, FieldReader, FieldWriter, Malformed, StoredRecord, Tally, seal, unseal,
};

use super::*;

/// What is said of a store when it is opened.
fn told(rows: Map) -> Vec<String> {
    told_by(&KvPersistence::open(Tree::of(rows)).expect("it opens"))
}

fn told_by(store: &Store) -> Vec<String> {
    let page = block_on(store.scan(RecordKind::Session, None, PageLimit::items(1))).expect("it is read");
    page.damaged.iter().map(StoreError::to_string).collect()
}

fn tells(lines: &[String], of: &str) -> bool {
    lines.iter().any(|line| line.contains(of))
}

#[test]
fn every_row_that_is_gone_is_missed_once_the_store_is_opened() {
    let (rows, _) = filled();
    assert_eq!(told(rows.clone()), [""; 0]);
    for gone in rows.keys() {
        let mut rows = rows.clone();
        rows.remove(gone);
        let lines = told(rows);
        let (name, kind) = (key::describe(gone), key::plural(gone[0]));
        match gone[0] {
            kind::META => assert!(tells(&lines, "the store's counters is missing"), "{lines:?}"),
            _ => assert!(tells(&lines, &format!("{kind} are lost")), "{name}: {lines:?}"),
        }
        if [kind::QUEUED, kind::SUBSCRIPTION, kind::INBOUND].contains(&gone[0]) {
            let session = key::session_of(gone).expect("it has a session");
            let of = format!("session {session} of client");
            assert!(lines.iter().any(|line| line.starts_with(&of) && line.contains(kind)), "{lines:?}");
        }
    }
}

#[test]
fn a_row_that_nobody_wrote_is_noticed_too() {
    let (rows, [a, ..]) = filled();
    for kind in [kind::BODY, kind::QUEUED, kind::RETAINED] {
        let mut rows = rows.clone();
        let (_, value) = rows.iter().find(|(key, _)| key[0] == kind).expect("there is one");
        let key = if kind == kind::RETAINED { key::retained(&topic("r/4")) } else { key::queued(a, Seq(99)) };
        let key = Bytes::from([&[kind], &key[1..]].concat());
        let value = value.clone();
        rows.insert(key, value);
        let there = rows.keys().filter(|key| key[0] == kind).count();
        let line = format!(
            "{} are found that were not counted: {} were counted, and {there} are found",
            key::plural(kind),
            there - 1
        );
        assert!(told(rows).contains(&line));
    }
}

#[test]
fn every_row_that_is_as_it_was_before_is_noticed() {
    let tree = Tree::new(true);
    let store = KvPersistence::open(tree.clone()).expect("it opens");
    let ids = ["a", "b"].map(|client| open_session(&store, client));
    let enqueue =
        || Op::Enqueue { message: Arc::new(message("q", "shared")), targets: ids.map(target).into() };
    write(&store, Author::Broker, vec![enqueue(), enqueue(), Op::Retain(Arc::new(message("r/1", "x")))])
        .unwrap();
    write(&store, own(ids[0]), vec![Op::Subscribe(subscription("s/1"))]).unwrap();
    let before = tree.rows();
    let qos_0 = subscription("s/1");
    let again = opifex_storage::SubscriptionRecord { identifier: Some(7), ..qos_0 };
    let ops = vec![
        Op::Assign { seq: Seq(1), packet_id: packet_id(1) },
        Op::Settle(Seq(2)),
        Op::Subscribe(again),
        Op::SetExpiry(SessionExpiry::Secs(60)),
        Op::GoOffline,
    ];
    write(&store, own(ids[0]), ops).unwrap();
    let ops = vec![Op::Retain(Arc::new(message("r/1", "y"))), Op::Retain(Arc::new(message("r/2", "y")))];
    write(&store, Author::Broker, ops).unwrap();
    let after = tree.rows();
    assert_eq!(told(after.clone()), [""; 0]);
    let keys: BTreeSet<_> =
        before.keys().chain(after.keys()).filter(|key| before.get(*key) != after.get(*key)).collect();
    let kinds: BTreeSet<u8> = keys.iter().map(|key| key[0]).collect();
    let changed = [kind::META, kind::SESSION, kind::SUBSCRIPTION, kind::QUEUED, kind::WILL, kind::REFERENCES];
    assert!(kinds.is_superset(&changed.into()) && kinds.contains(&kind::RETAINED), "{kinds:?}");
    for key in keys {
        let mut rows = after.clone();
        match before.get(key) {
            Some(value) => rows.insert(key.clone(), value.clone()),
            None => rows.remove(key),
        };
        let (name, lines) = (key::describe(key), told(rows));
        let expected = if key[0] == kind::META { "were counted" } else { key::plural(key[0]) };
        assert!(tells(&lines, expected), "{name}: {lines:?}");
    }
}

#[test]
fn what_was_missed_is_said_until_it_is_counted_anew_and_of_a_session_until_it_is_gone() {
    let (mut rows, [a, ..]) = filled();
    rows.remove(&key::queued(a, Seq(2)));
    rows.remove(&key::retained(&topic("r/1")));
    let tree = Tree::of(rows);
    for _ in 0..2 {
        let lines = told_by(&KvPersistence::open(tree.clone()).expect("it opens"));
        assert_eq!(lines.len(), 3, "{lines:?}");
    }
    let store = KvPersistence::open(tree.clone()).expect("it opens");
    write(&store, Author::Broker, vec![Op::Retain(Arc::new(message("r/9", "x")))]).expect("it is written");
    drop(store);
    let lines = told(tree.rows());
    assert!(
        lines.len() == 1 && tells(&lines, "of client \"a\" counts 3 queue entries, and 2 are found"),
        "{lines:?}"
    );
    let store = KvPersistence::open(tree.clone()).expect("it opens");
    block_on(store.open_session(OpenSession { clean_start: true, ..connect("a") })).expect("it opens");
    let due = block_on(store.due(at(LATE), None, PageLimit::items(100))).expect("it is read").items;
    let ended = due.into_iter().find(|due| due.item == opifex_storage::DueItem::SessionEnded(a));
    let purged = write(&store, Author::Claim(ended.expect("it has ended")), vec![Op::Purge { limit: 100 }]);
    assert_eq!(purged, Ok(vec![Outcome::Purged { more: false }]), "nobody waits for what is lost");
    let due = block_on(store.due(at(LATE), None, PageLimit::items(100))).expect("it is read").items;
    assert!(due.iter().all(|due| due.item != opifex_storage::DueItem::SessionEnded(a)), "{due:?}");
}

/// The counters as they were written before rows were counted.
struct Uncounted {
    last: [u64; 3],
    retained: Option<u64>,
}

impl StoredRecord for Uncounted {
    fn write(&self, fields: &mut FieldWriter) {
        self.last.iter().chain(&self.retained).for_each(|number| fields.number(*number));
    }

    fn read(_: &mut FieldReader) -> std::result::Result<Uncounted, Malformed> {
        Err(Malformed("nothing: it is only written here"))
    }
}

#[test]
fn a_store_that_did_not_count_opens_and_counts_from_then_on() {
    let (mut rows, _) = filled();
    let key = key::counters();
    let counted: Counters = unseal(&key, &rows[&key]).expect("it is whole");
    let last = [counted.last_epoch, counted.last_version, counted.last_body];
    for retained in [None, counted.retained] {
        rows.insert(key.clone(), seal(&key, &Uncounted { last, retained }));
        let tree = Tree::of(rows.clone());
        let store = KvPersistence::open(tree.clone()).expect("it opens");
        assert_eq!(told_by(&store), [""; 0]);
        write(&store, Author::Broker, vec![Op::Unretain(topic("r/3"))]).expect("it is written");
        drop(store);
        let mut rows = tree.rows();
        let tally = unseal::<Counters>(&key, &rows[&key]).expect("it is whole").tally.expect("it counts");
        assert!(Tally::KINDS.iter().all(|kind| tally.lot(*kind).rows > 0), "{tally:?}");
        assert_eq!(told(rows.clone()), [""; 0]);
        rows.remove(&key::retained(&topic("r/1")));
        let line = "retained messages are lost or damaged: 2 were counted, and 1 are found";
        assert_eq!(told(rows), [line]);
    }
}

#[test]
fn a_batch_that_is_taken_back_is_not_counted() {
    let (rows, [a, ..]) = filled();
    let tree = Tree::of(rows);
    let store = KvPersistence::open(tree.clone()).expect("it opens");
    tree.flip_a_bit(&key::queued(a, Seq(2)));
    // The first of them is done when the other one meets the damage.
    let ops = vec![Op::Settle(Seq(1)), Op::Assign { seq: Seq(2), packet_id: packet_id(1) }];
    assert_eq!(write(&store, own(a), ops).map_err(|error| error.kind()), Err(ErrorKind::Corrupt));
    write(&store, own(a), vec![Op::Settle(Seq(3))]).expect("it is written");
    drop(store);
    // The seal of the damaged row is as it was: it is found by whoever reads it.
    assert_eq!(told(tree.rows()), [""; 0]);
}
