//! Damage below `KvPersistence`, row by row: a flipped bit anywhere is reported by name, what is read is never another
//! value than was written, and the rest is read and goes on.

#[path = "ordered_kv/tree.rs"]
mod tree;

#[path = "kv_damage/inspected.rs"]
mod inspected;
#[path = "kv_damage/lost.rs"]
mod lost;

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use opifex_conformance::block_on;
use opifex_conformance::script::{
    START, at, connect, expiring, filter, message, packet_id, subscription, target, topic, will,
};
use opifex_storage::encoding::key::{self, kind};
use opifex_storage::{
    Author, Batch, Durability, Epoch, ErrorKind, KvPersistence, Op, OpenSession, Outcome, PageLimit,
    Persistence, RecordKind, Result, Seq, SessionExpiry, SessionId, StoreError, TargetOutcome,
};
use tree::{Map, Tree};

type Store = KvPersistence<Tree>;

/// The end of time: everything that can become due has.
const LATE: u32 = 1_000_000;

fn write(store: &Store, author: Author, ops: Vec<Op>) -> Result<Vec<Outcome>> {
    let batch = Batch { ops, ..Batch::new(author, Durability::Memory, START) };
    block_on(async {
        let receipt = store.submit(batch).await?;
        let outcomes = receipt.outcomes().to_vec();
        receipt.durable().await.map(|_| outcomes)
    })
}

fn own(id: SessionId) -> Author {
    Author::Session(id, Epoch(id.0))
}

fn open_session(store: &Store, client: &str) -> SessionId {
    let open = OpenSession { will: Some(will("will", "gone")), ..connect(client) };
    block_on(store.open_session(open)).expect("it opens").session.id
}

/// A store with at least one row of each kind, and its sessions.
fn filled() -> (Map, [SessionId; 3]) {
    let tree = Tree::new(true);
    let store = KvPersistence::open(tree.clone()).expect("it opens");
    let ids = ["a", "b", "over"].map(|client| open_session(&store, client));
    for id in ids {
        let ops = vec![
            Op::Subscribe(subscription("s/1")),
            Op::Subscribe(subscription("s/2")),
            Op::PutInbound(packet_id(1)),
            Op::PutInbound(packet_id(2)),
            Op::SetExpiry(SessionExpiry::Secs(60)),
        ];
        write(&store, own(id), ops).expect("it is written");
    }
    let everybody = || ids.map(target).into();
    let ops = vec![
        Op::Enqueue { message: Arc::new(message("q", "shared")), targets: everybody() },
        Op::Enqueue { message: Arc::new(message("q", "own")), targets: vec![target(ids[0])] },
        Op::Enqueue { message: Arc::new(expiring("q", "short", at(10))), targets: everybody() },
        Op::Retain(Arc::new(message("r/1", "x"))),
        Op::Retain(Arc::new(expiring("r/2", "x", at(10)))),
        Op::Retain(Arc::new(message("r/3", "x"))),
    ];
    write(&store, Author::Broker, ops).expect("it is written");
    write(&store, own(ids[1]), vec![Op::GoOffline]).expect("it is written");
    write(&store, own(ids[2]), vec![Op::EndSession(ids[2])]).expect("it is written");
    drop(store);
    let rows = tree.rows();
    let kinds: BTreeSet<u8> = rows.keys().map(|key| key[0]).collect();
    assert_eq!(kinds, BTreeSet::from(kind::ALL), "a row of each kind");
    (rows, ids)
}

/// What is read, a line each, and what was named as damaged.
#[derive(Debug, PartialEq)]
struct Read {
    found: BTreeSet<String>,
    damaged: Vec<String>,
}

fn read(store: &Store, ids: &[SessionId]) -> Read {
    let limit = PageLimit::items(2);
    let mut read = Read { found: BTreeSet::new(), damaged: Vec::new() };
    let mut damaged = |errors: Vec<StoreError>| {
        assert!(errors.iter().all(|error| error.kind() == ErrorKind::Corrupt), "{errors:?}");
        read.damaged.extend(errors.iter().map(StoreError::to_string));
    };
    for kind in RecordKind::ALL {
        let mut cursor = None;
        loop {
            let page = block_on(store.scan(kind, cursor, limit)).expect("it is read");
            read.found.extend(page.items.iter().map(|item| format!("{item:?}")));
            damaged(page.damaged);
            cursor = page.next;
            if cursor.is_none() {
                break;
            }
        }
    }
    for id in ids {
        let mut after = Seq::ZERO;
        loop {
            let page = block_on(store.queue(*id, after, limit)).expect("it is read");
            read.found.extend(page.items.iter().map(|item| format!("{id} {item:?}")));
            damaged(page.damaged);
            if !page.more {
                break;
            }
            assert!(page.final_up_to > after, "a page goes on");
            after = page.final_up_to;
        }
    }
    let mut cursor = None;
    loop {
        let page =
            block_on(store.retained(&[filter("r/1"), filter("#")], cursor, limit)).expect("it is read");
        read.found.extend(page.items.iter().map(|item| format!("{item:?}")));
        damaged(page.damaged);
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    let due = block_on(store.due(at(LATE), None, PageLimit::items(100))).expect("it is read");
    read.found.extend(due.items.iter().map(|item| format!("{item:?}")));
    damaged(due.damaged);
    read
}

/// The lines that may be missing when a row is damaged: those that say its number, or all when it is the store's.
fn may_miss(row: &[u8], line: &str) -> bool {
    let session = || key::session_of(row).expect("it has a session");
    match row[0] {
        kind::META | kind::CLIENT | kind::REFERENCES => false,
        kind::SESSION | kind::ENDED => {
            let id = session();
            line.contains(&format!("SessionId({id})")) || line.starts_with(&format!("{id} "))
        }
        kind::BODY => line.contains("Queued"),
        kind::QUEUED => line.contains(&format!("Seq({})", key::second_number_of(row).expect("it has one"))),
        kind::SUBSCRIPTION => line.contains("Subscription"),
        kind::INBOUND => line.contains("Inbound"),
        kind::WILL => line.contains("Will"),
        kind::RETAINED => line.contains("Retained"),
        _ => line.starts_with("Due"),
    }
}

#[test]
fn a_flipped_bit_in_any_value_is_named_and_the_rest_is_read() {
    let (rows, ids) = filled();
    let whole = read(&KvPersistence::open(Tree::of(rows.clone())).unwrap(), &ids);
    assert_eq!(whole.damaged, [""; 0]);
    for (key, value) in &rows {
        for at in 0..value.len() {
            let mut damaged = value.to_vec();
            damaged[at] ^= 1 << (at % 8);
            let mut rows = rows.clone();
            rows.insert(key.clone(), damaged.into());
            let store = KvPersistence::open(Tree::of(rows)).expect("it opens");
            let read = read(&store, &ids);
            let name = key::describe(key);
            // Nobody reads what an ended session subscribed to or received: it is only removed.
            let is_remains =
                [kind::SUBSCRIPTION, kind::INBOUND].contains(&key[0]) && key::session_of(key) == Ok(ids[2]);
            assert!(
                is_remains || read.damaged.iter().any(|line| line.starts_with(&name)),
                "{name}: {:?}",
                read.damaged
            );
            let other: Vec<_> = read.found.difference(&whole.found).collect();
            assert!(other.is_empty(), "{name}: read and never written: {other:?}");
            let lost: Vec<_> = whole.found.difference(&read.found).collect();
            assert!(lost.iter().all(|line| may_miss(key, line)), "{name}: lost: {lost:?}");
        }
    }
}

#[test]
fn a_flipped_bit_in_any_key_is_named_and_nothing_else_is_read_than_was_written() {
    let (rows, ids) = filled();
    let whole = read(&KvPersistence::open(Tree::of(rows.clone())).unwrap(), &ids);
    for (key, value) in &rows {
        for bit in 0..8 * key.len() {
            let mut damaged = key.to_vec();
            damaged[bit / 8] ^= 1 << (bit % 8);
            let damaged = Bytes::from(damaged);
            let mut rows = rows.clone();
            rows.remove(key);
            // A row that lands among those of another kind may be one that no walk comes by, such as a body that
            // nobody refers to: what an engine does to its keys beyond that, its own checksums have to find.
            let is_of_another_kind = bit < 8 && kind::ALL.contains(&damaged[0]);
            if is_of_another_kind || rows.insert(damaged.clone(), value.clone()).is_some() {
                continue;
            }
            let store = KvPersistence::open(Tree::of(rows)).expect("it opens");
            let read = read(&store, &ids);
            let other: Vec<_> = read.found.difference(&whole.found).collect();
            assert!(other.is_empty(), "{key:02x?}, bit {bit}: read and never written: {other:?}");
            // Entries that an ended session left go when it is purged, expired or not.
            let of_remains = format!("Due {{ item: QueuedExpired(SessionId({})", ids[2]);
            let lost = whole.found.difference(&read.found);
            let lost: Vec<_> = lost.filter(|line| !line.starts_with(&of_remains)).collect();
            let named = !read.damaged.is_empty();
            assert!(named || lost.is_empty(), "{key:02x?}, bit {bit}: lost and not named: {lost:?}");
        }
    }
}

fn with_damage(rows: &Map, key: &Bytes) -> Store {
    let tree = Tree::of(rows.clone());
    tree.flip_a_bit(key);
    KvPersistence::open(tree).expect("it opens")
}

#[test]
fn what_is_damaged_can_be_settled_removed_and_replaced() {
    let (rows, [a, ..]) = filled();
    let done = |store: &Store, op: Op| {
        let outcomes = write(store, own(a), vec![op]).expect("it is written");
        let done = [Outcome::Done, Outcome::Subscribed { existed: true }];
        assert!(done.contains(&outcomes[0]) || matches!(outcomes[0], Outcome::Retained(_)), "{outcomes:?}");
        // What was found when it was opened stays said: of a marker, the damage is in the seal.
        let damaged = read(store, &[a]).damaged.into_iter();
        damaged.filter(|line| !line.starts_with("inbound ids are not those")).collect::<Vec<_>>()
    };
    let entry = key::queued(a, Seq(2));
    assert_eq!(done(&with_damage(&rows, &entry), Op::Settle(Seq(2))), [""; 0]);
    let inbound = key::inbound(a, packet_id(1));
    assert_eq!(done(&with_damage(&rows, &inbound), Op::DeleteInbound(packet_id(1))), [""; 0]);
    let subscribed = key::subscription(a, &filter("s/1"));
    assert_eq!(done(&with_damage(&rows, &subscribed), Op::Unsubscribe(filter("s/1"))), [""; 0]);
    assert_eq!(done(&with_damage(&rows, &subscribed), Op::Subscribe(subscription("s/1"))), [""; 0]);
    let retained = key::retained(&topic("r/1"));
    assert_eq!(done(&with_damage(&rows, &retained), Op::Unretain(topic("r/1"))), [""; 0]);
    let again = Op::Retain(Arc::new(message("r/1", "again")));
    assert_eq!(done(&with_damage(&rows, &retained), again), [""; 0]);
    let a_will = key::will(a, Epoch(a.0));
    assert_eq!(done(&with_damage(&rows, &a_will), Op::TakeWill), [""; 0]);
}

#[test]
fn a_session_with_a_damaged_record_is_refused_until_its_client_begins_anew() {
    let (rows, [a, ..]) = filled();
    let store = with_damage(&rows, &key::session(a));
    let error = block_on(store.open_session(connect("a"))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    let anew = OpenSession { clean_start: true, ..connect("a") };
    let opened = block_on(store.open_session(anew)).expect("it opens");
    assert_eq!((opened.present, opened.ended, opened.damaged.len()), (false, Some(a), 1));
    // What hung on it is purged like that of every session that ended.
    let due = block_on(store.due(at(LATE), None, PageLimit::items(100))).expect("it is read");
    let ended = due.items.into_iter().find(|due| due.item == opifex_storage::DueItem::SessionEnded(a));
    let purge = vec![Op::Purge { limit: 100 }];
    let batch =
        Batch { ops: purge, ..Batch::new(Author::Claim(ended.unwrap()), Durability::Memory, at(LATE)) };
    let receipt = block_on(store.submit(batch)).expect("it is applied");
    assert_eq!(receipt.outcomes(), [Outcome::Purged { more: false }]);
}

#[test]
fn a_client_with_a_damaged_pointer_finds_its_session() {
    let (rows, [a, ..]) = filled();
    let store = with_damage(&rows, &key::client("a"));
    let opened = block_on(store.open_session(connect("a"))).expect("it opens");
    assert_eq!((opened.present, opened.session.id), (true, a));
    assert_eq!(read(&store, &[a]).damaged.len(), 1, "the pointer is not mended by an open that goes on");
}

#[test]
fn a_session_goes_on_without_what_is_damaged_of_it() {
    let (rows, [a, ..]) = filled();
    for key in [key::subscription(a, &filter("s/1")), key::inbound(a, packet_id(1)), key::will(a, Epoch(a.0))]
    {
        let store = with_damage(&rows, &key);
        let opened = block_on(store.open_session(connect("a"))).expect("it opens");
        assert!(opened.present);
        let named: Vec<_> = opened.damaged.iter().map(StoreError::to_string).collect();
        let is_will = key[0] == kind::WILL;
        assert!(is_will || named[0].starts_with(&key::describe(&key)), "{named:?}");
        assert_eq!(opened.subscriptions.len() + opened.inbound.len(), if is_will { 4 } else { 3 });
    }
}

#[test]
fn a_store_with_damaged_counters_gives_no_number_twice() {
    let (rows, [a, b, over]) = filled();
    let store = with_damage(&rows, &key::counters());
    assert_eq!(read(&store, &[a]).damaged, ["the store's counters is damaged: its checksum differs"]);
    let opened = block_on(store.open_session(connect("new"))).expect("it opens");
    assert!(opened.session.id > a.max(b).max(over));
    let queued = write(
        &store,
        Author::Broker,
        vec![Op::Enqueue { message: Arc::new(message("q", "next")), targets: [a, b].map(target).into() }],
    );
    let next = |seq| TargetOutcome::Queued { seq: Seq(seq), displaced: Vec::new() };
    assert_eq!(queued.expect("it is written"), [Outcome::Enqueued(vec![next(4), next(3)])]);
}

#[test]
fn counters_alone_that_are_damaged_are_not_taken_for_a_store() {
    let tree = Tree::new(true);
    drop(KvPersistence::open(tree.clone()).expect("it opens"));
    tree.flip_a_bit(&key::counters());
    assert_eq!(KvPersistence::open(tree).err().unwrap().kind(), ErrorKind::Corrupt);
}
