//! Stores over the memory store that are broken in ways that only random histories, threads, dropped futures and
//! failures show.

#![allow(dead_code, reason = "each of the tests that share this uses a part of it")]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::thread::{self, ThreadId};

use opifex_conformance::faults::{Intercept, Intercepted};
use opifex_conformance::{Factory, block_on};
use opifex_storage::{
    Author, Batch, Capabilities, Commit, Durability, ErrorKind, Op, Outcome, PageLimit, Persistence, Receipt,
    Record, RecordKind, Result, StoreError, Target, TargetOutcome,
};
use opifex_storage_memory::{MemoryOptions, MemoryStore};

/// What a store does wrong.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Breakage {
    Nothing,
    /// The sixth message is queued for nobody.
    SixthForNobody,
    /// Unsubscribing removes nothing.
    NeverUnsubscribes,
    /// A thread that did not open the store queues twice what it queues.
    OtherThreadsQueueTwice,
    /// A thread that did not open the store hears that all was done, also what was absent or there already.
    OtherThreadsHearDone,
    /// Waits between the halves of a batch.
    HalfBeforeAWait,
    /// Takes back what a batch retained when its submit is dropped.
    UnretainsUnlessAnswered,
    /// Applies a batch once more when the store is opened again, if its receipt was dropped and nothing came behind it.
    AgainWhenOpened,
    /// Applies a batch once more when nobody waits for it.
    AgainUnlessAwaited,
    /// Refuses instead of making wait.
    RefusesTheHundredth,
    /// Claims to survive the process, and has nothing to wait for.
    TakesTheThread,
    /// Claims that it keeps idempotency keys.
    HasNoKeys,
    /// A commit fails, and the numbers that were told of its entries are given to the next ones.
    GivesNumbersAgain,
}

#[derive(Clone, Debug)]
pub(crate) struct Broken {
    breakage: Breakage,
    opened_by: ThreadId,
    count: Arc<AtomicUsize>,
    capabilities: Capabilities,
    last: Arc<Mutex<Option<Batch>>>,
}

impl Broken {
    /// One more of something; answers how many there were.
    fn next(&self) -> usize {
        self.count.fetch_add(1, Ordering::SeqCst)
    }

    /// The level that the memory store is asked for: all that are claimed are the same to it.
    fn below(&self, asked: Durability) -> Durability {
        if asked <= self.capabilities.max_durability { Durability::Memory } else { asked }
    }

    /// What the memory store is told.
    fn bend(&self, op: &Op) -> Op {
        match op {
            Op::Enqueue { message, .. } if self.breakage == Breakage::SixthForNobody && self.next() == 5 => {
                Op::Enqueue { message: Arc::clone(message), targets: Vec::new() }
            }
            Op::Unsubscribe(_) if self.breakage == Breakage::NeverUnsubscribes => Op::GoOffline,
            other => other.clone(),
        }
    }
}

/// Lets others run once.
async fn wait_once() {
    let mut waited = false;
    std::future::poll_fn(|cx| match waited {
        true => Poll::Ready(()),
        false => {
            waited = true;
            cx.waker().wake_by_ref();
            Poll::Pending
        }
    })
    .await;
}

/// Submits a batch when it is dropped.
struct Again {
    inner: MemoryStore,
    batch: Option<Batch>,
}

impl Again {
    fn is_awaited(&mut self) {
        self.batch = None;
    }
}

impl Drop for Again {
    fn drop(&mut self) {
        if let Some(batch) = self.batch.take() {
            // Whether it is refused this time is nobody's business.
            let _ = block_on(self.inner.submit(batch));
        }
    }
}

/// Takes back what a batch retained when it is dropped.
struct Unretain {
    inner: MemoryStore,
    batch: Option<Batch>,
}

impl Drop for Unretain {
    fn drop(&mut self) {
        let Some(batch) = self.batch.take() else { return };
        let unretains = batch.ops.iter().filter_map(|op| match op {
            Op::Retain(message) => Some(Op::Unretain(message.topic.clone())),
            _ => None,
        });
        let batch = Batch::new(Author::Broker, Durability::Memory, batch.now);
        let _ = block_on(self.inner.submit(unretains.fold(batch, Batch::with)));
    }
}

/// Keeps a batch in mind when it is dropped.
struct Mind {
    last: Arc<Mutex<Option<Batch>>>,
    batch: Option<Batch>,
}

impl Mind {
    fn is_awaited(&mut self) {
        self.batch = None;
    }
}

impl Drop for Mind {
    fn drop(&mut self) {
        if let Some(batch) = self.batch.take() {
            *self.last.lock().expect("nobody panics with it") = Some(batch);
        }
    }
}

/// Answers a batch that queues and clears as if it were applied, and does not apply it.
async fn take_back(inner: &MemoryStore, batch: &Batch) -> Result<Receipt> {
    let sessions = inner.scan(RecordKind::Session, None, PageLimit::items(100)).await?;
    let next = |id| {
        sessions.items.iter().find_map(|record| match record {
            Record::Session(session) if session.id == id => Some(session.next_seq),
            _ => None,
        })
    };
    let told = batch.ops.iter().map(|op| match op {
        Op::Enqueue { targets, .. } => {
            let queued = |target: &Target| match next(target.session) {
                Some(seq) => TargetOutcome::Queued { seq, displaced: Vec::new() },
                None => TargetOutcome::Gone,
            };
            Outcome::Enqueued(targets.iter().map(queued).collect())
        }
        _ => Outcome::Done,
    });
    let error = StoreError::not_applied(ErrorKind::Retry, "the commit failed");
    Ok(Receipt::pending(told.collect(), async move { Err(error) }))
}

/// Applies the ops behind the first `at` of a batch.
async fn rest(inner: &MemoryStore, batch: &Batch, at: usize) -> Result<Vec<Outcome>> {
    let batch = Batch { ops: batch.ops[at..].to_vec(), guards: Vec::new(), ..batch.clone() };
    Ok(inner.submit(batch).await?.outcomes().to_vec())
}

impl Intercept<MemoryStore> for Broken {
    fn capabilities<'p>(&'p self, _inner: &'p MemoryStore) -> &'p Capabilities {
        &self.capabilities
    }

    async fn open_session(
        &self,
        inner: &MemoryStore,
        open: opifex_storage::OpenSession,
    ) -> Result<opifex_storage::OpenedSession> {
        let durability = self.below(open.durability);
        inner.open_session(opifex_storage::OpenSession { durability, ..open }).await
    }

    async fn submit(&self, inner: &MemoryStore, batch: Batch) -> Result<Receipt> {
        let asked = batch.durability;
        let batch = Batch {
            ops: batch.ops.iter().map(|op| self.bend(op)).collect(),
            durability: self.below(asked),
            ..batch
        };
        self.last.lock().expect("nobody panics with it").take();
        match self.breakage {
            Breakage::OtherThreadsQueueTwice if thread::current().id() != self.opened_by => {
                let twice = batch.ops.iter().filter(|op| matches!(op, Op::Enqueue { .. })).cloned().collect();
                inner.submit(Batch { ops: twice, guards: Vec::new(), ..batch.clone() }).await?;
            }
            Breakage::HalfBeforeAWait if batch.ops.len() > 1 => {
                let half = Batch { ops: batch.ops[..1].to_vec(), ..batch.clone() };
                let mut outcomes = inner.submit(half).await?.outcomes().to_vec();
                wait_once().await;
                outcomes.extend(rest(inner, &batch, 1).await?);
                return Ok(Receipt::committed(outcomes, Commit { durability: asked }));
            }
            Breakage::UnretainsUnlessAnswered => {
                let outcomes = inner.submit(batch.clone()).await?.outcomes().to_vec();
                let mut unretain = Unretain { inner: inner.clone(), batch: Some(batch) };
                wait_once().await;
                unretain.batch = None;
                return Ok(Receipt::committed(outcomes, Commit { durability: asked }));
            }
            Breakage::AgainWhenOpened => {
                let outcomes = inner.submit(batch.clone()).await?.outcomes().to_vec();
                let mut mind = Mind { last: Arc::clone(&self.last), batch: Some(batch) };
                return Ok(Receipt::pending(outcomes, async move {
                    mind.is_awaited();
                    Ok(Commit { durability: asked })
                }));
            }
            Breakage::AgainUnlessAwaited => {
                let outcomes = inner.submit(batch.clone()).await?.outcomes().to_vec();
                let mut again = Again { inner: inner.clone(), batch: Some(batch) };
                return Ok(Receipt::pending(outcomes, async move {
                    again.is_awaited();
                    Ok(Commit { durability: asked })
                }));
            }
            Breakage::RefusesTheHundredth => {
                let waiting = self.next();
                wait_once().await;
                self.count.fetch_sub(1, Ordering::SeqCst);
                if waiting >= 100 {
                    return Err(StoreError::not_applied(ErrorKind::Retry, "too many wait"));
                }
            }
            Breakage::GivesNumbersAgain
                if matches!(batch.ops[..], [Op::Enqueue { .. }, Op::Unretain(_)]) && self.next() == 0 =>
            {
                return take_back(inner, &batch).await;
            }
            _ => {}
        }
        let mut outcomes = inner.submit(batch).await?.outcomes().to_vec();
        if self.breakage == Breakage::OtherThreadsHearDone && thread::current().id() != self.opened_by {
            let undone = |outcome: &&mut Outcome| matches!(outcome, Outcome::Absent | Outcome::Present);
            outcomes.iter_mut().filter(undone).for_each(|outcome| *outcome = Outcome::Done);
        }
        Ok(Receipt::committed(outcomes, Commit { durability: asked }))
    }
}

/// Where a store lies, and the batch that is applied again when it is opened.
pub(crate) struct Place {
    store: MemoryStore,
    last: Arc<Mutex<Option<Batch>>>,
}

/// Limits that cases can go up to.
fn limits() -> MemoryOptions {
    MemoryOptions {
        max_message_bytes: 3 << 20,
        max_batch_ops: 20_000,
        max_batch_bytes: 12 << 20,
        max_retained_messages: 8_000,
    }
}

/// Makes stores that are broken so.
pub(crate) struct Stores(pub(crate) Breakage);

impl Factory for Stores {
    type Store = Intercepted<MemoryStore, Broken>;
    type Place = Place;

    fn place(&self) -> Place {
        Place { store: MemoryStore::with_options(limits()), last: Arc::default() }
    }

    async fn open(&self, place: &Place) -> Result<Self::Store> {
        let store = place.store.reopen();
        let last = place.last.lock().expect("nobody panics with it").take();
        if let Some(batch) = last {
            // Whether it is refused this time is nobody's business.
            let _ = store.submit(batch).await;
        }
        let mut capabilities = store.capabilities().clone();
        if self.0 == Breakage::TakesTheThread {
            capabilities.max_durability = Durability::Process;
        }
        capabilities.unknown_outcomes = self.0 == Breakage::HasNoKeys;
        let broken = Broken {
            breakage: self.0,
            opened_by: thread::current().id(),
            count: Arc::default(),
            capabilities,
            last: Arc::clone(&place.last),
        };
        Ok(Intercepted::new(store, broken))
    }
}
