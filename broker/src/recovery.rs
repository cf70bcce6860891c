//! Start-up: sessions and subscriptions that the store holds come back into registry and routing.

use std::sync::Arc;

use hashbrown::HashMap;
use opifex_storage::{
    Author, Batch, Op, Page, PageLimit, Persistence, Record, RecordKind, Result, SessionId, SessionRecord,
};

use crate::outbox::DurableQueue;
use crate::router::Grant;
use crate::session::Session;
use crate::shared::Shared;

/// Records a page.
const PAGE_ITEMS: usize = 1_024;

/// What was found.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Recovered {
    pub(crate) sessions: u64,
    pub(crate) subscriptions: u64,
}

/// Brings back what routing needs. Queues, retained messages and wills stay in the store.
pub(crate) async fn recover<P: Persistence>(shared: &Arc<Shared<P>>) -> Result<Recovered> {
    let mut recovered = Recovered::default();
    let mut sessions: HashMap<SessionId, Arc<Session>> = HashMap::new();
    let mut walk = Walk::new(RecordKind::Session);
    while let Some(page) = walk.next(shared).await? {
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
            disconnected(shared, &record).await?;
        }
    }
    let mut walk = Walk::new(RecordKind::Subscription);
    while let Some(page) = walk.next(shared).await? {
        for record in page.items {
            let Record::Subscription(id, subscription) = record else { continue };
            let Some(session) = sessions.get(&id) else { continue };
            let grant =
                Grant { options: subscription.options, identifier: subscription.identifier.unwrap_or(0) };
            shared.router.subscribe(session, &subscription.filter, grant);
            session.subscriptions.lock().insert(subscription.filter.as_str().into());
            recovered.subscriptions += 1;
        }
    }
    Ok(recovered)
}

/// A session that was connected when the process died counts as disconnected now.
async fn disconnected<P: Persistence>(shared: &Arc<Shared<P>>, record: &SessionRecord) -> Result<()> {
    if record.offline_since.is_some() {
        return Ok(());
    }
    let author = Author::Session(record.id, record.epoch);
    let batch = Batch::new(author, shared.durability, shared.now()).with(Op::GoOffline);
    shared.store.submit(batch).await?.durable().await?;
    Ok(())
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
