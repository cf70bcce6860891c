//! A sound store, as broken ones are built over it: the memory backend without futures, whose own are ready at once,
//! and a few words for looking into it and for writing behind the caller's back.

use std::future::Future;
use std::pin::pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use opifex_packet::TopicFilter;
use opifex_storage::{
    Author, Batch, Cursor, Due, Durability, Op, OpenSession, OpenedSession, Outcome, Page, PageLimit,
    Persistence, QueuePage, Queued, Record, RecordKind, Restored, Result, Retained, Seq, SessionId,
    SessionRecord, SubscriptionRecord, Timestamp,
};
use opifex_storage_memory::{MemoryOptions, MemoryStore};

/// A page that holds whatever a case has written.
pub(crate) const EVERYTHING: PageLimit = PageLimit { items: usize::MAX, bytes: usize::MAX };

/// What is behind a broken store.
pub(crate) struct Engine(Mutex<MemoryStore>);

impl Engine {
    pub(crate) fn new(options: MemoryOptions) -> Engine {
        Engine(Mutex::new(MemoryStore::with_options(options)))
    }

    fn store(&self) -> MemoryStore {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Opens what was closed.
    pub(crate) fn reopen(&self) {
        let mut store = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *store = store.reopen();
    }

    /// Goes on with a new store that holds what this makes of each record of the old one.
    pub(crate) fn rebuild(&self, options: MemoryOptions, keep: impl Fn(Record) -> Option<Record>) {
        let new = MemoryStore::with_options(options);
        for kind in [
            RecordKind::Session,
            RecordKind::Ended,
            RecordKind::Subscription,
            RecordKind::Queued,
            RecordKind::Inbound,
            RecordKind::Will,
            RecordKind::Retained,
        ] {
            for record in self.all(kind) {
                let left = match &record {
                    Record::Ended(session, _) => self.entries(session.id),
                    _ => Vec::new(),
                };
                let ended = self.entries_of_ended(&record, left);
                for record in [record].into_iter().chain(ended) {
                    if let Some(record) = keep(record) {
                        restore(&new, record);
                    }
                }
            }
        }
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = new;
    }

    fn entries_of_ended(&self, record: &Record, left: Vec<Queued>) -> Vec<Record> {
        match record {
            Record::Ended(session, _) => {
                left.into_iter().map(|entry| Record::Queued(session.id, entry)).collect()
            }
            _ => Vec::new(),
        }
    }
}

fn restore(store: &MemoryStore, record: Record) {
    let op = Op::Restore(Box::new(Restored { record, same_message_as: None }));
    let batch = Batch::new(Author::Broker, Durability::Memory, Timestamp(0)).with(op);
    now(store.submit(batch)).expect("the memory store takes what it has shown");
}

/// The contract, call for call.
impl Engine {
    pub(crate) fn open(&self, open: OpenSession) -> Result<OpenedSession> {
        now(self.store().open_session(open))
    }

    pub(crate) fn submit(&self, batch: Batch) -> Result<Vec<Outcome>> {
        now(self.store().submit(batch)).map(|receipt| receipt.outcomes().to_vec())
    }

    pub(crate) fn queue(&self, session: SessionId, after: Seq, limit: PageLimit) -> Result<QueuePage> {
        now(self.store().queue(session, after, limit))
    }

    pub(crate) fn retained(
        &self,
        filters: &[TopicFilter<'_>],
        cursor: Option<Cursor>,
        limit: PageLimit,
    ) -> Result<Page<Retained>> {
        now(self.store().retained(filters, cursor, limit))
    }

    pub(crate) fn scan(
        &self,
        kind: RecordKind,
        cursor: Option<Cursor>,
        limit: PageLimit,
    ) -> Result<Page<Record>> {
        now(self.store().scan(kind, cursor, limit))
    }

    pub(crate) fn due(&self, at: Timestamp, limit: PageLimit) -> Result<Page<Due>> {
        now(self.store().due(at, limit))
    }

    pub(crate) fn close(&self) -> Result<()> {
        now(self.store().close())
    }
}

/// Looking into it.
impl Engine {
    /// All records of a kind; none of a store that is closed.
    pub(crate) fn all(&self, kind: RecordKind) -> Vec<Record> {
        let (mut records, mut cursor) = (Vec::new(), None);
        while let Ok(page) = self.scan(kind, cursor, EVERYTHING) {
            records.extend(page.items);
            cursor = page.next;
            if cursor.is_none() {
                break;
            }
        }
        records
    }

    pub(crate) fn sessions(&self) -> Vec<SessionRecord> {
        let records = self.all(RecordKind::Session).into_iter();
        records
            .filter_map(|record| if let Record::Session(session) = record { Some(session) } else { None })
            .collect()
    }

    pub(crate) fn session(&self, id: SessionId) -> Option<SessionRecord> {
        self.sessions().into_iter().find(|session| session.id == id)
    }

    pub(crate) fn session_of(&self, client: &str) -> Option<SessionRecord> {
        self.sessions().into_iter().find(|session| &*session.client_id == client)
    }

    pub(crate) fn entries(&self, id: SessionId) -> Vec<Queued> {
        let (mut entries, mut after) = (Vec::new(), Seq::ZERO);
        while let Ok(page) = self.queue(id, after, EVERYTHING) {
            entries.extend(page.items);
            after = page.final_up_to;
            if !page.more {
                break;
            }
        }
        entries
    }

    pub(crate) fn subscriptions(&self, id: SessionId) -> Vec<SubscriptionRecord> {
        let records = self.all(RecordKind::Subscription).into_iter();
        let own = records.filter_map(|record| match record {
            Record::Subscription(session, subscription) if session == id => Some(subscription),
            _ => None,
        });
        own.collect()
    }

    /// All retained messages.
    pub(crate) fn kept(&self) -> Vec<Retained> {
        let records = self.all(RecordKind::Retained).into_iter();
        records
            .filter_map(|record| if let Record::Retained(kept) = record { Some(kept) } else { None })
            .collect()
    }
}

/// Writing behind the caller's back. What cannot be done is left undone: a broken store is not particular.
impl Engine {
    /// In a session's name, whoever owns it.
    pub(crate) fn write(&self, session: SessionId, at: Timestamp, ops: impl IntoIterator<Item = Op>) {
        if let Some(record) = self.session(session) {
            let author = Author::Session(session, record.epoch);
            let _ = self.submit(Batch {
                ops: ops.into_iter().collect(),
                ..Batch::new(author, Durability::Memory, at)
            });
        }
    }

    /// In the broker's name.
    pub(crate) fn administer(&self, at: Timestamp, ops: impl IntoIterator<Item = Op>) {
        let batch = Batch::new(Author::Broker, Durability::Memory, at);
        let _ = self.submit(Batch { ops: ops.into_iter().collect(), ..batch });
    }

    /// Under a claim.
    pub(crate) fn claim(&self, due: &Due, at: Timestamp, ops: impl IntoIterator<Item = Op>) {
        let batch = Batch::new(Author::Claim(due.clone()), Durability::Memory, at);
        let _ = self.submit(Batch { ops: ops.into_iter().collect(), ..batch });
    }

    /// A record, put there.
    pub(crate) fn put(&self, record: Record) {
        restore(&self.store(), record);
    }
}

/// The answer of a future that has one at once.
fn now<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(answer) => answer,
        Poll::Pending => unreachable!("the memory store waits for nothing"),
    }
}
