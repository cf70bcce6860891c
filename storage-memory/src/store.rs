//! The store that the broker is given: a handle to the state, its lock, and whether it is open.
//!
//! What a batch does is not here but in `batch.rs`; what a page holds is in the record's own file.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use opifex_packet::TopicFilter;
use opifex_storage::{
    Batch, Capabilities, Commit, Cursor, Due, Durability, ErrorKind, OpenSession, OpenedSession, Page,
    PageLimit, Persistence, QueuePage, Receipt, Record, RecordKind, Result, Retained, Seq, SessionId,
    StoreError, Timestamp,
};
use parking_lot::{Mutex, MutexGuard};

use crate::state::State;

/// Limits of a [`MemoryStore`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemoryOptions {
    /// The largest message, in bytes (topic, properties and payload together).
    pub max_message_bytes: usize,
    /// The most operations a batch; each target of an enqueue counts as one more.
    pub max_batch_ops: usize,
    /// The most bytes of messages a batch.
    pub max_batch_bytes: usize,
    /// The most retained messages; a batch that brings more is refused as `Full`.
    pub max_retained_messages: usize,
}

impl Default for MemoryOptions {
    /// What the largest MQTT packet can hold, and a fan-out to a million sessions.
    fn default() -> Self {
        MemoryOptions {
            max_message_bytes: 256 << 20,
            max_batch_ops: 1 << 20,
            max_batch_bytes: 1 << 30,
            max_retained_messages: 10_000_000,
        }
    }
}

/// A store in memory. Clones are handles to the same open store: closing one closes all.
#[derive(Clone)]
pub struct MemoryStore {
    open: Arc<Open>,
}

struct Open {
    state: Arc<Mutex<State>>,
    closed: AtomicBool,
    capabilities: Capabilities,
}

impl MemoryStore {
    /// An empty store with the default limits.
    pub fn new() -> MemoryStore {
        MemoryStore::with_options(MemoryOptions::default())
    }

    /// An empty store with these limits.
    pub fn with_options(options: MemoryOptions) -> MemoryStore {
        let capabilities = Capabilities {
            name: "memory",
            max_durability: Durability::Memory,
            max_batch_ops: options.max_batch_ops,
            max_batch_bytes: options.max_batch_bytes,
            max_message_bytes: options.max_message_bytes,
            max_retained_messages: Some(options.max_retained_messages),
            unknown_outcomes: false,
            exclusive: true,
        };
        let state = State::with_room_for(options.max_retained_messages);
        MemoryStore::opened(Arc::new(Mutex::new(state)), capabilities)
    }

    /// Opens the same contents again, as a broker that restarts in the same process does: the new store is open,
    /// whether this one was closed or not.
    pub fn reopen(&self) -> MemoryStore {
        MemoryStore::opened(Arc::clone(&self.open.state), self.open.capabilities.clone())
    }

    fn opened(state: Arc<Mutex<State>>, capabilities: Capabilities) -> MemoryStore {
        MemoryStore { open: Arc::new(Open { state, closed: AtomicBool::new(false), capabilities }) }
    }

    /// The state, locked, unless the store was closed: `closed` is read and written under the lock.
    fn state(&self) -> Result<MutexGuard<'_, State>> {
        let state = self.open.state.lock();
        if self.open.closed.load(Ordering::Relaxed) {
            return Err(StoreError::not_applied(ErrorKind::Closed, "the store is closed"));
        }
        Ok(state)
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        MemoryStore::new()
    }
}

impl Persistence for MemoryStore {
    fn capabilities(&self) -> &Capabilities {
        &self.open.capabilities
    }

    async fn open_session(&self, open: OpenSession) -> Result<OpenedSession> {
        open.check_limits(&self.open.capabilities)?;
        Ok(self.state()?.open_session(open))
    }

    async fn submit(&self, batch: Batch) -> Result<Receipt> {
        batch.check_limits(&self.open.capabilities)?;
        let outcomes = self.state()?.submit(batch)?;
        Ok(Receipt::committed(outcomes, Commit { durability: Durability::Memory }))
    }

    async fn queue(&self, session: SessionId, after: Seq, limit: PageLimit) -> Result<QueuePage> {
        Ok(self.state()?.queue_page(session, after, limit))
    }

    async fn retained(
        &self,
        filters: &[TopicFilter<'_>],
        cursor: Option<Cursor>,
        limit: PageLimit,
    ) -> Result<Page<Retained>> {
        self.state()?.retained.matching(filters, cursor, limit)
    }

    async fn scan(&self, kind: RecordKind, cursor: Option<Cursor>, limit: PageLimit) -> Result<Page<Record>> {
        self.state()?.scan(kind, cursor, limit)
    }

    async fn due(&self, now: Timestamp, cursor: Option<Cursor>, limit: PageLimit) -> Result<Page<Due>> {
        self.state()?.due_page(now, cursor, limit)
    }

    async fn close(&self) -> Result<()> {
        let state = self.state()?;
        self.open.closed.store(true, Ordering::Relaxed);
        drop(state);
        Ok(())
    }
}
