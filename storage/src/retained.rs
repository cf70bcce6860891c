//! A retained message.

use std::sync::Arc;

use crate::{Message, RecordVersion};

/// A retained message: the last one of its topic that was published with RETAIN.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retained {
    /// The message.
    pub message: Arc<Message>,
    /// Its version, for [`crate::Guard`]s.
    pub version: RecordVersion,
}
