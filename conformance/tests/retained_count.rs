//! How the ordered-KV road counts retained messages: what was not written is not counted, and a store that did not count
//! them, or lost the count, opens with it.

#[path = "ordered_kv/tree.rs"]
mod tree;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use opifex_conformance::block_on;
use opifex_conformance::script::{START, connect, message, target, topic};
use opifex_storage::encoding::{Counters, key, seal, unseal};
use opifex_storage::{
    Author, Batch, Durability, ErrorKind, KvCapabilities, KvPersistence, Op, OrderedKv, PageLimit,
    Persistence, RecordKind, Result, StoreError, WriteBatch,
};
use tree::{Seen, Tree};

/// An engine that may hold two retained messages, and whose writes fail when they are told to.
#[derive(Clone)]
struct Small {
    tree: Tree,
    fails: Arc<AtomicBool>,
}

impl OrderedKv for Small {
    type Snapshot<'a> = Seen<'a>;

    fn capabilities(&self) -> KvCapabilities {
        KvCapabilities { max_retained_messages: Some(2), ..self.tree.capabilities() }
    }

    fn snapshot(&self) -> Result<Seen<'_>> {
        self.tree.snapshot()
    }

    fn has_room(&self, bytes: usize) -> bool {
        self.tree.has_room(bytes)
    }

    fn write(&self, batch: &WriteBatch) -> Result<()> {
        match self.fails.load(Relaxed) {
            true => Err(StoreError::not_applied(ErrorKind::Full, "ENOSPC")),
            false => self.tree.write(batch),
        }
    }

    fn sync(&self) -> Result<()> {
        self.tree.sync()
    }
}

type Store = KvPersistence<Small>;

fn open(tree: Tree) -> (Small, Store) {
    let engine = Small { tree, fails: Arc::default() };
    let store = KvPersistence::open(engine.clone()).expect("it opens");
    (engine, store)
}

fn batch() -> Batch {
    Batch::new(Author::Broker, Durability::Memory, START)
}

fn write(store: &Store, batch: Batch) -> Result<()> {
    block_on(async { store.submit(batch).await?.durable().await.map(drop) })
}

fn retain(store: &Store, name: &str) -> Result<()> {
    write(store, batch().with(Op::Retain(Arc::new(message(name, "x")))))
}

/// There is room for one more, and for no second.
fn has_room_for_one(store: &Store) {
    retain(store, "last").expect("there is room for one more");
    let refused = retain(store, "more").expect_err("there is no room for another");
    assert_eq!((refused.kind(), topics_of(&refused)), (ErrorKind::Full, true), "{refused}");
    retain(store, "last").expect("it replaces");
}

fn topics_of(error: &StoreError) -> bool {
    error.to_string().contains("retained messages")
}

#[test]
fn what_the_engine_did_not_write_is_not_counted() {
    let (engine, store) = open(Tree::new(true));
    retain(&store, "a").expect("there is room");
    engine.fails.store(true, Relaxed);
    assert!(retain(&store, "b").is_err());
    assert!(write(&store, batch().with(Op::Unretain(topic("a")))).is_err());
    engine.fails.store(false, Relaxed);
    has_room_for_one(&store);
    drop(store);
    let (_, again) = open(engine.tree);
    let sessions = block_on(again.scan(RecordKind::Session, None, PageLimit::items(1)));
    assert_eq!(sessions.expect("it is read").damaged, [], "all rows are as many as were counted");
}

#[test]
fn what_a_batch_takes_back_is_not_counted() {
    let (engine, store) = open(Tree::new(true));
    let session = block_on(store.open_session(connect("c"))).expect("it opens").session.id;
    retain(&store, "a").expect("there is room");
    engine.tree.flip_a_bit(&key::session(session));
    let enqueue = Op::Enqueue { message: Arc::new(message("t", "x")), targets: vec![target(session)] };
    let failing = batch().with(Op::Retain(Arc::new(message("b", "x")))).with(enqueue);
    assert_eq!(write(&store, failing).map_err(|error| error.kind()), Err(ErrorKind::Corrupt));
    has_room_for_one(&store);
}

#[test]
fn a_store_that_did_not_count_or_lost_its_count_opens_with_it() {
    for lost in [false, true] {
        let (engine, store) = open(Tree::new(true));
        retain(&store, "a").expect("there is room");
        drop(store);
        let key = key::counters();
        let mut rows = engine.tree.rows();
        let counters: Counters = unseal(&key, &rows[&key]).expect("it is whole");
        assert_eq!(counters.retained, Some(1));
        rows.insert(key.clone(), seal(&key, &Counters { retained: None, ..counters }));
        let tree = Tree::of(rows);
        if lost {
            tree.flip_a_bit(&key);
        }
        has_room_for_one(&open(tree).1);
    }
}

#[test]
fn a_count_that_was_written_down_is_not_made_again() {
    let (engine, store) = open(Tree::new(true));
    retain(&store, "a").expect("there is room");
    retain(&store, "b").expect("there is room");
    write(&store, batch().with(Op::Unretain(topic("b")))).expect("it removes");
    drop(store);
    has_room_for_one(&open(engine.tree).1);
}
