//! Everything is moved to another store in the middle of a history: record by record, as it was. The history goes on there.

use std::sync::Arc;

use opifex_storage::{
    Author, Batch, Message, Op, Outcome, PageLimit, Persistence, Queued, Record, RecordKind, Restored, Seq,
    SessionId,
};

use super::Model;
use super::run::Run;
use super::world::World;
use crate::Factory;

impl Model {
    /// What is moved: all, but of an ended session its queue alone, which is of use to others.
    fn moved(&mut self) {
        for session in self.sessions.values_mut().filter(|session| session.ended_at.is_some()) {
            session.subscriptions.clear();
            session.inbound.clear();
        }
        self.sessions.retain(|_, session| session.ended_at.is_none() || !session.queue.is_empty());
    }

    /// The highest epoch that any record has.
    fn highest_epoch(&self) -> u64 {
        let of_sessions = self.sessions.values().map(|session| session.head.epoch.0.max(session.head.id.0));
        of_sessions.chain(self.wills.keys().map(|(_, epoch)| epoch.0)).max().unwrap_or(0)
    }
}

impl World {
    /// The history goes on in another store, which knows what was moved and no more.
    pub(crate) fn moved(&mut self) {
        self.model.moved();
        self.forget_due();
        self.forget_sent();
    }
}

impl<F: Factory> Run<F> {
    /// Moves everything, and goes on with the other store. The numbers that no record has are forgotten.
    pub(super) async fn move_everything(&mut self) -> Result<(), String> {
        let to = self.subject.another().await;
        let author = Author::Broker;
        let (durability, now) = (self.subject.strongest(), self.now());
        // A message that several entries have comes with the first of them.
        let mut holders: Vec<(Arc<Message>, (SessionId, Seq))> = Vec::new();
        for record in self.everything().await? {
            let restored = shared(record, &mut holders);
            let said = format!("{restored:?}");
            let op = Op::Restore(Box::new(restored));
            let receipt = to.store().submit(Batch::new(author.clone(), durability, now).with(op)).await;
            let receipt = receipt.map_err(|error| format!("{said} could not be restored: {error}"))?;
            if receipt.outcomes() != [Outcome::Done] {
                return Err(format!("{said} was restored: {:?}", receipt.outcomes()));
            }
            receipt.durable().await.map_err(|error| format!("{said} did not become durable: {error}"))?;
        }
        let from = std::mem::replace(&mut self.subject, to);
        from.store().close().await.map_err(|error| format!("it does not close: {error}"))?;
        self.world.moved();
        self.last_epoch = self.world.model.highest_epoch();
        self.due_versions.clear();
        let kept = self.world.model.retained.iter();
        self.retained_versions = kept.map(|(topic, retained)| (topic.clone(), retained.version)).collect();
        Ok(())
    }

    /// All that is moved.
    async fn everything(&self) -> Result<Vec<Record>, String> {
        let mut records = Vec::new();
        for kind in RecordKind::ALL {
            for record in self.walk(kind).await? {
                match record {
                    Record::Ended(session, _) if session.queued_items == 0 => {}
                    Record::Ended(session, at) => {
                        let id = session.id;
                        records.push(Record::Ended(session, at));
                        let left = self.queue(id, PageLimit::items(100)).await?;
                        records.extend(left.into_iter().map(|entry| Record::Queued(id, entry)));
                    }
                    record => records.push(record),
                }
            }
        }
        Ok(records)
    }
}

/// As it is restored: without a message that another entry has brought.
fn shared(record: Record, holders: &mut Vec<(Arc<Message>, (SessionId, Seq))>) -> Restored {
    let Record::Queued(id, entry) = record else { return Restored { record, same_message_as: None } };
    let message = entry.message.clone();
    let holder = holders.iter().find(|(held, _)| Some(held) == message.as_ref()).map(|(_, holder)| *holder);
    if holder.is_some() {
        let record = Record::Queued(id, Queued { message: None, ..entry });
        return Restored { record, same_message_as: holder };
    }
    holders.extend(message.map(|message| (message, (id, entry.seq))));
    Restored { record: Record::Queued(id, entry), same_message_as: None }
}
