//! The store that the broker is given: a directory that is opened, with limits.

use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use opifex_packet::TopicFilter;
use opifex_storage::{
    Batch, Capabilities, CommitCounts, Cursor, DataDir, Due, Durability, ErrorKind, KvCapabilities,
    KvPersistence, OpenSession, OpenedSession, Page, PageLimit, Persistence, QueuePage, Receipt, Record,
    RecordKind, Result, Retained, Seq, SessionId, StoreError, Timestamp,
};

use crate::directory;
use crate::engine::Sled;
use crate::guard::guarded_open;
use crate::mark::Mark;
use crate::reserve::Reserve;

const LOCK_TRIES: u32 = 20;
const LOCK_PAUSE: Duration = Duration::from_millis(50);

/// Limits of a [`SledStore`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SledOptions {
    /// The largest message, in bytes (topic, properties and payload together).
    pub max_message_bytes: usize,
    /// The most operations a batch; each target of an enqueue counts as one more.
    pub max_batch_ops: usize,
    /// The most bytes of messages a batch.
    pub max_batch_bytes: usize,
    /// The most retained messages; `None`: as many as there is room for.
    pub max_retained_messages: Option<usize>,
    /// The memory that sled's page cache may take, in bytes.
    pub cache_bytes: u64,
    /// Space that is kept in a file of its own for the day on which the disk is full, in bytes: from then on what grows
    /// is refused as `Full`, and settling and removing is written from it. Half as much stays free beside it. 0: none;
    /// a full disk then closes the store until it is opened again.
    pub reserve_bytes: u64,
}

impl Default for SledOptions {
    /// Messages of 16 MiB, batches of 65,536 operations and 32 MiB, a cache of 64 MiB, a reserve of 32 MiB.
    fn default() -> Self {
        let usual = KvCapabilities::new("sled", Durability::Process);
        SledOptions {
            max_message_bytes: usual.max_message_bytes,
            max_batch_ops: usual.max_batch_ops,
            max_batch_bytes: usual.max_batch_bytes,
            max_retained_messages: usual.max_retained_messages,
            cache_bytes: 64 << 20,
            reserve_bytes: 32 << 20,
        }
    }
}

/// A store in a directory, kept by sled.
pub struct SledStore {
    kv: KvPersistence<Sled>,
    /// What was found to be missing when it was opened.
    lost: Option<StoreError>,
}

impl SledStore {
    /// Opens the store in a directory with the default options, or creates it. Blocks.
    ///
    /// A lock file keeps the directory to one process: while another one (or this one) has it open, this fails as
    /// `Retry` and names the holder. A directory that holds something else, and a sled database that is not a store of
    /// this broker, are refused as `Unsupported` and left as they are. Files that sled finds damaged: `Corrupt`, or
    /// `Fatal` when it asserts instead.
    pub fn open(directory: impl AsRef<Path>) -> Result<SledStore> {
        SledStore::open_with(directory, SledOptions::default())
    }

    /// The same with options.
    pub fn open_with(directory: impl AsRef<Path>, options: SledOptions) -> Result<SledStore> {
        let directory = directory.as_ref();
        directory::check(directory)?;
        let held = when_unlocked(|| DataDir::take(directory))?;
        directory::begin_anew_without_a_log(directory)?;
        directory::remove_half_snapshots(directory)?;
        let reserve = Arc::new(Reserve::of(directory, options.reserve_bytes));
        let config = sled::Config::new()
            .path(directory)
            .cache_capacity(options.cache_bytes)
            // The writer flushes once a group; nobody else needs to.
            .flush_every_ms(None);
        let db = when_unlocked(|| guarded_open(|| config.open()))
            .map_err(|error| in_directory(directory, &error))?;
        if db.tree_names().len() > 1 {
            return Err(StoreError::not_applied(
                ErrorKind::Unsupported,
                format!(
                    "{} is a sled database of another program: it has several trees",
                    directory.display()
                ),
            ));
        }
        let (mark, lost) = Mark::open(directory, &db).map_err(|error| in_directory(directory, &error))?;
        let capabilities = KvCapabilities {
            max_message_bytes: options.max_message_bytes,
            max_batch_ops: options.max_batch_ops,
            max_batch_bytes: options.max_batch_bytes,
            max_retained_messages: options.max_retained_messages,
            ..KvCapabilities::new("sled", Durability::Process)
        };
        let engine = Sled::new(db, mark, Arc::clone(&reserve), capabilities, held)?;
        let kv = KvPersistence::open(engine).map_err(|error| in_directory(directory, &error))?;
        // Now that the directory is known to be a store's, it gets its reserve.
        reserve.has_room(0, || 0);
        Ok(SledStore { kv, lost })
    }

    /// How much was committed together since the store was opened.
    pub fn commit_counts(&self) -> CommitCounts {
        self.kv.commit_counts()
    }
}

/// Tries again for a second while a lock is held: a store that was closed keeps its own until the last of who used it
/// has let go, and sled's threads keep sled's a moment longer.
fn when_unlocked<T>(open: impl Fn() -> Result<T>) -> Result<T> {
    for _ in 0..LOCK_TRIES {
        match open() {
            Err(error) if error.kind() == ErrorKind::Retry => thread::sleep(LOCK_PAUSE),
            opened => return opened,
        }
    }
    open()
}

fn in_directory(directory: &Path, error: &StoreError) -> StoreError {
    let what = format!("the data directory {}: {error}", directory.display());
    StoreError::not_applied(error.kind(), what)
}

impl Persistence for SledStore {
    fn capabilities(&self) -> &Capabilities {
        self.kv.capabilities()
    }

    async fn open_session(&self, open: OpenSession) -> Result<OpenedSession> {
        self.kv.open_session(open).await
    }

    async fn submit(&self, batch: Batch) -> Result<Receipt> {
        self.kv.submit(batch).await
    }

    async fn queue(&self, session: SessionId, after: Seq, limit: PageLimit) -> Result<QueuePage> {
        self.kv.queue(session, after, limit).await
    }

    async fn retained(
        &self,
        filters: &[TopicFilter<'_>],
        cursor: Option<Cursor>,
        limit: PageLimit,
    ) -> Result<Page<Retained>> {
        self.kv.retained(filters, cursor, limit).await
    }

    async fn scan(&self, kind: RecordKind, cursor: Option<Cursor>, limit: PageLimit) -> Result<Page<Record>> {
        let is_first = kind == RecordKind::Session && cursor.is_none();
        let mut page = self.kv.scan(kind, cursor, limit).await?;
        // Every recovery begins with the sessions: so whoever recovers learns of it.
        page.damaged.extend(self.lost.iter().filter(|_| is_first).cloned());
        Ok(page)
    }

    async fn due(&self, now: Timestamp, cursor: Option<Cursor>, limit: PageLimit) -> Result<Page<Due>> {
        self.kv.due(now, cursor, limit).await
    }

    async fn inspect(&self) -> Result<Vec<StoreError>> {
        self.kv.inspect().await
    }

    async fn close(&self) -> Result<()> {
        self.kv.close().await
    }
}
