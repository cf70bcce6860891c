//! The thread that writes: what waits is ordered, answered, written as one atomic batch and synced once.
//!
//! ```text
//! take all -> order each over one transaction (all or nothing) -> outcomes answered, in one lot
//!          -> write the transaction's changes -> sync, if somebody asked for more than memory -> receipts resolved
//! ```
//!
//! While a group is written and synced, the next one gathers in the mailbox: the slower the sync, the larger the group.
//! Those who waited for a commit often come back with their next batch right behind it, and the first of them would be
//! a group of its own while the others wait for its sync. So the writer waits for as many as the last group had, and
//! for no longer than a fraction of what that group's commit took.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::closed;
use super::commitment::{Commitment, Pledge};
use super::mailbox::{Gathering, Mailbox};
use super::oneshot::Sender;
use super::reader::CloseWhenGone;
use super::transaction::{Room, Transaction};
use crate::encoding::Counters;
use crate::{
    Batch, Certainty, Durability, ErrorKind, KvSnapshot, OpenSession, OpenedSession, OrderedKv, Outcome,
    Result, SpentNumbers, StoreError, WriteBatch,
};

/// The longest wait for those who are expected back, as a part of the last commit.
const PATIENCE_DIVISOR: u32 = 4;

/// The longest wait for those who are expected back.
const MAX_PATIENCE: Duration = Duration::from_millis(1);

/// What the writer is asked for.
pub(super) enum Request {
    Open(OpenSession, Sender<Result<OpenedSession>>),
    Submit(Batch, Sender<Result<Ordered>>),
    Close(Sender<Result<()>>),
}

/// A batch that has its place.
pub(super) struct Ordered {
    pub(super) outcomes: Vec<Outcome>,
    pub(super) commitment: Commitment,
}

/// What the writer has done, for whoever asks.
#[derive(Default)]
pub(super) struct Done {
    pub(super) batches: AtomicU64,
    pub(super) commits: AtomicU64,
}

/// The writer, before and while it runs.
pub(super) struct Writer<K> {
    pub(super) kv: Arc<K>,
    pub(super) requests: Arc<Mailbox<Request>>,
    pub(super) closed: Arc<AtomicBool>,
    pub(super) done: Arc<Done>,
    pub(super) counters: Counters,
    /// Numbers of entries that were told and not written.
    pub(super) spent: SpentNumbers,
    pub(super) strongest: Durability,
    /// The most retained messages.
    pub(super) max_retained: Option<usize>,
    /// Whether something was written that no sync has covered.
    pub(super) unsynced: bool,
    /// Whether the engine failed: nothing more is asked of it.
    pub(super) dead: bool,
}

/// A group whose batches have their places: who waits for its commit.
struct Group {
    pledge: Pledge,
    /// The strongest level that somebody asked for.
    asked: Durability,
    ordered: Vec<(Sender<Result<Ordered>>, Result<Ordered>)>,
    opened: Vec<(Sender<Result<OpenedSession>>, OpenedSession)>,
    close: Option<Sender<Result<()>>>,
}

impl<K: OrderedKv> Writer<K> {
    /// Writes until the mailbox is closed and empty.
    pub(super) fn run(mut self) {
        let requests = CloseWhenGone(Arc::clone(&self.requests));
        let mut gathering = Gathering::NONE;
        while let Some((requests, bytes)) = requests.0.take_all(gathering) {
            let expected = requests.len();
            // Not the time of the contract, which is an argument: how long this engine takes.
            let start = Instant::now();
            self.write_group(requests, bytes);
            let patience = MAX_PATIENCE.min(start.elapsed() / PATIENCE_DIVISOR);
            gathering = Gathering { expected, patience };
        }
        // Dropped without being closed: what was ordered is not lost for that, and there is nobody to tell.
        if self.unsynced && !self.dead {
            let _ = self.kv.sync();
        }
    }

    fn write_group(&mut self, requests: VecDeque<Request>, bytes: usize) {
        self.done.batches.fetch_add(requests.len() as u64, Ordering::Relaxed);
        let kv = Arc::clone(&self.kv);
        let ordered = match self.dead {
            true => Err(closed()),
            false => kv.snapshot(),
        };
        let mut group = Group::new(requests.len());
        let room = Room { for_growth: kv.has_room(bytes), max_retained: self.max_retained };
        let Counters { retained, tally, .. } = self.counters;
        let (changes, numbers) = match ordered {
            Ok(snapshot) => {
                let mut transaction = Transaction::new(&snapshot, &mut self.counters, &self.spent, room);
                for request in requests {
                    group.order(&mut transaction, request, self.strongest);
                }
                let numbers = transaction.take_numbers();
                (transaction.into_batch(), numbers)
            }
            Err(error) => {
                requests.into_iter().for_each(|request| refuse(request, &error));
                return;
            }
        };
        for (sender, result) in std::mem::take(&mut group.ordered) {
            sender.send(result);
        }
        let result = self.commit(&kv, &changes, group.asked);
        match &result {
            Ok(_) => numbers.settle(&mut self.spent),
            // Nothing of it was written, or the store is done for.
            Err(_) => {
                self.counters = Counters { retained, tally, ..self.counters };
                numbers.spend(&mut self.spent);
            }
        }
        group.answer(&result);
    }

    /// Writes the changes and syncs if somebody asked for that; answers the level reached.
    fn commit(&mut self, kv: &K, changes: &WriteBatch, asked: Durability) -> Result<Durability> {
        if !changes.is_empty() {
            kv.write(changes).inspect_err(|error| {
                let passing = matches!(error.kind(), ErrorKind::Retry | ErrorKind::Full);
                if !passing || error.certainty() == Certainty::Unknown {
                    self.die();
                }
            })?;
            self.unsynced = true;
            self.done.commits.fetch_add(1, Ordering::Relaxed);
        }
        if asked == Durability::Memory {
            return Ok(Durability::Memory);
        }
        if self.unsynced {
            kv.sync().map_err(|error| {
                self.die();
                StoreError::unknown(
                    ErrorKind::Fatal,
                    format!("a sync failed, the store must be opened again: {error}"),
                )
            })?;
            self.unsynced = false;
        }
        Ok(self.strongest)
    }

    /// The engine failed: everything that comes is answered `Closed`.
    fn die(&mut self) {
        self.dead = true;
        self.closed.store(true, Ordering::Release);
        self.requests.close(None);
    }
}

impl Group {
    fn new(requests: usize) -> Group {
        Group {
            pledge: Pledge::new(),
            asked: Durability::Memory,
            ordered: Vec::with_capacity(requests),
            opened: Vec::new(),
            close: None,
        }
    }

    /// Gives a request its place.
    fn order<S: KvSnapshot>(
        &mut self,
        transaction: &mut Transaction<'_, S>,
        request: Request,
        strongest: Durability,
    ) {
        match request {
            Request::Open(open, sender) => {
                let asked = open.durability;
                match transaction.all_or_nothing(|rows| rows.open_session(open)) {
                    Ok(opened) => {
                        self.asked = self.asked.max(asked);
                        self.opened.push((sender, opened));
                    }
                    Err(error) => sender.send(Err(error)),
                }
            }
            Request::Submit(batch, sender) => {
                let asked = batch.durability;
                let ordered = transaction.all_or_nothing(|rows| rows.submit(batch)).map(|outcomes| {
                    self.asked = self.asked.max(asked);
                    Ordered { outcomes, commitment: self.pledge.commitment() }
                });
                self.ordered.push((sender, ordered));
            }
            // Closing makes everything durable that was ordered.
            Request::Close(sender) => {
                self.asked = strongest;
                self.close = Some(sender);
            }
        }
    }

    fn answer(self, result: &Result<Durability>) {
        self.pledge.resolve(result.clone());
        for (sender, opened) in self.opened {
            sender.send(result.clone().map(|_| opened));
        }
        if let Some(sender) = self.close {
            sender.send(result.clone().map(|_| ()));
        }
    }
}

fn refuse(request: Request, error: &StoreError) {
    match request {
        Request::Open(_, sender) => sender.send(Err(error.clone())),
        Request::Submit(_, sender) => sender.send(Err(error.clone())),
        Request::Close(sender) => sender.send(Err(error.clone())),
    }
}
