//! The contract as one type that holds any backend: the escape hatch for plug-ins.
//!
//! `Broker<P>` is compiled for the backend that it runs on, and who knows the backend at build time loses by this type:
//! each call is boxed. It is for programs that learn which backend they have when they run, from a plug-in or a table of
//! constructors, and for tests that go over several. It adds nothing to the contract and takes nothing away.

use async_trait::async_trait;
use opifex_packet::TopicFilter;

use crate::{
    Batch, Capabilities, Cursor, Due, OpenSession, OpenedSession, Page, PageLimit, Persistence, QueuePage,
    Receipt, Record, RecordKind, Result, Retained, Seq, SessionId, StoreError, Timestamp,
};

/// Some backend, whichever it is.
///
/// ```
/// # use opifex_storage::{DynPersistence, Persistence};
/// fn names(stores: &[DynPersistence]) -> Vec<&'static str> {
///     stores.iter().map(|store| store.capabilities().name).collect()
/// }
/// ```
pub struct DynPersistence(Box<dyn Twin>);

impl DynPersistence {
    /// Holds a backend.
    pub fn new(store: impl Persistence) -> DynPersistence {
        DynPersistence(Box::new(store))
    }
}

/// The contract with boxed futures, so that it can be a trait object. Every backend has it.
#[async_trait]
trait Twin: Send + Sync {
    fn capabilities(&self) -> &Capabilities;
    async fn open_session(&self, open: OpenSession) -> Result<OpenedSession>;
    async fn submit(&self, batch: Batch) -> Result<Receipt>;
    async fn queue(&self, session: SessionId, after: Seq, limit: PageLimit) -> Result<QueuePage>;
    async fn retained(
        &self,
        filters: &[TopicFilter<'_>],
        cursor: Option<Cursor>,
        limit: PageLimit,
    ) -> Result<Page<Retained>>;
    async fn scan(&self, kind: RecordKind, cursor: Option<Cursor>, limit: PageLimit) -> Result<Page<Record>>;
    async fn due(&self, now: Timestamp, cursor: Option<Cursor>, limit: PageLimit) -> Result<Page<Due>>;
    async fn inspect(&self) -> Result<Vec<StoreError>>;
    async fn close(&self) -> Result<()>;
}

#[async_trait]
impl<P: Persistence> Twin for P {
    fn capabilities(&self) -> &Capabilities {
        Persistence::capabilities(self)
    }

    async fn open_session(&self, open: OpenSession) -> Result<OpenedSession> {
        Persistence::open_session(self, open).await
    }

    async fn submit(&self, batch: Batch) -> Result<Receipt> {
        Persistence::submit(self, batch).await
    }

    async fn queue(&self, session: SessionId, after: Seq, limit: PageLimit) -> Result<QueuePage> {
        Persistence::queue(self, session, after, limit).await
    }

    async fn retained(
        &self,
        filters: &[TopicFilter<'_>],
        cursor: Option<Cursor>,
        limit: PageLimit,
    ) -> Result<Page<Retained>> {
        Persistence::retained(self, filters, cursor, limit).await
    }

    async fn scan(&self, kind: RecordKind, cursor: Option<Cursor>, limit: PageLimit) -> Result<Page<Record>> {
        Persistence::scan(self, kind, cursor, limit).await
    }

    async fn due(&self, now: Timestamp, cursor: Option<Cursor>, limit: PageLimit) -> Result<Page<Due>> {
        Persistence::due(self, now, cursor, limit).await
    }

    async fn inspect(&self) -> Result<Vec<StoreError>> {
        Persistence::inspect(self).await
    }

    async fn close(&self) -> Result<()> {
        Persistence::close(self).await
    }
}

impl Persistence for DynPersistence {
    fn capabilities(&self) -> &Capabilities {
        self.0.capabilities()
    }

    async fn open_session(&self, open: OpenSession) -> Result<OpenedSession> {
        self.0.open_session(open).await
    }

    async fn submit(&self, batch: Batch) -> Result<Receipt> {
        self.0.submit(batch).await
    }

    async fn queue(&self, session: SessionId, after: Seq, limit: PageLimit) -> Result<QueuePage> {
        self.0.queue(session, after, limit).await
    }

    async fn retained(
        &self,
        filters: &[TopicFilter<'_>],
        cursor: Option<Cursor>,
        limit: PageLimit,
    ) -> Result<Page<Retained>> {
        self.0.retained(filters, cursor, limit).await
    }

    async fn scan(&self, kind: RecordKind, cursor: Option<Cursor>, limit: PageLimit) -> Result<Page<Record>> {
        self.0.scan(kind, cursor, limit).await
    }

    async fn due(&self, now: Timestamp, cursor: Option<Cursor>, limit: PageLimit) -> Result<Page<Due>> {
        self.0.due(now, cursor, limit).await
    }

    async fn inspect(&self) -> Result<Vec<StoreError>> {
        self.0.inspect().await
    }

    async fn close(&self) -> Result<()> {
        self.0.close().await
    }
}
