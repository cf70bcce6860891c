//! The operations of a batch.

use std::sync::Arc;

use opifex_packet::{PacketId, TopicFilter, TopicName};

use crate::{Message, Restored, Seq, SessionExpiry, SessionId, SubscriptionRecord, Target};

/// One operation of a [`crate::Batch`]. Each answers with one [`crate::Outcome`]; what is normal is an outcome and
/// never fails the batch.
///
/// "The author's session" is [`crate::Author::session`]; an operation on it in a batch that has none fails the batch
/// as `Unsupported`. When that session has ended (by an earlier operation of the batch, by the claim, or as the claimed
/// item says) they answer `Absent`; only `Settle` still removes what it left in its queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// Changes how long the author's session outlives its connection; one that is offline has its deadline moved,
    /// counted from when it went. `Done`.
    SetExpiry(SessionExpiry),
    /// The connection of the author's session has closed at the batch's `now`: the clocks of expiry and will delay
    /// start. A will whose delay exceeds the session's expiry is due at the expiry. Clocks that run already run on. `Done`.
    GoOffline,
    /// Ends a session (the author's own, or any in a batch of the broker; else `Unsupported`): it is gone for everybody at once, its will
    /// is due now, its remains become a due item. `Done`, or `Absent`.
    EndSession(SessionId),
    /// Creates or replaces the subscription of the author's session with this filter. `Subscribed`.
    Subscribe(SubscriptionRecord),
    /// Removes the subscription. `Done`, or `Absent`.
    Unsubscribe(TopicFilter<'static>),
    /// Queues the message for each target. `Enqueued`, an outcome a target in order. The body is stored once and freed
    /// with its last reference.
    Enqueue {
        /// The message.
        message: Arc<Message>,
        /// For whom; a session appears at most once for its non-shared subscriptions, and once more for each share.
        targets: Vec<Target>,
    },
    /// Records the packet id under which an entry of the author's session is sent. `Done`; `Absent` if settled.
    Assign {
        /// The entry.
        seq: Seq,
        /// The id.
        packet_id: PacketId,
    },
    /// PUBREC was seen: the entry keeps its packet id, its message is let go. `Done`; `Absent` if settled, or if it has
    /// no packet id.
    Release(Seq),
    /// The entry's delivery has ended: it is removed. `Done`; `Absent` if it was already.
    Settle(Seq),
    /// Records the packet id of a QoS 2 message that came in. `Done`; `Present` if it was recorded.
    PutInbound(PacketId),
    /// Removes it. `Done`, or `Absent`.
    DeleteInbound(PacketId),
    /// Makes the message its topic's retained one. `Retained`.
    Retain(Arc<Message>),
    /// Removes the topic's retained message. `Done`, or `Absent`.
    Unretain(TopicName<'static>),
    /// Removes the will of the author's session. `Done`, or `Absent`.
    TakeWill,
    /// Removes so many of the remains of an ended session, or all if there are fewer (only in a batch under the claim of
    /// its [`crate::DueItem::SessionEnded`], else `Unsupported`): entries of its queue in order of their numbers, then
    /// the rest. `Purged`.
    Purge {
        /// This many records, at least 1.
        limit: usize,
    },
    /// Writes a record that another store held (only in a batch of the broker, else `Unsupported`): for moving everything
    /// from one store into an empty one. A session comes before what hangs on it, a queue in the order of its numbers.
    /// Numbers that the store gives out later are higher than all that were restored. `Done`; `Present` where there is such a record already (a subscription takes the options); `Absent` when the session is not there that it hangs on, or the
    /// entry whose message it shares.
    Restore(Box<Restored>),
}
