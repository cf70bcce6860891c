//! What a backend declares about itself. Claimed means tested by the kit.

use crate::{Durability, ErrorKind, StoreError};

/// What a backend declares about itself; constant while it is open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// The backend's short name, as in configuration: `memory`, `sqlite`.
    pub name: &'static str,
    /// The highest level that a batch may ask for; a higher one is refused as `Unsupported`.
    pub max_durability: Durability,
    /// At most this many operations a batch (each target of an enqueue counts as one more).
    pub max_batch_ops: usize,
    /// At most this many bytes of messages a batch.
    pub max_batch_bytes: usize,
    /// The largest message (topic, properties and payload together), in bytes.
    pub max_message_bytes: usize,
    /// The most retained messages; `None`: as many as there is room for. A batch that would bring more is refused as
    /// `Full`; one that replaces or removes is not.
    pub max_retained_messages: Option<usize>,
    /// Whether an operation can end with certainty `Unknown` and the store go on, so that only a key makes it harmless to
    /// submit a batch again. A backend that says no stores no idempotency keys: where it cannot know at once (its engine
    /// failed), it refuses everything until it knows or is opened again, and what it shows then is what became of it.
    pub unknown_outcomes: bool,
    /// Whether one process alone may have the store open.
    pub exclusive: bool,
}

impl Capabilities {
    pub(crate) fn does_not_offer(&self, asked: Durability) -> StoreError {
        let what = format!("the {} store offers durability {}, not {asked}", self.name, self.max_durability);
        StoreError::not_applied(ErrorKind::Unsupported, what)
    }
}
