//! The ordered-KV road over an engine that fails once, at the k-th of its writes or syncs, for all k: a careful caller
//! ends where the reference model does.

#[path = "ordered_kv/tree.rs"]
mod tree;

use std::sync::{Arc, Mutex};

use opifex_conformance::{Factory, run_by_id};
use opifex_storage::{
    Durability, ErrorKind, KvCapabilities, KvPersistence, OrderedKv, Result, StoreError, WriteBatch,
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
