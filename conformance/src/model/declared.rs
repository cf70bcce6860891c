//! What a store may refuse because it has declared a limit. Levels of durability are not here.

use std::collections::BTreeSet;

use opifex_storage::{Batch, Capabilities, ErrorKind, Message, Op, OpenSession};

use super::Model;

/// What a store declares, as far as it makes a difference to a history. By default: no limits, no keys.
#[derive(Clone, Debug, Default)]
pub(crate) struct Declared {
    batch_ops: Option<usize>,
    batch_bytes: Option<usize>,
    message_bytes: Option<usize>,
    retained: Option<usize>,
    /// Whether a batch that comes again under its key is answered as it was.
    pub(crate) keeps_keys: bool,
}

impl Declared {
    pub(crate) fn by(capabilities: &Capabilities) -> Declared {
        Declared {
            batch_ops: Some(capabilities.max_batch_ops),
            batch_bytes: Some(capabilities.max_batch_bytes),
            message_bytes: Some(capabilities.max_message_bytes),
            retained: capabilities.max_retained_messages,
            keeps_keys: capabilities.unknown_outcomes,
        }
    }

    fn is_too_large(&self, message: &Message) -> bool {
        exceeds(message.size_bytes(), self.message_bytes)
    }
}

fn exceeds(size: usize, limit: Option<usize>) -> bool {
    limit.is_some_and(|limit| size > limit)
}

impl Model {
    /// Why an open may be refused.
    pub(crate) fn open_refusal(&self, open: &OpenSession) -> Option<ErrorKind> {
        let will = open.will.as_ref()?;
        self.declared.is_too_large(&will.message).then_some(ErrorKind::TooLarge)
    }

    /// Why a batch may be refused that does nothing which it may not.
    pub(super) fn over_limits(&self, batch: &Batch) -> Vec<ErrorKind> {
        let (mut ops, mut bytes, mut reasons) = (batch.ops.len(), 0, Vec::new());
        let mut new = BTreeSet::new();
        for op in &batch.ops {
            let message = match op {
                Op::Enqueue { message, targets } => {
                    ops += targets.len();
                    message
                }
                Op::Retain(message) => {
                    // What the batch itself removes makes no room for what it brings.
                    if !self.retained.contains_key(message.topic.as_str()) {
                        new.insert(message.topic.as_str());
                    }
                    message
                }
                _ => continue,
            };
            bytes += message.size_bytes();
            if self.declared.is_too_large(message) {
                reasons.push(ErrorKind::TooLarge);
            }
        }
        if exceeds(ops, self.declared.batch_ops) || exceeds(bytes, self.declared.batch_bytes) {
            reasons.push(ErrorKind::TooLarge);
        }
        if !new.is_empty() && exceeds(self.retained.len() + new.len(), self.declared.retained) {
            reasons.push(ErrorKind::Full);
        }
        reasons
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use opifex_storage::{Author, Durability, RecordVersion};

    use super::*;
    use crate::script::{START, message, target, topic};

    fn refused(declared: Declared, ops: impl IntoIterator<Item = Op>) -> Vec<ErrorKind> {
        let mut model = Model { declared, ..Model::default() };
        for (version, name) in ["a", "b"].into_iter().enumerate() {
            let message = Arc::new(message(name, ""));
            let version = RecordVersion(version as u64);
            model.retained.insert(name.to_owned(), opifex_storage::Retained { message, version });
        }
        let batch = Batch::new(Author::Broker, Durability::Memory, START);
        model.over_limits(&ops.into_iter().fold(batch, Batch::with))
    }

    fn retain(name: &str, payload: &str) -> Op {
        Op::Retain(Arc::new(message(name, payload)))
    }

    #[test]
    fn what_is_new_beyond_the_most_retained_messages_is_refused_and_nothing_else() {
        let few = || Declared { retained: Some(3), ..Declared::default() };
        assert_eq!(refused(few(), [retain("c", ""), retain("c", "again"), retain("a", "")]), []);
        assert_eq!(refused(few(), [retain("c", ""), retain("d", "")]), [ErrorKind::Full]);
        assert_eq!(
            refused(few(), [Op::Unretain(topic("a")), retain("c", ""), retain("d", "")]),
            [ErrorKind::Full]
        );
        let fewer = Declared { retained: Some(1), ..Declared::default() };
        assert_eq!(refused(fewer, [retain("a", "")]), []);
    }

    #[test]
    fn targets_are_operations_and_a_message_counts_once_for_each() {
        let some = || Declared {
            batch_ops: Some(4),
            batch_bytes: Some(20),
            message_bytes: Some(11),
            ..Declared::default()
        };
        let enqueue = |targets, payload| {
            let targets = (0..targets).map(|n| target(opifex_storage::SessionId(n))).collect();
            Op::Enqueue { message: Arc::new(message("t", payload)), targets }
        };
        assert_eq!(refused(some(), [enqueue(3, "0123456789")]), []);
        assert_eq!(refused(some(), [enqueue(4, "")]), [ErrorKind::TooLarge]);
        assert_eq!(refused(some(), [enqueue(0, "0123456789"), retain("a", "12345678")]), []);
        assert_eq!(
            refused(some(), [enqueue(0, "0123456789"), retain("a", "123456789")]),
            [ErrorKind::TooLarge]
        );
        assert_eq!(refused(some(), [retain("a", "0123456789a")]), [ErrorKind::TooLarge]);
    }
}
