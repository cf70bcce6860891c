//! What becomes due: the broker asks the store once a second (and when a connection ends), claims each item, and does
//! what it asks for in one batch. What the store refuses pauses before it is tried again, and keeps nothing else waiting.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use opifex_packet::{QoS, TopicFilter};
use opifex_storage::{
    Author, Due, DueItem, ErrorKind, Op, PageLimit, Persistence, QueuedState, Result, Seq, SessionId,
    StoreError,
};

use crate::connection::end_session;
use crate::ordered::{Ordered, all_durable};
use crate::pause::Pause;
use crate::router::Publisher;
use crate::session::Session;
use crate::shared::Shared;
use crate::stats::{DropCause, Tally};
use crate::submission::{Group, batch_of, deliver, submit, write};
use crate::will;

/// How often the store is asked.
const INTERVAL: Duration = Duration::from_secs(1);
/// Items a page.
const PAGE_ITEMS: usize = 128;
/// Records of an ended session that are removed in one batch.
const PURGE_RECORDS: usize = 1_024;

/// Runs until the broker stops.
pub(crate) async fn run<P: Persistence>(shared: Arc<Shared<P>>) {
    let mut refused = Refused::default();
    while !shared.is_stopping() {
        if look(&shared, &mut refused).await {
            tokio::task::yield_now().await;
            continue;
        }
        let _ = tokio::time::timeout(INTERVAL, shared.due.notified()).await;
    }
}

/// Items that could not be dealt with.
#[derive(Default)]
struct Refused {
    pauses: HashMap<DueItem, Pause>,
    /// Of the wills among them.
    bytes: usize,
}

impl Refused {
    /// A page that reaches beyond them: they stand in front.
    fn page_limit(&self) -> PageLimit {
        let PageLimit { items, bytes } = PageLimit::items(PAGE_ITEMS);
        PageLimit { items: items + self.pauses.len(), bytes: bytes + self.bytes }
    }

    fn add(&mut self, item: DueItem, bytes: usize, pause: Pause) {
        self.bytes += bytes;
        self.pauses.insert(item, pause);
    }
}

/// Deals with one page of what is due; answers whether something was dealt with, so that there may be more right now.
async fn look<P: Persistence>(shared: &Arc<Shared<P>>, refused: &mut Refused) -> bool {
    if let Err(error) = shared.unrecorded.retry(shared).await {
        note(shared, &error);
    }
    let page = match shared.store.due(shared.now(), refused.page_limit()).await {
        Ok(page) => page,
        Err(error) => {
            note(shared, &error);
            return false;
        }
    };
    shared.damage.note(&page.damaged);
    let mut progress = false;
    let mut under_way = Vec::new();
    let mut before = std::mem::take(refused);
    for due in page.items {
        let (item, bytes) =
            (due.item.clone(), due.will.as_ref().map_or(0, |will| will.will.message.size_bytes()));
        let mut pause = before.pauses.remove(&item).unwrap_or_default();
        if !pause.is_over() {
            refused.add(item, bytes, pause);
            continue;
        }
        match handle(shared, due, &mut under_way).await {
            Ok(()) => progress = true,
            // Somebody was faster: a client came back, a message was settled.
            Err(error) if matches!(error.kind(), ErrorKind::Conflict | ErrorKind::Fenced) => {}
            // One item that cannot be dealt with does not hold up the others; it comes again.
            Err(error) => {
                note(shared, &error);
                pause.prolong(&error);
                refused.add(item, bytes, pause);
            }
        }
    }
    // What is claimed comes again until that is durable.
    match all_durable(under_way).await {
        Ok(()) => progress,
        Err(error) => {
            note(shared, &error);
            false
        }
    }
}

fn note<P: Persistence>(shared: &Shared<P>, error: &StoreError) {
    shared.trouble.note(error);
    tracing::debug!(%error, "what is due could not be dealt with");
}

async fn handle<P: Persistence>(
    shared: &Arc<Shared<P>>,
    due: Due,
    under_way: &mut Vec<Ordered>,
) -> Result<()> {
    match due.item.clone() {
        DueItem::SessionExpired(id) => {
            claim(shared, due, Vec::new(), under_way).await?;
            if let Some(session) = find_session(shared, id) {
                tracing::debug!(client_id = &*session.client_id, "session expired");
                end_session(shared, &session);
            }
        }
        DueItem::Will(_) => {
            let Some(will) = &due.will else { return Ok(()) };
            let (message, retain) = will::to_publish(&will.will, shared.now());
            let mut tally = Tally::default();
            let group = shared.route(message, retain, Publisher::default(), &mut tally);
            shared.counters.add(&tally);
            claim(shared, due, vec![group], under_way).await?;
        }
        DueItem::SessionEnded(id) => {
            hand_on(shared, &due, id, under_way).await?;
            let purge = Group::of_ops(vec![Op::Purge { limit: PURGE_RECORDS }]);
            claim(shared, due, vec![purge], under_way).await?;
        }
        DueItem::QueuedExpired(..) => {
            claim(shared, due, Vec::new(), under_way).await?;
            let mut tally = Tally::default();
            tally.drop(DropCause::Expired);
            shared.counters.add(&tally);
        }
        DueItem::RetainedExpired(_) => {
            claim(shared, due, Vec::new(), under_way).await?;
        }
    }
    Ok(())
}

/// Writes one batch under the claim and delivers what it routes. Members of shared subscriptions that have gone
/// meanwhile are replaced in a batch of the broker's own.
async fn claim<P: Persistence>(
    shared: &Arc<Shared<P>>,
    due: Due,
    groups: Vec<Group>,
    under_way: &mut Vec<Ordered>,
) -> Result<()> {
    let batch = batch_of(shared, Author::Claim(due), &groups);
    let batch = write(shared, batch, &groups).await?;
    let again = deliver(shared, groups, batch.outcomes());
    under_way.push(batch);
    if !again.is_empty() {
        under_way.extend(submit(shared.clone(), Author::Broker, again).await.ordered);
    }
    Ok(())
}

fn find_session<P: Persistence>(shared: &Shared<P>, id: SessionId) -> Option<Arc<Session>> {
    shared.registry.select(|session| session.stored == Some(id)).pop()
}

/// Entries of shared subscriptions that an ended session leaves go to another member: QoS 1 always, QoS 2 only if no
/// packet id was ever assigned. Each moves in one batch with its removal.
async fn hand_on<P: Persistence>(
    shared: &Arc<Shared<P>>,
    due: &Due,
    id: SessionId,
    under_way: &mut Vec<Ordered>,
) -> Result<()> {
    let mut after = Seq::ZERO;
    loop {
        let page = shared.store.queue(id, after, PageLimit::items(PAGE_ITEMS)).await?;
        shared.damage.note(&page.damaged);
        after = page.final_up_to;
        for entry in page.items {
            let (Some(share), Some(message)) = (&entry.share, &entry.message) else { continue };
            if entry.qos == QoS::ExactlyOnce && entry.state != QueuedState::Waiting {
                continue;
            }
            if TopicFilter::new(&**share).is_err() {
                continue;
            }
            let mut tally = Tally::default();
            let group = shared.choose_again(message, share, &mut tally);
            shared.counters.add(&tally);
            if let Some(mut group) = group {
                group.ops.push(Op::Settle(entry.seq));
                claim(shared, due.clone(), vec![group], under_way).await?;
            }
        }
        if !page.more {
            return Ok(());
        }
    }
}

/// The keep-alive sweep: closes connections that were silent too long, or that the store holds up too long.
pub(crate) async fn sweep<P: Persistence>(shared: Arc<Shared<P>>) {
    let mut ticks = tokio::time::interval(Duration::from_millis(500));
    while !shared.is_stopping() {
        tokio::select! {
            _ = ticks.tick() => {}
            () = shared.stop.notified() => continue,
        }
        let now = shared.clock.tick_secs_at(shared.now());
        let store_timeout = shared.limits.store_timeout.as_secs() as u32;
        for session in shared.registry.select(|session| session.overdue(now, store_timeout).is_some()) {
            if let Some(command) = session.overdue(now, store_timeout) {
                session.command(command);
            }
        }
    }
}
