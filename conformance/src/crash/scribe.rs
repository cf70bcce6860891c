//! Performs a history on a store, several batches on their way at a time, and tells what became ordered and durable. It
//! knows the outcomes beforehand, and stops where one differs.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use opifex_packet::{QoS, SubscriptionOptions};
use opifex_storage::{
    Author, Batch, DueItem, Durability, Epoch, Message, NewWill, Op, OpenSession, Outcome, PageLimit,
    Persistence, Receipt, Seq, SessionId, StoreError, SubscriptionRecord, Target, TargetOutcome,
};

use super::books::{Body, Books};
use super::history::{Do, History, Step};
use super::told::{Line, News, Tell};
use crate::Chance;
use crate::script::{START, connect, filter, message, packet_id, target, topic};

/// Wills wait so long behind the end of their connection, which is longer than any history.
const WILL_DELAY_SECS: u32 = 1_000;

/// One of those who write to a store: each has clients and topics of its own.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Scribe {
    pub(crate) writer: usize,
    pub(crate) seed: u64,
    pub(crate) durability: Durability,
    /// It stops behind so many steps.
    pub(crate) steps: usize,
}

impl Scribe {
    /// What its clients and topics begin with.
    pub(crate) fn name(writer: usize) -> String {
        format!("w{writer}/")
    }

    /// Writes to a store in which its part is what `books` say.
    ///
    /// # Errors
    /// The first one of the store, and outcomes that should have been others.
    pub(crate) async fn write(
        self,
        store: &impl Persistence,
        books: &Books,
        tell: &impl Tell,
    ) -> Result<(), String> {
        let part = books.part(&Scribe::name(self.writer));
        let say = |news| tell.tell(&Line { writer: self.writer, news });
        say(News::Base(digest(&part)));
        let mut history = History::new(&Scribe::name(self.writer), self.seed, part);
        let mut pace = Chance::new(!self.seed);
        let most_waiting = [0, 0, 1, 2, 4, 8][pace.below(6) as usize];
        let mut waiting: VecDeque<(usize, Receipt)> = VecDeque::new();
        for n in 0..self.steps {
            let step = history.next();
            let opened = self.perform(store, &history, &step, n, &mut waiting).await?;
            say(match opened {
                Some((id, epoch)) => News::Opened { step: n, id, epoch },
                None => News::Ordered(n),
            });
            history.apply(&step, opened);
            // What is durable is told at once, also of those that nobody waits for yet.
            let mut is_durable = Context::from_waker(Waker::noop());
            let mut still_waiting = VecDeque::new();
            for (other, mut receipt) in waiting {
                match receipt.poll_durable(&mut is_durable) {
                    Poll::Pending => still_waiting.push_back((other, receipt)),
                    Poll::Ready(Ok(_)) => say(News::Durable(other)),
                    Poll::Ready(Err(error)) => return Err(failed(other, "does not become durable", &error)),
                }
            }
            waiting = still_waiting;
            // Now and then nobody is in a hurry.
            let most_waiting = if pace.percent(10) { 0 } else { most_waiting };
            while waiting.len() > most_waiting {
                let Some((oldest, receipt)) = waiting.pop_front() else { break };
                receipt.durable().await.map_err(|error| failed(oldest, "does not become durable", &error))?;
                say(News::Durable(oldest));
            }
        }
        for (oldest, receipt) in waiting {
            receipt.durable().await.map_err(|error| failed(oldest, "does not become durable", &error))?;
            say(News::Durable(oldest));
        }
        Ok(())
    }

    /// Answers id and epoch of an open.
    async fn perform(
        self,
        store: &impl Persistence,
        history: &History,
        step: &Step,
        n: usize,
        waiting: &mut VecDeque<(usize, Receipt)>,
    ) -> Result<Option<(u64, u64)>, String> {
        match step {
            Step::Open { client, clean_start, will } => {
                let open = self.open(client, *clean_start, *will);
                let opened = store.open_session(open).await.map_err(|error| failed(n, "fails", &error))?;
                Ok(Some((opened.session.id.0, opened.session.epoch.0)))
            }
            Step::Batch { author, ops } => {
                let batch = self.batch(history.books(), author.as_deref(), ops);
                let receipt = store.submit(batch).await.map_err(|error| failed(n, "is refused", &error))?;
                expect(history.books(), ops, receipt.outcomes())
                    .map_err(|what| format!("step {n}, {step:?}: {what}"))?;
                waiting.push_back((n, receipt));
                Ok(None)
            }
            Step::Purge => purge(store, self.durability, 3).await.map(|()| None),
        }
    }

    pub(crate) fn open(self, client: &str, clean_start: bool, will: Option<Body>) -> OpenSession {
        let will = will.map(|body| NewWill {
            message: Arc::new(text("will", body)),
            retain: false,
            delay_secs: WILL_DELAY_SECS,
            expiry_secs: None,
        });
        OpenSession { clean_start, will, durability: self.durability, ..connect(client) }
    }

    /// The same batch in the contract's words.
    pub(crate) fn batch(self, books: &Books, author: Option<&str>, ops: &[Do]) -> Batch {
        let author = match author.map(|client| &books.sessions[client]) {
            Some(session) => Author::Session(SessionId(session.id), Epoch(session.epoch)),
            None => Author::Broker,
        };
        let batch = Batch::new(author, self.durability, START);
        ops.iter().fold(batch, |batch, op| batch.with(in_words_of_the_contract(books, op)))
    }
}

/// What books are known by.
pub(crate) fn digest(books: &Books) -> u64 {
    let mut hasher = DefaultHasher::new();
    books.hash(&mut hasher);
    hasher.finish()
}

fn failed(step: usize, what: &str, error: &StoreError) -> String {
    format!("step {step} {what}: {error}")
}

fn text(name: &str, body: Body) -> Message {
    message(name, body.payload())
}

fn in_words_of_the_contract(books: &Books, op: &Do) -> Op {
    match op {
        Do::Enqueue { body, qos, targets } => {
            let qos = if *qos == 2 { QoS::ExactlyOnce } else { QoS::AtLeastOnce };
            let targets = targets.iter().map(|client| {
                let session = SessionId(books.sessions[client].id);
                Target { qos, ..target(session) }
            });
            Op::Enqueue { message: Arc::new(text("queued", *body)), targets: targets.collect() }
        }
        Do::Retain { topic, body } => Op::Retain(Arc::new(text(topic, *body))),
        Do::Unretain { topic: name } => Op::Unretain(topic(name)),
        Do::Assign { seq, packet_id: id } => Op::Assign { seq: Seq(*seq), packet_id: packet_id(*id) },
        Do::Release { seq } => Op::Release(Seq(*seq)),
        Do::Settle { seq } => Op::Settle(Seq(*seq)),
        Do::PutInbound { packet_id: id } => Op::PutInbound(packet_id(*id)),
        Do::DeleteInbound { packet_id: id } => Op::DeleteInbound(packet_id(*id)),
        Do::Subscribe { filter: name, qos } => {
            let qos = [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce][usize::from(*qos)];
            let options = SubscriptionOptions::from(qos);
            Op::Subscribe(SubscriptionRecord { filter: filter(name), options, identifier: None })
        }
        Do::Unsubscribe { filter: name } => Op::Unsubscribe(filter(name)),
        Do::TakeWill => Op::TakeWill,
        Do::GoOffline => Op::GoOffline,
    }
}

/// Each enqueue has to answer the numbers that come next.
fn expect(books: &Books, ops: &[Do], outcomes: &[Outcome]) -> Result<(), String> {
    if ops.len() != outcomes.len() {
        return Err(format!("{} outcomes", outcomes.len()));
    }
    let mut given = std::collections::BTreeMap::new();
    for (op, outcome) in ops.iter().zip(outcomes) {
        let Do::Enqueue { targets, .. } = op else { continue };
        let next = targets.iter().map(|client| {
            let next = given.entry(client).or_insert(books.sessions[client].next_seq);
            *next += 1;
            TargetOutcome::Queued { seq: Seq(*next - 1), displaced: Vec::new() }
        });
        let expected = Outcome::Enqueued(next.collect());
        if *outcome != expected {
            return Err(format!("{outcome:?} instead of {expected:?}"));
        }
    }
    Ok(())
}

/// Removes some of what ended sessions left, if there is any, a few records of the first.
///
/// # Errors
/// Of the store.
pub(crate) async fn purge(
    store: &impl Persistence,
    durability: Durability,
    limit: usize,
) -> Result<(), String> {
    let cannot = |error: StoreError| format!("what ended sessions left cannot be removed: {error}");
    let due = store.due(START, None, PageLimit::items(20)).await.map_err(cannot)?;
    let ended = due.items.into_iter().find(|due| matches!(due.item, DueItem::SessionEnded(_)));
    if let Some(ended) = ended {
        let batch = Batch::new(Author::Claim(ended), durability, START).with(Op::Purge { limit });
        match store.submit(batch).await {
            Ok(receipt) => drop(receipt.durable().await.map_err(cannot)?),
            // Another one was quicker.
            Err(error) if error.kind() == opifex_storage::ErrorKind::Conflict => {}
            Err(error) => return Err(cannot(error)),
        }
    }
    Ok(())
}
