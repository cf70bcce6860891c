//! A store whose answers wait until they are let through, and that refuses what it is told to: what a slow,
//! full or failing disk does, on command.

use crate::store::Store;
use std::sync::Arc;

use opifex_packet::TopicFilter;
use opifex_storage::{
    Batch, Capabilities, Cursor, Due, ErrorKind, Op, OpenSession, OpenedSession, Page, PageLimit,
    Persistence, QueuePage, Receipt, Record, RecordKind, Result, Retained, Seq, SessionId, StoreError,
    Timestamp,
};
use tokio::sync::watch;

/// What is let through.
#[derive(Copy, Clone, Default)]
pub(crate) struct Gates {
    /// Sessions are not opened (the answer waits; the session is open).
    pub(crate) hold_opens: bool,
    /// Batches that bring messages are not ordered.
    pub(crate) hold_orders: bool,
    /// Ordered batches do not become durable.
    pub(crate) hold_commits: bool,
    /// Batches that bring messages are refused like this.
    pub(crate) refuse: Option<ErrorKind>,
}

#[derive(Clone)]
pub(crate) struct GatedStore {
    inner: Store,
    gates: Arc<watch::Sender<Gates>>,
}

impl GatedStore {
    pub(crate) fn new() -> GatedStore {
        GatedStore { inner: Store::new(), gates: Arc::new(watch::Sender::new(Gates::default())) }
    }

    pub(crate) fn set(&self, gates: Gates) {
        self.gates.send_replace(gates);
    }

    pub(crate) fn open_all(&self) {
        self.set(Gates::default());
    }

    async fn pass(&self, holds: impl Fn(&Gates) -> bool) {
        let mut gates = self.gates.subscribe();
        gates.wait_for(|gates| !holds(gates)).await.unwrap();
    }
}

impl Persistence for GatedStore {
    fn capabilities(&self) -> &Capabilities {
        self.inner.capabilities()
    }

    async fn open_session(&self, open: OpenSession) -> Result<OpenedSession> {
        let opened = self.inner.open_session(open).await;
        self.pass(|gates| gates.hold_opens).await;
        opened
    }

    async fn submit(&self, batch: Batch) -> Result<Receipt> {
        let grows = batch.ops.iter().any(|op| matches!(op, Op::Enqueue { .. } | Op::Retain(_)));
        if grows {
            self.pass(|gates| gates.hold_orders).await;
            if let Some(kind) = self.gates.borrow().refuse {
                return Err(StoreError::not_applied(kind, "told to refuse"));
            }
        }
        let receipt = self.inner.submit(batch).await?;
        let mut gates = self.gates.subscribe();
        Ok(Receipt::pending(receipt.outcomes().to_vec(), async move {
            let commit = receipt.durable().await;
            gates.wait_for(|gates| !gates.hold_commits).await.unwrap();
            commit
        }))
    }

    async fn queue(&self, session: SessionId, after: Seq, limit: PageLimit) -> Result<QueuePage> {
        self.inner.queue(session, after, limit).await
    }

    async fn retained(
        &self,
        filters: &[TopicFilter<'_>],
        cursor: Option<Cursor>,
        limit: PageLimit,
    ) -> Result<Page<Retained>> {
        self.inner.retained(filters, cursor, limit).await
    }

    async fn scan(&self, kind: RecordKind, cursor: Option<Cursor>, limit: PageLimit) -> Result<Page<Record>> {
        self.inner.scan(kind, cursor, limit).await
    }

    async fn due(&self, now: Timestamp, limit: PageLimit) -> Result<Page<Due>> {
        self.inner.due(now, limit).await
    }

    async fn close(&self) -> Result<()> {
        self.inner.close().await
    }
}
