//! Batches: whether one may be applied, and applying it.
//!
//! Everything that can refuse a batch is asked before anything is changed; after that only the engine can fail, and
//! then the writer rolls the transaction back and applies the other batches again.

use opifex_packet::TopicName;
use opifex_storage::{
    Author, Batch, Epoch, ErrorKind, Expectation, Guard, GuardedRecord, Op, Outcome, SessionId, StoreError,
    Timestamp,
};

use crate::fault::{Fault, Result};
use crate::message::Stored;
use crate::state::State;
use crate::tally::Counted;

impl State<'_> {
    pub(crate) fn submit(&self, batch: &Batch) -> Result<Vec<Outcome>> {
        self.check_author(&batch.author, batch.now)?;
        batch.guards.iter().try_for_each(|guard| self.check_guard(guard))?;
        batch.check_ops()?;
        let count = || Ok::<_, Fault>(self.tally.get().rows(Counted::Retained));
        let is_there = |topic: &TopicName<'_>| self.has_retained(topic);
        batch.check_retained(self.max_retained, count, is_there)?;
        if let Author::Claim(due) = &batch.author {
            self.carry_out_claim(due, batch.now)?;
        }
        let mut stored = Stored::default();
        batch.ops.iter().map(|op| self.apply(&batch.author, op, batch.now, &mut stored)).collect()
    }

    fn check_author(&self, author: &Author, now: Timestamp) -> Result<()> {
        let refusal = match author {
            Author::Session(id, epoch) => match self.epoch_of(*id)? {
                Some(current) if current == *epoch => return Ok(()),
                Some(current) => format!("session {id} is at epoch {current}, its author at {epoch}"),
                None => format!("session {id} has ended"),
            },
            Author::Claim(due) => return self.check_claim(due, now),
            Author::Broker => return Ok(()),
        };
        Err(StoreError::not_applied(ErrorKind::Fenced, refusal).into())
    }

    fn check_guard(&self, guard: &Guard) -> Result<()> {
        let (version, at_epoch) = match &guard.record {
            GuardedRecord::Session(id) => {
                let epoch = self.epoch_of(*id)?;
                (epoch.map(|epoch| epoch.0), epoch)
            }
            GuardedRecord::Retained(topic) => {
                (self.retained_version(topic)?.map(|version| version.0), None::<Epoch>)
            }
        };
        let holds = match guard.expect {
            Expectation::Exists => version.is_some(),
            Expectation::Absent => version.is_none(),
            Expectation::AtEpoch(expected) => at_epoch == Some(expected),
            Expectation::AtVersion(expected) => version == Some(expected.0),
        };
        if holds {
            return Ok(());
        }
        let record = match &guard.record {
            GuardedRecord::Session(id) => format!("session {id}"),
            GuardedRecord::Retained(topic) => format!("retained message of {topic}"),
        };
        let what = format!("{record} is not as expected: {:?}", guard.expect);
        Err(StoreError::not_applied(ErrorKind::Conflict, what).into())
    }

    fn apply(&self, author: &Author, op: &Op, now: Timestamp, stored: &mut Stored) -> Result<Outcome> {
        // Only operations that `check_op` refuses without one use it when there is none; session 0 never exists.
        let own = author.session().unwrap_or(SessionId(0));
        let done = match op {
            Op::SetExpiry(expiry) => self.set_expiry(own, *expiry)?,
            Op::GoOffline => self.go_offline(own, now)?,
            Op::EndSession(id) => {
                let exists = self.epoch_of(*id)?.is_some();
                if exists {
                    self.end_session(*id, now)?;
                }
                exists
            }
            Op::Subscribe(record) => {
                return Ok(match self.epoch_of(own)? {
                    Some(_) => Outcome::Subscribed { existed: self.insert_subscription(own, record)? },
                    None => Outcome::Absent,
                });
            }
            Op::Unsubscribe(filter) => {
                self.epoch_of(own)?.is_some() && self.remove_subscription(own, filter)?
            }
            Op::Enqueue { message, targets } => {
                return Ok(Outcome::Enqueued(self.enqueue(message, targets, stored)?));
            }
            Op::Assign { seq, packet_id } => {
                self.epoch_of(own)?.is_some() && self.assign(own, *seq, *packet_id)?
            }
            Op::Release(seq) => self.epoch_of(own)?.is_some() && self.release(own, *seq)?,
            Op::Settle(seq) => self.settle(own, *seq)?,
            Op::PutInbound(packet_id) => {
                return Ok(match self.epoch_of(own)? {
                    None => Outcome::Absent,
                    Some(_) if self.insert_inbound(own, *packet_id)? => Outcome::Done,
                    Some(_) => Outcome::Present,
                });
            }
            Op::DeleteInbound(packet_id) => {
                self.epoch_of(own)?.is_some() && self.remove_inbound(own, *packet_id)?
            }
            Op::Retain(message) => return Ok(Outcome::Retained(self.insert_retained(message, stored)?)),
            Op::Unretain(topic) => self.remove_retained(topic)?,
            Op::TakeWill => match self.epoch_of(own)? {
                Some(epoch) => self.remove_will(own, epoch)?,
                None => false,
            },
            Op::Restore(restored) => return self.restore(restored, stored),
            Op::Purge { limit } => return Ok(Outcome::Purged { more: self.purge(own, *limit)? }),
        };
        Ok(if done { Outcome::Done } else { Outcome::Absent })
    }
}
