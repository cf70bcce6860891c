//! Retained messages for new subscriptions, page by page: into the store's queue for what a durable session gets at
//! QoS > 0, into the outbox for the rest. Replay may double a concurrent message; it never omits one and never brings
//! an older value after a newer.

use std::collections::{BTreeMap, VecDeque};
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::Poll;
use std::time::Duration;

use opifex_packet::{QoS, TopicFilter, filter_matches};
use opifex_storage::{
    Author, Cursor, ErrorKind, Expectation, Guard, GuardedRecord, Page, PageLimit, Persistence, Result,
    Retained, Seq, StoreError, TargetOutcome,
};

use tokio::time::timeout;

use crate::ordered::{Ordered, all_durable};
use crate::outbox::Step;
use crate::pending::Pending;
use crate::router::{Grant, Match};
use crate::session::Session;
use crate::shared::Shared;
use crate::stats::{DropCause, Tally};
use crate::submission::{Group, batch_of, write};

/// Retained messages a page.
const PAGE_ITEMS: usize = 256;
/// What a packet is larger than its message by, at most: headers, properties of this delivery.
const OVERHEAD_BYTES: usize = 64;

/// Batches that wait for their durability while the next page is taken.
const WAITING_BATCHES: usize = 8;

/// A page is read again so often; each time four times as many changes are taken in meanwhile.
const MAX_TRIES: u32 = 4;

/// How long a replay waits for room in the stored queue before it looks again: entries expire there, too.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Filters that are looked up together: each message is held against all of them.
const FILTERS_AT_ONCE: usize = 64;

/// The retained messages of some subscriptions are to be sent. A filter that was subscribed to twice stands once.
#[derive(Default)]
pub(super) struct Replay {
    filters: BTreeMap<TopicFilter<'static>, Grant>,
}

/// Whether a replay waits for room in the stored queue, everything that had room being durable. That may take as long
/// as the client likes, and it may not acknowledge anything before it has its SUBACK.
pub(super) type Waits = Arc<AtomicBool>;

/// One retained message for this session.
struct Item {
    retained: Retained,
    found: Match,
}

impl Replay {
    pub(super) fn add(&mut self, filter: TopicFilter<'static>, grant: Grant) {
        self.filters.insert(filter, grant);
    }

    pub(super) fn append(&mut self, mut later: Replay) {
        self.filters.append(&mut later.filters);
    }

    /// The client has given this filter up.
    pub(super) fn remove(&mut self, filter: &TopicFilter<'static>) {
        self.filters.remove(filter);
    }

    /// Filters.
    pub(super) fn len(&self) -> usize {
        self.filters.len()
    }

    /// Sends them all. Durable when it returns, as far as they go into the store.
    pub(super) async fn run<P: Persistence>(
        self,
        shared: Arc<Shared<P>>,
        session: Arc<Session>,
        author: Author,
        waits: Waits,
    ) -> Result<()> {
        let filters: Vec<(TopicFilter<'static>, Grant)> = self.filters.into_iter().collect();
        let mut under_way = UnderWay { batches: VecDeque::new(), waits };
        for filters in filters.chunks(FILTERS_AT_ONCE) {
            Together { filters }.run(&shared, &session, &author, &mut under_way).await?;
        }
        session.outbox.lock().end_replay();
        all_durable(under_way.batches).await
    }
}

/// Batches of a replay that are ordered and not durable yet.
struct UnderWay {
    batches: VecDeque<Ordered>,
    waits: Waits,
}

impl UnderWay {
    async fn add(&mut self, batch: Ordered) -> Result<()> {
        self.batches.push_back(batch);
        match self.batches.len() > WAITING_BATCHES {
            true => self.batches.pop_front().expect("one was just added").durable().await,
            false => Ok(()),
        }
    }

    /// Waits until the client has had something settled since, or for a while.
    async fn room_in_store(&mut self, session: &Session, written: u64) -> Result<()> {
        all_durable(self.batches.drain(..)).await?;
        let settled = poll_fn(|_| match session.outbox.lock().written() != written {
            true => Poll::Ready(()),
            false => Poll::Pending,
        });
        self.waits.store(true, Relaxed);
        let _ = timeout(LOOK_AGAIN, settled).await;
        self.waits.store(false, Relaxed);
        Ok(())
    }
}

/// Filters that are looked up together.
struct Together<'a> {
    filters: &'a [(TopicFilter<'static>, Grant)],
}

impl Together<'_> {
    /// Sends what they match; answers the last receipt.
    async fn run<P: Persistence>(
        &self,
        shared: &Arc<Shared<P>>,
        session: &Arc<Session>,
        author: &Author,
        under_way: &mut UnderWay,
    ) -> Result<()> {
        let filters: Vec<TopicFilter<'_>> = self.filters.iter().map(|(filter, _)| filter.borrow()).collect();
        let mut cursor: Option<Cursor> = None;
        let mut tries = 0;
        loop {
            session.outbox.lock().read_replay_page(tries);
            shared.retaining.visible().await;
            let page = shared.store.retained(&filters, cursor.clone(), PageLimit::items(PAGE_ITEMS)).await?;
            shared.damage.note(&page.damaged);
            if !self.take_page(&page, shared, session, author, under_way).await? {
                // Too much has changed meanwhile: the page is read again.
                tries += 1;
                if tries > MAX_TRIES {
                    let what = "retained messages change faster than the store can be read";
                    return Err(StoreError::not_applied(ErrorKind::Retry, what));
                }
                continue;
            }
            tries = 0;
            cursor = page.next;
            if cursor.is_none() {
                return Ok(());
            }
            // A store in memory never waits: others get their turn.
            tokio::task::yield_now().await;
        }
    }

    /// Takes one page. `false`: it has to be read again.
    async fn take_page<P: Persistence>(
        &self,
        page: &Page<Retained>,
        shared: &Arc<Shared<P>>,
        session: &Arc<Session>,
        author: &Author,
        under_way: &mut UnderWay,
    ) -> Result<bool> {
        let mut tally = Tally::default();
        let items = page.items.iter().filter_map(|retained| self.item(retained, shared, session, &mut tally));
        let (stored, live): (Vec<Item>, Vec<Item>) =
            items.partition(|item| item.found.is_stored(item.retained.message.qos));
        let topics = live.iter().map(|item| item.retained.message.topic.as_str());
        if !session.outbox.lock().send_replay_page(topics) && !live.is_empty() {
            return Ok(false);
        }
        self.store_items(stored, shared, session, author, under_way, &mut tally).await?;
        for item in live {
            let qos = item.found.effective_qos(item.retained.message.qos);
            room(shared, session, qos, item.retained.message.size_bytes() + OVERHEAD_BYTES).await;
            if !self.wants(&item, session) {
                continue;
            }
            let Item { retained, found } = item;
            let mut outbox = session.outbox.lock();
            if !outbox.is_replay_current(retained.message.topic.as_str()) {
                continue;
            }
            let mut step = Step { limits: &shared.limits, now: shared.now(), tally: &mut tally };
            let pending = Pending {
                message: Some(retained.message.clone()),
                qos,
                retain: true,
                ids: found.ids,
                share: None,
                seq: Seq::ZERO,
                packet_id: None,
                dup: false,
            };
            if qos == QoS::AtMostOnce {
                outbox.send_at_most_once(&retained.message, &pending, &mut step);
            } else {
                outbox.enqueue(pending, &mut step);
                outbox.pump(&mut step);
            }
        }
        shared.counters.add(&tally);
        Ok(true)
    }

    /// A retained message as this session gets it.
    fn item<P: Persistence>(
        &self,
        retained: &Retained,
        shared: &Arc<Shared<P>>,
        session: &Arc<Session>,
        tally: &mut Tally,
    ) -> Option<Item> {
        let topic = retained.message.topic.as_str();
        if retained.message.is_expired(shared.now()) {
            return None;
        }
        if shared.checks_receive && !shared.may_receive(session, topic) {
            tally.drop(DropCause::NotAuthorized);
            return None;
        }
        let subscribed = session.subscriptions.lock();
        let mut matching = self.filters.iter().filter(|(filter, _)| {
            filter_matches(filter.as_str(), topic) && subscribed.contains(filter.as_str())
        });
        let (_, first) = matching.next()?;
        let mut found = Match::new(session, first, None);
        let others: Vec<Match> = matching.map(|(_, grant)| Match::new(session, grant, None)).collect();
        found.merge(&others);
        // A retained message always carries the flag when it is sent for a new subscription ([MQTT-3.3.1-8]).
        found.retain_as_published = true;
        Some(Item { retained: retained.clone(), found })
    }

    /// Whether the client still has a subscription that brings this: after UNSUBACK nothing is added ([MQTT-3.10.4-2]).
    fn wants(&self, item: &Item, session: &Session) -> bool {
        let topic = item.retained.message.topic.as_str();
        let subscribed = session.subscriptions.lock();
        self.filters
            .iter()
            .any(|(filter, _)| filter_matches(filter.as_str(), topic) && subscribed.contains(filter.as_str()))
    }

    /// Queues what is stored, guarded by the versions that were read, and waits for room in the queue as often as it takes.
    async fn store_items<P: Persistence>(
        &self,
        items: Vec<Item>,
        shared: &Arc<Shared<P>>,
        session: &Arc<Session>,
        author: &Author,
        under_way: &mut UnderWay,
        tally: &mut Tally,
    ) -> Result<()> {
        let max_ops = (shared.store.capabilities().max_batch_ops / 2).max(1);
        let limits = &shared.limits;
        let mut items: VecDeque<Item> = items.into();
        // What fits no queue waits for nothing.
        let before = items.len();
        items.retain(|item| {
            limits.max_queued_messages > 0
                && item.retained.message.size_bytes() as u64 <= limits.max_queued_bytes
        });
        tally.drop_many(DropCause::QueueFull, (before - items.len()) as u64);
        let mut at_once = max_ops;
        while !items.is_empty() {
            let written = session.outbox.lock().written();
            let mut now: Vec<Item> = items.drain(..items.len().min(at_once)).collect();
            now.retain(|item| self.wants(item, session));
            if now.is_empty() {
                continue;
            }
            let full = match store_together(&now, shared, session, author, under_way, tally).await {
                Ok(full) => full,
                // One of them has changed since it was read: the newer one came, or comes, by itself. The others go alone.
                Err(error) if error.kind() == ErrorKind::Conflict => {
                    match now.len() {
                        1 => at_once = max_ops,
                        _ => {
                            at_once = 1;
                            now.into_iter().rev().for_each(|item| items.push_front(item));
                        }
                    }
                    continue;
                }
                Err(error) => return Err(error),
            };
            if full.is_empty() {
                continue;
            }
            let mut now: Vec<Option<Item>> = now.into_iter().map(Some).collect();
            full.iter().rev().filter_map(|index| now[*index].take()).for_each(|item| items.push_front(item));
            under_way.room_in_store(session, written).await?;
        }
        Ok(())
    }
}

/// Queues these in one batch; answers which of them the queue had no room for.
async fn store_together<P: Persistence>(
    items: &[Item],
    shared: &Arc<Shared<P>>,
    session: &Arc<Session>,
    author: &Author,
    under_way: &mut UnderWay,
    tally: &mut Tally,
) -> Result<Vec<usize>> {
    let groups: Vec<Group> = items
        .iter()
        .map(|item| {
            let mut group = shared.group(item.retained.message.clone(), false, vec![item.found.clone()]);
            // Entries of a replay carry RETAIN, without being a new retained message.
            group.routed.iter_mut().for_each(|routed| routed.replayed = true);
            group
        })
        .collect();
    let mut batch = batch_of(shared, author.clone(), &groups);
    batch.guards = items
        .iter()
        .map(|item| Guard {
            record: GuardedRecord::Retained(item.retained.message.topic.clone()),
            expect: Expectation::AtVersion(item.retained.version),
        })
        .collect();
    let batch = write(shared, batch, &groups).await?;
    let mut step = Step { limits: &shared.limits, now: shared.now(), tally };
    // The task that replays to itself flushes itself.
    let mut touched = Vec::new();
    let mut full = Vec::new();
    let mut outcomes = batch.outcomes();
    for (index, group) in groups.iter().enumerate() {
        match group.take_outcomes(&mut outcomes) {
            [TargetOutcome::Dropped(_)] => full.push(index),
            queued => {
                group
                    .routed
                    .iter()
                    .for_each(|routed| drop(shared.deliver(routed, queued, &mut touched, &mut step)));
            }
        }
    }
    if let Some(link) = &mut session.outbox.lock().link {
        link.touched = false;
    }
    under_way.add(batch).await?;
    Ok(full)
}

/// Waits until the client has taken enough of what was sent for a message of this size to be sent, and not dropped. The
/// connection's own poll runs this again whenever its transport or its acknowledgements move.
async fn room<P: Persistence>(shared: &Shared<P>, session: &Session, qos: QoS, size_bytes: usize) {
    poll_fn(|_| match session.outbox.lock().takes(qos, size_bytes, &shared.limits) {
        true => Poll::Ready(()),
        false => Poll::Pending,
    })
    .await;
}
