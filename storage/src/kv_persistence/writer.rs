//! The thread that writes: what waits is ordered, answered, written as one atomic batch and synced once.
//!
//! ```text
//! take all -> order each over one transaction (all or nothing) -> outcomes answered
//!          -> write the transaction's changes -> sync, if somebody asked for more than memory -> receipts resolved
//! ```
//!
//! While a group is written and synced, the next one gathers in the mailbox: the slower the sync, the larger the group.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::closed;
use super::mailbox::Mailbox;
use super::oneshot::{self, Receiver, Sender};
use super::reader::CloseWhenGone;
use super::transaction::Transaction;
use crate::encoding::Counters;
use crate::{
    Batch, Certainty, Commit, Durability, ErrorKind, OpenSession, OpenedSession, OrderedKv, Outcome, Result,
    StoreError, WriteBatch,
};

/// What the writer is asked for.
pub(super) enum Request {
    Open(OpenSession, Sender<Result<OpenedSession>>),
    Submit(Batch, Sender<Result<Ordered>>),
    Close(Sender<Result<()>>),
}

/// A batch that has its place.
pub(super) struct Ordered {
    pub(super) outcomes: Vec<Outcome>,
    pub(super) durable: Receiver<Result<Commit>>,
}

/// Who waits for the commit of a group, and what is answered then.
enum Waiting {
    Batch(Durability, Sender<Result<Commit>>),
    Open(Durability, Box<OpenedSession>, Sender<Result<OpenedSession>>),
    Close(Sender<Result<()>>),
}

impl Waiting {
    /// The level that is waited for. Closing makes everything durable that was ordered.
    fn asked(&self, strongest: Durability) -> Durability {
        match self {
            Waiting::Batch(asked, _) | Waiting::Open(asked, ..) => *asked,
            Waiting::Close(_) => strongest,
        }
    }

    fn answer(self, result: Result<Durability>) {
        match self {
            Waiting::Batch(_, sender) => sender.send(result.map(|durability| Commit { durability })),
            Waiting::Open(_, opened, sender) => sender.send(result.map(|_| *opened)),
            Waiting::Close(sender) => sender.send(result.map(|_| ())),
        }
    }
}

/// What the writer has done, for whoever asks.
#[derive(Default)]
pub(super) struct Done {
    pub(super) batches: AtomicU64,
    pub(super) commits: AtomicU64,
}

/// The writer, before and while it runs.
pub(super) struct Writer<K> {
    done: Arc<Done>,
    kv: Arc<K>,
    requests: Arc<Mailbox<Request>>,
    closed: Arc<AtomicBool>,
    counters: Counters,
    strongest: Durability,
    /// Whether something was written that no sync has covered.
    unsynced: bool,
    /// Whether the engine failed: nothing more is asked of it.
    dead: bool,
}

impl<K: OrderedKv> Writer<K> {
    pub(super) fn new(
        kv: Arc<K>,
        requests: Arc<Mailbox<Request>>,
        closed: Arc<AtomicBool>,
        counters: Counters,
        done: Arc<Done>,
    ) -> Writer<K> {
        let strongest = kv.capabilities().durability;
        Writer { done, kv, requests, closed, counters, strongest, unsynced: false, dead: false }
    }

    /// Writes until the mailbox is closed and empty.
    pub(super) fn run(mut self) {
        let requests = CloseWhenGone(Arc::clone(&self.requests));
        while let Some(group) = requests.0.take_all() {
            self.write_group(group);
        }
        // Dropped without being closed: what was ordered is not lost for that, and there is nobody to tell.
        if self.unsynced && !self.dead {
            let _ = self.kv.sync();
        }
    }

    fn write_group(&mut self, group: VecDeque<Request>) {
        self.done.batches.fetch_add(group.len() as u64, Ordering::Relaxed);
        let kv = Arc::clone(&self.kv);
        let mut waiting = Vec::new();
        let ordered = match self.dead {
            true => Err(closed()),
            false => kv.snapshot(),
        };
        let changes = match ordered {
            Ok(snapshot) => {
                let mut transaction = Transaction::new(&snapshot, &mut self.counters);
                group.into_iter().for_each(|request| order(&mut transaction, request, &mut waiting));
                transaction.into_batch()
            }
            Err(error) => {
                group.into_iter().for_each(|request| refuse(request, &error));
                return;
            }
        };
        let result = self.commit(&kv, &changes, &waiting);
        for waiter in waiting {
            waiter.answer(result.clone());
        }
    }

    /// Writes the changes and syncs if somebody asked for that; answers the level reached.
    fn commit(&mut self, kv: &K, changes: &WriteBatch, waiting: &[Waiting]) -> Result<Durability> {
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
        let asked = waiting.iter().map(|waiter| waiter.asked(self.strongest)).max();
        if asked.is_none_or(|asked| asked == Durability::Memory) {
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

/// Gives a request its place in the group, and answers what is answered at once.
fn order<S: crate::KvSnapshot>(
    transaction: &mut Transaction<'_, S>,
    request: Request,
    waiting: &mut Vec<Waiting>,
) {
    match request {
        Request::Open(open, sender) => {
            let asked = open.durability;
            match transaction.all_or_nothing(|rows| rows.open_session(open)) {
                Ok(opened) => waiting.push(Waiting::Open(asked, Box::new(opened), sender)),
                Err(error) => sender.send(Err(error)),
            }
        }
        Request::Submit(batch, sender) => {
            let asked = batch.durability;
            match transaction.all_or_nothing(|rows| rows.submit(batch)) {
                Ok(outcomes) => {
                    let (commit, durable) = oneshot::channel();
                    waiting.push(Waiting::Batch(asked, commit));
                    sender.send(Ok(Ordered { outcomes, durable }));
                }
                Err(error) => sender.send(Err(error)),
            }
        }
        Request::Close(sender) => waiting.push(Waiting::Close(sender)),
    }
}

fn refuse(request: Request, error: &StoreError) {
    match request {
        Request::Open(_, sender) => sender.send(Err(error.clone())),
        Request::Submit(_, sender) => sender.send(Err(error.clone())),
        Request::Close(sender) => sender.send(Err(error.clone())),
    }
}
