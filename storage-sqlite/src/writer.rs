//! The writer: one thread that owns the one writing connection and drains what waits into one transaction a commit.
//!
//! A batch is applied between two savepoints of the open transaction; then its outcomes are known and it is *ordered*.
//! While a commit syncs, what comes waits, and is the next transaction: the slower the disk, the larger the group.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use opifex_storage::{Batch, Durability, ErrorKind, OpenSession, OpenedSession, Outcome, Result, StoreError};
use rusqlite::Connection;

use crate::answer::{Asker, Latch};
use crate::channel::Channel;
use crate::fault::{Fault, kind_of};
use crate::state::State;

/// A transaction takes no more commands than this, so that the first of it does not wait for ever.
const MAX_GROUP: usize = 4096;

/// And no more bytes of messages.
const MAX_GROUP_BYTES: usize = 32 << 20;

/// The callers of so many batches at most wait to be told that they are ordered.
const MAX_UNTOLD: usize = 256;

/// The write-ahead log is copied into the database after so many transactions or bytes.
const CHECKPOINT_GROUPS: usize = 500;
const CHECKPOINT_BYTES: usize = 16 << 20;

/// What the commit of a transaction comes to: the level that it reached.
pub(crate) type Commitment = Latch<Result<Durability>>;

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
    /// Closes the store when the engine fails, or this thread does.
    pub(crate) fail: Box<dyn Fn() + Send>,
    pub(crate) synced: bool,
    pub(crate) groups: usize,
    pub(crate) bytes: usize,
}

/// A transaction that is open.
struct Group {
    commitment: Arc<Commitment>,
    /// Batches that were applied and whose callers do not know it yet.
    applied: Vec<(Asker<Result<Ordered>>, Vec<Outcome>)>,
    opened: Vec<(Asker<Result<OpenedSession>>, OpenedSession)>,
    batches: usize,
    bytes: usize,
}

impl Group {
    /// Tells what was applied that it is ordered: some at a time, since each telling may wake a thread.
    fn tell_ordered(&mut self) {
        for (asker, outcomes) in self.applied.drain(..) {
            asker.give(Ok(Ordered { outcomes, commitment: Arc::clone(&self.commitment) }));
        }
    }

    /// Tells everybody that the transaction failed.
    fn tell_failed(&mut self, error: &StoreError) {
        self.commitment.give(Err(error.clone()));
        for (asker, _) in self.applied.drain(..) {
            asker.give(Err(error.clone()));
        }
        for (asker, _) in self.opened.drain(..) {
            asker.give(Err(error.clone()));
        }
    }
}

impl Drop for Group {
    /// Nobody waits for ever, whatever happened to the writer.
    fn drop(&mut self) {
        self.tell_failed(&StoreError::unknown(ErrorKind::Fatal, "the writer of the store failed"));
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
        // The log goes with the last connection; what is ordered is durable without that.
        let _ = self.db.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)");
    }

    /// One transaction of what waits now. Answers whether the store can go on.
    fn transact(&mut self, first: Command) -> bool {
        let durability = first.durability().clamp(Durability::Process, self.max_durability);
        let mut group = Group {
            commitment: Arc::new(Latch::new()),
            applied: Vec::new(),
            opened: Vec::new(),
            batches: 0,
            bytes: 0,
        };
        let begun = self.sync_for(durability).and_then(|()| self.db.execute_batch("BEGIN IMMEDIATE"));
        if let Err(error) = begun {
            first.refuse(told(&error));
            return self.survives(&error);
        }
        let mut next = Some(first);
        while let Some(command) = next {
            if let Err(error) = self.apply(command, &mut group) {
                return self.roll_back(group, error, false);
            }
            if group.batches >= MAX_GROUP || group.bytes >= MAX_GROUP_BYTES {
                break;
            }
            // What wants more of the disk than this transaction gives begins the next one.
            let joins = |command: &Command| command.durability().min(self.max_durability) <= durability;
            if group.applied.len() >= MAX_UNTOLD {
                group.tell_ordered();
            }
            next = self.commands.try_receive_if(joins).or_else(|| {
                group.tell_ordered();
                self.commands.try_receive_if(joins)
            });
        }
        group.tell_ordered();
        self.commit(group, durability)
    }

    /// Sets whether a commit is synced; only between transactions.
    fn sync_for(&mut self, durability: Durability) -> rusqlite::Result<()> {
        let sync = durability >= Durability::Disk;
        if sync != self.synced {
            self.db.execute_batch(if sync {
                "PRAGMA synchronous = FULL"
            } else {
                "PRAGMA synchronous = NORMAL"
            })?;
            self.synced = sync;
        }
        Ok(())
    }

    /// Applies a command and answers it, or rolls it back and refuses it. An error is one of the whole transaction.
    fn apply(&mut self, command: Command, group: &mut Group) -> Result<(), rusqlite::Error> {
        group.batches += 1;
        group.bytes += command.weight();
        self.execute("SAVEPOINT batch")?;
        let state = State { db: &self.db };
        match command {
            Command::Submit(batch, asker) => match self.keep_or_undo(state.submit(&batch)) {
                Ok(Ok(outcomes)) => group.applied.push((asker, outcomes)),
                Ok(Err(error)) => asker.give(Err(error)),
                Err(error) => {
                    asker.give(Err(told(&error)));
                    return Err(error);
                }
            },
            Command::Open(open, asker) => match self.keep_or_undo(state.open_session(&open)) {
                Ok(Ok(opened)) => group.opened.push((asker, opened)),
                Ok(Err(error)) => asker.give(Err(error)),
                Err(error) => {
                    asker.give(Err(told(&error)));
                    return Err(error);
                }
            },
        }
        Ok(())
    }

    /// Keeps what a command did, or takes it back and says why. It fails when the whole transaction does: the engine
    /// has taken it back already, or is in a state to be trusted no more.
    fn keep_or_undo<T>(&self, done: Result<T, Fault>) -> Result<Result<T>, rusqlite::Error> {
        match done {
            Ok(value) => {
                self.execute("RELEASE batch")?;
                Ok(Ok(value))
            }
            Err(Fault::Engine(error)) if kind_of(&error) == ErrorKind::Fatal => Err(error),
            Err(fault) => {
                if let Err(lost) = self.execute("ROLLBACK TO batch") {
                    // What failed first says more.
                    return Err(match fault {
                        Fault::Engine(error) => error,
                        Fault::Refused(_) => lost,
                    });
                }
                self.execute("RELEASE batch")?;
                Ok(Err(fault.into()))
            }
        }
    }

    fn commit(&mut self, mut group: Group, durability: Durability) -> bool {
        if let Err(error) = self.execute("COMMIT") {
            return self.roll_back(group, error, true);
        }
        self.groups += 1;
        self.bytes += group.bytes;
        self.counters.batches.fetch_add(group.batches as u64, Ordering::Relaxed);
        self.counters.commits.fetch_add(1, Ordering::Relaxed);
        group.commitment.give(Ok(durability));
        for (asker, opened) in group.opened.drain(..) {
            asker.give(Ok(opened));
        }
        true
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
        (self.groups, self.bytes) = (0, 0);
        // One that fails or finds readers in its way leaves a longer log, and is tried again.
        let _ = self.db.execute_batch("PRAGMA wal_checkpoint(PASSIVE)");
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
