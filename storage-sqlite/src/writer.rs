//! The writer: one thread that owns the one writing connection and drains what waits into one transaction a commit.
//!
//! A batch that was applied to the open transaction has its outcomes and is *ordered*. What can refuse it is asked before
//! anything is changed; one that fails later (a full disk, a damaged row) is rare, and costs: the transaction is rolled
//! back and what was applied before is applied again, with the same outcomes. So no batch pays for a savepoint.
//!
//! A commit is synced by another thread (`sync.rs`) while what comes is applied already: it is the next transaction, and is
//! committed when the sync has ended. The slower the disk, the larger the group.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use opifex_storage::{Durability, ErrorKind, Result, StoreError};

use crate::channel::{Channel, Received, Wait};
use crate::command::{Applied, Command};
use crate::engine::Engine;
use crate::fault::{is_of_the_disk, kind_of, of_engine, told, told_of_held};
use crate::given::{Given, Spent};
use crate::group::{Group, Refused};
use crate::pace::Pace;
use crate::state::State;
use crate::sync::{Syncer, Written};
use crate::tally::Tally;

/// A transaction takes no more commands than this, so that the first of it does not wait for ever.
const MAX_GROUP: usize = 4096;

/// And no more bytes of messages.
const MAX_GROUP_BYTES: usize = 32 << 20;

/// The callers of so many batches at most wait to be told that they are ordered.
const MAX_UNTOLD: usize = 256;

/// While the disk is full a transaction is short: it has to fit into the reserve.
const MAX_GROUP_WHEN_FULL: usize = 64;

/// One that meets a full disk is written from the reserve if it brings no more than this part of it.
const PART_OF_RESERVE: u64 = 8;

/// The store tidies up when nobody has wanted anything for so long.
const REST: Duration = Duration::from_secs(1);

/// How much was written together.
#[derive(Default)]
pub(crate) struct Counters {
    pub(crate) batches: AtomicU64,
    pub(crate) commits: AtomicU64,
}

/// The writing thread's own.
pub(crate) struct Writer {
    pub(crate) engine: Engine,
    pub(crate) commands: Arc<Channel<Command>>,
    pub(crate) counters: Arc<Counters>,
    /// What a commit is synced for at most.
    pub(crate) max_durability: Durability,
    /// The most retained messages.
    pub(crate) max_retained: Option<usize>,
    /// Closes the store when the engine fails, or this thread does.
    pub(crate) fail: Box<dyn Fn() + Send>,
    pub(crate) syncer: Syncer,
    pub(crate) pace: Pace,
    /// What is there since the last commit.
    pub(crate) tally: Tally,
    /// What is there since the last commit that has come to what was asked of it.
    pub(crate) settled: Tally,
    /// What the last commit gave out, until it has.
    pub(crate) unsettled: Given,
    /// What failed transactions gave out.
    pub(crate) spent: Spent,
    /// Whether new rows may wait for others; not behind damage.
    pub(crate) holds: Cell<bool>,
    /// Whether something was committed that no sync has covered, or is to cover.
    pub(crate) unsynced: bool,
}

impl Drop for Writer {
    fn drop(&mut self) {
        (self.fail)();
    }
}

impl Writer {
    /// Works until the queue is closed and empty.
    pub(crate) fn run(mut self) {
        let mut tidy = false;
        loop {
            let first = match tidy {
                true => self.commands.receive().map_or(Received::Closed, Received::Item),
                false => {
                    let rest = Instant::now() + REST;
                    // Who waits for a sync that failed is told when that is made good.
                    let wait = || if self.syncer.has_failed() { Wait::No } else { Wait::Until(rest) };
                    self.commands.receive_while(wait)
                }
            };
            match first {
                Received::Item(first) => {
                    if !self.transact(first) {
                        return;
                    }
                    if self.engine.is_open() && self.engine.wants_checkpoint() {
                        self.look_after(Engine::checkpoint);
                    }
                    if self.engine.is_open() && self.engine.has_room_inside() {
                        self.look_after(Engine::give_back_some);
                    }
                    tidy = false;
                }
                Received::Nothing => tidy = self.tidy_up(),
                Received::Closed => break,
            }
        }
        // The log goes with the engine; what is ordered is durable without that, or its waiters are told that it is not.
        let _ = self.has_settled();
    }

    /// Gives back what the files have too much, a step at a time: who comes meanwhile waits for one at most. Answers
    /// whether nothing is left to do.
    fn tidy_up(&mut self) -> bool {
        while self.commands.is_idle() {
            match self.look_after(Engine::give_back_some) {
                Some(true) => {}
                // What could not be opened is tried again, what failed is not.
                _ => return self.engine.is_open(),
            }
        }
        false
    }

    /// Work on the log and the files, which nobody waits for.
    fn look_after<T>(&mut self, work: impl FnOnce(&mut Engine) -> rusqlite::Result<T>) -> Option<T> {
        if !self.is_well() || !self.has_settled() {
            return None;
        }
        let done = work(&mut self.engine);
        self.note_settled();
        let error = match done {
            Ok(done) => return Some(done),
            Err(error) => error,
        };
        if kind_of(&error) == ErrorKind::Full {
            // What has no room from the reserve either is tried again.
            let _ = self.engine.make_room();
            self.note_settled();
        } else if is_of_the_disk(&error) {
            // Where that fails, the next transaction tries again.
            let _ = self.reopen();
        }
        None
    }

    /// Whether there is a database to work with. One that failed is opened anew, but not all the time.
    fn is_well(&mut self) -> bool {
        if self.syncer.has_failed() || self.engine.is_to_be_opened() {
            // Why not, those know whose work it failed.
            let _ = self.reopen();
        }
        self.engine.is_open()
    }

    /// Waits until the last commit is synced, if it is to be. Answers whether that went well; else all begins anew.
    fn has_settled(&mut self) -> bool {
        if self.syncer.wait().is_err() {
            let _ = self.reopen();
            return false;
        }
        self.note_settled();
        true
    }

    /// All commits so far have come to what was asked of them.
    fn note_settled(&mut self) {
        self.engine.note_settled();
        self.settled = self.tally;
        self.spent.settle(std::mem::take(&mut self.unsettled));
    }

    /// Closes the database and begins anew with what is known to be in it, or fails and leaves it closed.
    fn reopen(&mut self) -> Result<()> {
        if self.syncer.wait().is_ok() {
            self.note_settled();
        }
        let failed = self.syncer.begin_anew();
        self.tally = self.settled;
        self.spent.add(std::mem::take(&mut self.unsettled));
        let reopened = self.engine.reopen();
        if let Some(failed) = failed {
            failed.tell(reopened.is_ok());
        }
        reopened
    }

    /// One transaction of what waits now. Answers whether the store can go on.
    fn transact(&mut self, first: Command) -> bool {
        if !self.is_well() {
            let what = "the database was closed after a failure of the disk, and cannot be opened again yet";
            first.refuse(StoreError::not_applied(ErrorKind::Retry, what));
            return true;
        }
        let durability = first.durability().clamp(Durability::Process, self.max_durability);
        let full = self.engine.is_full();
        if let Err(error) = self.execute("BEGIN IMMEDIATE") {
            first.refuse(told(&error));
            if is_of_the_disk(&error) {
                let _ = self.reopen();
                return true;
            }
            return self.survives(&error);
        }
        let (mut group, held) = (Group::new(), self.holds.get());
        match self.fill(first, durability, full, &mut group) {
            Ok(()) => self.commit(group, durability),
            // Damage refused rows of nobody knows whom: from now on it refuses the batch that meets it.
            Err(error) if held && !self.holds.get() && self.is_rolled_back() => {
                self.fail_group(group, &told_of_held(&error));
                true
            }
            Err(error) => self.roll_back(group, error, false),
        }
    }

    /// Applies the first command and what comes until the transaction is to be committed. An error is one of the
    /// whole transaction.
    fn fill(
        &mut self,
        first: Command,
        durability: Durability,
        full: bool,
        group: &mut Group,
    ) -> Result<(), rusqlite::Error> {
        // What wants more of the disk than this transaction gives begins the next one.
        let joins = |command: &Command| command.durability().min(self.max_durability) <= durability;
        let mut deadline = None;
        let most = if full { MAX_GROUP_WHEN_FULL } else { MAX_GROUP };
        let mut state = self.state();
        let mut next = Some(first);
        while let Some(command) = next {
            group.batches += 1;
            group.bytes += command.weight();
            if full && command.grows() {
                command.refuse(StoreError::not_applied(ErrorKind::Full, "the disk is full"));
            } else if let Refused::AndApplyAgain = group.apply(&state, command)? {
                state = self.apply_again(group)?;
                break;
            }
            if group.batches >= most || group.bytes >= MAX_GROUP_BYTES {
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
        self.finish(&state, group)
    }

    /// The tables, at the beginning of a transaction.
    fn state(&self) -> State<'_> {
        State::new(self.engine.db(), self.tally)
            .with_at_most(self.max_retained)
            .without(&self.spent)
            .holding_while(&self.holds)
    }

    /// Writes what the transaction holds back until its end.
    fn finish(&self, state: &State<'_>, group: &mut Group) -> Result<(), rusqlite::Error> {
        group.tally = state.finish().map_err(of_engine)?;
        group.given.raised = state.raised.take();
        Ok(())
    }

    /// A batch failed half done: the transaction is made again without it. What was applied before has its outcomes,
    /// and gets the same ones; if it cannot be applied again all of it fails.
    fn apply_again(&self, group: &Group) -> Result<State<'_>, rusqlite::Error> {
        // The engine may have rolled back by itself.
        if !self.engine.db().is_autocommit() {
            self.execute("ROLLBACK")?;
        }
        self.execute("BEGIN IMMEDIATE")?;
        let state = self.state();
        for work in &group.work {
            match work {
                Applied::Batch(batch) => drop(state.submit(batch).map_err(of_engine)?),
                Applied::Open(open) => drop(state.open_session(open).map_err(of_engine)?),
            }
        }
        Ok(state)
    }

    fn commit(&mut self, mut group: Group, durability: Durability) -> bool {
        // What of the transaction before did not come to the disk makes an end of this one, too.
        let synced = match self.syncer.wait() {
            Ok(took) => took,
            Err(error) => {
                // It is not committed, and goes with the connection.
                let _ = self.reopen();
                self.fail_group(group, &StoreError::not_applied(error.kind(), error.to_string()));
                return true;
            }
        };
        self.note_settled();
        let begun = Instant::now();
        if let Err(error) = self.execute("COMMIT") {
            let small = group.bytes as u64 <= self.engine.reserve_bytes() / PART_OF_RESERVE;
            let done = match kind_of(&error) {
                ErrorKind::Full if small => self.commit_from_reserve(&mut group),
                _ => Err(error),
            };
            if let Err(error) = done {
                return self.roll_back(group, error, true);
            }
        }
        self.counters.batches.fetch_add(group.batches as u64, Ordering::Relaxed);
        self.counters.commits.fetch_add(1, Ordering::Relaxed);
        self.tally = group.tally.unwrap_or(self.tally);
        self.unsettled = group.given;
        let (waiting, alone) = (self.commands.len(), group.batches == 1);
        self.pace.committed(group.batches, waiting, synced.max(begun.elapsed()));
        // What asked for less before this is durable with it, also where this changed nothing.
        self.unsynced |= group.tally.is_some();
        let syncs = durability >= Durability::Disk && std::mem::take(&mut self.unsynced);
        let written = Written {
            waiters: group.waiters,
            level: durability,
            syncs,
            // A power loss may take a commit that asked for less than the store offers, and that is no damage.
            mark: group.tally.map(|tally| tally.commit).filter(|_| durability == self.max_durability),
            applied: group.work,
        };
        if written.syncs && !(alone && waiting == 0) {
            self.syncer.begin(written);
            return true;
        }
        match self.syncer.settle(written) {
            Ok(_) => self.note_settled(),
            // Where that fails, the next transaction tries again.
            Err(_) => drop(self.reopen()),
        }
        true
    }

    /// The disk is full: what was ordered is applied once more, with the room that was kept for this.
    fn commit_from_reserve(&mut self, group: &mut Group) -> Result<(), rusqlite::Error> {
        if !self.engine.db().is_autocommit() {
            self.execute("ROLLBACK")?;
        }
        self.engine.make_room()?;
        self.note_settled();
        let state = self.apply_again(group)?;
        self.finish(&state, group)?;
        self.execute("COMMIT")
    }

    /// The transaction failed: everything of it fails, and the store goes on from its last commit, if it can.
    fn roll_back(&mut self, group: Group, error: rusqlite::Error, committing: bool) -> bool {
        let disk_failed = is_of_the_disk(&error);
        let rolled_back = disk_failed || self.is_rolled_back();
        // What the log has of it goes with its end.
        let is_undone = rolled_back && (!disk_failed || self.reopen().is_ok());
        let survives = disk_failed || rolled_back && self.survives(&error);
        if kind_of(&error) == ErrorKind::Full && rolled_back {
            // Who comes next is refused by word of the reserve, not of the engine.
            self.look_after(Engine::make_room);
        }
        let error = if is_undone && survives || !committing {
            told(&error)
        } else {
            // A commit that failed leaves open what of it is on disk.
            let kind = if disk_failed { ErrorKind::Retry } else { ErrorKind::Fatal };
            StoreError::unknown(kind, format!("a commit failed: sqlite: {error}"))
        };
        if !survives {
            (self.fail)();
        }
        self.fail_group(group, &error);
        survives
    }

    /// Rolls back, unless the engine has done so by itself.
    fn is_rolled_back(&self) -> bool {
        self.engine.db().is_autocommit() || self.engine.db().execute_batch("ROLLBACK").is_ok()
    }

    /// Tells everybody that the transaction failed. What it told them of is not told again.
    fn fail_group(&mut self, mut group: Group, error: &StoreError) {
        group.tell_failed(error);
        self.spent.add(group.given);
    }

    /// Whether the store goes on after such an error.
    fn survives(&self, error: &rusqlite::Error) -> bool {
        matches!(kind_of(error), ErrorKind::Full | ErrorKind::Retry | ErrorKind::TooLarge)
    }

    fn execute(&self, sql: &str) -> Result<(), rusqlite::Error> {
        self.engine.db().prepare_cached(sql)?.execute([]).map(drop)
    }
}

#[cfg(test)]
mod tests;
