//! Batches: whether one may be applied, and applying it.
//!
//! Everything that can refuse a batch is asked before anything is changed; applying cannot fail. That, under one lock,
//! is all or nothing.

use opifex_packet::TopicName;
use opifex_storage::{
    Author, Batch, ErrorKind, Expectation, Guard, GuardedRecord, Op, Outcome, Result, Seq, SessionId,
    StoreError, TargetOutcome, Timestamp,
};

use crate::session::Session;
use crate::state::State;

impl State {
    pub(crate) fn submit(&mut self, batch: Batch) -> Result<Vec<Outcome>> {
        self.check_author(&batch.author, batch.now)?;
        batch.guards.iter().try_for_each(|guard| self.check_guard(guard))?;
        batch.check_ops()?;
        let count = || Ok::<_, StoreError>(self.retained.len() as u64);
        let is_there = |topic: &TopicName<'_>| Ok(self.retained.version(topic).is_some());
        batch.check_retained(Some(self.max_retained), count, is_there)?;
        if let Author::Claim(due) = &batch.author {
            self.carry_out_claim(due, batch.now);
        }
        Ok(batch.ops.into_iter().map(|op| self.apply(&batch.author, op, batch.now)).collect())
    }

    fn check_author(&self, author: &Author, now: Timestamp) -> Result<()> {
        match author {
            Author::Session(id, epoch) => match self.sessions.get(id) {
                Some(session) if session.epoch == *epoch => Ok(()),
                Some(session) => Err(StoreError::not_applied(
                    ErrorKind::Fenced,
                    format!("session {id} is at epoch {}, its author at {epoch}", session.epoch),
                )),
                None => Err(StoreError::not_applied(ErrorKind::Fenced, format!("session {id} has ended"))),
            },
            Author::Claim(due) => self.check_claim(due, now),
            Author::Broker => Ok(()),
        }
    }

    fn check_guard(&self, guard: &Guard) -> Result<()> {
        let holds = match &guard.record {
            GuardedRecord::Session(id) => {
                let epoch = self.sessions.get(id).map(|session| session.epoch);
                match guard.expect {
                    Expectation::Exists => epoch.is_some(),
                    Expectation::Absent => epoch.is_none(),
                    Expectation::AtEpoch(expected) => epoch == Some(expected),
                    Expectation::AtVersion(expected) => epoch.is_some_and(|epoch| epoch.0 == expected.0),
                }
            }
            GuardedRecord::Retained(topic) => {
                let version = self.retained.version(topic);
                match guard.expect {
                    Expectation::Exists => version.is_some(),
                    Expectation::Absent => version.is_none(),
                    Expectation::AtEpoch(_) => false,
                    Expectation::AtVersion(expected) => version == Some(expected),
                }
            }
        };
        if holds {
            return Ok(());
        }
        let record = match &guard.record {
            GuardedRecord::Session(id) => format!("session {id}"),
            GuardedRecord::Retained(topic) => format!("retained message of {topic}"),
        };
        Err(StoreError::not_applied(
            ErrorKind::Conflict,
            format!("{record} is not as expected: {:?}", guard.expect),
        ))
    }

    fn apply(&mut self, author: &Author, op: Op, now: Timestamp) -> Outcome {
        // Only operations that `check_op` refuses without one use it when there is none; session 0 never exists.
        let own = author.session().unwrap_or(SessionId(0));
        match op {
            Op::SetExpiry(expiry) => done_or_absent(self.set_expiry(own, expiry)),
            Op::GoOffline => done_or_absent(self.go_offline(own, now)),
            Op::EndSession(id) => {
                let exists = self.sessions.contains_key(&id);
                if exists {
                    self.end_session(id, now);
                }
                done_or_absent(exists)
            }
            Op::Subscribe(record) => match self.live(own) {
                Some(session) => {
                    Outcome::Subscribed { existed: session.contents.subscriptions.insert(record) }
                }
                None => Outcome::Absent,
            },
            Op::Unsubscribe(filter) => done_or_absent(
                self.live(own).is_some_and(|session| session.contents.subscriptions.remove(&filter)),
            ),
            Op::Enqueue { message, targets } => {
                let State { sessions, due, .. } = self;
                let outcomes = targets.into_iter().map(|target| match sessions.get_mut(&target.session) {
                    Some(session) => session.contents.queue.push(target.session, &message, target, due),
                    None => TargetOutcome::Gone,
                });
                Outcome::Enqueued(outcomes.collect())
            }
            Op::Assign { seq, packet_id } => {
                let State { sessions, due, .. } = self;
                done_or_absent(
                    sessions
                        .get_mut(&own)
                        .is_some_and(|session| session.contents.queue.assign(seq, packet_id, own, due)),
                )
            }
            Op::Release(seq) => {
                done_or_absent(self.live(own).is_some_and(|session| session.contents.queue.release(seq)))
            }
            Op::Settle(seq) => done_or_absent(self.settle(own, seq)),
            Op::PutInbound(packet_id) => match self.live(own) {
                Some(session) => match session.contents.inbound.insert(packet_id) {
                    true => Outcome::Done,
                    false => Outcome::Present,
                },
                None => Outcome::Absent,
            },
            Op::DeleteInbound(packet_id) => done_or_absent(
                self.live(own).is_some_and(|session| session.contents.inbound.remove(packet_id)),
            ),
            Op::Retain(message) => {
                let version = self.next_version();
                self.retained.insert(message, version, &mut self.due);
                Outcome::Retained(version)
            }
            Op::Unretain(topic) => done_or_absent(self.retained.remove(&topic, &mut self.due)),
            Op::TakeWill => {
                let epoch = self.sessions.get(&own).map(|session| session.epoch);
                done_or_absent(epoch.is_some_and(|epoch| self.remove_will(own, epoch)))
            }
            Op::Restore(restored) => self.restore(*restored),
            Op::Purge { limit } => Outcome::Purged { more: self.purge(own, limit) },
        }
    }

    /// The session, if it has not ended: by this very batch, maybe.
    fn live(&mut self, id: SessionId) -> Option<&mut Session> {
        self.sessions.get_mut(&id)
    }

    /// Removes an entry of a session, or of what an ended one left. Answers whether it was there.
    pub(crate) fn settle(&mut self, id: SessionId, seq: Seq) -> bool {
        if let Some(session) = self.sessions.get_mut(&id) {
            return session.contents.queue.settle(seq, id, &mut self.due);
        }
        let Some(ended) = self.ended.get_mut(&id) else { return false };
        let settled = ended.session.contents.queue.settle(seq, id, &mut self.due);
        self.forget_if_empty(id);
        settled
    }
}

fn done_or_absent(done: bool) -> Outcome {
    if done { Outcome::Done } else { Outcome::Absent }
}
