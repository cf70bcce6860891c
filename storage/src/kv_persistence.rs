//! The contract over any ordered key-value engine: [`KvPersistence`].
//!
//! One writer thread owns all writing: it takes what waits, orders it over a snapshot, answers the outcomes, writes all
//! of it as one atomic batch, and has it synced once (group commit), while the next group is ordered already. Reads come from snapshots, on a reader thread or on the
//! caller's. There is no runtime here, and no engine.
//!
//! Reading order: this file (the handle that the broker has), `writer`, `transaction` (rows with changes that are not
//! written yet; `rows` reads them as records), `batch`, then a file a record, named as in every backend.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use opifex_packet::TopicFilter;

use crate::{
    Batch, Capabilities, CommitCounts, Cursor, Due, ErrorKind, KvCapabilities, OpenSession, OpenedSession,
    OrderedKv, Page, PageLimit, Persistence, QueuePage, Receipt, Record, RecordKind, Result, Retained, Seq,
    SessionId, SpentNumbers, StoreError, Timestamp,
};

mod census;
mod commitment;
mod founding;
mod mailbox;
mod merged;
mod numbers;
mod oneshot;
mod page;
mod reader;
mod rows;
mod syncer;
mod transaction;
mod writer;

mod batch;
mod body;
mod due;
mod inbound;
mod inspection;
mod queue;
mod restore;
mod retained;
mod scan;
mod session;
mod subscription;
mod will;

use founding::Founding;
use mailbox::Mailbox;
use reader::Reader;
use syncer::{Life, Syncer};
use writer::{Done, Pace, Request, Writer};

/// A store over an ordered key-value engine. See [`crate::ordered_kv`] for how an engine is brought.
///
/// Dropping it waits until its threads have written what was ordered, and lets the engine go.
pub struct KvPersistence<K: OrderedKv> {
    kv: Arc<K>,
    capabilities: Capabilities,
    requests: Arc<Mailbox<Request>>,
    /// Set before the mailbox is closed, and by the writer when the engine failed.
    closed: Arc<AtomicBool>,
    done: Arc<Done>,
    /// What was found to be damaged of the store itself when it was opened.
    damaged: Vec<StoreError>,
    /// `None`: reads are made on the caller's thread.
    reader: Option<Reader<K>>,
    writer: Option<JoinHandle<()>>,
}

impl<K: OrderedKv> KvPersistence<K> {
    /// Opens the store that the engine holds, or begins one in an engine that holds nothing. Blocks as long as the
    /// engine does. `Unsupported`: the engine holds rows that are no store's; `Corrupt`: the store's own first row is
    /// damaged and no whole record is there that says how far it had counted. (If there is one, the store opens and
    /// counts on far behind it, and the first page of a scan of sessions names the damage.)
    ///
    /// All rows are read once and counted. What is not there any more, or not as it was written last, is named by the
    /// first page of a scan of sessions, too.
    pub fn open(kv: K) -> Result<KvPersistence<K>> {
        let declared = kv.capabilities();
        let Founding { counters, damaged } = founding::found(&kv)?;
        let kv = Arc::new(kv);
        let closed = Arc::new(AtomicBool::new(false));
        let requests = Arc::new(Mailbox::new(declared.max_waiting_batches, declared.max_waiting_bytes));
        let done = Arc::new(Done::default());
        let life = Life { closed: Arc::clone(&closed), requests: Arc::clone(&requests) };
        let writer = Writer {
            kv: Arc::clone(&kv),
            syncer: Syncer::start(&kv, declared.name, life.clone(), declared.durability)?,
            life,
            done: Arc::clone(&done),
            counters,
            spent: SpentNumbers::default(),
            strongest: declared.durability,
            max_retained: declared.max_retained_messages,
            max_group: (declared.max_waiting_batches, declared.max_waiting_bytes),
            pace: Pace::default(),
            unsynced: false,
            dead: false,
        };
        let reader = if declared.quick_reads { None } else { Some(Reader::start(&kv, declared.name)?) };
        let writer = thread::Builder::new()
            .name(format!("{}-writer", declared.name))
            .spawn(move || writer.run())
            .map_err(|error| no_thread(&error))?;
        let capabilities = capabilities_of(&declared);
        Ok(KvPersistence { kv, capabilities, requests, closed, done, damaged, reader, writer: Some(writer) })
    }

    /// How much was committed together since the store was opened.
    pub fn commit_counts(&self) -> CommitCounts {
        CommitCounts {
            batches: self.done.batches.load(Ordering::Relaxed),
            commits: self.done.commits.load(Ordering::Relaxed),
        }
    }

    /// Runs a read over a snapshot.
    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&K::Snapshot<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        if self.closed.load(Ordering::Acquire) {
            return Err(closed());
        }
        match &self.reader {
            None => read(&self.kv.snapshot()?),
            Some(reader) => reader.read(read).await,
        }
    }
}

impl<K: OrderedKv> Persistence for KvPersistence<K> {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    async fn open_session(&self, open: OpenSession) -> Result<OpenedSession> {
        let bytes = open.check_limits(&self.capabilities)?;
        let (sender, receiver) = oneshot::channel();
        self.requests.send(Request::Open(open, sender), bytes).await.map_err(|_| closed())?;
        receiver.await.unwrap_or_else(|| Err(writer_is_gone()))
    }

    async fn submit(&self, batch: Batch) -> Result<Receipt> {
        let bytes = batch.check_limits(&self.capabilities)?;
        let (sender, receiver) = oneshot::channel();
        self.requests.send(Request::Submit(batch, sender), bytes).await.map_err(|_| closed())?;
        let ordered = receiver.await.unwrap_or_else(|| Err(writer_is_gone()))?;
        Ok(Receipt::pending(ordered.outcomes, ordered.commitment.wait()))
    }

    async fn queue(&self, session: SessionId, after: Seq, limit: PageLimit) -> Result<QueuePage> {
        self.read(move |rows| queue::queue_page(rows, session, after, limit)).await
    }

    async fn retained(
        &self,
        filters: &[TopicFilter<'_>],
        cursor: Option<Cursor>,
        limit: PageLimit,
    ) -> Result<Page<Retained>> {
        let filters: Vec<_> = filters.iter().map(|filter| filter.clone().into_owned()).collect();
        self.read(move |rows| retained::retained_page(rows, &filters, cursor, limit)).await
    }

    async fn scan(&self, kind: RecordKind, cursor: Option<Cursor>, limit: PageLimit) -> Result<Page<Record>> {
        let is_first = kind == RecordKind::Session && cursor.is_none();
        let mut page = self.read(move |rows| scan::scan_page(rows, kind, cursor, limit)).await?;
        if is_first {
            // Every recovery begins with the sessions: so whoever recovers learns of it.
            page.damaged.extend(self.damaged.iter().cloned());
        }
        Ok(page)
    }

    async fn due(&self, now: Timestamp, cursor: Option<Cursor>, limit: PageLimit) -> Result<Page<Due>> {
        self.read(move |rows| due::due_page(rows, now, cursor, limit)).await
    }

    async fn inspect(&self) -> Result<Vec<StoreError>> {
        self.read(|rows| inspection::inspect(rows)).await
    }

    async fn close(&self) -> Result<()> {
        self.closed.store(true, Ordering::Release);
        let (sender, receiver) = oneshot::channel();
        if !self.requests.close(Some(Request::Close(sender))) {
            return Err(closed());
        }
        receiver.await.unwrap_or_else(|| Err(writer_is_gone()))
    }
}

impl<K: OrderedKv> Drop for KvPersistence<K> {
    fn drop(&mut self) {
        self.closed.store(true, Ordering::Release);
        self.requests.close(None);
        if let Some(writer) = self.writer.take() {
            // A writer that panicked has answered everybody `Fatal`; there is nobody left to tell.
            let _ = writer.join();
        }
    }
}

fn capabilities_of(declared: &KvCapabilities) -> Capabilities {
    Capabilities {
        name: declared.name,
        max_durability: declared.durability,
        max_batch_ops: declared.max_batch_ops,
        max_batch_bytes: declared.max_batch_bytes,
        max_message_bytes: declared.max_message_bytes,
        max_retained_messages: declared.max_retained_messages,
        unknown_outcomes: false,
        exclusive: true,
    }
}

fn closed() -> StoreError {
    StoreError::not_applied(ErrorKind::Closed, "the store is closed")
}

fn writer_is_gone() -> StoreError {
    StoreError::unknown(ErrorKind::Fatal, "the store's thread ended before it answered: its engine panicked")
}

fn no_thread(error: &std::io::Error) -> StoreError {
    StoreError::not_applied(ErrorKind::Fatal, format!("no thread for the store: {error}"))
}
