//! What the writer is asked to do, and how much of the queue, and of the disk, that takes.

use std::sync::Arc;

use opifex_storage::{Batch, Durability, Op, OpenSession, OpenedSession, Outcome, Result, StoreError};

use crate::answer::Asker;
use crate::sync::Commitment;

/// A will with a message of so many bytes is written on a full disk, too: who comes to take messages away may have one.
const SMALL_WILL: usize = 1024;

/// A batch that has its place in the order.
pub(crate) struct Ordered {
    pub(crate) outcomes: Vec<Outcome>,
    pub(crate) commitment: Arc<Commitment>,
}

/// What the writer is asked to do.
pub(crate) enum Command {
    Submit(Batch, Asker<Result<Ordered>>),
    Open(OpenSession, Asker<Result<OpenedSession>>),
}

impl Command {
    pub(crate) fn durability(&self) -> Durability {
        match self {
            Command::Submit(batch, _) => batch.durability,
            Command::Open(open, _) => open.durability,
        }
    }

    /// What it weighs in the queue: the bytes of its messages, and something for each operation.
    pub(crate) fn weight(&self) -> usize {
        let message = |op: &Op| match op {
            Op::Enqueue { message, targets } => message.size_bytes() + 64 * targets.len(),
            Op::Retain(message) => message.size_bytes(),
            _ => 0,
        };
        64 + match self {
            Command::Submit(batch, _) => batch.ops.iter().map(|op| 64 + message(op)).sum(),
            Command::Open(open, _) => open.will.as_ref().map_or(0, |will| will.message.size_bytes()),
        }
    }

    /// Whether it needs room that it does not give back: what a full disk takes no more. A session can be opened: its
    /// client comes to take messages away.
    pub(crate) fn grows(&self) -> bool {
        match self {
            Command::Open(open, _) => {
                open.will.as_ref().is_some_and(|will| will.message.size_bytes() > SMALL_WILL)
            }
            Command::Submit(batch, _) => batch.ops.iter().any(|op| match op {
                Op::Enqueue { targets, .. } => !targets.is_empty(),
                Op::Retain(_) | Op::Subscribe(_) | Op::PutInbound(_) | Op::Restore(_) => true,
                Op::SetExpiry(_)
                | Op::GoOffline
                | Op::EndSession(_)
                | Op::Unsubscribe(_)
                | Op::Assign { .. }
                | Op::Release(_)
                | Op::Settle(_)
                | Op::DeleteInbound(_)
                | Op::Unretain(_)
                | Op::TakeWill
                | Op::Purge { .. } => false,
            }),
        }
    }

    pub(crate) fn refuse(self, error: StoreError) {
        match self {
            Command::Submit(_, asker) => asker.give(Err(error)),
            Command::Open(_, asker) => asker.give(Err(error)),
        }
    }
}

/// What a transaction has applied: it can be made again from it.
pub(crate) enum Applied {
    Batch(Batch),
    Open(OpenSession),
}
