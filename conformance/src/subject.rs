//! The store under test, with calls that panic where a case cannot go on.

use std::sync::Arc;

use opifex_storage::{
    Author, Batch, Capabilities, Certainty, Due, DueItem, Durability, ErrorKind, Message, Op, OpenSession,
    OpenedSession, Outcome, Page, PageLimit, Persistence, Queued, Record, RecordKind, Result, Retained, Seq,
    SessionId, SessionRecord, StoreError, SubscriptionRecord, TargetOutcome, Timestamp, WillRecord,
};

use crate::Factory;
use crate::script::{START, connect, filter, message, target};

/// A store in a place of its own. The place is destroyed with it.
pub struct Subject<F: Factory> {
    factory: Arc<F>,
    // In this order: the store goes before its place.
    store: Option<F::Store>,
    place: F::Place,
}

/// How many items a page of the walks here has: few, so that walks have many.
const PAGE_ITEMS: usize = 50;

/// A walk that takes more pages than this does not end.
const MAX_PAGES: usize = 100_000;

impl<F: Factory> Subject<F> {
    /// Opens a store in a new place.
    pub async fn new(factory: Arc<F>) -> Self {
        let place = factory.place();
        let store = factory.open(&place).await.expect("an empty place can be opened");
        Subject { factory, store: Some(store), place }
    }

    /// Closes the store and opens its place again.
    pub async fn reopen(&mut self) {
        if let Some(store) = self.store.take() {
            store.close().await.expect("an open store can be closed");
        }
        self.store = Some(self.factory.open(&self.place).await.expect("a closed place can be opened again"));
    }

    /// The store itself.
    pub fn store(&self) -> &F::Store {
        self.store.as_ref().expect("it is only taken while it is opened again")
    }

    /// Waits as the factory does, for cases that have threads.
    pub fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        self.factory.block_on(future)
    }

    /// What the backend declares.
    pub fn capabilities(&self) -> &Capabilities {
        self.store().capabilities()
    }

    /// The strongest level that the backend offers: what is promised of a batch is only certain when it asked for it.
    pub fn strongest(&self) -> Durability {
        self.capabilities().max_durability
    }
}

/// Opening sessions.
impl<F: Factory> Subject<F> {
    /// Opens the client's session as [`connect`] says.
    pub async fn connect(&self, client: &str) -> OpenedSession {
        self.open(connect(client)).await
    }

    /// Opens a session at the strongest durability.
    pub async fn open(&self, open: OpenSession) -> OpenedSession {
        self.try_open(open).await.expect("the session can be opened")
    }

    /// Opens a session, which may be refused.
    pub async fn try_open(&self, open: OpenSession) -> Result<OpenedSession> {
        self.store().open_session(OpenSession { durability: self.strongest(), ..open }).await
    }
}

/// Writing.
impl<F: Factory> Subject<F> {
    /// An empty batch of the session that was opened.
    pub fn by(&self, author: &OpenedSession) -> Batch {
        Batch::new(Author::Session(author.session.id, author.session.epoch), self.strongest(), START)
    }

    /// An empty batch of the broker.
    pub fn by_broker(&self) -> Batch {
        Batch::new(Author::Broker, self.strongest(), START)
    }

    /// An empty batch under the claim of a due item, at `now`.
    pub fn by_claim(&self, due: &Due, now: Timestamp) -> Batch {
        Batch::new(Author::Claim(due.clone()), self.strongest(), now)
    }

    /// Submits a batch, waits until it is durable, and answers its outcomes.
    pub async fn submit(&self, batch: Batch) -> Vec<Outcome> {
        let ops = batch.ops.len();
        let asked = batch.durability;
        let receipt = self.store().submit(batch).await.expect("the batch is applied");
        let outcomes = receipt.outcomes().to_vec();
        assert_eq!(outcomes.len(), ops, "each operation has an outcome");
        let commit = receipt.durable().await.expect("the batch becomes durable");
        assert!(commit.durability >= asked, "{asked} was asked for, {} reached", commit.durability);
        outcomes
    }

    /// Submits a batch of one operation and answers its outcome.
    pub async fn one(&self, batch: Batch, op: Op) -> Outcome {
        let mut outcomes = self.submit(batch.with(op)).await;
        outcomes.pop().expect("one operation, one outcome")
    }

    /// Submits a batch that must be refused for this reason, without a trace.
    pub async fn refuse(&self, batch: Batch, kind: ErrorKind) -> StoreError {
        let what = format!("{batch:.200?}");
        let error = match self.store().submit(batch).await {
            Ok(receipt) => panic!("applied with {:?}, must be {kind:?}: {what}", receipt.outcomes()),
            Err(error) => error,
        };
        assert_eq!(error.kind(), kind, "{error}");
        assert_eq!(error.certainty(), Certainty::NotApplied, "{error}");
        error
    }

    /// Queues a small message for the session, in the broker's name, and answers its number.
    pub async fn enqueue(&self, session: SessionId, payload: &str) -> Seq {
        self.enqueue_message(session, message("t", payload)).await
    }

    /// Queues a message for the session, in the broker's name, and answers its number.
    pub async fn enqueue_message(&self, session: SessionId, message: Message) -> Seq {
        let op = Op::Enqueue { message: Arc::new(message), targets: vec![target(session)] };
        match &self.one(self.by_broker(), op).await {
            Outcome::Enqueued(targets) => match &targets[..] {
                [TargetOutcome::Queued { seq, .. }] => *seq,
                other => panic!("not queued: {other:?}"),
            },
            other => panic!("an enqueue answered {other:?}"),
        }
    }

    /// Retains a message in the broker's name.
    pub async fn retain(&self, message: Message) -> opifex_storage::RecordVersion {
        match self.one(self.by_broker(), Op::Retain(Arc::new(message))).await {
            Outcome::Retained(version) => version,
            other => panic!("a retain answered {other:?}"),
        }
    }

    /// Retains many messages in the broker's name, in batches that the backend takes.
    pub async fn retain_all(&self, messages: impl IntoIterator<Item = Message>) {
        let max = self.capabilities().max_batch_ops.min(4096);
        let mut batch = self.by_broker();
        for message in messages {
            batch.ops.push(Op::Retain(Arc::new(message)));
            if batch.ops.len() == max {
                self.submit(std::mem::replace(&mut batch, self.by_broker())).await;
            }
        }
        self.submit(batch).await;
    }
}

/// Reading.
impl<F: Factory> Subject<F> {
    /// A session's whole queue.
    pub async fn queue(&self, session: SessionId) -> Vec<Queued> {
        let mut entries = Vec::new();
        let mut after = Seq::ZERO;
        loop {
            let page = self.store().queue(session, after, PageLimit::items(PAGE_ITEMS)).await;
            let page = page.expect("a queue can be read");
            after = page.items.last().map_or(after, |last| last.seq);
            let empty = page.items.is_empty();
            entries.extend(page.items);
            if !page.more {
                return entries;
            }
            assert!(!empty, "a queue's page is empty and says that there is more");
        }
    }

    /// The payloads of a session's whole queue, as text.
    pub async fn payloads(&self, session: SessionId) -> Vec<String> {
        let text = |entry: &Queued| match &entry.message {
            Some(message) => String::from_utf8_lossy(&message.payload).into_owned(),
            None => "-".to_owned(),
        };
        self.queue(session).await.iter().map(text).collect()
    }

    /// The numbers of a session's whole queue.
    pub async fn seqs(&self, session: SessionId) -> Vec<u64> {
        self.queue(session).await.iter().map(|entry| entry.seq.0).collect()
    }

    /// The retained messages that match any of the filters, and what the store looked at in all.
    pub async fn retained(&self, filters: &[&str]) -> (Vec<Retained>, usize) {
        let filters: Vec<_> = filters.iter().map(|text| filter(text)).collect();
        let (mut items, mut examined, mut cursor) = (Vec::new(), 0, None);
        for _ in 0..MAX_PAGES {
            let page = self.store().retained(&filters, cursor, PageLimit::items(PAGE_ITEMS)).await;
            let Page { items: found, next, examined: looked_at } =
                page.expect("retained messages can be read");
            assert!(found.len() <= PAGE_ITEMS, "a page holds more than it may");
            items.extend(found);
            examined += looked_at;
            if next.is_none() {
                return (items, examined);
            }
            cursor = next;
        }
        panic!("a walk of retained messages does not end");
    }

    /// The topics of the retained messages that match any of the filters, sorted.
    pub async fn topics(&self, filters: &[&str]) -> Vec<String> {
        let (items, _) = self.retained(filters).await;
        let mut topics: Vec<_> = items.iter().map(|item| item.message.topic.as_str().to_owned()).collect();
        topics.sort();
        topics
    }

    /// All records of one kind.
    pub async fn scan(&self, kind: RecordKind) -> Vec<Record> {
        let (mut items, mut cursor) = (Vec::new(), None);
        for _ in 0..MAX_PAGES {
            let page = self.store().scan(kind, cursor, PageLimit::items(PAGE_ITEMS)).await;
            let page = page.expect("records can be read");
            assert!(page.items.len() <= PAGE_ITEMS, "a page holds more than it may");
            items.extend(page.items);
            if page.next.is_none() {
                return items;
            }
            cursor = page.next;
        }
        panic!("a walk of {kind:?} does not end");
    }

    /// The record of a session that has not ended.
    pub async fn session(&self, id: SessionId) -> Option<SessionRecord> {
        let records = self.scan(RecordKind::Session).await;
        records.into_iter().find_map(|record| match record {
            Record::Session(session) if session.id == id => Some(session),
            _ => None,
        })
    }

    /// The subscriptions of a session that has not ended.
    pub async fn subscriptions(&self, id: SessionId) -> Vec<SubscriptionRecord> {
        let records = self.scan(RecordKind::Subscription).await;
        let of_session = records.into_iter().filter_map(|record| match record {
            Record::Subscription(session, subscription) if session == id => Some(subscription),
            _ => None,
        });
        of_session.collect()
    }

    /// The inbound ids of a session that has not ended.
    pub async fn inbound(&self, id: SessionId) -> Vec<u16> {
        let records = self.scan(RecordKind::Inbound).await;
        let of_session = records.into_iter().filter_map(|record| match record {
            Record::Inbound(inbound) if inbound.session == id => Some(inbound.packet_id.get()),
            _ => None,
        });
        of_session.collect()
    }

    /// All wills.
    pub async fn wills(&self) -> Vec<WillRecord> {
        let records = self.scan(RecordKind::Will).await;
        let wills = records.into_iter().map(|record| match record {
            Record::Will(will) => will,
            other => panic!("a walk of wills shows {other:?}"),
        });
        wills.collect()
    }

    /// What is due, up to 1,000 items.
    pub async fn due(&self, now: Timestamp) -> Vec<Due> {
        let page = self.store().due(now, PageLimit::items(1000)).await.expect("due items can be read");
        page.items
    }

    /// What is due, without versions.
    pub async fn due_items(&self, now: Timestamp) -> Vec<DueItem> {
        self.due(now).await.into_iter().map(|due| due.item).collect()
    }

    /// The one thing that is due.
    pub async fn only_due(&self, now: Timestamp) -> Due {
        let mut due = self.due(now).await;
        assert_eq!(due.len(), 1, "one thing is due: {due:?}");
        due.remove(0)
    }
}
