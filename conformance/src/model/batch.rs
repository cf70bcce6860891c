//! Batches: for which reasons one may be refused, and what its operations answer.

use opifex_packet::TopicName;
use opifex_storage::{
    Author, Batch, DueItem, ErrorKind, Expectation, Guard, GuardedRecord, Op, Outcome, RecordVersion,
    Retained, Seq, SessionId, TargetOutcome, Timestamp,
};

use super::Model;

impl Model {
    /// Applies a batch and answers its outcomes, or every reason for which a store may refuse it. The store chose the
    /// versions of what the batch retains.
    pub(crate) fn submit(
        &mut self,
        batch: &Batch,
        version: &mut dyn FnMut() -> RecordVersion,
    ) -> Result<Vec<Outcome>, Vec<ErrorKind>> {
        let reasons = self.refusals(batch);
        if !reasons.is_empty() {
            return Err(reasons);
        }
        if let Author::Claim(due) = &batch.author {
            self.carry_out(due, batch.now);
        }
        let own = session_of(&batch.author);
        Ok(batch.ops.iter().map(|op| self.apply(own, op, batch.now, version)).collect())
    }

    fn refusals(&self, batch: &Batch) -> Vec<ErrorKind> {
        let mut reasons = Vec::new();
        match &batch.author {
            Author::Session(id, epoch)
                if self.live(*id).is_none_or(|session| session.head.epoch != *epoch) =>
            {
                reasons.push(ErrorKind::Fenced);
            }
            Author::Claim(due) if !self.claim_holds(due, batch.now) => reasons.push(ErrorKind::Conflict),
            _ => {}
        }
        if !batch.guards.iter().all(|guard| self.guard_holds(guard)) {
            reasons.push(ErrorKind::Conflict);
        }
        if !batch.ops.iter().all(|op| may(&batch.author, op)) {
            reasons.push(ErrorKind::Unsupported);
        }
        reasons.extend(self.over_limits(batch));
        reasons
    }

    fn guard_holds(&self, guard: &Guard) -> bool {
        let (epoch, version) = match &guard.record {
            GuardedRecord::Session(id) => {
                let epoch = self.live(*id).map(|session| session.head.epoch);
                (epoch, epoch.map(|epoch| RecordVersion(epoch.0)))
            }
            GuardedRecord::Retained(topic) => {
                (None, self.retained.get(topic.as_str()).map(|retained| retained.version))
            }
        };
        match guard.expect {
            Expectation::Exists => version.is_some(),
            Expectation::Absent => version.is_none(),
            Expectation::AtEpoch(expected) => epoch == Some(expected),
            Expectation::AtVersion(expected) => version == Some(expected),
        }
    }

    fn apply(
        &mut self,
        own: SessionId,
        op: &Op,
        now: Timestamp,
        version: &mut dyn FnMut() -> RecordVersion,
    ) -> Outcome {
        match op {
            Op::SetExpiry(expiry) => done(self.set_expiry(own, *expiry)),
            Op::GoOffline => done(self.go_offline(own, now)),
            Op::EndSession(id) => {
                let there = self.live(*id).is_some();
                if there {
                    self.end(*id, now);
                }
                done(there)
            }
            Op::Subscribe(record) => match self.live_mut(own) {
                None => Outcome::Absent,
                Some(session) => {
                    let filter = record.filter.as_str().to_owned();
                    let existed = session.subscriptions.insert(filter, record.clone()).is_some();
                    Outcome::Subscribed { existed }
                }
            },
            Op::Unsubscribe(filter) => {
                let session = self.live_mut(own);
                done(session.is_some_and(|session| session.subscriptions.remove(filter.as_str()).is_some()))
            }
            Op::Enqueue { message, targets } => {
                let outcomes = targets.iter().map(|target| match self.live_mut(target.session) {
                    Some(session) => session.enqueue(message, target),
                    None => TargetOutcome::Gone,
                });
                Outcome::Enqueued(outcomes.collect())
            }
            Op::Assign { seq, packet_id } => {
                done(self.live_mut(own).is_some_and(|session| session.assign(*seq, *packet_id)))
            }
            Op::Release(seq) => done(self.live_mut(own).is_some_and(|session| session.release(*seq))),
            Op::Settle(seq) => done(self.settle(own, *seq)),
            Op::PutInbound(id) => match self.live_mut(own) {
                None => Outcome::Absent,
                Some(session) => match session.inbound.insert(*id) {
                    true => Outcome::Done,
                    false => Outcome::Present,
                },
            },
            Op::DeleteInbound(id) => {
                done(self.live_mut(own).is_some_and(|session| session.inbound.remove(id)))
            }
            Op::Retain(message) => {
                let retained = Retained { message: message.clone(), version: version() };
                let answer = Outcome::Retained(retained.version);
                self.retained.insert(message.topic.as_str().to_owned(), retained);
                answer
            }
            Op::Unretain(topic) => done(self.unretain(topic)),
            Op::TakeWill => {
                let epoch = self.live(own).map(|session| session.head.epoch);
                done(epoch.is_some_and(|epoch| self.wills.remove(&(own, epoch)).is_some()))
            }
            Op::Purge { limit } => Outcome::Purged { more: self.purge(own, *limit) },
            Op::Restore(_) => unreachable!("what histories move is not told to the model batch by batch"),
        }
    }

    fn unretain(&mut self, topic: &TopicName<'_>) -> bool {
        self.retained.remove(topic.as_str()).is_some()
    }

    /// Removes an entry, also one that an ended session left. Answers whether it was there.
    pub(super) fn settle(&mut self, id: SessionId, seq: Seq) -> bool {
        let Some(session) = self.sessions.get_mut(&id) else { return false };
        let settled = session.queue.remove(&seq).is_some();
        self.forget_if_empty(id);
        settled
    }
}

fn done(done: bool) -> Outcome {
    if done { Outcome::Done } else { Outcome::Absent }
}

/// The author's session; none has the number 0.
fn session_of(author: &Author) -> SessionId {
    match author {
        Author::Session(id, _) => *id,
        Author::Claim(due) => match due.item {
            DueItem::SessionExpired(id)
            | DueItem::Will(id)
            | DueItem::SessionEnded(id)
            | DueItem::QueuedExpired(id, _) => id,
            DueItem::RetainedExpired(_) => SessionId(0),
        },
        Author::Broker => SessionId(0),
    }
}

/// Whether the author may ask for this at all.
fn may(author: &Author, op: &Op) -> bool {
    let own = session_of(author);
    match op {
        Op::Enqueue { .. } | Op::Retain(_) | Op::Unretain(_) => true,
        Op::Restore(_) => *author == Author::Broker,
        Op::EndSession(id) => *author == Author::Broker || own == *id,
        Op::Purge { .. } => {
            matches!(author, Author::Claim(due) if matches!(due.item, DueItem::SessionEnded(_)))
        }
        _ => own != SessionId(0),
    }
}
