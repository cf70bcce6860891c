//! The ordered-KV road over an engine that fails once, at the k-th of its writes or syncs, for all k: a careful caller
//! ends where the reference model does.

#[path = "ordered_kv/tree.rs"]
mod tree;

use std::sync::{Arc, Mutex};

use opifex_conformance::script::{START, connect, message, target};
use opifex_conformance::{Factory, block_on, run_by_id};
use opifex_storage::{
    Author, Batch, Durability, ErrorKind, KvCapabilities, KvPersistence, Op, OpenedSession, OrderedKv,
    Outcome, PageLimit, Persistence, Result, Seq, StoreError, TargetOutcome, WriteBatch,
};
use tree::{Seen, Tree};

/// How the engine fails.
#[derive(Copy, Clone, Debug)]
enum Failure {
    /// It writes nothing and says so.
    Refuses,
    /// It writes nothing, and does not know.
    Loses,
    /// It writes, and does not know.
    Hides,
    /// A sync fails.
    Unsynced,
}

/// When it fails.
#[derive(Debug)]
struct Plan {
    failure: Failure,
    /// So many calls go through before.
    left: usize,
    /// Not while a store is opened: what has no store yet has no caller.
    opening: bool,
    struck: bool,
}

#[derive(Clone)]
struct Failing {
    tree: Tree,
    plan: Arc<Mutex<Plan>>,
}

impl Failing {
    /// Whether this call fails, if it is of that kind.
    fn strikes(&self, is_sync: bool) -> Option<Failure> {
        let mut plan = self.plan.lock().expect("nobody panics with it");
        if is_sync != matches!(plan.failure, Failure::Unsynced) || plan.opening || plan.struck {
            return None;
        }
        if plan.left > 0 {
            plan.left -= 1;
            return None;
        }
        plan.struck = true;
        Some(plan.failure)
    }
}

impl OrderedKv for Failing {
    type Snapshot<'a> = Seen<'a>;

    fn capabilities(&self) -> KvCapabilities {
        KvCapabilities { durability: Durability::Process, ..self.tree.capabilities() }
    }

    fn snapshot(&self) -> Result<Seen<'_>> {
        self.tree.snapshot()
    }

    fn has_room(&self, bytes: usize) -> bool {
        self.tree.has_room(bytes)
    }

    fn write(&self, batch: &WriteBatch) -> Result<()> {
        match self.strikes(false) {
            None => self.tree.write(batch),
            Some(Failure::Hides) => {
                self.tree.write(batch)?;
                Err(StoreError::unknown(ErrorKind::Retry, "EIO"))
            }
            Some(Failure::Loses) => Err(StoreError::unknown(ErrorKind::Retry, "EIO")),
            Some(Failure::Refuses | Failure::Unsynced) => {
                Err(StoreError::not_applied(ErrorKind::Retry, "EAGAIN"))
            }
        }
    }

    fn sync(&self) -> Result<()> {
        match self.strikes(true) {
            None => self.tree.sync(),
            Some(_) => Err(StoreError::unknown(ErrorKind::Fatal, "EIO")),
        }
    }
}

/// Stores over engines that share one failure.
struct OverFailing(Arc<Mutex<Plan>>);

impl Factory for OverFailing {
    type Store = KvPersistence<Failing>;
    type Place = Failing;

    fn place(&self) -> Failing {
        Failing { tree: Tree::new(true), plan: Arc::clone(&self.0) }
    }

    async fn open(&self, place: &Failing) -> Result<KvPersistence<Failing>> {
        let opening = |is| place.plan.lock().expect("nobody panics with it").opening = is;
        opening(true);
        let store = KvPersistence::open(place.clone());
        opening(false);
        store
    }
}

/// Runs the case with a failure at each place; answers how many there were.
fn at_every_place(failure: Failure) -> usize {
    for k in 0.. {
        let plan = Arc::new(Mutex::new(Plan { failure, left: k, opening: false, struck: false }));
        println!("{failure:?} at {k}");
        run_by_id(OverFailing(Arc::clone(&plan)), "FAU-05");
        if !plan.lock().expect("nobody panics with it").struck {
            return k;
        }
    }
    unreachable!("a history ends")
}

#[test]
fn a_write_that_the_engine_refuses() {
    assert!(at_every_place(Failure::Refuses) > 10);
}

#[test]
fn a_write_that_is_lost() {
    assert!(at_every_place(Failure::Loses) > 10);
}

#[test]
fn a_write_that_is_done_and_not_known_of() {
    assert!(at_every_place(Failure::Hides) > 10);
}

#[test]
fn a_sync_that_fails() {
    assert!(at_every_place(Failure::Unsynced) > 10);
}

/// A store whose next writes are refused while this is so, and a session.
fn refusing() -> (KvPersistence<Failing>, impl Fn(bool), OpenedSession) {
    let plan = Plan { failure: Failure::Refuses, left: 0, opening: true, struck: false };
    let plan = Arc::new(Mutex::new(plan));
    let store = KvPersistence::open(Failing { tree: Tree::new(true), plan: Arc::clone(&plan) });
    let store = store.expect("it is empty");
    let session = block_on(store.open_session(connect("c"))).expect("it is well");
    let refuse = move |refuses: bool| {
        let mut plan = plan.lock().expect("nobody panics with it");
        (plan.opening, plan.struck) = (!refuses, false);
    };
    (store, refuse, session)
}

/// Queues a message for the session. Answers its number, and whether it is durable.
fn enqueue(store: &KvPersistence<Failing>, session: &OpenedSession, payload: &str) -> (Seq, bool) {
    let targets = vec![target(session.session.id)];
    let op = Op::Enqueue { message: Arc::new(message("t", payload)), targets };
    let batch = Batch::new(Author::Broker, Durability::Process, START).with(op);
    let receipt = block_on(store.submit(batch)).expect("it is ordered");
    let seq = match receipt.outcomes() {
        [Outcome::Enqueued(targets)] => match targets[..] {
            [TargetOutcome::Queued { seq, .. }] => seq,
            ref other => panic!("not queued: {other:?}"),
        },
        other => panic!("no enqueue: {other:?}"),
    };
    (seq, block_on(receipt.durable()).is_ok())
}

#[test]
fn a_settlement_of_what_a_refused_write_took_along_meets_no_other_message() {
    let (store, refuse, c) = refusing();
    for n in 1..=3 {
        refuse(true);
        assert_eq!(enqueue(&store, &c, "lost"), (Seq(n), false));
    }
    refuse(false);
    assert_eq!(enqueue(&store, &c, "kept"), (Seq(4), true));
    let author = Author::Session(c.session.id, c.session.epoch);
    let settle = (1..=3)
        .fold(Batch::new(author, Durability::Process, START), |batch, n| batch.with(Op::Settle(Seq(n))));
    let settled = block_on(store.submit(settle)).expect("it is ordered");
    assert_eq!(settled.outcomes(), [Outcome::Absent, Outcome::Absent, Outcome::Absent]);
    let page = block_on(store.queue(c.session.id, Seq::ZERO, PageLimit::items(9))).expect("it is read");
    let queued: Vec<_> = page.items.iter().map(|entry| entry.seq).collect();
    assert_eq!((queued, page.final_up_to), (vec![Seq(4)], Seq(4)));
    assert_eq!(enqueue(&store, &c, "next"), (Seq(5), true));
}

#[test]
fn whoever_opens_a_session_learns_how_far_its_numbers_were_told() {
    let (store, refuse, c) = refusing();
    refuse(true);
    assert_eq!(enqueue(&store, &c, "lost"), (Seq(1), false));
    refuse(false);
    let again = block_on(store.open_session(connect("c"))).expect("it is well");
    assert_eq!((again.session.id, again.session.next_seq), (c.session.id, Seq(2)));
    let page = block_on(store.queue(c.session.id, Seq::ZERO, PageLimit::items(9))).expect("it is read");
    assert_eq!(page.final_up_to, Seq(1), "nobody waits for it");
}

#[test]
fn a_session_that_ended_in_the_transaction_that_failed_has_spent_its_numbers() {
    let (store, refuse, c) = refusing();
    refuse(true);
    let op = Op::Enqueue { message: Arc::new(message("t", "lost")), targets: vec![target(c.session.id)] };
    let ends = Batch::new(Author::Broker, Durability::Process, START).with(op);
    let receipt = block_on(store.submit(ends.with(Op::EndSession(c.session.id)))).expect("it is ordered");
    block_on(receipt.durable()).expect_err("it is refused");
    refuse(false);
    assert_eq!(enqueue(&store, &c, "kept"), (Seq(2), true));
}
