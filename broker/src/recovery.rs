//! Start-up: sessions and subscriptions that the store holds come back into registry and routing. Memory grows with these
//! alone: queues, retained messages and wills stay in the store.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hashbrown::HashMap;
use opifex_storage::{
    Author, Batch, Op, Page, PageLimit, Persistence, Receipt, Record, RecordKind, Result, SessionId,
    SessionRecord,
};
use parking_lot::Mutex;
use tokio::time::{Instant, timeout_at};

use crate::outbox::DurableQueue;
use crate::router::Grant;
use crate::session::Session;
use crate::shared::Shared;

/// Records a page.
const PAGE_ITEMS: usize = 1_024;

/// How often the log hears of a recovery that lasts.
const SAY_EVERY: Duration = Duration::from_secs(1);

/// What was found.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Recovered {
    pub(crate) sessions: u64,
    /// Of these, were connected when the process before this one ended without a word.
    pub(crate) interrupted: u64,
    pub(crate) subscriptions: u64,
    /// Messages in their queues, which stay in the store.
    pub(crate) queued: u64,
}

/// Brings back what routing needs, and says each second how far it is.
pub(crate) async fn recover<P: Persistence>(shared: &Arc<Shared<P>>) -> Result<Recovered> {
    let progress = Progress::begin();
    progress.watch(bring_back(shared, &progress)).await
}

/// How far a recovery is, and what the log has heard of it.
struct Progress(Mutex<Reached>);

struct Reached {
    recovered: Recovered,
    said_at: Instant,
    lines: u64,
}

impl Progress {
    fn begin() -> Progress {
        let (recovered, said_at) = (Recovered::default(), Instant::now());
        Progress(Mutex::new(Reached { recovered, said_at, lines: 0 }))
    }

    /// Sees to it that the log hears of the recovery while it waits for the store; what does not wait tells by itself.
    async fn watch<T>(&self, recovery: impl Future<Output = T>) -> T {
        let mut recovery = pin!(recovery);
        loop {
            let next_line = self.0.lock().said_at + SAY_EVERY;
            match timeout_at(next_line, recovery.as_mut()).await {
                Ok(recovered) => return recovered,
                Err(_) => self.say_in_time(),
            }
        }
    }

    fn reach(&self, recovered: Recovered) {
        self.0.lock().recovered = recovered;
        self.say_in_time();
    }

    fn say_in_time(&self) {
        let mut reached = self.0.lock();
        if reached.said_at.elapsed() < SAY_EVERY {
            return;
        }
        reached.said_at = Instant::now();
        reached.lines += 1;
        let Recovered { sessions, subscriptions, queued, .. } = reached.recovered;
        tracing::info!(sessions, subscriptions, queued, "recovering from the store");
    }
}

async fn bring_back<P: Persistence>(shared: &Arc<Shared<P>>, progress: &Progress) -> Result<Recovered> {
    let mut recovered = Recovered::default();
    let mut sessions: HashMap<SessionId, Arc<Session>> = HashMap::new();
    let mut walk = Walk::new(RecordKind::Session);
    while let Some(page) = walk.next(shared).await? {
        let mut receipts = Vec::new();
        for record in page.items {
            let Record::Session(record) = record else { continue };
            let session = Session::durable(
                record.client_id.clone(),
                record.id,
                DurableQueue::recovered(record.next_seq),
            );
            shared.registry.install(&record.client_id, session.clone());
            sessions.insert(record.id, session);
            recovered.sessions += 1;
            recovered.queued += record.queued_items;
            if record.offline_since.is_none() {
                receipts.push(disconnected(shared, &record).await?);
                recovered.interrupted += 1;
            }
        }
        // A page of sessions shares a few syncs.
        for receipt in receipts {
            receipt.durable().await?;
        }
        progress.reach(recovered);
    }
    let mut walk = Walk::new(RecordKind::Subscription);
    while let Some(page) = walk.next(shared).await? {
        for record in page.items {
            let Record::Subscription(id, subscription) = record else { continue };
            let Some(session) = sessions.get(&id) else { continue };
            let grant =
                Grant { options: subscription.options, identifier: subscription.identifier.unwrap_or(0) };
            shared.router.subscribe(session, &subscription.filter, grant);
            session.subscriptions.lock().insert(subscription.filter.as_str());
            recovered.subscriptions += 1;
        }
        progress.reach(recovered);
    }
    Ok(recovered)
}

/// A session that was connected when the process died counts as disconnected now.
async fn disconnected<P: Persistence>(shared: &Arc<Shared<P>>, record: &SessionRecord) -> Result<Receipt> {
    let author = Author::Session(record.id, record.epoch);
    let batch = Batch::new(author, shared.durability, shared.now()).with(Op::GoOffline);
    shared.store.submit(batch).await
}

/// A walk over all records of a kind.
struct Walk {
    kind: RecordKind,
    cursor: Option<opifex_storage::Cursor>,
    ended: bool,
}

impl Walk {
    fn new(kind: RecordKind) -> Walk {
        Walk { kind, cursor: None, ended: false }
    }

    async fn next<P: Persistence>(&mut self, shared: &Shared<P>) -> Result<Option<Page<Record>>> {
        if self.ended {
            return Ok(None);
        }
        let page = shared.store.scan(self.kind, self.cursor.take(), PageLimit::items(PAGE_ITEMS)).await?;
        shared.damage.note(&page.damaged);
        self.cursor = page.next.clone();
        self.ended = self.cursor.is_none();
        Ok(Some(page))
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::sleep;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_log_hears_of_a_recovery_each_second_whether_it_waits_or_works() {
        let progress = Progress::begin();
        let lines = || progress.0.lock().lines;
        let recovery = async {
            sleep(Duration::from_millis(3_500)).await;
            assert_eq!(lines(), 3, "while it waits");
            for _ in 0..30 {
                tokio::time::advance(Duration::from_millis(100)).await;
                progress.reach(Recovered::default());
            }
            assert_eq!(lines(), 6, "while it works");
        };
        progress.watch(recovery).await;
        Progress::begin().watch(sleep(Duration::from_millis(900))).await;
        assert_eq!(lines(), 6, "a short one is not told of");
    }
}
