//! The thread that writes: what waits is ordered, answered, written as one atomic batch and synced once.
//!
//! ```text
//! take all -> order each over one transaction (all or nothing) -> outcomes answered, in one lot; again, while the last group is
//!             synced -> write the transaction's changes -> sync, if somebody asked for more than memory -> receipts resolved
//! ```
//!
//! Another thread syncs (`syncer`). Meanwhile the next group is ordered, and it is written when that sync has ended: the slower
//! the sync, the larger the group. Those who waited for a commit often come back with their next batch right behind it, and the
//! first of them would be a group of its own while the others wait for its sync. So the writer waits for as many as the last
//! group had. What that saves is a sync, so it waits for no longer than a fraction of one: what it costs to write the rows
//! themselves it costs in one group or in two, and meanwhile those who are not in the group are on their way.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::closed;
use super::commitment::{Commitment, Pledge};
use super::mailbox::Wait;
use super::numbers::Numbers;
use super::oneshot::Sender;
use super::reader::CloseWhenGone;
use super::syncer::{Life, Syncer};
use super::transaction::{Pending, Room, Transaction};
use crate::encoding::Counters;
use crate::{
    Batch, Certainty, Durability, ErrorKind, KvSnapshot, OpenSession, OpenedSession, OrderedKv, Outcome,
    Result, SpentNumbers, StoreError, WriteBatch,
};

/// The longest wait for those who are expected back, as a part of the last sync.
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
    pub(super) life: Life,
    pub(super) syncer: Syncer,
    pub(super) done: Arc<Done>,
    pub(super) counters: Counters,
    /// Numbers of entries that were told and not written.
    pub(super) spent: SpentNumbers,
    pub(super) strongest: Durability,
    /// The most retained messages.
    pub(super) max_retained: Option<usize>,
    /// A group takes no more batches than this, and no more bytes of messages.
    pub(super) max_group: (usize, usize),
    pub(super) pace: Pace,
    /// Whether something was written that no sync has covered, or is to cover.
    pub(super) unsynced: bool,
    /// Whether the engine failed: nothing more is asked of it.
    pub(super) dead: bool,
}

/// What the last group tells of the next.
#[derive(Default)]
pub(super) struct Pace {
    /// How many come back, maybe.
    expected: usize,
    /// How long it is worth to wait for them.
    patience: Duration,
}

impl Pace {
    /// Behind a group of so many, when a sync took so long.
    fn behind(size: usize, sync: Duration) -> Pace {
        Pace { expected: size, patience: MAX_PATIENCE.min(sync / PATIENCE_DIVISOR) }
    }

    /// How long a group of so many waits for more.
    fn wait(&self, has: usize, a_sync_is_under_way: bool, deadline: Instant) -> Wait {
        if a_sync_is_under_way {
            Wait::UntilNudged
        } else if has < self.expected {
            Wait::Until(deadline)
        } else {
            Wait::No
        }
    }

    /// How many more are worth to be woken for: who is woken for each of them orders nothing else.
    fn enough(&self, has: usize) -> usize {
        self.expected.saturating_sub(has).max(self.expected / 4).max(1)
    }
}

/// A group whose batches have their places: who waits for its commit.
pub(super) struct Group {
    pledge: Pledge,
    /// How many requests it has, and how many bytes of messages.
    size: (usize, usize),
    /// The strongest level that somebody asked for.
    asked: Durability,
    ordered: Vec<(Sender<Result<Ordered>>, Result<Ordered>)>,
    opened: Vec<(Sender<Result<OpenedSession>>, OpenedSession)>,
    close: Option<Sender<Result<()>>>,
}

impl<K> Drop for Writer<K> {
    fn drop(&mut self) {
        // Also when it panics: what is in the engine is not what was told, and nobody is to read it.
        self.life.end();
    }
}

impl<K: OrderedKv> Writer<K> {
    /// Writes until the mailbox is closed and empty.
    pub(super) fn run(mut self) {
        let requests = CloseWhenGone(Arc::clone(&self.life.requests));
        while let Some((requests, bytes)) = requests.0.take_all() {
            self.dead |= self.syncer.has_failed();
            if self.dead {
                requests.into_iter().for_each(|request| refuse(request, &closed()));
                continue;
            }
            let before = self.counters;
            let mut group = Group::new(requests.len());
            let (changes, numbers) = self.order(&mut group, requests, bytes);
            self.commit(group, &changes, numbers, before);
        }
        // Dropped without being closed: what was ordered is not lost for that, and there is nobody to tell.
        if self.syncer.wait() && self.unsynced && !self.dead {
            let _ = self.kv.sync();
        }
    }

    /// Gives these requests their places, and what comes while nothing can be written yet; answers what is to be written.
    fn order(
        &mut self,
        group: &mut Group,
        requests: VecDeque<Request>,
        bytes: usize,
    ) -> (WriteBatch, Numbers) {
        let mut pending = Pending::new(&mut self.counters, &self.spent);
        let mut deadline = None;
        let mut next = (requests, bytes);
        while !next.0.is_empty() {
            let (requests, bytes) = next;
            group.size = (group.size.0 + requests.len(), group.size.1 + bytes);
            // Nothing more is asked of an engine of which a sync failed meanwhile.
            let snapshot = if self.syncer.has_failed() { Err(closed()) } else { self.kv.snapshot() };
            match snapshot {
                Ok(snapshot) => {
                    let room =
                        Room { for_growth: self.kv.has_room(group.size.1), max_retained: self.max_retained };
                    let mut transaction = Transaction::over(snapshot, room, pending);
                    for request in requests {
                        group.order(&mut transaction, request, self.strongest);
                    }
                    pending = transaction.pause();
                    group.tell_ordered();
                }
                Err(error) => requests.into_iter().for_each(|request| refuse(request, &error)),
            }
            let has = group.size.0;
            let is_full = has >= self.max_group.0 || group.size.1 >= self.max_group.1;
            let deadline = *deadline.get_or_insert_with(|| Instant::now() + self.pace.patience);
            let wait = || self.pace.wait(has, self.syncer.is_busy(), deadline);
            if is_full || matches!(wait(), Wait::No) {
                break;
            }
            next = self.life.requests.take_more(self.pace.enough(has), wait);
        }
        let numbers = pending.take_numbers();
        (pending.into_batch(), numbers)
    }

    /// Writes the changes, and has them synced if somebody asked for that; answers the group then.
    fn commit(&mut self, group: Group, changes: &WriteBatch, numbers: Numbers, before: Counters) {
        self.done.batches.fetch_add(group.size.0 as u64, Ordering::Relaxed);
        if let Err(error) = self.write(changes) {
            // Nothing of it was written, or the store is done for.
            let Counters { retained, tally, .. } = before;
            self.counters = Counters { retained, tally, ..self.counters };
            numbers.spend(&mut self.spent);
            return group.answer(&Err(error));
        }
        numbers.settle(&mut self.spent);
        let (is_alone, size) = (group.size.0 == 1 && self.life.requests.is_empty(), group.size.0);
        if group.asked == Durability::Memory {
            group.answer(&Ok(Durability::Memory));
        } else if !std::mem::take(&mut self.unsynced) {
            group.answer(&Ok(self.strongest));
        } else if is_alone || self.strongest == Durability::Memory {
            self.syncer.sync_here(&*self.kv, group);
        } else {
            self.syncer.begin(group);
        }
        self.pace = Pace::behind(size, self.syncer.took());
    }

    /// Writes the changes, when what was written before is synced as far as it is to be.
    fn write(&mut self, changes: &WriteBatch) -> Result<()> {
        if !self.syncer.wait() {
            self.dead = true;
            return Err(closed());
        }
        if changes.is_empty() {
            return Ok(());
        }
        self.kv.write(changes).inspect_err(|error| {
            let passing = matches!(error.kind(), ErrorKind::Retry | ErrorKind::Full);
            if !passing || error.certainty() == Certainty::Unknown {
                self.dead = true;
                self.life.end();
            }
        })?;
        self.unsynced = true;
        self.done.commits.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

impl Group {
    fn new(requests: usize) -> Group {
        Group {
            pledge: Pledge::new(),
            size: (0, 0),
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

    /// Answers who has a place since this was called last.
    fn tell_ordered(&mut self) {
        for (sender, result) in self.ordered.drain(..) {
            sender.send(result);
        }
    }

    pub(super) fn answer(self, result: &Result<Durability>) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_expected_back_is_waited_for_as_long_as_a_part_of_a_sync() {
        let pace = Pace::behind(64, Duration::from_micros(800));
        assert_eq!(pace.patience, Duration::from_micros(200));
        assert_eq!(Pace::behind(64, Duration::from_secs(1)).patience, MAX_PATIENCE);
        let now = Instant::now();
        assert!(matches!(pace.wait(63, false, now), Wait::Until(_)));
        assert!(matches!(pace.wait(64, false, now), Wait::No));
        assert!(matches!(pace.wait(64, true, now), Wait::UntilNudged), "nothing can be written yet");
    }
}
