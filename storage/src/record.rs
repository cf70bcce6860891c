//! Everything that a store holds, as one stream of records: recovery, export, migration.

use crate::{Inbound, Queued, Retained, SessionId, SessionRecord, SubscriptionRecord, WillRecord};

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
}
