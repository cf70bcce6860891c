//! What is measured: how a store is filled for it, and what of it counts. Who is measured is not here.

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use opifex_storage::{
    Author, Batch, Durability, FullPolicy, Message, Op, OpenSession, OpenedSession, Outcome, PageLimit,
    Persistence, QueueLimits, RecordKind, Seq, Target, TargetOutcome,
};

use crate::script::{START, connect, filter, id, items, message, subscription, target};
use crate::{Factory, Subject};

/// Retained messages, and records for a recovery.
const MANY: usize = 100_000;
/// What a filter with wildcards finds among them.
const MATCHES: usize = 50;
/// What a broker reads at once.
const PAGE: usize = 100;
/// The clients of a recovery; each has two subscriptions, the rest of the records are in their queues.
const CLIENTS: usize = 10_000;

/// One piece of work; its `Display` is the benchmark's parameter.
#[derive(Copy, Clone, Debug)]
pub(super) enum Work {
    /// A session that was never there.
    OpenNew,
    /// A session that is there.
    OpenAgain,
    /// A batch that queues so many messages of so many bytes, in place of as many older ones, until it is durable.
    Submit { ops: usize, bytes: usize, by_bytes: bool },
    /// One batch of each of so many authors at once, until all are durable.
    GroupCommit { submitters: usize },
    /// One message into so many queues, which are full and lose their oldest.
    FanOut { targets: usize },
    /// So many messages of a queue, read and settled a page at a time.
    Drain { messages: usize },
    /// All that a filter finds among retained messages.
    Retained { filter: &'static str },
    /// Opening a store of many records and reading what a broker reads at its start.
    Recovery,
}

/// What a store was filled with for a work.
pub(super) struct State {
    sessions: Vec<OpenedSession>,
    next: usize,
}

impl Work {
    /// All groups, by title.
    pub(super) fn groups() -> Vec<(&'static str, Vec<Work>)> {
        let by_ops = [1, 32, 1024].map(|ops| Work::Submit { ops, bytes: 64, by_bytes: false });
        let by_bytes = [64, 1024, 64 << 10].map(|bytes| Work::Submit { ops: 1, bytes, by_bytes: true });
        let filters = ["a/v7/c", "a/+/c", "a/b/#"].map(|filter| Work::Retained { filter });
        vec![
            ("open a session", vec![Work::OpenNew, Work::OpenAgain]),
            ("submit, operations of 64 bytes", by_ops.to_vec()),
            ("submit, one operation by bytes", by_bytes.to_vec()),
            (
                "group commit by submitters",
                [1, 8, 64].map(|submitters| Work::GroupCommit { submitters }).to_vec(),
            ),
            ("fan-out by targets", vec![Work::FanOut { targets: 1000 }]),
            ("queue drain by messages", vec![Work::Drain { messages: 1000 }]),
            ("retained lookup among 100,000", filters.to_vec()),
            ("recovery of 100,000 records", vec![Work::Recovery]),
        ]
    }

    /// Whether its time depends on the level of durability.
    pub(super) fn writes(&self) -> bool {
        !matches!(self, Work::Retained { .. } | Work::Recovery)
    }

    /// Of what it does so many.
    pub(super) fn elements(&self) -> u64 {
        let elements = match *self {
            Work::OpenNew | Work::OpenAgain => 1,
            Work::Submit { ops, .. } => ops,
            Work::GroupCommit { submitters } => submitters,
            Work::FanOut { targets } => targets,
            Work::Drain { messages } => messages,
            Work::Retained { filter } if filter.contains(['+', '#']) => MATCHES,
            Work::Retained { .. } => 1,
            Work::Recovery => MANY,
        };
        elements as u64
    }

    /// Fills the store.
    pub(super) async fn prepare<F: Factory>(self, s: &Subject<F>, level: Durability) -> State {
        let clients = match self {
            Work::OpenNew => 0,
            Work::OpenAgain => 64,
            Work::Submit { .. } | Work::Drain { .. } => 1,
            // The queue, and the authors.
            Work::GroupCommit { submitters } => 1 + submitters,
            Work::FanOut { targets } => targets,
            Work::Retained { .. } => {
                let most = s.capabilities().max_retained_messages.unwrap_or(MANY);
                assert!(most >= MANY, "the benchmarks retain {MANY} messages, the factory allows {most}");
                s.retain_all(retained_topics().map(|name| message(&name, "21.5"))).await;
                0
            }
            Work::Recovery => {
                fill(s.store()).await;
                0
            }
        };
        State { sessions: open(s.store(), clients, level).await, next: 0 }
    }

    /// Does it once, and answers how long what counts has taken.
    pub(super) async fn once<F: Factory>(
        self,
        s: &mut Subject<F>,
        state: &mut State,
        level: Durability,
    ) -> Duration {
        state.next += 1;
        match self {
            Work::OpenNew => open_one(s.store(), &format!("new{}", state.next), level).await,
            Work::OpenAgain => {
                open_one(s.store(), &format!("client{}", state.next % state.sessions.len()), level).await
            }
            Work::Submit { ops, bytes, .. } => {
                // Full before long, so that each message is written and another one is removed.
                let limits = items(64.max(2 * ops as u64), FullPolicy::DropOldest);
                let message = Arc::new(message_of(bytes));
                let mut batch = Batch::new(Author::Broker, level, START);
                batch.ops = (0..ops).map(|_| enqueue(&message, &state.sessions[0], limits)).collect();
                timed(commit(s.store(), batch)).await.0
            }
            Work::GroupCommit { submitters } => {
                let (queue, authors) = (&state.sessions[0], &state.sessions[1..=submitters]);
                let limits = items(128, FullPolicy::DropOldest);
                timed(commit_together(s.store(), queue, limits, authors, 64, level)).await.0
            }
            Work::FanOut { targets } => {
                let limits = items(8, FullPolicy::DropOldest);
                let targets = state.sessions[..targets].iter();
                let targets = targets.map(|session| Target { limits, ..target(id(session)) });
                let op = Op::Enqueue { message: Arc::new(message_of(64)), targets: targets.collect() };
                timed(commit(s.store(), Batch::new(Author::Broker, level, START).with(op))).await.0
            }
            Work::Drain { messages } => {
                let queue = &state.sessions[0];
                let message = Arc::new(message_of(64));
                let mut left = messages;
                while left > 0 {
                    let mut batch = Batch::new(Author::Broker, level, START);
                    batch.ops = (0..left.min(PAGE))
                        .map(|_| enqueue(&message, queue, QueueLimits::UNLIMITED))
                        .collect();
                    left -= batch.ops.len();
                    commit(s.store(), batch).await;
                }
                let (spent, drained) = timed(drain(s.store(), queue, level)).await;
                assert_eq!(drained, messages);
                spent
            }
            Work::Retained { filter } => {
                let (spent, found) = timed(look_up(s.store(), filter)).await;
                assert_eq!(found as u64, self.elements(), "{filter}");
                spent
            }
            Work::Recovery => {
                s.store().close().await.expect("an open store can be closed");
                let (spent, found) = timed(async {
                    s.open_again().await;
                    walk(s.store(), RecordKind::Session).await
                        + walk(s.store(), RecordKind::Subscription).await
                })
                .await;
                assert_eq!(found, 3 * CLIENTS);
                spent
            }
        }
    }
}

impl fmt::Display for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Work::OpenNew => f.write_str("new"),
            Work::OpenAgain => f.write_str("again"),
            Work::Submit { bytes, by_bytes: true, .. } => write!(f, "{bytes}"),
            Work::Submit { ops, .. } => write!(f, "{ops}"),
            Work::GroupCommit { submitters } => write!(f, "{submitters}"),
            Work::FanOut { targets } => write!(f, "{targets}"),
            Work::Drain { messages } => write!(f, "{messages}"),
            Work::Retained { filter } => f.write_str(filter),
            Work::Recovery => f.write_str("open"),
        }
    }
}

/// 50 that `a/+/c` finds, 50 that `a/b/#` finds, the others beside them.
fn retained_topics() -> impl Iterator<Item = String> {
    (0..MANY).map(|n| match n {
        n if n < MATCHES => format!("a/v{n}/c"),
        n if n < 2 * MATCHES => format!("a/b/n{n}"),
        n if n % 2 == 0 => format!("a/v{}/other{n}", n % MATCHES),
        n => format!("elsewhere/v{}/n{n}", n % 1000),
    })
}

/// Opens so many sessions, `client0` and on.
pub(super) async fn open(store: &impl Persistence, clients: usize, level: Durability) -> Vec<OpenedSession> {
    let names: Vec<_> = (0..clients).map(|n| format!("client{n}")).collect();
    let mut sessions = Vec::with_capacity(clients);
    for names in names.chunks(256) {
        let opens = names.iter().map(|name| async move {
            let open = OpenSession { durability: level, ..connect(name) };
            store.open_session(open).await.expect("the session can be opened")
        });
        sessions.extend(together(opens).await);
    }
    sessions
}

async fn open_one(store: &impl Persistence, client: &str, level: Durability) -> Duration {
    let open = store.open_session(OpenSession { durability: level, ..connect(client) });
    let (spent, opened) = timed(open).await;
    opened.expect("the session can be opened");
    spent
}

/// What a recovery finds: sessions, two subscriptions each, and queues.
async fn fill(store: &impl Persistence) {
    let sessions = open(store, CLIENTS, Durability::Memory).await;
    for sessions in sessions.chunks(256) {
        let batches = sessions.iter().map(|session| {
            let batch = Batch::new(author(session), Durability::Memory, START);
            let batch = batch.with(Op::Subscribe(subscription(&format!("in/{}", session.session.id.0))));
            commit(store, batch.with(Op::Subscribe(subscription("in/all/#"))))
        });
        together(batches).await;
    }
    let queued = Arc::new(message_of(64));
    for _ in 0..MANY / CLIENTS - 3 {
        for sessions in sessions.chunks(100) {
            let targets = sessions.iter().map(|session| target(id(session))).collect();
            let op = Op::Enqueue { message: Arc::clone(&queued), targets };
            commit(store, Batch::new(Author::Broker, Durability::Memory, START).with(op)).await;
        }
    }
}

/// One batch of each author at once, each of one message into the queue.
pub(super) async fn commit_together(
    store: &impl Persistence,
    queue: &OpenedSession,
    limits: QueueLimits,
    authors: &[OpenedSession],
    bytes: usize,
    level: Durability,
) -> Vec<Outcome> {
    let message = Arc::new(message_of(bytes));
    let batches = authors.iter().map(|session| {
        commit(store, Batch::new(author(session), level, START).with(enqueue(&message, queue, limits)))
    });
    together(batches).await.into_iter().flatten().collect()
}

/// Removes these entries of a session's queue, and waits until that is durable.
pub(super) async fn settle(store: &impl Persistence, queue: &OpenedSession, seqs: &[Seq], level: Durability) {
    for seqs in seqs.chunks(1024) {
        let mut batch = Batch::new(author(queue), level, START);
        batch.ops = seqs.iter().map(|seq| Op::Settle(*seq)).collect();
        commit(store, batch).await;
    }
}

/// The numbers that were given.
pub(super) fn seqs(outcomes: &[Outcome]) -> Vec<Seq> {
    let targets = outcomes.iter().flat_map(|outcome| match outcome {
        Outcome::Enqueued(targets) => &targets[..],
        other => panic!("an enqueue answered {other:?}"),
    });
    targets
        .map(|target| match target {
            TargetOutcome::Queued { seq, .. } => *seq,
            other => panic!("not queued: {other:?}"),
        })
        .collect()
}

async fn commit(store: &impl Persistence, batch: Batch) -> Vec<Outcome> {
    let receipt = store.submit(batch).await.expect("the batch is applied");
    let outcomes = receipt.outcomes().to_vec();
    receipt.durable().await.expect("the batch becomes durable");
    outcomes
}

async fn drain(store: &impl Persistence, queue: &OpenedSession, level: Durability) -> usize {
    let (mut after, mut drained) = (Seq(0), 0);
    loop {
        let page =
            store.queue(id(queue), after, PageLimit::items(PAGE)).await.expect("an open store is read");
        let seqs: Vec<_> = page.items.iter().map(|entry| entry.seq).collect();
        drained += seqs.len();
        settle(store, queue, &seqs, level).await;
        after = page.final_up_to;
        if !page.more {
            return drained;
        }
    }
}

async fn look_up(store: &impl Persistence, text: &str) -> usize {
    let (filters, mut cursor, mut found) = ([filter(text)], None, 0);
    loop {
        let page =
            store.retained(&filters, cursor, PageLimit::items(PAGE)).await.expect("an open store is read");
        found += page.items.len();
        cursor = page.next;
        if cursor.is_none() {
            return found;
        }
    }
}

async fn walk(store: &impl Persistence, kind: RecordKind) -> usize {
    let (mut cursor, mut found) = (None, 0);
    loop {
        let page = store.scan(kind, cursor, PageLimit::items(1000)).await.expect("an open store is read");
        found += page.items.len();
        cursor = page.next;
        if cursor.is_none() {
            return found;
        }
    }
}

fn author(session: &OpenedSession) -> Author {
    Author::Session(session.session.id, session.session.epoch)
}

fn message_of(payload_bytes: usize) -> Message {
    message("bench/topic", vec![b'x'; payload_bytes])
}

fn enqueue(message: &Arc<Message>, queue: &OpenedSession, limits: QueueLimits) -> Op {
    Op::Enqueue { message: Arc::clone(message), targets: vec![Target { limits, ..target(id(queue)) }] }
}

async fn timed<T>(work: impl Future<Output = T>) -> (Duration, T) {
    let begun = Instant::now();
    let done = work.await;
    (begun.elapsed(), done)
}

/// All at once; their results in order.
async fn together<T>(futures: impl Iterator<Item = impl Future<Output = T>>) -> Vec<T> {
    let mut running: Vec<Pin<Box<dyn Future<Output = T>>>> = Vec::new();
    for future in futures {
        running.push(Box::pin(future));
    }
    let mut results: Vec<Option<T>> = running.iter().map(|_| None).collect();
    poll_fn(|cx| {
        for (future, result) in running.iter_mut().zip(&mut results) {
            if result.is_none()
                && let Poll::Ready(done) = future.as_mut().poll(cx)
            {
                *result = Some(done);
            }
        }
        match results.iter().all(Option::is_some) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    })
    .await;
    results.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests;
