//! A store that breaks its word in one place: every call goes through a hook, and the hooks that a mutant does not
//! touch hand it on.

use std::sync::Arc;

use opifex_packet::TopicFilter;
use opifex_storage::{
    Batch, Capabilities, Commit, Cursor, Due, Durability, Message, NewWill, Op, OpenSession, OpenedSession,
    Outcome, Page, PageLimit, Persistence, QueuePage, Receipt, Record, RecordKind, Result, Retained, Seq,
    SessionId, StoreError, Timestamp,
};
use opifex_storage_memory::{MemoryOptions, MemoryStore};

use crate::engine::Engine;

type Hook<C, T> = Box<dyn Fn(&Engine, C) -> T + Send + Sync>;

/// A read of a queue: whose, behind which number, how much.
pub(crate) type ReadQueue = (SessionId, Seq, PageLimit);
/// A read of retained messages.
pub(crate) type ReadRetained = (Vec<TopicFilter<'static>>, Option<Cursor>, PageLimit);
/// A read of records.
pub(crate) type ReadRecords = (RecordKind, Option<Cursor>, PageLimit);
/// A read of what is due.
pub(crate) type ReadDue = (Timestamp, Option<Cursor>, PageLimit);

/// How a store behaves. It is made anew for each place, and stays with the place when the store is opened again.
pub(crate) struct Behaviour {
    /// What the memory store behind it takes.
    pub(crate) limits: MemoryOptions,
    /// What it declares, when that is not what the memory store does.
    pub(crate) declared: fn(&mut Capabilities),
    pub(crate) open: Hook<OpenSession, Result<OpenedSession>>,
    pub(crate) submit: Hook<Batch, Result<Vec<Outcome>>>,
    /// Called when somebody waits for a batch to be durable.
    pub(crate) durable: Arc<dyn Fn() + Send + Sync>,
    pub(crate) level: Durability,
    pub(crate) queue: Hook<ReadQueue, Result<QueuePage>>,
    pub(crate) retained: Hook<ReadRetained, Result<Page<Retained>>>,
    pub(crate) scan: Hook<ReadRecords, Result<Page<Record>>>,
    pub(crate) due: Hook<ReadDue, Result<Page<Due>>>,
    pub(crate) close: Hook<(), Result<()>>,
    /// Called before the place is opened again.
    pub(crate) reopen: Hook<(), ()>,
    /// Whether a submit is carried out though nobody awaits it.
    pub(crate) eager: bool,
}

/// A store that keeps its word.
pub(crate) fn honest() -> Behaviour {
    Behaviour {
        limits: MemoryOptions {
            max_message_bytes: 3 << 20,
            max_batch_ops: 20_000,
            max_batch_bytes: 12 << 20,
            max_retained_messages: 8_000,
        },
        declared: |_| {},
        open: Box::new(Engine::open),
        submit: Box::new(Engine::submit),
        durable: Arc::new(|| {}),
        level: Durability::Memory,
        queue: Box::new(|engine, (session, after, limit)| engine.queue(session, after, limit)),
        retained: Box::new(|engine, (filters, cursor, limit)| engine.retained(&filters, cursor, limit)),
        scan: Box::new(|engine, (kind, cursor, limit)| engine.scan(kind, cursor, limit)),
        due: Box::new(|engine, (now, cursor, limit)| engine.due(now, cursor, limit)),
        close: Box::new(|engine, ()| engine.close()),
        reopen: Box::new(|_, ()| {}),
        eager: false,
    }
}

/// A store that is open.
pub(crate) struct Broken {
    engine: Arc<Engine>,
    behaviour: Arc<Behaviour>,
    capabilities: Capabilities,
}

impl Broken {
    pub(crate) fn open(engine: Arc<Engine>, behaviour: Arc<Behaviour>) -> Broken {
        let mut capabilities = MemoryStore::with_options(behaviour.limits.clone()).capabilities().clone();
        (behaviour.declared)(&mut capabilities);
        Broken { engine, behaviour, capabilities }
    }

    fn apply(&self, batch: Batch) -> Result<Receipt> {
        let outcomes = (self.behaviour.submit)(&self.engine, batch)?;
        let (durable, durability) = (Arc::clone(&self.behaviour.durable), self.behaviour.level);
        Ok(Receipt::pending(outcomes, async move {
            durable();
            Ok(Commit { durability })
        }))
    }
}

impl Persistence for Broken {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    async fn open_session(&self, open: OpenSession) -> Result<OpenedSession> {
        (self.behaviour.open)(&self.engine, open)
    }

    fn submit(&self, batch: Batch) -> impl Future<Output = Result<Receipt>> + Send {
        let (early, batch) = match self.behaviour.eager {
            true => (Some(self.apply(batch)), None),
            false => (None, Some(batch)),
        };
        async move {
            match (early, batch) {
                (Some(receipt), _) => receipt,
                (None, Some(batch)) => self.apply(batch),
                (None, None) => unreachable!("it is one or the other"),
            }
        }
    }

    async fn queue(&self, session: SessionId, after: Seq, limit: PageLimit) -> Result<QueuePage> {
        (self.behaviour.queue)(&self.engine, (session, after, limit))
    }

    async fn retained(
        &self,
        filters: &[TopicFilter<'_>],
        cursor: Option<Cursor>,
        limit: PageLimit,
    ) -> Result<Page<Retained>> {
        let filters = filters.iter().map(|filter| filter.clone().into_owned()).collect();
        (self.behaviour.retained)(&self.engine, (filters, cursor, limit))
    }

    async fn scan(&self, kind: RecordKind, cursor: Option<Cursor>, limit: PageLimit) -> Result<Page<Record>> {
        (self.behaviour.scan)(&self.engine, (kind, cursor, limit))
    }

    async fn due(&self, now: Timestamp, cursor: Option<Cursor>, limit: PageLimit) -> Result<Page<Due>> {
        (self.behaviour.due)(&self.engine, (now, cursor, limit))
    }

    async fn close(&self) -> Result<()> {
        (self.behaviour.close)(&self.engine, ())
    }
}

/// Breaking a call as a whole.
impl Behaviour {
    pub(crate) fn submit(
        self,
        submit: impl Fn(&Engine, Batch) -> Result<Vec<Outcome>> + Send + Sync + 'static,
    ) -> Self {
        Behaviour { submit: Box::new(submit), ..self }
    }

    pub(crate) fn open(
        self,
        open: impl Fn(&Engine, OpenSession) -> Result<OpenedSession> + Send + Sync + 'static,
    ) -> Self {
        Behaviour { open: Box::new(open), ..self }
    }

    pub(crate) fn queue(
        self,
        queue: impl Fn(&Engine, ReadQueue) -> Result<QueuePage> + Send + Sync + 'static,
    ) -> Self {
        Behaviour { queue: Box::new(queue), ..self }
    }

    pub(crate) fn close(self, close: impl Fn(&Engine) -> Result<()> + Send + Sync + 'static) -> Self {
        Behaviour { close: Box::new(move |engine, ()| close(engine)), ..self }
    }

    pub(crate) fn retained(
        self,
        retained: impl Fn(&Engine, ReadRetained) -> Result<Page<Retained>> + Send + Sync + 'static,
    ) -> Self {
        Behaviour { retained: Box::new(retained), ..self }
    }

    pub(crate) fn scan(
        self,
        scan: impl Fn(&Engine, ReadRecords) -> Result<Page<Record>> + Send + Sync + 'static,
    ) -> Self {
        Behaviour { scan: Box::new(scan), ..self }
    }

    pub(crate) fn due(
        self,
        due: impl Fn(&Engine, ReadDue) -> Result<Page<Due>> + Send + Sync + 'static,
    ) -> Self {
        Behaviour { due: Box::new(due), ..self }
    }

    pub(crate) fn reopen(self, reopen: impl Fn(&Engine) + Send + Sync + 'static) -> Self {
        Behaviour { reopen: Box::new(move |engine, ()| reopen(engine)), ..self }
    }
}

/// Breaking what goes in or comes out of one.
impl Behaviour {
    /// Before an open.
    pub(crate) fn opens(self, change: impl Fn(&Engine, &mut OpenSession) + Send + Sync + 'static) -> Self {
        let next = self.open;
        let open = move |engine: &Engine, mut open| {
            change(engine, &mut open);
            next(engine, open)
        };
        Behaviour { open: Box::new(open), ..self }
    }

    /// After an open.
    pub(crate) fn opened(
        self,
        change: impl Fn(&Engine, &OpenSession, &mut OpenedSession) + Send + Sync + 'static,
    ) -> Self {
        let next = self.open;
        let open = move |engine: &Engine, open: OpenSession| {
            let mut opened = next(engine, open.clone())?;
            change(engine, &open, &mut opened);
            Ok(opened)
        };
        Behaviour { open: Box::new(open), ..self }
    }

    /// Before a batch.
    pub(crate) fn batches(self, change: impl Fn(&Engine, &mut Batch) + Send + Sync + 'static) -> Self {
        let next = self.submit;
        let submit = move |engine: &Engine, mut batch| {
            change(engine, &mut batch);
            next(engine, batch)
        };
        Behaviour { submit: Box::new(submit), ..self }
    }

    /// After a batch that was applied.
    pub(crate) fn outcomes(
        self,
        change: impl Fn(&Engine, &Batch, &mut Vec<Outcome>) + Send + Sync + 'static,
    ) -> Self {
        let next = self.submit;
        let submit = move |engine: &Engine, batch: Batch| {
            let mut outcomes = next(engine, batch.clone())?;
            change(engine, &batch, &mut outcomes);
            Ok(outcomes)
        };
        Behaviour { submit: Box::new(submit), ..self }
    }

    /// After a batch that was refused.
    pub(crate) fn refusals(
        self,
        change: impl Fn(&Engine, Batch, StoreError) -> Result<Vec<Outcome>> + Send + Sync + 'static,
    ) -> Self {
        let next = self.submit;
        let submit = move |engine: &Engine, batch: Batch| {
            next(engine, batch.clone()).or_else(|error| change(engine, batch, error))
        };
        Behaviour { submit: Box::new(submit), ..self }
    }

    /// Operations that are answered and not carried out.
    pub(crate) fn skips(
        self,
        skipped: impl Fn(&Engine, &Batch, &Op) -> Option<Outcome> + Send + Sync + 'static,
    ) -> Self {
        let next = self.submit;
        let submit = move |engine: &Engine, mut batch: Batch| {
            let answers: Vec<_> = batch.ops.iter().map(|op| skipped(engine, &batch, op)).collect();
            let mut skip = answers.iter().map(Option::is_some);
            batch.ops.retain(|_| !skip.next().unwrap_or(false));
            let mut outcomes = next(engine, batch)?.into_iter();
            let all = answers.into_iter().map(|answer| answer.or_else(|| outcomes.next()));
            Ok(all.map(|outcome| outcome.expect("each operation has an outcome")).collect())
        };
        Behaviour { submit: Box::new(submit), ..self }
    }

    /// Messages on their way in: queued, retained, as wills, restored.
    pub(crate) fn messages(self, change: impl Fn(&mut Message) + Clone + Send + Sync + 'static) -> Self {
        let changed = move |message: &Arc<Message>| {
            let mut message = Message::clone(message);
            change(&mut message);
            Arc::new(message)
        };
        let also = changed.clone();
        self.batches(move |_, batch| {
            for op in &mut batch.ops {
                match op {
                    Op::Enqueue { message, .. } | Op::Retain(message) => *message = changed(message),
                    _ => {}
                }
            }
        })
        .opens(move |_, open| {
            open.will = open.will.take().map(|will| NewWill { message: also(&will.message), ..will });
        })
    }

    /// A queue's page on its way out.
    pub(crate) fn pages(
        self,
        change: impl Fn(&Engine, ReadQueue, &mut QueuePage) + Send + Sync + 'static,
    ) -> Self {
        let next = self.queue;
        let queue = move |engine: &Engine, read: ReadQueue| {
            let mut page = next(engine, read)?;
            change(engine, read, &mut page);
            Ok(page)
        };
        Behaviour { queue: Box::new(queue), ..self }
    }

    /// Records on their way out.
    pub(crate) fn records(self, change: impl Fn(&Engine, &mut Vec<Record>) + Send + Sync + 'static) -> Self {
        let next = self.scan;
        let scan = move |engine: &Engine, read: ReadRecords| {
            let mut page = next(engine, read)?;
            change(engine, &mut page.items);
            Ok(page)
        };
        Behaviour { scan: Box::new(scan), ..self }
    }

    /// What is due, on its way out; at what time it was asked for.
    pub(crate) fn dues(
        self,
        change: impl Fn(&Engine, Timestamp, &mut Vec<Due>) + Send + Sync + 'static,
    ) -> Self {
        let next = self.due;
        let due = move |engine: &Engine, read: ReadDue| {
            let now = read.0;
            let mut page = next(engine, read)?;
            change(engine, now, &mut page.items);
            Ok(page)
        };
        Behaviour { due: Box::new(due), ..self }
    }

    /// What becomes of each record when the place is opened again.
    pub(crate) fn forgets(self, keep: impl Fn(Record) -> Option<Record> + Send + Sync + 'static) -> Self {
        let limits = self.limits.clone();
        self.reopen(move |engine| engine.rebuild(limits.clone(), &keep))
    }
}
