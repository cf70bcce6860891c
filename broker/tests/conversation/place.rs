//! A store that fails at one place in one way, as long as it is told to.

use std::sync::{Arc, Mutex};

use opifex_packet::TopicFilter;
use opifex_storage::{
    Batch, Capabilities, Certainty, Cursor, Due, ErrorKind, Op, OpenSession, OpenedSession, Page, PageLimit,
    Persistence, QueuePage, Receipt, Record, RecordKind, Result, Retained, Seq, SessionId, StoreError,
    Timestamp,
};

use crate::store::Store;

/// Where a call of the store, or its commit, fails.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Open,
    /// A batch with such an operation.
    EndSession,
    Subscribe,
    Unsubscribe,
    Enqueue,
    Retain,
    PutInbound,
    DeleteInbound,
    Assign,
    Release,
    Settle,
    /// A batch with guards: retained messages for a new subscription.
    Replay,
    /// A read.
    Retained,
    Queue,
    Due,
    Scan,
}

/// How.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Fault {
    pub(crate) place: Place,
    pub(crate) kind: ErrorKind,
    pub(crate) certainty: Certainty,
    /// The batch is ordered, and its commit fails.
    pub(crate) at_commit: bool,
}

/// See the module's documentation. Clones are handles to the same one.
#[derive(Clone)]
pub(crate) struct FaultyStore {
    inner: Store,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    fault: Option<Fault>,
    hits: usize,
}

impl FaultyStore {
    pub(crate) fn new() -> FaultyStore {
        FaultyStore { inner: Store::new(), state: Arc::default() }
    }

    pub(crate) fn fail(&self, fault: Fault) {
        *self.state.lock().unwrap() = State { fault: Some(fault), hits: 0 };
    }

    /// Fails no more; answers how often it has.
    pub(crate) fn mend(&self) -> usize {
        std::mem::take(&mut *self.state.lock().unwrap()).hits
    }

    fn check(&self, at_commit: bool, is_there: impl Fn(Place) -> bool) -> Result<()> {
        let mut state = self.state.lock().unwrap();
        let Some(fault) = state.fault.filter(|fault| fault.at_commit == at_commit && is_there(fault.place))
        else {
            return Ok(());
        };
        state.hits += 1;
        let message = format!("told to fail at {:?}", fault.place);
        Err(match fault.certainty {
            Certainty::NotApplied => StoreError::not_applied(fault.kind, message),
            Certainty::Unknown => StoreError::unknown(fault.kind, message),
        })
    }
}

fn has(batch: &Batch, place: Place) -> bool {
    let any = |wanted: fn(&Op) -> bool| batch.ops.iter().any(wanted);
    match place {
        Place::EndSession => any(|op| matches!(op, Op::EndSession(_))),
        Place::Subscribe => any(|op| matches!(op, Op::Subscribe(_))),
        Place::Unsubscribe => any(|op| matches!(op, Op::Unsubscribe(_))),
        Place::Enqueue => batch.guards.is_empty() && any(|op| matches!(op, Op::Enqueue { .. })),
        Place::Retain => any(|op| matches!(op, Op::Retain(_) | Op::Unretain(_))),
        Place::PutInbound => any(|op| matches!(op, Op::PutInbound(_))),
        Place::DeleteInbound => any(|op| matches!(op, Op::DeleteInbound(_))),
        Place::Assign => any(|op| matches!(op, Op::Assign { .. })),
        Place::Release => any(|op| matches!(op, Op::Release(_))),
        Place::Settle => any(|op| matches!(op, Op::Settle(_))),
        Place::Replay => !batch.guards.is_empty(),
        Place::Open | Place::Retained | Place::Queue | Place::Due | Place::Scan => false,
    }
}

impl Persistence for FaultyStore {
    fn capabilities(&self) -> &Capabilities {
        self.inner.capabilities()
    }

    async fn open_session(&self, open: OpenSession) -> Result<OpenedSession> {
        self.check(false, |place| place == Place::Open)?;
        self.inner.open_session(open).await
    }

    async fn submit(&self, batch: Batch) -> Result<Receipt> {
        self.check(false, |place| has(&batch, place))?;
        let commit = self.check(true, |place| has(&batch, place));
        let receipt = self.inner.submit(batch).await?;
        if commit.is_ok() {
            return Ok(receipt);
        }
        let outcomes = receipt.outcomes().to_vec();
        Ok(Receipt::pending(outcomes, async move {
            let done = receipt.durable().await;
            commit.and(done)
        }))
    }

    async fn queue(&self, session: SessionId, after: Seq, limit: PageLimit) -> Result<QueuePage> {
        self.check(false, |place| place == Place::Queue)?;
        self.inner.queue(session, after, limit).await
    }

    async fn retained(
        &self,
        filters: &[TopicFilter<'_>],
        cursor: Option<Cursor>,
        limit: PageLimit,
    ) -> Result<Page<Retained>> {
        self.check(false, |place| place == Place::Retained)?;
        self.inner.retained(filters, cursor, limit).await
    }

    async fn scan(&self, kind: RecordKind, cursor: Option<Cursor>, limit: PageLimit) -> Result<Page<Record>> {
        self.check(false, |place| place == Place::Scan)?;
        self.inner.scan(kind, cursor, limit).await
    }

    async fn due(&self, now: Timestamp, limit: PageLimit) -> Result<Page<Due>> {
        self.check(false, |place| place == Place::Due)?;
        self.inner.due(now, limit).await
    }

    async fn close(&self) -> Result<()> {
        self.inner.close().await
    }
}
