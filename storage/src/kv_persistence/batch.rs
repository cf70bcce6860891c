//! Batches: whether one may be applied, and applying it.
//!
//! What can refuse a batch is asked before anything is changed. What fails all the same behind that (a damaged row, an
//! engine that cannot read) is taken back by the transaction.

use opifex_packet::TopicName;

use crate::encoding::key;
use crate::kv_persistence::rows::Rows;
use crate::kv_persistence::transaction::Transaction;
use crate::{
    Author, Batch, ErrorKind, Expectation, Guard, GuardedRecord, KvSnapshot, Op, Outcome, Result, SessionId,
    StoreError, Timestamp,
};

impl<S: KvSnapshot> Transaction<'_, S> {
    pub(super) fn submit(&mut self, batch: Batch) -> Result<Vec<Outcome>> {
        self.check_author(&batch.author, batch.now)?;
        batch.guards.iter().try_for_each(|guard| self.check_guard(guard))?;
        batch.check_ops()?;
        let is_there = |topic: &TopicName<'_>| self.has(&key::retained(topic));
        batch.check_retained(self.max_retained(), || Ok(self.retained_count()), is_there)?;
        if let Author::Claim(due) = &batch.author {
            self.carry_out_claim(due, batch.now)?;
        }
        batch.ops.into_iter().map(|op| self.apply(&batch.author, op, batch.now)).collect()
    }

    fn check_author(&mut self, author: &Author, now: Timestamp) -> Result<()> {
        match author {
            Author::Session(id, epoch) => match self.live(*id)? {
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

    fn check_guard(&mut self, guard: &Guard) -> Result<()> {
        let (name, holds) = match &guard.record {
            GuardedRecord::Session(id) => {
                let epoch = self.live(*id)?.map(|session| session.epoch);
                let holds = match guard.expect {
                    Expectation::Exists => epoch.is_some(),
                    Expectation::Absent => epoch.is_none(),
                    Expectation::AtEpoch(expected) => epoch == Some(expected),
                    Expectation::AtVersion(expected) => epoch.is_some_and(|epoch| epoch.0 == expected.0),
                };
                (format!("session {id}"), holds)
            }
            GuardedRecord::Retained(topic) => {
                let version = self.retained_row(topic)?.map(|row| row.version);
                let holds = match guard.expect {
                    Expectation::Exists => version.is_some(),
                    Expectation::Absent => version.is_none(),
                    Expectation::AtEpoch(_) => false,
                    Expectation::AtVersion(expected) => version == Some(expected),
                };
                (format!("retained message of {topic}"), holds)
            }
        };
        if holds {
            return Ok(());
        }
        let message = format!("{name} is not as expected: {:?}", guard.expect);
        Err(StoreError::not_applied(ErrorKind::Conflict, message))
    }

    fn apply(&mut self, author: &Author, op: Op, now: Timestamp) -> Result<Outcome> {
        // Only operations that `check_op` refuses without one use it when there is none; session 0 never exists.
        let own = author.session().unwrap_or(SessionId(0));
        let done = match op {
            Op::SetExpiry(expiry) => self.set_expiry(own, expiry)?,
            Op::GoOffline => self.go_offline(own, now)?,
            Op::EndSession(id) => match self.live(id)? {
                Some(row) => {
                    self.end_session(id, row, now)?;
                    true
                }
                None => false,
            },
            Op::Subscribe(record) => match self.subscribe(own, record)? {
                Some(existed) => return Ok(Outcome::Subscribed { existed }),
                None => false,
            },
            Op::Unsubscribe(filter) => self.unsubscribe(own, &filter)?,
            Op::Enqueue { message, targets } => {
                return Ok(Outcome::Enqueued(self.enqueue(&message, targets)?));
            }
            Op::Assign { seq, packet_id } => self.assign(own, seq, packet_id)?,
            Op::Release(seq) => self.release(own, seq)?,
            Op::Settle(seq) => self.settle(own, seq)?,
            Op::PutInbound(packet_id) => return self.put_inbound(own, packet_id),
            Op::DeleteInbound(packet_id) => self.delete_inbound(own, packet_id)?,
            Op::Retain(message) => return Ok(Outcome::Retained(self.retain(message)?)),
            Op::Unretain(topic) => self.unretain(&topic)?,
            Op::TakeWill => match self.live(own)? {
                Some(session) => self.remove_will(own, session.epoch)?,
                None => false,
            },
            Op::Restore(restored) => return self.restore(*restored),
            Op::Purge { limit } => return Ok(Outcome::Purged { more: self.purge(own, limit)? }),
        };
        Ok(if done { Outcome::Done } else { Outcome::Absent })
    }
}
