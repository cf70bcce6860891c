//! What has become due: the broker asks, claims an item, and does what it asks for in one batch.

use crate::{RecordVersion, Seq, SessionId, Timestamp, WillRecord};
use opifex_packet::TopicName;

/// Something that became due at `at`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due {
    /// What it is.
    pub item: DueItem,
    /// When it became due.
    pub at: Timestamp,
    /// The version of the record behind it: a claim carries it and is refused when it changed.
    pub version: RecordVersion,
    /// The will, when the item is one: what its publication needs.
    pub will: Option<WillRecord>,
}

/// What can become due.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DueItem {
    /// The session's expiry has passed. A claim ends it; a session that was opened before the claim goes on.
    SessionExpired(SessionId),
    /// The will of this session (also of one that ended) is to be published. A claim removes it. A session that was
    /// taken over may have one due of an earlier connection; the version tells them apart.
    Will(SessionId),
    /// The session ended; its remains are to be handed on (an enqueue to another session and a settle of this one's
    /// entry, in one batch) or removed by [`crate::Op::Purge`]. A claim alone changes nothing: the item keeps its
    /// version and goes with the last of the remains. A session that leaves nothing leaves no item.
    SessionEnded(SessionId),
    /// The queue entry expired. A claim settles it; entries with a packet id never expire.
    QueuedExpired(SessionId, Seq),
    /// The retained message of this topic expired. A claim removes it.
    RetainedExpired(TopicName<'static>),
}
