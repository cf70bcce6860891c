//! Stores that are broken in ways that only random histories, threads, dropped futures and failures show: each is caught
//! by the case that looks for that, and the plain contract's cases of the same kind pass it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::thread::{self, ThreadId};

use opifex_conformance::faults::{Intercept, Intercepted};
use opifex_conformance::{Factory, Verdict, block_on, judge_by_id};
use opifex_storage::{
    Batch, Capabilities, Commit, Durability, ErrorKind, Op, Outcome, Persistence, Receipt, Result, StoreError,
};
use opifex_storage_memory::MemoryStore;

/// What a store does wrong.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Breakage {
    Nothing,
    /// The sixth message is queued for nobody.
    SixthForNobody,
    /// Unsubscribing removes nothing.
    NeverUnsubscribes,
    /// A thread that did not open the store queues twice what it queues.
    OtherThreadsQueueTwice,
    /// Waits between the halves of a batch.
    HalfBeforeAWait,
    /// Applies a batch once more when nobody waits for it.
    AgainUnlessAwaited,
    /// Refuses instead of making wait.
    RefusesTheHundredth,
    /// Claims to survive the process, and has nothing to wait for.
    TakesTheThread,
    /// Claims that it keeps idempotency keys.
    HasNoKeys,
}

#[derive(Clone, Debug)]
struct Broken {
    breakage: Breakage,
    opened_by: ThreadId,
    count: Arc<AtomicUsize>,
    capabilities: Capabilities,
}

impl Broken {
    /// One more of something; answers how many there were.
    fn next(&self) -> usize {
        self.count.fetch_add(1, Ordering::SeqCst)
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
        inner.open_session(opifex_storage::OpenSession { durability: Durability::Memory, ..open }).await
    }

    async fn submit(&self, inner: &MemoryStore, batch: Batch) -> Result<Receipt> {
        let asked = batch.durability;
        let batch = Batch {
            ops: batch.ops.iter().map(|op| self.bend(op)).collect(),
            durability: Durability::Memory,
            ..batch
        };
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
            _ => {}
        }
        let receipt = inner.submit(batch).await?;
        Ok(Receipt::committed(receipt.outcomes().to_vec(), Commit { durability: asked }))
    }
}

struct Stores(Breakage);

impl Factory for Stores {
    type Store = Intercepted<MemoryStore, Broken>;
    type Place = MemoryStore;

    fn place(&self) -> MemoryStore {
        MemoryStore::new()
    }

    async fn open(&self, place: &MemoryStore) -> Result<Self::Store> {
        let mut capabilities = place.capabilities().clone();
        if self.0 == Breakage::TakesTheThread {
            capabilities.max_durability = Durability::Process;
        }
        capabilities.unknown_outcomes = self.0 == Breakage::HasNoKeys;
        let broken = Broken {
            breakage: self.0,
            opened_by: thread::current().id(),
            count: Arc::default(),
            capabilities,
        };
        Ok(Intercepted::new(place.reopen(), broken))
    }
}

/// The case passes a store that is whole, and fails on the broken one. Answers what it says.
fn caught(breakage: Breakage, case: &str) -> String {
    assert_eq!(
        judge_by_id(Stores(Breakage::Nothing), case).verdict,
        Verdict::Passed,
        "{case}, nothing broken"
    );
    println!("What fails below is meant to:");
    let judgement = judge_by_id(Stores(breakage), case);
    assert_eq!(judgement.verdict, Verdict::Failed, "{case} does not notice: {breakage:?}");
    judgement.reason.unwrap_or_default()
}

fn passed(breakage: Breakage, case: &str) {
    let judgement = judge_by_id(Stores(breakage), case);
    assert_eq!(judgement.verdict, Verdict::Passed, "{case} is about something else: {:?}", judgement.reason);
}

#[test]
fn what_takes_many_steps_is_found_by_histories() {
    caught(Breakage::SixthForNobody, "MOD-01");
    passed(Breakage::SixthForNobody, "INF-05");
    passed(Breakage::SixthForNobody, "INF-09");
}

#[test]
fn a_history_that_disagrees_is_made_a_short_script() {
    let report = caught(Breakage::NeverUnsubscribes, "MOD-01");
    assert!(report.contains("OPIFEX_CONFORMANCE_SEED="), "{report}");
    let steps = report.lines().filter(|line| line.trim_start().starts_with(|c: char| c.is_ascii_digit()));
    assert!(steps.count() <= 4, "{report}");
    assert!(report.contains("unsubscribe"), "{report}");
}

#[test]
fn what_depends_on_the_thread_is_found_by_looking_for_an_order() {
    caught(Breakage::OtherThreadsQueueTwice, "CON-06");
    passed(Breakage::OtherThreadsQueueTwice, "QUE-01");
}

#[test]
fn half_a_batch_is_found_by_dropping_it_where_it_waits() {
    caught(Breakage::HalfBeforeAWait, "CON-07");
    passed(Breakage::HalfBeforeAWait, "ATO-13");
    passed(Breakage::HalfBeforeAWait, "ATO-14");
}

#[test]
fn a_store_that_does_not_make_wait_is_found_by_a_thousand_submits() {
    caught(Breakage::RefusesTheHundredth, "CON-08");
    passed(Breakage::RefusesTheHundredth, "CON-01");
}

#[test]
fn a_store_that_takes_the_thread_is_found_by_others_of_the_thread() {
    caught(Breakage::TakesTheThread, "CON-09");
    passed(Breakage::TakesTheThread, "CON-08");
}

#[test]
fn a_batch_that_is_applied_again_is_found_by_losing_its_answer() {
    caught(Breakage::AgainUnlessAwaited, "FAU-02");
    passed(Breakage::AgainUnlessAwaited, "MOD-01");
}

#[test]
fn a_store_without_keys_that_claims_them_is_found_by_a_batch_in_doubt() {
    caught(Breakage::HasNoKeys, "FAU-04");
}
