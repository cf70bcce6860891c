//! Syncing beside the writer: a thread that brings the write-ahead log to the disk, then tells those who wait for it.
//!
//! If the engine synced at each commit, nothing could be applied meanwhile. So transactions are committed without
//! (`synchronous = NORMAL`, under which the engine still syncs log and database around a checkpoint), and the log is
//! synced here while the writer applies the next transaction. That one is committed, which writes it into the log, when
//! the sync has ended: a crash leaves parts of *one* transaction behind the last whole one, as `log.rs` expects.
//!
//! One transaction is under way here at a time; there is no queue.

use std::fs::{File, OpenOptions};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use opifex_storage::{CommitMark, Durability, ErrorKind, OpenedSession, Result, StoreError};
use parking_lot::{Condvar, Mutex};

use crate::answer::{Asker, Latch};
use crate::command::Applied;

/// What the commit of a transaction comes to: the level that it reached.
pub(crate) type Commitment = Latch<Result<Durability>>;

/// Who waits for a transaction to be durable. None of them waits for ever, whatever happens to the threads.
pub(crate) struct Waiters {
    pub(crate) commitment: Arc<Commitment>,
    pub(crate) opened: Vec<(Asker<Result<OpenedSession>>, OpenedSession)>,
}

impl Waiters {
    pub(crate) fn new() -> Waiters {
        Waiters { commitment: Arc::new(Latch::new()), opened: Vec::new() }
    }

    /// Tells all of them what became of the transaction.
    pub(crate) fn tell(&mut self, reached: Result<Durability>) {
        for (asker, opened) in self.opened.drain(..) {
            asker.give(reached.clone().map(|_| opened));
        }
        self.commitment.give(reached);
    }
}

impl Drop for Waiters {
    fn drop(&mut self) {
        // Does nothing where it was told.
        self.tell(Err(StoreError::unknown(ErrorKind::Fatal, "the writer of the store failed")));
    }
}

/// A transaction that stands in the log.
pub(crate) struct Written {
    pub(crate) waiters: Waiters,
    /// The level that it then has reached.
    pub(crate) level: Durability,
    /// Whether the log is to be synced for it.
    pub(crate) syncs: bool,
    /// The number that the mark takes then.
    pub(crate) mark: Option<u64>,
    /// What was applied: needed no more, and freed where nobody waits for it.
    pub(crate) applied: Vec<Applied>,
}

/// A transaction whose sync failed.
pub(crate) struct Failed {
    waiters: Waiters,
    error: StoreError,
}

impl Failed {
    /// What was cut off the log is not there; as long as it could not be, nothing is read or written.
    pub(crate) fn tell(mut self, is_cut_off: bool) {
        let error = match is_cut_off {
            true => StoreError::not_applied(self.error.kind(), self.error.to_string()),
            false => self.error,
        };
        self.waiters.tell(Err(error));
    }
}

/// The log's file, and the mark of what of it is durable.
struct Log {
    path: PathBuf,
    file: Option<File>,
    mark: CommitMark,
}

impl Log {
    fn file(&mut self) -> std::io::Result<&File> {
        if self.file.is_none() {
            // For writing, which some systems want of who syncs.
            self.file = Some(OpenOptions::new().write(true).open(&self.path)?);
        }
        Ok(self.file.as_ref().expect("it was opened above"))
    }

    /// Syncs what is in the log where that is asked for, tells the transaction's waiters, and answers how long it took.
    /// Of a failure they are not told here: until the log is cut off, readers may see what is taken back.
    fn settle(&mut self, written: &mut Written) -> Result<Duration> {
        let begun = Instant::now();
        let synced = if written.syncs { self.file().and_then(File::sync_data) } else { Ok(()) };
        match synced {
            Ok(()) => {
                if let Some(number) = written.mark {
                    self.mark.set(number);
                }
                written.waiters.tell(Ok(written.level));
                Ok(begun.elapsed())
            }
            Err(error) => {
                // It leaves open what of it is on disk.
                let what = format!("a commit failed: cannot sync {}: {error}", self.path.display());
                Err(StoreError::unknown(ErrorKind::Retry, what))
            }
        }
    }
}

/// The thread.
pub(crate) struct Syncer {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    work: Mutex<Work>,
    changed: Condvar,
    log: Mutex<Log>,
}

struct Work {
    given: Option<Written>,
    /// Something was given, and has not ended.
    busy: bool,
    ended: bool,
    /// The thread has panicked: nothing is synced any more.
    gone: bool,
    /// What the last sync came to.
    last: Result<Duration>,
    /// Who waits for the one that failed.
    failed: Option<Waiters>,
}

impl Work {
    /// A sync has ended.
    fn end(&mut self, last: Result<Duration>, written: &mut Written) {
        if last.is_err() {
            self.failed = Some(std::mem::replace(&mut written.waiters, Waiters::new()));
        }
        (self.last, self.busy) = (last, false);
    }
}

impl Syncer {
    /// Starts the thread over the log at this path. `done` is called after each sync.
    pub(crate) fn start(
        path: PathBuf,
        mark: CommitMark,
        done: impl Fn() + Send + 'static,
    ) -> std::io::Result<Syncer> {
        let work = Work {
            given: None,
            busy: false,
            ended: false,
            gone: false,
            last: Ok(Duration::ZERO),
            failed: None,
        };
        let log = Log { path, file: None, mark };
        let shared =
            Arc::new(Shared { work: Mutex::new(work), changed: Condvar::new(), log: Mutex::new(log) });
        let thread = {
            let end = End { shared: Arc::clone(&shared), done };
            std::thread::Builder::new().name("sqlite-sync".into()).spawn(move || end.shared.run(&end.done))?
        };
        Ok(Syncer { shared, thread: Some(thread) })
    }

    /// Gives the thread a transaction; the one before has ended.
    pub(crate) fn begin(&self, written: Written) {
        let mut work = self.shared.work.lock();
        if work.gone {
            drop(work);
            // Which tells its waiters.
            drop(written);
            return;
        }
        (work.given, work.busy) = (Some(written), true);
        drop(work);
        self.shared.changed.notify_all();
    }

    /// The same on the caller's own thread, which is sooner done where nothing else waits to be applied, or nothing is to
    /// be synced.
    pub(crate) fn settle(&self, mut written: Written) -> Result<Duration> {
        let last = self.shared.log.lock().settle(&mut written);
        self.shared.work.lock().end(last.clone(), &mut written);
        last
    }

    /// Whether a sync is under way.
    pub(crate) fn is_busy(&self) -> bool {
        self.shared.work.lock().busy
    }

    /// Whether the last one failed: the log is to be given up.
    pub(crate) fn has_failed(&self) -> bool {
        let work = self.shared.work.lock();
        !work.busy && work.last.is_err()
    }

    /// The log begins anew, maybe as another file. Nothing may be under way. Answers who waits for a sync that failed.
    pub(crate) fn begin_anew(&self) -> Option<Failed> {
        self.shared.log.lock().file = None;
        let mut work = self.shared.work.lock();
        let last = std::mem::replace(&mut work.last, Ok(Duration::ZERO));
        Some(Failed { waiters: work.failed.take()?, error: last.err()? })
    }

    /// Waits until no sync is under way, and answers how long the last one took.
    ///
    /// # Errors
    /// The last one failed: nothing can be said of the log any more.
    ///
    /// # Panics
    /// The thread has: some may have been told that they are durable, and nobody knows who. So the log is not to be cut
    /// off, and the caller is to end, too, which closes the store.
    pub(crate) fn wait(&self) -> Result<Duration> {
        let mut work = self.shared.work.lock();
        while work.busy {
            self.shared.changed.wait(&mut work);
        }
        assert!(!work.gone, "the thread that syncs the log has panicked");
        work.last.clone()
    }
}

impl Drop for Syncer {
    fn drop(&mut self) {
        self.shared.work.lock().ended = true;
        self.shared.changed.notify_all();
        if let Some(thread) = self.thread.take() {
            // Should it have panicked, it has said so.
            let _ = thread.join();
        }
    }
}

/// The thread's end, however it comes.
struct End<F: Fn()> {
    shared: Arc<Shared>,
    done: F,
}

impl<F: Fn()> Drop for End<F> {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        let given = {
            let mut work = self.shared.work.lock();
            (work.gone, work.busy) = (true, false);
            work.given.take()
        };
        self.shared.changed.notify_all();
        drop(given);
        (self.done)();
    }
}

impl Shared {
    fn run(&self, done: &impl Fn()) {
        while let Some(mut written) = self.next() {
            let last = self.log.lock().settle(&mut written);
            self.work.lock().end(last, &mut written);
            self.changed.notify_all();
            done();
            drop(written.applied);
        }
    }

    /// Waits for a transaction; `None`: there will be none.
    fn next(&self) -> Option<Written> {
        let mut work = self.work.lock();
        loop {
            if let Some(written) = work.given.take() {
                return Some(written);
            }
            if work.ended {
                return None;
            }
            self.changed.wait(&mut work);
        }
    }
}
