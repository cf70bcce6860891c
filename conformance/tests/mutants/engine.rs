//! A sound store, as broken ones are built over it: the memory backend without futures, whose own are ready at once,
//! and a few words for looking into it and for writing behind the caller's back.

use std::collections::HashMap;
use std::future::Future;
use std::pin::pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use opifex_packet::{PacketId, TopicFilter, TopicName};
use opifex_storage::{
    Author, Batch, Cursor, Due, Durability, Op, OpenSession, OpenedSession, Outcome, Page, PageLimit,
    Persistence, QueuePage, Queued, Record, RecordKind, Restored, Result, Retained, Seq, SessionId,
    SessionRecord, SubscriptionRecord, Timestamp,
};
use opifex_storage_memory::{MemoryOptions, MemoryStore};

/// A page that holds whatever a case has written.
pub(crate) const EVERYTHING: PageLimit = PageLimit { items: usize::MAX, bytes: usize::MAX };

/// What is behind a broken store.
pub(crate) struct Engine {
    store: Mutex<MemoryStore>,
    /// The session that each client opened last.
    clients: Mutex<HashMap<Box<str>, SessionId>>,
}

impl Engine {
    pub(crate) fn new(options: MemoryOptions) -> Engine {
        Engine { store: Mutex::new(MemoryStore::with_options(options)), clients: Mutex::default() }
    }

    fn store(&self) -> MemoryStore {
        self.store.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Opens what was closed.
    pub(crate) fn reopen(&self) {
        let mut store = self.store.lock().unwrap_or_else(PoisonError::into_inner);
        *store = store.reopen();
    }

    /// Goes on with a new store that holds what this makes of each record of the old one.
    pub(crate) fn rebuild(&self, options: MemoryOptions, keep: impl Fn(Record) -> Option<Record>) {
        let new = MemoryStore::with_options(options);
        for kind in RecordKind::ALL {
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
        *self.store.lock().unwrap_or_else(PoisonError::into_inner) = new;
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
        let client = open.client_id.clone();
        let opened = now(self.store().open_session(open))?;
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        clients.insert(client, opened.session.id);
        Ok(opened)
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

    pub(crate) fn due(&self, at: Timestamp, cursor: Option<Cursor>, limit: PageLimit) -> Result<Page<Due>> {
        now(self.store().due(at, cursor, limit))
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

    /// A session by its id. The memory store's places are ids, so that this costs one look-up.
    pub(crate) fn session(&self, id: SessionId) -> Option<SessionRecord> {
        let before = id.0.checked_sub(1).map(place);
        match self.scan(RecordKind::Session, before, PageLimit::items(1)).ok()?.items.pop()? {
            Record::Session(session) => Some(session).filter(|session| session.id == id),
            _ => None,
        }
    }

    pub(crate) fn session_of(&self, client: &str) -> Option<SessionRecord> {
        let id = self.clients.lock().unwrap_or_else(PoisonError::into_inner).get(client).copied();
        self.session(id?)
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
        let own =
            self.records_of(RecordKind::Subscription, id).into_iter().filter_map(|record| match record {
                Record::Subscription(session, subscription) if session == id => Some(subscription),
                _ => None,
            });
        own.collect()
    }

    pub(crate) fn inbound(&self, id: SessionId) -> Vec<PacketId> {
        let own = self.records_of(RecordKind::Inbound, id).into_iter().filter_map(|record| match record {
            Record::Inbound(inbound) if inbound.session == id => Some(inbound.packet_id),
            _ => None,
        });
        own.collect()
    }

    /// What hangs on a session, and maybe more behind it.
    fn records_of(&self, kind: RecordKind, id: SessionId) -> Vec<Record> {
        let (mut records, mut cursor) = (Vec::new(), Some(place(id.0)));
        while cursor.is_some() && self.session(id).is_some() {
            let Ok(page) = self.scan(kind, cursor, EVERYTHING) else { break };
            let others = |record: &Record| match record {
                Record::Subscription(other, _) => *other != id,
                Record::Inbound(inbound) => inbound.session != id,
                _ => false,
            };
            cursor = page.next.filter(|_| !page.items.iter().any(others));
            records.extend(page.items);
        }
        records
    }

    /// The retained message of a topic.
    pub(crate) fn kept_on(&self, topic: &TopicName<'_>) -> Option<Retained> {
        let filter = TopicFilter::new(topic.as_str().to_owned()).ok()?;
        self.retained(&[filter], None, EVERYTHING).ok()?.items.pop()
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

/// The place in the memory store's walks where a session begins, or behind which sessions go on.
fn place(id: u64) -> Cursor {
    Cursor(Bytes::copy_from_slice(&id.to_be_bytes()))
}

/// The answer of a future that has one at once.
fn now<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(answer) => answer,
        Poll::Pending => unreachable!("the memory store waits for nothing"),
    }
}
