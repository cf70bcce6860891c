//! The retained message of one topic: which value may be there, after what was acknowledged and what was not.

use crate::event::MessageId;

#[derive(Default)]
pub(super) struct RetainedTopic {
    /// The last value that is acknowledged, and the ones sent after it; `None` in a value: it was removed.
    values: Vec<(MessageId, Option<MessageId>)>,
    /// Whether the first of them is acknowledged; else the topic may have no message.
    certain: bool,
}

impl RetainedTopic {
    pub(super) fn made(&mut self, message: MessageId, clears: bool) {
        self.values.push((message, (!clears).then_some(message)));
    }

    pub(super) fn accepted(&mut self, message: MessageId) {
        if let Some(at) = self.values.iter().position(|(id, _)| *id == message) {
            self.values.drain(..at);
            self.certain = true;
        }
    }

    pub(super) fn check(&self, seen: Option<MessageId>) -> Result<(), String> {
        let possible =
            self.values.iter().any(|(_, value)| *value == seen) || (!self.certain && seen.is_none());
        if possible { Ok(()) } else { Err(format!("{seen:?} is none of {:?}", self.values)) }
    }
}
