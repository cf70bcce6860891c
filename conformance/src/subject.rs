//! The store under test, with calls that panic where a case cannot go on: opening and writing.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use opifex_storage::{
    Author, Batch, Capabilities, Certainty, Due, Durability, ErrorKind, Message, Op, OpenSession,
    OpenedSession, Outcome, Persistence, RecordVersion, Result, Seq, SessionId, StoreError, TargetOutcome,
    Timestamp,
};

use crate::script::{START, connect, message, target};
use crate::verdict::Notes;
use crate::{Factory, Verdict};

mod birth;
pub(crate) mod reading;

/// A store in a place of its own. The place is destroyed with it.
///
/// Its clock is the latest time that the case has named: what is written or opened later with an earlier one happens at
/// that time, since time never runs backwards.
pub struct Subject<F: Factory> {
    factory: Arc<F>,
    /// Shared with the other stores of the case.
    notes: Arc<Notes>,
    clock: AtomicU64,
    // In this order: the store goes before its place.
    store: Option<F::Store>,
    place: F::Place,
}

impl<F: Factory> Subject<F> {
    /// Opens a store in a new place.
    pub async fn new(factory: Arc<F>) -> Self {
        Subject::noted(factory, Arc::default()).await
    }

    pub(crate) async fn noted(factory: Arc<F>, notes: Arc<Notes>) -> Self {
        let place = birth::place(&*factory);
        let store = birth::open(&*factory, &place).await;
        notes.opened(store.capabilities());
        Subject { factory, notes, clock: AtomicU64::new(START.0), store: Some(store), place }
    }

    /// A second store, in another place.
    pub async fn another(&self) -> Self {
        Subject::noted(Arc::clone(&self.factory), Arc::clone(&self.notes)).await
    }

    /// Closes the store and opens its place again.
    pub async fn reopen(&mut self) {
        if let Some(store) = self.store.take() {
            store.close().await.expect("an open store can be closed");
        }
        self.open_again().await;
    }

    /// Opens the place of a store that the case has closed.
    pub async fn open_again(&mut self) {
        drop(self.store.take());
        self.store = Some(birth::open_again(&*self.factory, &self.place).await);
    }

    /// Holds the engine, where that is possible: see [`Factory::hold`].
    pub fn hold(&self) -> Option<Box<dyn FnOnce() + Send>> {
        self.factory.hold(&self.place)
    }

    /// The store itself.
    pub fn store(&self) -> &F::Store {
        self.store.as_ref().expect("it is only taken while it is opened again")
    }

    /// What makes the stores of this case.
    pub fn factory(&self) -> &Arc<F> {
        &self.factory
    }

    /// Where the store lies.
    pub fn place(&self) -> &F::Place {
        &self.place
    }

    /// Waits as the factory does, for cases that have threads.
    pub fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        self.factory.block_on(future)
    }

    /// What the backend declares.
    pub fn capabilities(&self) -> &Capabilities {
        self.store().capabilities()
    }

    /// It is `now`, or later.
    fn advance(&self, now: Timestamp) -> Timestamp {
        Timestamp(self.clock.fetch_max(now.0, Ordering::Relaxed).max(now.0))
    }

    /// The strongest level that the backend offers: what is promised of a batch is only certain when it asked for it.
    pub fn strongest(&self) -> Durability {
        self.capabilities().max_durability
    }
}

/// What the report says of the case beside its verdict.
impl<F: Factory> Subject<F> {
    /// The case is about this capability, which the backend claims: `durability disk`.
    pub fn claimed(&self, capability: &str) {
        self.notes.add(Verdict::Passed, capability, None);
    }

    /// The backend claims this, and the case has checked so much of it: what the report says of a case that passed.
    pub fn checked(&self, capability: &str, how_much: &str) {
        self.notes.add(Verdict::Passed, capability, Some(how_much));
    }

    /// The backend does not claim this, and the case has seen that it refuses it.
    pub fn not_claimed(&self, capability: &str, reason: &str) {
        self.notes.add(Verdict::NotClaimed, capability, Some(reason));
    }

    /// The backend claims this, and it could not be checked on this machine.
    pub fn not_verified(&self, capability: &str, reason: &str) {
        self.notes.add(Verdict::NotVerified, capability, Some(reason));
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
        let now = self.advance(open.now);
        self.store().open_session(OpenSession { durability: self.strongest(), now, ..open }).await
    }
}

/// Writing.
impl<F: Factory> Subject<F> {
    /// An empty batch of the session that was opened.
    pub fn by(&self, author: &OpenedSession) -> Batch {
        Batch::new(
            Author::Session(author.session.id, author.session.epoch),
            self.strongest(),
            self.advance(START),
        )
    }

    /// An empty batch of the broker.
    pub fn by_broker(&self) -> Batch {
        Batch::new(Author::Broker, self.strongest(), self.advance(START))
    }

    /// An empty batch under the claim of a due item, at `now`.
    pub fn by_claim(&self, due: &Due, now: Timestamp) -> Batch {
        Batch::new(Author::Claim(due.clone()), self.strongest(), self.advance(now))
    }

    /// Submits a batch, waits until it is durable, and answers its outcomes.
    pub async fn submit(&self, mut batch: Batch) -> Vec<Outcome> {
        batch.now = self.advance(batch.now);
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
    pub async fn refuse(&self, mut batch: Batch, kind: ErrorKind) -> StoreError {
        batch.now = self.advance(batch.now);
        // Only shared messages are copied; written out it may be megabytes.
        let ops = batch.ops.clone();
        let error = match self.store().submit(batch).await {
            Ok(receipt) => {
                let written: String = format!("{ops:?}").chars().take(400).collect();
                panic!("applied with {:.400?}, must be {kind:?}: {written}", receipt.outcomes())
            }
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
    pub async fn retain(&self, message: Message) -> RecordVersion {
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
