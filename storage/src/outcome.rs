//! What became of each operation of a batch.

use crate::{RecordVersion, Seq};

/// What became of an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was done.
    Done,
    /// What it was to change or remove is not there.
    Absent,
    /// What it was to create is there already.
    Present,
    /// The subscription stands.
    Subscribed {
        /// Whether one with this filter stood before: retain handling 1 asks.
        existed: bool,
    },
    /// What became of each target.
    Enqueued(Vec<TargetOutcome>),
    /// The message is its topic's retained one.
    Retained(RecordVersion),
    /// Records were removed.
    Purged {
        /// Whether some are left.
        more: bool,
    },
}

/// What became of one target of an enqueue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TargetOutcome {
    /// Queued with this number.
    Queued {
        /// Its number.
        seq: Seq,
        /// Entries that gave way to it (policy `DropOldest`), ascending.
        displaced: Vec<Seq>,
    },
    /// Not queued.
    Dropped(DropReason),
    /// The session has ended.
    Gone,
}

/// Why a target was not queued. Of a queue that is full in both ways: its entries.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub enum DropReason {
    /// The queue holds as many entries as it may.
    QueueItems,
    /// The queue holds as many bytes as it may.
    QueueBytes,
}
