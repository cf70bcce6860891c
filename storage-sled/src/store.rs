//! The store that the broker is given: a directory that is opened, with limits.

use std::path::Path;
use std::thread;
use std::time::Duration;

use opifex_packet::TopicFilter;
use opifex_storage::{
    Batch, Capabilities, CommitCounts, Cursor, Due, Durability, ErrorKind, KvCapabilities, KvPersistence,
    OpenSession, OpenedSession, Page, PageLimit, Persistence, QueuePage, Receipt, Record, RecordKind, Result,
    Retained, Seq, SessionId, StoreError, Timestamp,
};
use parking_lot::RwLock;

use crate::engine::{Sled, failed};

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
    /// The memory that sled's page cache may take, in bytes.
    pub cache_bytes: u64,
}

impl Default for SledOptions {
    /// Messages of 16 MiB, batches of 65,536 operations and 32 MiB, a cache of 64 MiB.
    fn default() -> Self {
        let usual = KvCapabilities::new("sled", Durability::Process);
        SledOptions {
            max_message_bytes: usual.max_message_bytes,
            max_batch_ops: usual.max_batch_ops,
            max_batch_bytes: usual.max_batch_bytes,
            cache_bytes: 64 << 20,
        }
    }
}

/// A store in a directory, kept by sled.
pub struct SledStore {
    kv: KvPersistence<Sled>,
}

impl SledStore {
    /// Opens the store in a directory with the default options, or creates it. Blocks.
    ///
    /// sled locks the directory: while another process (or this one) has it open, this fails as `Retry`, after a second:
    /// sled's own threads may hold the lock a moment longer than the store that was dropped.
    /// A sled database that is not a store of this broker is refused as `Unsupported` and left as it is.
    pub fn open(directory: impl AsRef<Path>) -> Result<SledStore> {
        SledStore::open_with(directory, SledOptions::default())
    }

    /// The same with options.
    pub fn open_with(directory: impl AsRef<Path>, options: SledOptions) -> Result<SledStore> {
        let directory = directory.as_ref();
        let config = sled::Config::new()
            .path(directory)
            .cache_capacity(options.cache_bytes)
            // The writer flushes once a group; nobody else needs to.
            .flush_every_ms(None);
        let db = open_when_unlocked(&config).map_err(|error| not_opened(directory, error))?;
        if db.tree_names().len() > 1 {
            return Err(StoreError::not_applied(
                ErrorKind::Unsupported,
                format!(
                    "{} is a sled database of another program: it has several trees",
                    directory.display()
                ),
            ));
        }
        let capabilities = KvCapabilities {
            max_message_bytes: options.max_message_bytes,
            max_batch_ops: options.max_batch_ops,
            max_batch_bytes: options.max_batch_bytes,
            ..KvCapabilities::new("sled", Durability::Process)
        };
        let kv = KvPersistence::open(Sled { db, lock: RwLock::new(()), capabilities })?;
        Ok(SledStore { kv })
    }

    /// How much was committed together since the store was opened.
    pub fn commit_counts(&self) -> CommitCounts {
        self.kv.commit_counts()
    }
}

/// Opens the database, and tries again for a second while its lock is held.
fn open_when_unlocked(config: &sled::Config) -> sled::Result<sled::Db> {
    for _ in 0..LOCK_TRIES {
        match config.open() {
            Err(error) if is_locked(&error) => thread::sleep(LOCK_PAUSE),
            opened => return opened,
        }
    }
    config.open()
}

/// sled reports a lock that is held as an I/O error of no kind, told by its text alone.
fn is_locked(error: &sled::Error) -> bool {
    let sled::Error::Io(io) = error else { return false };
    io.to_string().contains("could not acquire lock")
}

/// Why a directory could not be opened.
fn not_opened(directory: &Path, error: sled::Error) -> StoreError {
    let name = directory.display();
    if is_locked(&error) {
        return StoreError::not_applied(
            ErrorKind::Retry,
            format!("{name} is open elsewhere: one process alone may have a sled store open ({error})"),
        );
    }
    let failed = failed("open", error);
    StoreError::not_applied(failed.kind(), format!("{name}: {failed}"))
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
        self.kv.scan(kind, cursor, limit).await
    }

    async fn due(&self, now: Timestamp, limit: PageLimit) -> Result<Page<Due>> {
        self.kv.due(now, limit).await
    }

    async fn close(&self) -> Result<()> {
        self.kv.close().await
    }
}
