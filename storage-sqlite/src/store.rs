//! The store that the broker is given: a handle to the threads that own the connections.
//!
//! What a batch does is not here but in `batch.rs`; what a page holds is in the record's own file.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use opifex_packet::TopicFilter;
use opifex_storage::{
    Batch, Capabilities, Commit, CommitCounts, CommitMark, Cursor, DataDir, Due, Durability, ErrorKind,
    OpenSession, OpenedSession, Page, PageLimit, Persistence, QueuePage, Receipt, Record, RecordKind, Result,
    Retained, Seq, SessionId, StoreError, Timestamp,
};
use parking_lot::Mutex;

use crate::answer::{Latch, answer};
use crate::census;
use crate::channel::Channel;
use crate::command::Command;
use crate::engine::Engine;
use crate::given::{Given, Spent};
use crate::log;
use crate::pace::Pace;
use crate::reader::{self, Read, closed};
use crate::schema;
use crate::sync::Syncer;
use crate::writer::{Counters, Writer};

/// Where a [`SqliteStore`] lies, what it promises, and its limits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SqliteOptions {
    /// The directory; it is made if it is not there.
    pub data_dir: PathBuf,
    /// The highest level that a batch may ask for: [`Durability::Disk`] (commits are synced) or
    /// [`Durability::Process`] (they are not).
    pub durability: Durability,
    /// Threads that read, at least 1.
    pub readers: usize,
    /// The most batches and opens that wait for the writer; further ones make their callers wait.
    pub max_waiting: usize,
    /// The most bytes of messages that wait for the writer (one batch may exceed it).
    pub max_waiting_bytes: usize,
    /// The largest message, in bytes (topic, properties and payload together).
    pub max_message_bytes: usize,
    /// The most operations a batch; each target of an enqueue counts as one more.
    pub max_batch_ops: usize,
    /// The most bytes of messages a batch.
    pub max_batch_bytes: usize,
    /// The most retained messages; `None`: as many as the disk holds.
    pub max_retained_messages: Option<usize>,
    /// Room on the disk that is kept as a file, to take messages out with when the disk is full. Without it nothing is
    /// taken that grows. The log becomes half as long before it is copied into the database. 0: none is kept, and a disk
    /// that is full may not take what removes either.
    pub reserve_bytes: u64,
}

impl SqliteOptions {
    /// A store in this directory that survives power loss, with the default limits.
    pub fn new(data_dir: impl Into<PathBuf>) -> SqliteOptions {
        SqliteOptions {
            data_dir: data_dir.into(),
            durability: Durability::Disk,
            readers: 2,
            max_waiting: 4096,
            max_waiting_bytes: 32 << 20,
            max_message_bytes: 256 << 20,
            max_batch_ops: 1 << 20,
            max_batch_bytes: 512 << 20,
            max_retained_messages: None,
            reserve_bytes: 32 << 20,
        }
    }
}

impl<P: AsRef<Path>> From<P> for SqliteOptions {
    fn from(data_dir: P) -> SqliteOptions {
        SqliteOptions::new(data_dir.as_ref())
    }
}

/// A store in an SQLite database. Clones are handles to the same open store: closing one closes all.
///
/// Dropping the last handle ends its threads after what was submitted, and waits for them; [`Persistence::close`] does
/// so without blocking.
#[derive(Clone)]
pub struct SqliteStore {
    open: Arc<Open>,
}

struct Open {
    commands: Arc<Channel<Command>>,
    reads: Arc<Channel<Read>>,
    closed: AtomicBool,
    counters: Arc<Counters>,
    capabilities: Capabilities,
    threads: Mutex<Vec<JoinHandle<()>>>,
    /// One for each thread: its connection is closed.
    ended: Vec<Arc<Latch<()>>>,
    data_dir: Mutex<Option<DataDir>>,
    /// What was found of the whole store when it was opened, and no walk over records would come by.
    damaged: Vec<StoreError>,
}

/// Says that a thread has ended, however it did.
struct End(Arc<Latch<()>>);

impl Drop for End {
    fn drop(&mut self) {
        self.0.give(());
    }
}

impl SqliteStore {
    /// Opens the store of a directory, or makes one: `SqliteStore::open("./data")`, or with [`SqliteOptions`]. It
    /// reads and maybe upgrades the database before it returns.
    ///
    /// # Errors
    /// `Retry` when another process has it open, `Unsupported` for a file that is not a store of this program or a
    /// newer one's, `Corrupt` and `Fatal` as the engine says.
    pub fn open(options: impl Into<SqliteOptions>) -> Result<SqliteStore> {
        let options = options.into();
        let durability = options.durability;
        if !matches!(durability, Durability::Process | Durability::Disk) {
            let what = format!("the sqlite store offers the durabilities process and disk, not {durability}");
            return Err(StoreError::not_applied(ErrorKind::Unsupported, what));
        }
        let data_dir = DataDir::take(&options.data_dir)?;
        let path = data_dir.path().join("opifex.db");
        if durability == Durability::Disk {
            // With less a crash may leave parts of many transactions, and nothing of them was promised.
            log::check(&path)?;
        }
        let engine = Engine::open(&path, options.readers.max(1), options.reserve_bytes)?;
        let mark = CommitMark::open(data_dir.path())?;
        let mut damaged = Vec::new();
        // With a connection that is closed again, so that what it has read does not stay in memory.
        let looking = schema::open_for_reading(&path).map_err(StoreError::from)?;
        let tally = census::take(&looking, engine.db(), &mark, &mut damaged).map_err(StoreError::from)?;
        drop(looking);
        data_dir.sync()?;

        let commands = Arc::new(Channel::new(options.max_waiting, options.max_waiting_bytes));
        let reads: Arc<Channel<Read>> = Arc::new(Channel::new(1024, usize::MAX));
        let counters = Arc::new(Counters::default());
        let (mut threads, mut ended) = (Vec::new(), Vec::new());
        let fail = {
            let (commands, reads) = (Arc::clone(&commands), Arc::clone(&reads));
            move || {
                commands.abandon();
                reads.abandon();
            }
        };
        let syncer = {
            let commands = Arc::clone(&commands);
            let done = move || commands.wake_receiver();
            Syncer::start(path.with_extension("db-wal"), mark, done).map_err(no_thread)?
        };
        let slots = engine.readers().to_vec();
        let writer = Writer {
            engine,
            commands: Arc::clone(&commands),
            counters: Arc::clone(&counters),
            max_durability: durability,
            max_retained: options.max_retained_messages,
            syncer,
            fail: Box::new(fail),
            pace: Pace::default(),
            settled: tally,
            tally,
            unsettled: Given::default(),
            spent: Spent::default(),
            holds: Cell::new(true),
            unsynced: false,
        };
        threads.push(spawn("sqlite-writer", &mut ended, move || writer.run())?);
        for slot in slots {
            let reads = Arc::clone(&reads);
            threads.push(spawn("sqlite-reader", &mut ended, move || reader::run(&slot, &reads))?);
        }
        let capabilities = Capabilities {
            name: "sqlite",
            max_durability: durability,
            max_batch_ops: options.max_batch_ops,
            max_batch_bytes: options.max_batch_bytes,
            max_message_bytes: options.max_message_bytes,
            max_retained_messages: options.max_retained_messages,
            unknown_outcomes: false,
            exclusive: true,
        };
        let open = Open {
            commands,
            reads,
            closed: AtomicBool::new(false),
            counters,
            capabilities,
            threads: Mutex::new(threads),
            ended,
            data_dir: Mutex::new(Some(data_dir)),
            damaged,
        };
        Ok(SqliteStore { open: Arc::new(open) })
    }

    /// How much was committed together since the store was opened.
    pub fn commit_counts(&self) -> CommitCounts {
        CommitCounts {
            batches: self.open.counters.batches.load(Ordering::Relaxed),
            commits: self.open.counters.commits.load(Ordering::Relaxed),
        }
    }

    fn check_open(&self) -> Result<()> {
        if self.open.closed.load(Ordering::Acquire) { Err(closed()) } else { Ok(()) }
    }

    async fn command(&self, command: Command) -> Result<()> {
        self.check_open()?;
        self.open.commands.send(command.weight(), command).await.map_err(|_| closed())
    }
}

/// Starts a thread whose end is known.
fn spawn(
    name: &str,
    ended: &mut Vec<Arc<Latch<()>>>,
    work: impl FnOnce() + Send + 'static,
) -> Result<JoinHandle<()>> {
    let latch = Arc::new(Latch::new());
    ended.push(Arc::clone(&latch));
    let work = move || {
        let _end = End(latch);
        work();
    };
    std::thread::Builder::new().name(name.to_owned()).spawn(work).map_err(no_thread)
}

fn no_thread(error: std::io::Error) -> StoreError {
    StoreError::not_applied(ErrorKind::Fatal, format!("cannot start a thread: {error}"))
}

/// What is answered for work that was taken and never answered.
fn lost() -> StoreError {
    StoreError::unknown(ErrorKind::Closed, "the store failed before it answered")
}

impl Drop for Open {
    fn drop(&mut self) {
        self.commands.close();
        self.reads.close();
        for thread in self.threads.get_mut().drain(..) {
            // Who panicked has said so, and everybody that waited for it knows.
            let _ = thread.join();
        }
    }
}

impl Persistence for SqliteStore {
    fn capabilities(&self) -> &Capabilities {
        &self.open.capabilities
    }

    async fn open_session(&self, open: OpenSession) -> Result<OpenedSession> {
        open.check_limits(&self.open.capabilities)?;
        let (asker, opened) = answer();
        self.command(Command::Open(open, asker)).await?;
        opened.await.unwrap_or_else(|| Err(lost()))
    }

    async fn submit(&self, batch: Batch) -> Result<Receipt> {
        batch.check_limits(&self.open.capabilities)?;
        let (asker, ordered) = answer();
        self.command(Command::Submit(batch, asker)).await?;
        let ordered = ordered.await.unwrap_or_else(|| Err(lost()))?;
        let commitment = ordered.commitment;
        Ok(Receipt::pending(ordered.outcomes, async move {
            commitment.wait().await.map(|durability| Commit { durability })
        }))
    }

    async fn queue(&self, session: SessionId, after: Seq, limit: PageLimit) -> Result<QueuePage> {
        reader::read(&self.open.reads, move |state| state.queue_page(session, after, limit)).await
    }

    async fn retained(
        &self,
        filters: &[TopicFilter<'_>],
        cursor: Option<Cursor>,
        limit: PageLimit,
    ) -> Result<Page<Retained>> {
        let filters: Vec<_> = filters.iter().map(|filter| filter.clone().into_owned()).collect();
        reader::read(&self.open.reads, move |state| state.retained_page(&filters, cursor, limit)).await
    }

    async fn scan(&self, kind: RecordKind, cursor: Option<Cursor>, limit: PageLimit) -> Result<Page<Record>> {
        let is_first = kind == RecordKind::Session && cursor.is_none();
        let mut page = reader::read(&self.open.reads, move |state| state.scan(kind, cursor, limit)).await?;
        if is_first {
            // Every recovery begins with the sessions: so whoever recovers learns of it.
            page.damaged.extend(self.open.damaged.iter().cloned());
        }
        Ok(page)
    }

    async fn due(&self, now: Timestamp, cursor: Option<Cursor>, limit: PageLimit) -> Result<Page<Due>> {
        reader::read(&self.open.reads, move |state| state.due_page(now, cursor, limit)).await
    }

    async fn inspect(&self) -> Result<Vec<StoreError>> {
        reader::read(&self.open.reads, |state| state.inspect()).await
    }

    async fn close(&self) -> Result<()> {
        if self.open.closed.swap(true, Ordering::AcqRel) {
            return Err(closed());
        }
        let was_open = self.open.commands.close();
        self.open.reads.close();
        for ended in &self.open.ended {
            ended.wait().await;
        }
        self.open.data_dir.lock().take();
        if was_open { Ok(()) } else { Err(closed()) }
    }
}
