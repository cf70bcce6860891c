//! The writer: one thread that owns the one writing connection and drains what waits into one transaction a commit.
//!
//! A batch that was applied to the open transaction has its outcomes and is *ordered*. What can refuse it is asked before
//! anything is changed; one that fails later (a full disk, a damaged row) is rare, and costs: the transaction is rolled
//! back and what was applied before is applied again, with the same outcomes. So no batch pays for a savepoint.
//!
//! A commit is synced by another thread (`sync.rs`) while what comes is applied already: it is the next transaction, and is
//! committed when the sync has ended. The slower the disk, the larger the group.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use opifex_storage::{Batch, Durability, ErrorKind, OpenSession, OpenedSession, Outcome, Result, StoreError};
use rusqlite::Connection;

use crate::answer::Asker;
use crate::channel::{Channel, Wait};
use crate::fault::{Fault, kind_of, of_engine};
use crate::pace::Pace;
use crate::state::State;
use crate::sync::{Commitment, Syncer, Waiters, Written};
use crate::tally::Tally;

/// A transaction takes no more commands than this, so that the first of it does not wait for ever.
const MAX_GROUP: usize = 4096;

/// And no more bytes of messages.
const MAX_GROUP_BYTES: usize = 32 << 20;

/// The callers of so many batches at most wait to be told that they are ordered.
const MAX_UNTOLD: usize = 256;

/// The write-ahead log is copied into the database after so many transactions or bytes.
const CHECKPOINT_GROUPS: usize = 500;
const CHECKPOINT_BYTES: usize = 16 << 20;

/// A batch that has its place in the order.
pub(crate) struct Ordered {
    pub(crate) outcomes: Vec<Outcome>,
    pub(crate) commitment: Arc<Commitment>,
}

/// What the writer is asked to do.
pub(crate) enum Command {
    Submit(Batch, Asker<Result<Ordered>>),
    Open(OpenSession, Asker<Result<OpenedSession>>),
}

impl Command {
    fn durability(&self) -> Durability {
        match self {
            Command::Submit(batch, _) => batch.durability,
            Command::Open(open, _) => open.durability,
        }
    }

    /// What it weighs in the queue: the bytes of its messages, and something for each operation.
    pub(crate) fn weight(&self) -> usize {
        use opifex_storage::Op;
        let message = |op: &Op| match op {
            Op::Enqueue { message, targets } => message.size_bytes() + 64 * targets.len(),
            Op::Retain(message) => message.size_bytes(),
            _ => 0,
        };
        64 + match self {
            Command::Submit(batch, _) => batch.ops.iter().map(|op| 64 + message(op)).sum(),
            Command::Open(open, _) => open.will.as_ref().map_or(0, |will| will.message.size_bytes()),
        }
    }
}

/// How much was written together.
#[derive(Default)]
pub(crate) struct Counters {
    pub(crate) batches: AtomicU64,
    pub(crate) commits: AtomicU64,
}

/// The writing thread's own.
pub(crate) struct Writer {
    pub(crate) db: Connection,
    pub(crate) commands: Arc<Channel<Command>>,
    pub(crate) counters: Arc<Counters>,
    /// What a commit is synced for at most.
    pub(crate) max_durability: Durability,
    /// The most retained messages.
    pub(crate) max_retained: Option<usize>,
    /// Closes the store when the engine fails, or this thread does.
    pub(crate) fail: Box<dyn Fn() + Send>,
    pub(crate) syncer: Syncer,
    pub(crate) groups: usize,
    pub(crate) bytes: usize,
    pub(crate) pace: Pace,
    /// What is there since the last commit.
    pub(crate) tally: Tally,
}

/// A transaction that is open.
struct Group {
    waiters: Waiters,
    /// What was applied, in order: the transaction can be made again from it.
    work: Vec<Work>,
    /// Batches that were applied and whose callers do not know it yet.
    applied: Vec<(Asker<Result<Ordered>>, Vec<Outcome>)>,
    batches: usize,
    bytes: usize,
    /// What is there after it, if it changes something.
    tally: Option<Tally>,
}

/// What is applied.
enum Work {
    Batch(Batch),
    Open(OpenSession),
}

impl Group {
    fn new() -> Group {
        Group {
            waiters: Waiters::new(),
            work: Vec::new(),
            applied: Vec::new(),
            batches: 0,
            bytes: 0,
            tally: None,
        }
    }

    /// Tells what was applied that it is ordered: some at a time, since each telling may wake a thread.
    fn tell_ordered(&mut self) {
        for (asker, outcomes) in self.applied.drain(..) {
            asker.give(Ok(Ordered { outcomes, commitment: Arc::clone(&self.waiters.commitment) }));
        }
    }

    /// Tells everybody that the transaction failed.
    fn tell_failed(&mut self, error: &StoreError) {
        self.waiters.tell(Err(error.clone()));
        for (asker, _) in self.applied.drain(..) {
            asker.give(Err(error.clone()));
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        (self.fail)();
    }
}

impl Writer {
    /// Works until the queue is closed and empty.
    pub(crate) fn run(mut self) {
        while let Some(first) = self.commands.receive() {
            if !self.transact(first) {
                return;
            }
            self.checkpoint_if_long();
        }
        if self.syncer.wait().is_err() {
            return;
        }
        // The log goes with the last connection; what is ordered is durable without that.
        let _ = self.db.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)");
    }

    /// One transaction of what waits now. Answers whether the store can go on.
    fn transact(&mut self, first: Command) -> bool {
        let durability = first.durability().clamp(Durability::Process, self.max_durability);
        if let Err(error) = self.execute("BEGIN IMMEDIATE") {
            first.refuse(told(&error));
            return self.survives(&error);
        }
        let mut group = Group::new();
        match self.fill(first, durability, &mut group) {
            Ok(()) => self.commit(group, durability),
            Err(error) => self.roll_back(group, error, false),
        }
    }

    /// Applies the first command and what comes until the transaction is to be committed. An error is one of the
    /// whole transaction.
    fn fill(
        &mut self,
        first: Command,
        durability: Durability,
        group: &mut Group,
    ) -> Result<(), rusqlite::Error> {
        // What wants more of the disk than this transaction gives begins the next one.
        let joins = |command: &Command| command.durability().min(self.max_durability) <= durability;
        let mut deadline = None;
        let mut state = State::new(&self.db, self.tally).with_at_most(self.max_retained);
        let mut next = Some(first);
        while let Some(command) = next {
            group.batches += 1;
            group.bytes += command.weight();
            if let Refused::AndApplyAgain = apply(&state, command, group)? {
                state = self.apply_again(group)?;
                break;
            }
            if group.batches >= MAX_GROUP || group.bytes >= MAX_GROUP_BYTES {
                break;
            }
            if group.applied.len() >= MAX_UNTOLD {
                group.tell_ordered();
            }
            next = self.commands.try_receive_if(joins).or_else(|| {
                group.tell_ordered();
                self.commands.receive_if_while(joins, || {
                    if self.syncer.is_busy() {
                        // It cannot be committed yet, and who was told of the last commit cannot be back.
                        return Wait::UntilWoken;
                    }
                    match self.pace.expects_more(group.batches) {
                        true => Wait::Until(*deadline.get_or_insert_with(|| self.pace.deadline())),
                        false => Wait::No,
                    }
                })
            });
        }
        group.tell_ordered();
        group.tally = state.finish().map_err(of_engine)?;
        Ok(())
    }

    /// A batch failed half done: the transaction is made again without it. What was applied before has its outcomes,
    /// and gets the same ones; if it cannot be applied again all of it fails.
    fn apply_again(&self, group: &Group) -> Result<State<'_>, rusqlite::Error> {
        // The engine may have rolled back by itself.
        if !self.db.is_autocommit() {
            self.execute("ROLLBACK")?;
        }
        self.execute("BEGIN IMMEDIATE")?;
        let state = State::new(&self.db, self.tally).with_at_most(self.max_retained);
        for work in &group.work {
            match work {
                Work::Batch(batch) => drop(state.submit(batch).map_err(of_engine)?),
                Work::Open(open) => drop(state.open_session(open).map_err(of_engine)?),
            }
        }
        Ok(state)
    }

    fn commit(&mut self, mut group: Group, durability: Durability) -> bool {
        // What of the transaction before did not come to the disk makes an end of this one, too.
        let synced = match self.syncer.wait() {
            Ok(took) => took,
            Err(error) => {
                let _ = self.execute("ROLLBACK");
                group.tell_failed(&error);
                return false;
            }
        };
        let begun = Instant::now();
        if let Err(error) = self.execute("COMMIT") {
            return self.roll_back(group, error, true);
        }
        self.groups += 1;
        self.bytes += group.bytes;
        self.counters.batches.fetch_add(group.batches as u64, Ordering::Relaxed);
        self.counters.commits.fetch_add(1, Ordering::Relaxed);
        self.tally = group.tally.unwrap_or(self.tally);
        let (waiting, alone) = (self.commands.len(), group.batches == 1);
        self.pace.committed(group.batches, waiting, synced.max(begun.elapsed()));
        let written = Written {
            waiters: group.waiters,
            level: durability,
            syncs: durability >= Durability::Disk && group.tally.is_some(),
            // A power loss may take a commit that asked for less than the store offers, and that is no damage.
            mark: group.tally.map(|tally| tally.commit).filter(|_| durability == self.max_durability),
        };
        if written.syncs && !(alone && waiting == 0) {
            self.syncer.begin(written);
            return true;
        }
        let settled = self.syncer.settle(written).is_ok();
        if !settled {
            (self.fail)();
        }
        settled
    }

    /// The transaction failed: everything of it fails, and the store goes on from its last commit, if it can.
    fn roll_back(&mut self, mut group: Group, error: rusqlite::Error, committing: bool) -> bool {
        let rolled_back = self.db.is_autocommit() || self.db.execute_batch("ROLLBACK").is_ok();
        let survives = rolled_back && self.survives(&error);
        let error = if survives || !committing {
            told(&error)
        } else {
            // A sync that failed leaves open what of it is on disk.
            StoreError::unknown(ErrorKind::Fatal, format!("a commit failed: sqlite: {error}"))
        };
        if !survives {
            (self.fail)();
        }
        group.tell_failed(&error);
        survives
    }

    /// Whether the store goes on after such an error.
    fn survives(&self, error: &rusqlite::Error) -> bool {
        matches!(kind_of(error), ErrorKind::Full | ErrorKind::Retry | ErrorKind::TooLarge)
    }

    fn execute(&self, sql: &str) -> Result<(), rusqlite::Error> {
        self.db.prepare_cached(sql)?.execute([]).map(drop)
    }

    /// Copies the log into the database once it is long: after the answers were given, so that nobody waits for it
    /// but who comes next.
    fn checkpoint_if_long(&mut self) {
        if self.groups < CHECKPOINT_GROUPS && self.bytes < CHECKPOINT_BYTES {
            return;
        }
        if self.syncer.wait().is_err() {
            return;
        }
        (self.groups, self.bytes) = (0, 0);
        // One that fails or finds readers in its way leaves a longer log, and is tried again.
        let _ = self.db.execute_batch("PRAGMA wal_checkpoint(PASSIVE)");
    }
}

/// What becomes of the transaction when a command was refused.
enum Refused {
    /// Nothing: the command was applied, or left no trace.
    NoTrace,
    /// It left half of itself.
    AndApplyAgain,
}

/// Applies a command and answers it, or refuses it. An error is one of the whole transaction: the engine is in a state
/// to be trusted no more.
fn apply(state: &State<'_>, command: Command, group: &mut Group) -> Result<Refused, rusqlite::Error> {
    state.take_changed();
    match command {
        Command::Submit(batch, asker) => match state.submit(&batch) {
            Ok(outcomes) => {
                group.applied.push((asker, outcomes));
                group.work.push(Work::Batch(batch));
                Ok(Refused::NoTrace)
            }
            Err(fault) => refuse(state, fault, |error| asker.give(Err(error))),
        },
        Command::Open(open, asker) => match state.open_session(&open) {
            Ok(opened) => {
                group.waiters.opened.push((asker, opened));
                group.work.push(Work::Open(open));
                Ok(Refused::NoTrace)
            }
            Err(fault) => refuse(state, fault, |error| asker.give(Err(error))),
        },
    }
}

fn refuse(
    state: &State<'_>,
    fault: Fault,
    tell: impl FnOnce(StoreError),
) -> Result<Refused, rusqlite::Error> {
    match fault {
        Fault::Engine(error) if kind_of(&error) == ErrorKind::Fatal => {
            tell(told(&error));
            Err(error)
        }
        fault => {
            tell(fault.into());
            Ok(if state.take_changed() { Refused::AndApplyAgain } else { Refused::NoTrace })
        }
    }
}

impl Command {
    fn refuse(self, error: StoreError) {
        match self {
            Command::Submit(_, asker) => asker.give(Err(error)),
            Command::Open(_, asker) => asker.give(Err(error)),
        }
    }
}

/// An error of the engine that left no trace.
fn told(error: &rusqlite::Error) -> StoreError {
    StoreError::not_applied(kind_of(error), format!("sqlite: {error}"))
}

#[cfg(test)]
mod tests;
