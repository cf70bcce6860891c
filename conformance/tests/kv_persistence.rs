//! What `KvPersistence` does when its engine is slow, full, broken or damaged, and what it leaves in it.

#[path = "ordered_kv/tree.rs"]
mod tree;

#[path = "kv_persistence/syncing.rs"]
mod syncing;

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::{Arc, Condvar, Mutex};
use std::task::{Context, Poll, Waker};

use opifex_conformance::block_on;
use opifex_conformance::script::{
    START, connect, filter, items, message, packet_id, shared_target, subscription, target, topic,
};
use opifex_storage::encoding::key;
use opifex_storage::{
    Author, Batch, Certainty, Durability, ErrorKind, FullPolicy, KvCapabilities, KvPersistence, Op,
    OpenSession, OrderedKv, Outcome, PageLimit, Persistence, Result, Seq, SessionId, StoreError, Target,
    TargetOutcome, WriteBatch,
};
use tree::{Seen, Tree};

/// What the engine does next, set by the test.
#[derive(Default)]
struct Script {
    fail_write: Option<StoreError>,
    fail_sync: bool,
    sync_panics: bool,
    panics: bool,
    is_full: bool,
    /// A sync waits here until the test lets it through.
    gate_closed: bool,
    /// So many that wait are let through all the same.
    lets_through: usize,
    at_gate: bool,
    writes: usize,
    syncs: usize,
}

#[derive(Clone)]
struct Scripted {
    tree: Tree,
    script: Arc<(Mutex<Script>, Condvar)>,
}

impl Scripted {
    fn new() -> Scripted {
        Scripted { tree: Tree::new(true), script: Arc::default() }
    }

    fn set(&self, change: impl FnOnce(&mut Script)) {
        change(&mut self.script.0.lock().expect("nobody panics with it"));
        self.script.1.notify_all();
    }

    fn counts(&self) -> (usize, usize) {
        let script = self.script.0.lock().expect("nobody panics with it");
        (script.writes, script.syncs)
    }

    fn wait_until_a_sync_is_at_the_gate(&self) {
        let script = self.script.0.lock().expect("nobody panics with it");
        drop(self.script.1.wait_while(script, |script| !script.at_gate).expect("nobody panics with it"));
    }
}

impl OrderedKv for Scripted {
    type Snapshot<'a> = Seen<'a>;

    fn capabilities(&self) -> KvCapabilities {
        KvCapabilities { durability: Durability::Process, max_waiting_batches: 4, ..self.tree.capabilities() }
    }

    fn snapshot(&self) -> Result<Seen<'_>> {
        self.tree.snapshot()
    }

    fn has_room(&self, _bytes: usize) -> bool {
        !self.script.0.lock().expect("nobody panics with it").is_full
    }

    fn write(&self, batch: &WriteBatch) -> Result<()> {
        let mut script = self.script.0.lock().expect("nobody panics with it");
        script.writes += 1;
        if let Some(error) = script.fail_write.take() {
            return Err(error);
        }
        let panics = script.panics;
        drop(script);
        assert!(!panics, "the engine panics, as the test asked");
        self.tree.write(batch)
    }

    fn sync(&self) -> Result<()> {
        let mut script = self.script.0.lock().expect("nobody panics with it");
        script.syncs += 1;
        script.at_gate = true;
        self.script.1.notify_all();
        let shut = |script: &mut Script| script.gate_closed && script.lets_through == 0;
        let mut script = self.script.1.wait_while(script, shut).expect("nobody panics with it");
        script.at_gate = false;
        script.lets_through = script.lets_through.saturating_sub(1);
        if script.sync_panics {
            drop(script);
            panic!("the engine panics while it syncs, as the test asked");
        }
        match script.fail_sync {
            true => Err(StoreError::unknown(ErrorKind::Fatal, "EIO")),
            false => Ok(()),
        }
    }
}

type Store = KvPersistence<Scripted>;

fn open() -> (Scripted, Store) {
    let engine = Scripted::new();
    let store = KvPersistence::open(engine.clone()).expect("it opens");
    (engine, store)
}

fn session(store: &Store, client: &str) -> SessionId {
    let open = OpenSession { durability: Durability::Process, ..connect(client) };
    block_on(store.open_session(open)).expect("it opens").session.id
}

fn enqueue(to: &[SessionId], payload: &str) -> Batch {
    let targets = to.iter().map(|id| target(*id)).collect();
    let op = Op::Enqueue { message: Arc::new(message("t", payload)), targets };
    Batch::new(Author::Broker, Durability::Process, START).with(op)
}

fn payloads(store: &Store, id: SessionId) -> Result<Vec<String>> {
    let page = block_on(store.queue(id, Seq::ZERO, PageLimit::items(100)))?;
    let payload = |entry: &opifex_storage::Queued| {
        String::from_utf8(entry.message.as_ref().expect("it is not released").payload.to_vec())
            .expect("a text")
    };
    Ok(page.items.iter().map(payload).collect())
}

fn poll<T>(future: Pin<&mut (impl Future<Output = T> + ?Sized)>) -> Poll<T> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

async fn stored(store: &Store, batch: Batch) -> Result<Vec<Outcome>> {
    let receipt = store.submit(batch).await?;
    let outcomes = receipt.outcomes().to_vec();
    receipt.durable().await.map(|_| outcomes)
}

#[test]
fn what_waits_during_a_sync_is_one_write_and_one_sync() {
    let (engine, store) = open();
    let c = session(&store, "c");
    engine.set(|script| script.gate_closed = true);
    let first = block_on(store.submit(enqueue(&[c], "0"))).unwrap();
    engine.wait_until_a_sync_is_at_the_gate();
    let before = engine.counts();
    let mut waiting: Vec<_> =
        (1..=4).map(|n| Box::pin(stored(&store, enqueue(&[c], &n.to_string())))).collect();
    assert!(waiting.iter_mut().all(|future| poll(future.as_mut()).is_pending()));
    engine.set(|script| script.gate_closed = false);
    block_on(first.durable()).unwrap();
    for future in waiting {
        block_on(future).unwrap();
    }
    assert_eq!(engine.counts(), (before.0 + 1, before.1 + 1));
    assert_eq!(payloads(&store, c).unwrap(), ["0", "1", "2", "3", "4"]);
}

#[test]
fn a_batch_is_ordered_before_it_is_durable() {
    let (engine, store) = open();
    let c = session(&store, "c");
    engine.set(|script| script.gate_closed = true);
    let receipt = block_on(store.submit(enqueue(&[c], "0"))).unwrap();
    assert!(matches!(&receipt.outcomes()[0], Outcome::Enqueued(targets) if targets.len() == 1));
    let mut durable = pin!(receipt.durable());
    engine.wait_until_a_sync_is_at_the_gate();
    assert!(poll(durable.as_mut()).is_pending());
    engine.set(|script| script.gate_closed = false);
    assert_eq!(block_on(durable).unwrap().durability, Durability::Process);
}

#[test]
fn a_full_mailbox_makes_submit_wait_and_a_dropped_submit_leaves_no_trace() {
    let (engine, store) = open();
    let c = session(&store, "c");
    engine.set(|script| script.gate_closed = true);
    let first = block_on(store.submit(enqueue(&[c], "0"))).unwrap();
    engine.wait_until_a_sync_is_at_the_gate();
    let submit = |n: usize| Box::pin(stored(&store, enqueue(&[c], &n.to_string())));
    let mut all: Vec<_> = (1..=7).map(submit).collect();
    assert!(all.iter_mut().all(|future| poll(future.as_mut()).is_pending()));
    // Four are in the mailbox, three wait for room. The first of those gives up.
    drop(all.remove(4));
    engine.set(|script| script.gate_closed = false);
    for future in all {
        block_on(future).unwrap();
    }
    block_on(first.durable()).unwrap();
    assert_eq!(payloads(&store, c).unwrap(), ["0", "1", "2", "3", "4", "6", "7"]);
}

#[test]
fn a_full_engine_fails_the_group_and_the_store_goes_on() {
    let (engine, store) = open();
    let c = session(&store, "c");
    let full = StoreError::not_applied(ErrorKind::Full, "ENOSPC");
    engine.set(|script| script.fail_write = Some(full.clone()));
    assert_eq!(block_on(stored(&store, enqueue(&[c], "lost"))), Err(full));
    block_on(stored(&store, enqueue(&[c], "kept"))).unwrap();
    assert_eq!(payloads(&store, c).unwrap(), ["kept"]);
}

#[test]
fn a_full_engine_takes_what_makes_room_and_nothing_else() {
    let (engine, store) = open();
    let c = session(&store, "c");
    let own = || Batch::new(Author::Session(c, opifex_storage::Epoch(c.0)), Durability::Process, START);
    let retained = message("r", "x");
    let before = own()
        .with(Op::PutInbound(packet_id(1)))
        .with(Op::Subscribe(subscription("s")))
        .with(Op::Retain(Arc::new(retained.clone())));
    block_on(stored(&store, before)).unwrap();
    block_on(stored(&store, enqueue(&[c, c], "x"))).unwrap();
    engine.set(|script| script.is_full = true);
    let grows = [
        Op::PutInbound(packet_id(2)),
        Op::Subscribe(subscription("t")),
        Op::Retain(Arc::new(retained)),
        enqueue(&[c], "y").ops.remove(0),
    ];
    for op in grows {
        // What stands before it in the batch is not applied either.
        let batch = own().with(Op::Settle(Seq(1))).with(op.clone());
        let error = block_on(stored(&store, batch)).unwrap_err();
        assert_eq!((error.kind(), error.certainty()), (ErrorKind::Full, Certainty::NotApplied), "{op:?}");
    }
    let error = block_on(store.open_session(connect("new"))).unwrap_err();
    assert_eq!((error.kind(), error.certainty()), (ErrorKind::Full, Certainty::NotApplied));
    let shrinks = [
        Op::DeleteInbound(packet_id(1)),
        Op::Unsubscribe(filter("s")),
        Op::Unretain(topic("r")),
        Op::Assign { seq: Seq(1), packet_id: packet_id(1) },
        Op::Release(Seq(1)),
        Op::Settle(Seq(1)),
        Op::Settle(Seq(2)),
        Op::GoOffline,
    ];
    for op in shrinks {
        let outcomes = block_on(stored(&store, own().with(op.clone()))).unwrap();
        assert_eq!(outcomes, [Outcome::Done], "{op:?}");
    }
    assert!(block_on(store.open_session(connect("c"))).unwrap().present, "who is stored can come and fetch");
    let end = Batch::new(Author::Broker, Durability::Process, START).with(Op::EndSession(c));
    assert_eq!(block_on(stored(&store, end)).unwrap(), [Outcome::Done]);
    assert_eq!(engine.tree.kinds(), "M");
    engine.set(|script| script.is_full = false);
    let d = session(&store, "d");
    block_on(stored(&store, enqueue(&[d], "room again"))).unwrap();
}

#[test]
fn a_failed_sync_closes_the_store_until_it_is_opened_again() {
    let (engine, store) = open();
    let c = session(&store, "c");
    engine.set(|script| script.fail_sync = true);
    let error = block_on(stored(&store, enqueue(&[c], "unknown"))).unwrap_err();
    assert_eq!((error.kind(), error.certainty()), (ErrorKind::Fatal, Certainty::Unknown));
    let closed = |result: Result<()>| assert_eq!(result.unwrap_err().kind(), ErrorKind::Closed);
    closed(block_on(store.submit(enqueue(&[c], "refused"))).map(drop));
    closed(block_on(store.open_session(connect("c"))).map(drop));
    closed(payloads(&store, c).map(drop));
    closed(block_on(store.close()));
    drop(store);
    engine.set(|script| script.fail_sync = false);
    let store = KvPersistence::open(engine).unwrap();
    block_on(stored(&store, enqueue(&[c], "again"))).unwrap();
}

#[test]
fn a_panic_of_the_engine_is_an_answer_and_no_hang() {
    let (engine, store) = open();
    let c = session(&store, "c");
    engine.set(|script| script.panics = true);
    let error = block_on(stored(&store, enqueue(&[c], "unknown"))).unwrap_err();
    assert_eq!((error.kind(), error.certainty()), (ErrorKind::Fatal, Certainty::Unknown));
    let error = block_on(stored(&store, enqueue(&[c], "refused"))).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Closed | ErrorKind::Fatal), "{error}");
    // The engine stopped in the middle of a write.
    while payloads(&store, c).is_ok() {
        std::thread::yield_now();
    }
    assert_eq!(payloads(&store, c).unwrap_err().kind(), ErrorKind::Closed);
}

#[test]
fn a_body_is_stored_once_and_everything_goes_when_it_is_settled() {
    let (engine, store) = open();
    let sessions = ["a", "b", "c"].map(|client| session(&store, client));
    let empty = engine.tree.kinds();
    block_on(stored(&store, enqueue(&sessions, "shared"))).unwrap();
    assert_eq!(engine.tree.kinds().matches(key::kind::BODY as char).count(), 1);
    assert_eq!(engine.tree.kinds().matches(key::kind::REFERENCES as char).count(), 1);
    for (n, id) in sessions.into_iter().enumerate() {
        assert_eq!(payloads(&store, id).unwrap(), ["shared"]);
        let own = Batch::new(Author::Session(id, opifex_storage::Epoch(id.0)), Durability::Process, START);
        block_on(stored(&store, own.with(Op::Settle(Seq(1))))).unwrap();
        let bodies = engine.tree.kinds().matches(key::kind::BODY as char).count();
        assert_eq!(bodies, usize::from(n < 2));
    }
    assert_eq!(engine.tree.kinds(), empty);
}

#[test]
fn a_small_message_for_one_session_is_one_row_with_its_entry() {
    let (engine, store) = open();
    let c = session(&store, "c");
    let empty = engine.tree.kinds();
    block_on(stored(&store, enqueue(&[c], "small"))).unwrap();
    assert_eq!(engine.tree.kinds(), "CMQS");
    block_on(stored(&store, enqueue(&[c], &"x".repeat(5000)))).unwrap();
    assert_eq!(engine.tree.kinds(), "BCMQQS");
    assert_eq!(payloads(&store, c).unwrap(), ["small".to_owned(), "x".repeat(5000)]);
    let own = Batch::new(Author::Session(c, opifex_storage::Epoch(c.0)), Durability::Process, START);
    block_on(stored(&store, own.with(Op::Settle(Seq(1))).with(Op::Settle(Seq(2))))).unwrap();
    assert_eq!(engine.tree.kinds(), empty);
}

#[test]
fn a_message_that_displaces_itself_keeps_its_body() {
    let (engine, store) = open();
    let c = session(&store, "c");
    let limits = items(1, FullPolicy::DropOldest);
    let twice = ["$share/g/t", "$share/h/t"].map(|share| Target { limits, ..shared_target(c, share) });
    let op = Op::Enqueue { message: Arc::new(message("t", "x")), targets: twice.into() };
    let batch = Batch::new(Author::Broker, Durability::Process, START).with(op);
    block_on(stored(&store, batch)).unwrap();
    assert_eq!(payloads(&store, c).unwrap(), ["x"]);
    let own = Batch::new(Author::Session(c, opifex_storage::Epoch(c.0)), Durability::Process, START);
    block_on(stored(&store, own.with(Op::Settle(Seq(2))))).unwrap();
    assert_eq!(engine.tree.kinds(), "CMS");
}

#[test]
fn a_batch_that_meets_damage_half_way_leaves_no_trace() {
    let (engine, store) = open();
    let (a, b) = (session(&store, "a"), session(&store, "b"));
    engine.tree.flip_a_bit(&key::session(b));
    let rows = engine.tree.kinds();
    let batch = enqueue(&[a], "first").with(Op::Retain(Arc::new(message("r", "x"))));
    let batch = enqueue(&[a, b], "second").ops.into_iter().fold(batch, Batch::with);
    let error = block_on(store.submit(batch)).unwrap_err();
    assert_eq!((error.kind(), error.certainty()), (ErrorKind::Corrupt, Certainty::NotApplied));
    assert_eq!(engine.tree.kinds(), rows);
    let outcomes = block_on(stored(&store, enqueue(&[a], "next"))).unwrap();
    let first = TargetOutcome::Queued { seq: Seq(1), displaced: Vec::new() };
    assert_eq!(outcomes, [Outcome::Enqueued(vec![first])], "the session's counts are taken back, too");
    assert_eq!(payloads(&store, a).unwrap(), ["next"]);
    let retained = block_on(store.retained(&[filter("#")], None, PageLimit::items(10))).unwrap();
    assert!(retained.items.is_empty());
}

#[test]
fn rows_of_somebody_else_are_refused_and_left_alone() {
    let tree = Tree::new(true);
    tree.insert("theirs", "value");
    let error = KvPersistence::open(tree.clone()).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert_eq!(tree.kinds(), "t");
}

#[test]
fn properties_that_could_not_be_read_again_are_refused() {
    let (_, store) = open();
    let twice = opifex_packet::Properties::default()
        .with(opifex_packet::Property::ContentType("a"))
        .with(opifex_packet::Property::ContentType("b"));
    let retain = Op::Retain(Arc::new(opifex_storage::Message { properties: twice, ..message("r", "") }));
    let batch = Batch::new(Author::Broker, Durability::Process, START).with(retain);
    assert_eq!(block_on(store.submit(batch)).unwrap_err().kind(), ErrorKind::Unsupported);
}
