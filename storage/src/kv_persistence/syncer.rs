//! Syncing beside the writer: a thread that syncs what a group has written and answers those who wait for it, while the
//! writer orders the next group.
//!
//! One group is under way here at a time, and nothing is written meanwhile: what a crash leaves open is that group alone.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::mailbox::Mailbox;
use super::no_thread;
use super::writer::{Group, Request};
use crate::{Durability, ErrorKind, OrderedKv, Result, StoreError};

/// Whether the store takes anything: set once, by whoever closes it or finds its engine failing.
#[derive(Clone)]
pub(super) struct Life {
    /// Set before the mailbox is closed.
    pub(super) closed: Arc<AtomicBool>,
    pub(super) requests: Arc<Mailbox<Request>>,
}

impl Life {
    /// The engine failed: everything that comes is answered `Closed`.
    pub(super) fn end(&self) {
        self.closed.store(true, Ordering::Release);
        self.requests.close(None);
    }
}

/// A handle to the thread, which ends with it.
pub(super) struct Syncer {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    work: Mutex<Work>,
    changed: Condvar,
    life: Life,
    /// The level that a sync reaches.
    level: Durability,
}

#[derive(Default)]
struct Work {
    given: Option<Group>,
    /// A group was given, and its sync has not ended.
    busy: bool,
    ended: bool,
    /// A sync failed, or the thread has panicked: there will be none any more.
    failed: bool,
    /// The thread has ended.
    gone: bool,
    /// How long the last one took.
    took: Duration,
}

impl Syncer {
    pub(super) fn start<K: OrderedKv>(
        kv: &Arc<K>,
        name: &str,
        life: Life,
        level: Durability,
    ) -> Result<Syncer> {
        let (work, changed) = (Mutex::new(Work::default()), Condvar::new());
        let shared = Arc::new(Shared { work, changed, life, level });
        let thread = {
            let (kv, shared) = (Arc::clone(kv), Arc::clone(&shared));
            let run = move || {
                let end = ThreadEnd(shared);
                while let Some(group) = end.0.next() {
                    end.0.sync(&*kv, group);
                }
            };
            thread::Builder::new()
                .name(format!("{name}-sync"))
                .spawn(run)
                .map_err(|error| no_thread(&error))?
        };
        Ok(Syncer { shared, thread: Some(thread) })
    }

    /// Gives the thread a group that is written. The one before has ended.
    pub(super) fn begin(&self, group: Group) {
        let mut work = self.shared.lock();
        if work.gone {
            // Dropped below, where nobody holds the lock: then its waiters are told that nothing is known of it.
            return drop(work);
        }
        (work.given, work.busy) = (Some(group), true);
        drop(work);
        self.shared.changed.notify_all();
    }

    /// The same on the caller's thread, which is sooner done where nobody else waits to be ordered.
    pub(super) fn sync_here<K: OrderedKv>(&self, kv: &K, group: Group) {
        self.shared.sync(kv, group);
    }

    pub(super) fn is_busy(&self) -> bool {
        self.shared.lock().busy
    }

    /// Whether one failed.
    pub(super) fn has_failed(&self) -> bool {
        self.shared.lock().failed
    }

    /// How long the last one took.
    pub(super) fn took(&self) -> Duration {
        self.shared.lock().took
    }

    /// Waits until no sync is under way. Answers whether all so far went well.
    pub(super) fn wait(&self) -> bool {
        let mut work = self.shared.lock();
        while work.busy {
            work = self.shared.changed.wait(work).expect("no holder of this lock panics");
        }
        !work.failed
    }
}

impl Drop for Syncer {
    fn drop(&mut self) {
        self.shared.lock().ended = true;
        self.shared.changed.notify_all();
        if let Some(thread) = self.thread.take() {
            // One that panicked has ended the store; there is nobody left to tell.
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Work> {
        self.work.lock().expect("no holder of this lock panics")
    }

    /// Waits for a group; `None`: there will be none.
    fn next(&self) -> Option<Group> {
        let mut work = self.lock();
        loop {
            if let Some(group) = work.given.take() {
                return Some(group);
            }
            if work.ended {
                return None;
            }
            work = self.changed.wait(work).expect("no holder of this lock panics");
        }
    }

    /// Syncs and answers the group.
    fn sync<K: OrderedKv>(&self, kv: &K, group: Group) {
        let mut end = End { shared: self, begun: Instant::now(), well: false };
        let result = kv.sync().map(|()| self.level).map_err(|error| {
            let what = format!("a sync failed, the store must be opened again: {error}");
            StoreError::unknown(ErrorKind::Fatal, what)
        });
        end.well = result.is_ok();
        drop(end);
        group.answer(&result);
    }
}

/// What a sync leaves, also one that panics: nobody waits for it for ever, and a store whose sync failed is closed before
/// anybody hears of it.
struct End<'a> {
    shared: &'a Shared,
    begun: Instant,
    well: bool,
}

impl Drop for End<'_> {
    fn drop(&mut self) {
        if !self.well {
            self.shared.life.end();
        }
        let mut work = self.shared.lock();
        (work.busy, work.took) = (false, self.begun.elapsed());
        work.failed |= !self.well;
        drop(work);
        self.shared.changed.notify_all();
        self.shared.life.requests.nudge();
    }
}

/// The end of the thread. One that panics, also while it tells those who waited, ends the store: whoever it was given is
/// answered, and nobody waits for it.
struct ThreadEnd(Arc<Shared>);

impl Drop for ThreadEnd {
    fn drop(&mut self) {
        let is_well = !thread::panicking();
        if !is_well {
            self.0.life.end();
        }
        let mut work = self.0.lock();
        (work.gone, work.busy) = (true, false);
        work.failed |= !is_well;
        let given = work.given.take();
        drop(work);
        drop(given);
        self.0.changed.notify_all();
        self.0.life.requests.nudge();
    }
}
