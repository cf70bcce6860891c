//! A message that has arrived, and what acknowledges it.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::handle::queue::Shared;
use crate::{AckToken, Message};

/// A message from the server. It reads like its [`Message`].
#[derive(Debug)]
pub struct Received {
    /// The message.
    pub message: Message,
    /// Whether the server may have sent it before.
    pub dup: bool,
    pub(crate) owed: Owed,
    /// Where to acknowledge, when that is the application's.
    pub(crate) manual: Option<Arc<Shared>>,
}

/// The acknowledgement that the server waits for.
#[derive(Clone, Debug)]
pub(crate) enum Owed {
    Nothing,
    One(AckToken),
    /// A message that went to several subscriptions is acknowledged when all have done so.
    Several(Arc<Several>),
}

#[derive(Debug)]
pub(crate) struct Several {
    token: AckToken,
    left: AtomicUsize,
}

impl Owed {
    /// The same debt, to be paid by so many.
    pub(crate) fn shared_by(token: AckToken, count: usize) -> Self {
        if count == 1 {
            return Owed::One(token);
        }
        Owed::Several(Arc::new(Several { token, left: AtomicUsize::new(count) }))
    }

    pub(crate) fn pay(self, shared: &Shared) {
        match self {
            Owed::Nothing => {}
            Owed::One(token) => shared.acknowledge(token),
            Owed::Several(several) => {
                if several.left.fetch_sub(1, Ordering::AcqRel) == 1 {
                    shared.acknowledge(several.token);
                }
            }
        }
    }
}

impl Received {
    /// What it counts for where bytes are limited: itself, too, so that a limit in bytes is one in messages.
    pub(crate) fn cost(&self) -> usize {
        Received::cost_of(&self.message)
    }

    /// What that message counts for.
    pub(crate) fn cost_of(message: &Message) -> usize {
        message.bytes() + size_of::<Received>()
    }

    /// Tells the server that the application has done with the message: PUBACK or PUBREC leaves when those of earlier
    /// messages have. Only with [`Options::manual_acks`](crate::Options::manual_acks); else it was done when the
    /// message was taken from its stream, and this does nothing. A message that is dropped is not acknowledged, and the
    /// server sends it again to the session's next connection.
    pub fn ack(self) {
        if let Some(shared) = self.manual {
            self.owed.pay(&shared);
        }
    }

    /// The message alone.
    pub fn into_message(self) -> Message {
        self.message
    }
}

impl Deref for Received {
    type Target = Message;

    fn deref(&self) -> &Message {
        &self.message
    }
}
