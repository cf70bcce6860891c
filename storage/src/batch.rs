//! A batch: what is applied together or not at all.

use std::collections::BTreeSet;

use opifex_packet::TopicName;

use crate::{
    Capabilities, Due, DueItem, Durability, Epoch, ErrorKind, Op, RecordVersion, Result, SessionId,
    StoreError, Timestamp,
};

/// Operations that are applied in order, all or none, at every crash point.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// In whose name it is written.
    pub author: Author,
    /// What must hold before any of it is applied.
    pub guards: Vec<Guard>,
    /// What to do, in order.
    pub ops: Vec<Op>,
    /// Makes a resubmission harmless; a backend whose outcomes are never unknown ignores it.
    pub key: Option<IdempotencyKey>,
    /// The level at which [`crate::Receipt::durable`] resolves.
    pub durability: Durability,
    /// The time.
    pub now: Timestamp,
}

impl Batch {
    /// A batch without guards and key.
    pub fn new(author: Author, durability: Durability, now: Timestamp) -> Batch {
        Batch { author, guards: Vec::new(), ops: Vec::new(), key: None, durability, now }
    }

    /// The same with one more operation.
    pub fn with(mut self, op: Op) -> Batch {
        self.ops.push(op);
        self
    }
}

impl Batch {
    /// Refuses, as `Unsupported`, operations that this author may not ask for: what concerns "the author's session" of
    /// an author that has none, the end of somebody else's session, a purge without its claim. The same for every
    /// backend.
    ///
    /// # Errors
    /// `Unsupported`, not applied, naming the operation.
    pub fn check_ops(&self) -> Result<()> {
        match self.ops.iter().find(|op| !self.author.may(op)) {
            None => Ok(()),
            Some(op) => Err(StoreError::not_applied(
                ErrorKind::Unsupported,
                format!("{:?} may not ask for {op:?}", self.author),
            )),
        }
    }
}

impl Batch {
    /// Refuses a batch beyond what the backend declares; answers the bytes of its messages. The same for every backend.
    ///
    /// # Errors
    /// `TooLarge`, or `Unsupported` for a message that could not be read again; not applied.
    pub fn check_limits(&self, capabilities: &Capabilities) -> Result<usize> {
        if self.durability > capabilities.max_durability {
            return Err(capabilities.does_not_offer(self.durability));
        }
        let (mut ops, mut bytes) = (self.ops.len(), 0);
        for op in &self.ops {
            match op {
                Op::Enqueue { message, targets } => {
                    ops += targets.len();
                    bytes += message.check_limits(capabilities)?;
                }
                Op::Retain(message) => bytes += message.check_limits(capabilities)?,
                Op::Restore(restored) => {
                    if let Some(message) = restored.record.message() {
                        bytes += message.check_limits(capabilities)?;
                    }
                }
                _ => {}
            }
        }
        let too_large = |is: usize, limit: usize, unit: &str| {
            let what = format!("a batch of {is} {unit} exceeds the limit of {limit}");
            Err(StoreError::not_applied(ErrorKind::TooLarge, what))
        };
        if ops > capabilities.max_batch_ops {
            return too_large(ops, capabilities.max_batch_ops, "operations");
        }
        if bytes > capabilities.max_batch_bytes {
            return too_large(bytes, capabilities.max_batch_bytes, "bytes of messages");
        }
        Ok(bytes)
    }
}

impl Batch {
    /// Refuses a batch that would bring more retained messages than there may be: `count` is how many there are, `is_there`
    /// whether a topic has one. What replaces or removes is not refused. The same for every backend.
    ///
    /// # Errors
    /// `Full`, not applied; or what was asked failed.
    pub fn check_retained<E: From<StoreError>>(
        &self,
        limit: Option<usize>,
        count: impl FnOnce() -> Result<u64, E>,
        is_there: impl Fn(&TopicName<'_>) -> Result<bool, E>,
    ) -> Result<(), E> {
        let Some(limit) = limit else { return Ok(()) };
        let topics: BTreeSet<&TopicName<'_>> = self
            .ops
            .iter()
            .filter_map(|op| match op {
                Op::Retain(message) => Some(&message.topic),
                _ => None,
            })
            .collect();
        if topics.is_empty() {
            return Ok(());
        }
        let room = (limit as u64).saturating_sub(count()?);
        if topics.len() as u64 <= room {
            return Ok(());
        }
        let mut new = 0;
        for topic in topics {
            new += u64::from(!is_there(topic)?);
        }
        if new == 0 || new <= room {
            return Ok(());
        }
        let what = format!("the store holds as many retained messages as it may: {limit}");
        Err(StoreError::not_applied(ErrorKind::Full, what).into())
    }
}

/// In whose name a batch is written. Only the author's right is checked; towards another session a batch can do one
/// thing: enqueue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Author {
    /// A session under its epoch: `Fenced` when the epoch is not the session's any more or the session ended.
    Session(SessionId, Epoch),
    /// A due item under its claim: `Conflict` when the item is gone, its version changed, or it is not due any more at
    /// the batch's `now`. The claim itself is the first effect of the batch, see [`crate::DueItem`].
    Claim(Due),
    /// The broker itself: publishers in the process or without a durable session, and administration.
    Broker,
}

impl Author {
    /// Whether this author may ask for this at all.
    fn may(&self, op: &Op) -> bool {
        match op {
            Op::Enqueue { .. } | Op::Retain(_) | Op::Unretain(_) => true,
            Op::Restore(_) => *self == Author::Broker,
            Op::EndSession(id) => *self == Author::Broker || self.session() == Some(*id),
            Op::Purge { .. } => {
                matches!(self, Author::Claim(due) if matches!(due.item, DueItem::SessionEnded(_)))
            }
            Op::SetExpiry(_)
            | Op::GoOffline
            | Op::Subscribe(_)
            | Op::Unsubscribe(_)
            | Op::Assign { .. }
            | Op::Release(_)
            | Op::Settle(_)
            | Op::PutInbound(_)
            | Op::DeleteInbound(_)
            | Op::TakeWill => self.session().is_some(),
        }
    }

    /// The session that operations on "the author's session" mean, if there is one: the author itself, or the session
    /// behind a claimed item.
    pub fn session(&self) -> Option<SessionId> {
        use crate::DueItem::*;
        match self {
            Author::Session(id, _) => Some(*id),
            Author::Claim(due) => match due.item {
                SessionExpired(id) | Will(id) | SessionEnded(id) | QueuedExpired(id, _) => Some(id),
                RetainedExpired(_) => None,
            },
            Author::Broker => None,
        }
    }
}

/// A precondition on one record; when it does not hold the batch fails with `Conflict`, naming the record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guard {
    /// The record.
    pub record: GuardedRecord,
    /// What it must be.
    pub expect: Expectation,
}

/// A record that a guard can look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GuardedRecord {
    /// A session that has not ended.
    Session(SessionId),
    /// The retained message of a topic.
    Retained(TopicName<'static>),
}

/// What a guard asks of its record.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Expectation {
    /// It is there.
    Exists,
    /// It is not there.
    Absent,
    /// The session is at this epoch (never holds for other records).
    AtEpoch(Epoch),
    /// The record is at this version (a session's version is its epoch).
    AtVersion(RecordVersion),
}

/// Names a batch so that submitting it twice applies it once. There is one writer per open connection, `n` counts up.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub struct IdempotencyKey {
    /// The writer: a number that no other writer of the store has.
    pub writer: u64,
    /// The batch's number among the writer's.
    pub n: u64,
    /// The writer knows the outcomes of all its batches below this number; the store forgets those.
    pub known_below: u64,
}
