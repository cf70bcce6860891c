//! What becomes due: the broker asks the store once a second (and when a connection ends), claims each item, and does
//! what it asks for in one batch. What the store refuses pauses before it is tried again, and is gone past, a bounded number
//! of pages at a time.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use opifex_packet::{QoS, TopicFilter};
use opifex_storage::{
    Author, Cursor, Due, DueItem, ErrorKind, Op, PageLimit, Persistence, QueuedState, RecordVersion, Result,
    Seq, SessionId, StoreError,
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

/// Pages in which nothing could be done: so many, and no more, are gone past in one look. What is refused is read again at
/// most this fast.
const IDLE_PAGES: usize = 8;
/// So many refusals are remembered. What is refused beyond them is tried again whenever a walk comes by.
const MAX_PAUSES: usize = 65_536;

/// Runs until the broker stops.
pub(crate) async fn run<P: Persistence>(shared: Arc<Shared<P>>) {
    let mut walk = Walk::default();
    while !shared.is_stopping() {
        match look(&shared, &mut walk).await {
            Again::AtOnce => tokio::task::yield_now().await,
            Again::WhenDue => drop(tokio::time::timeout(INTERVAL, shared.due.notified()).await),
            Again::Later => drop(tokio::time::timeout(INTERVAL, shared.stop.notified()).await),
        }
    }
}

/// When to look again.
enum Again {
    /// There may be more right now.
    AtOnce,
    /// In a while, or when a connection ends.
    WhenDue,
    /// In a while, whatever ends: there is much that is refused.
    Later,
}

/// A walk over what is due, a page at a time, past what is refused.
#[derive(Default)]
struct Walk {
    /// Where it goes on.
    cursor: Option<Cursor>,
    /// Something was dealt with since it began.
    progress: bool,
    /// What was refused and has not come by yet.
    before: HashMap<Claimed, Pause>,
    /// What was refused, of that which has come by.
    pauses: HashMap<Claimed, Pause>,
}

/// What a claim is of: of two wills of one session, one.
type Claimed = (DueItem, RecordVersion);

impl Walk {
    /// It has come to its end, and what has not come by is gone. Answers whether something was dealt with.
    fn begin_again(&mut self) -> bool {
        self.before = std::mem::take(&mut self.pauses);
        std::mem::take(&mut self.progress)
    }

    /// The store failed, so the next one begins at the start.
    fn break_off(&mut self) {
        self.before.extend(self.pauses.drain());
        (self.cursor, self.progress) = (None, false);
    }

    /// Deals with one item unless it pauses; answers whether it could.
    async fn meet<P: Persistence>(
        &mut self,
        shared: &Arc<Shared<P>>,
        due: Due,
        under_way: &mut Vec<Ordered>,
    ) -> bool {
        let claimed = (due.item.clone(), due.version);
        let mut pause = self.before.remove(&claimed).unwrap_or_default();
        if pause.is_over() {
            match handle(shared, due, under_way).await {
                Ok(()) => return true,
                // Somebody was faster: a client came back, a message was settled.
                Err(error) if matches!(error.kind(), ErrorKind::Conflict | ErrorKind::Fenced) => {
                    return false;
                }
                // One item that cannot be dealt with does not hold up the others; it comes again.
                Err(error) => {
                    note(shared, &error);
                    pause.prolong(&error);
                }
            }
        }
        if self.pauses.len() < MAX_PAUSES {
            self.pauses.insert(claimed, pause);
        }
        false
    }
}

/// Deals with one page of what is due, and goes past some in which there is nothing that it could deal with.
async fn look<P: Persistence>(shared: &Arc<Shared<P>>, walk: &mut Walk) -> Again {
    if let Err(error) = shared.unrecorded.retry(shared).await {
        note(shared, &error);
    }
    for idle in 0..IDLE_PAGES {
        let limit = PageLimit::items(PAGE_ITEMS);
        let page = match shared.store.due(shared.now(), walk.cursor.take(), limit).await {
            Ok(page) => page,
            Err(error) => {
                note(shared, &error);
                walk.break_off();
                return Again::WhenDue;
            }
        };
        shared.damage.note(&page.damaged);
        let (mut under_way, mut progress) = (Vec::new(), false);
        for due in page.items {
            progress |= walk.meet(shared, due, &mut under_way).await;
        }
        // What is claimed comes again until that is durable.
        if let Err(error) = all_durable(under_way).await {
            note(shared, &error);
            walk.break_off();
            return Again::WhenDue;
        }
        walk.progress |= progress;
        walk.cursor = page.next;
        if walk.cursor.is_none() {
            return match walk.begin_again() {
                true => Again::AtOnce,
                false if idle == 0 => Again::WhenDue,
                false => Again::Later,
            };
        }
        if progress {
            return Again::AtOnce;
        }
    }
    Again::Later
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
            claim(shared, due, vec![group], under_way).await?;
            shared.counters.add(&tally);
        }
        DueItem::SessionEnded(id) => {
            let tally = hand_on(shared, &due, id, under_way).await?;
            let purge = Group::of_ops(vec![Op::Purge { limit: PURGE_RECORDS }]);
            claim(shared, due, vec![purge], under_way).await?;
            shared.counters.add(&tally);
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
/// packet id was ever assigned. Each moves in one batch with its removal. Looks at no more than one purge takes behind it, and
/// answers for which of that there is nobody.
async fn hand_on<P: Persistence>(
    shared: &Arc<Shared<P>>,
    due: &Due,
    id: SessionId,
    under_way: &mut Vec<Ordered>,
) -> Result<Tally> {
    let (mut after, mut left, mut tally) = (Seq::ZERO, 0, Tally::default());
    loop {
        let page = shared.store.queue(id, after, PageLimit::items(PAGE_ITEMS)).await?;
        shared.damage.note(&page.damaged);
        after = page.final_up_to;
        for entry in page.items {
            if left == PURGE_RECORDS {
                return Ok(tally);
            }
            left += 1;
            let (Some(share), Some(message)) = (&entry.share, &entry.message) else { continue };
            if entry.qos == QoS::ExactlyOnce && entry.state != QueuedState::Waiting {
                continue;
            }
            if TopicFilter::new(&**share).is_err() {
                continue;
            }
            if let Some(mut group) = shared.choose_again(message, share, &mut tally) {
                group.ops.push(Op::Settle(entry.seq));
                claim(shared, due.clone(), vec![group], under_way).await?;
                left -= 1;
            }
        }
        if !page.more {
            return Ok(tally);
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
