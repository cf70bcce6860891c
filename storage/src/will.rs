//! Wills of durable sessions.

use std::sync::Arc;

use crate::{Epoch, Message, SessionId, Timestamp};

/// The will that a connection brings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewWill {
    /// The message to publish. Its `expires_at` is not set: the interval counts from the publication.
    pub message: Arc<Message>,
    /// Whether it is to be retained.
    pub retain: bool,
    /// Seconds between the end of the connection and the publication (MQTT 5.0, 3.1.3.2.2).
    pub delay_secs: u32,
    /// The message expiry interval, counted from the publication.
    pub expiry_secs: Option<u32>,
}

/// A stored will: of one session, of the connection that opened it at `epoch`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WillRecord {
    /// The session.
    pub session: SessionId,
    /// The epoch of the open that brought it.
    pub epoch: Epoch,
    /// What to publish.
    pub will: NewWill,
    /// When it is to be published; `None` while its connection lives.
    pub due_at: Option<Timestamp>,
}
