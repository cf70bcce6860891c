//! Everything that a store holds, as one stream of records: recovery, export, migration.

use std::sync::Arc;

use crate::{
    Inbound, Message, Queued, Retained, Seq, SessionId, SessionRecord, SubscriptionRecord, Timestamp,
    WillRecord,
};

/// The kinds of record that [`crate::Persistence::scan`] walks.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub enum RecordKind {
    /// Sessions that have not ended.
    Session,
    /// Their subscriptions.
    Subscription,
    /// Their queue entries.
    Queued,
    /// Their inbound ids.
    Inbound,
    /// Retained messages.
    Retained,
    /// Wills, also of sessions that ended.
    Will,
    /// Sessions that ended and left something. What is in their queues, [`crate::Persistence::queue`] answers.
    Ended,
}

impl RecordKind {
    /// All of them, sessions before what hangs on them: in this order a store takes what another one had.
    pub const ALL: [RecordKind; 7] = [
        RecordKind::Session,
        RecordKind::Ended,
        RecordKind::Subscription,
        RecordKind::Queued,
        RecordKind::Inbound,
        RecordKind::Will,
        RecordKind::Retained,
    ];
}

/// A record of a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// A session.
    Session(SessionRecord),
    /// A subscription of the session.
    Subscription(SessionId, SubscriptionRecord),
    /// A queue entry of the session.
    Queued(SessionId, Queued),
    /// An inbound id.
    Inbound(Inbound),
    /// A retained message.
    Retained(Retained),
    /// A will.
    Will(WillRecord),
    /// What an ended session left, and when it ended.
    Ended(SessionRecord, Timestamp),
}

impl Record {
    /// The message that it holds.
    pub fn message(&self) -> Option<&Arc<Message>> {
        match self {
            Record::Queued(_, entry) => entry.message.as_ref(),
            Record::Retained(retained) => Some(&retained.message),
            Record::Will(will) => Some(&will.will.message),
            Record::Session(_) | Record::Subscription(..) | Record::Inbound(_) | Record::Ended(..) => None,
        }
    }
}

/// A record that another store held, to be written as it was: its numbers, its versions, its times.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    /// The record. A session comes without what hangs on it: what its queue holds is counted as that is restored.
    pub record: Record,
    /// For a queue entry whose message another entry has as well: one that was restored before, and holds it. The record
    /// comes without the message then.
    pub same_message_as: Option<(SessionId, Seq)>,
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn all_kinds_are_listed_once() {
        let listed: HashSet<_> = RecordKind::ALL.into_iter().collect();
        assert_eq!(listed.len(), RecordKind::ALL.len());
        // Whole, so that a kind that is new here is not forgotten there.
        let position = |kind| match kind {
            RecordKind::Session => 0,
            RecordKind::Ended => 1,
            RecordKind::Subscription => 2,
            RecordKind::Queued => 3,
            RecordKind::Inbound => 4,
            RecordKind::Will => 5,
            RecordKind::Retained => 6,
        };
        assert_eq!(RecordKind::ALL.map(position), [0, 1, 2, 3, 4, 5, 6]);
    }
}
