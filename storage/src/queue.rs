//! A session's queue of outgoing messages: who is a target, what an entry holds, how it is read.

use std::sync::Arc;

use opifex_packet::{PacketId, QoS};

use crate::{Message, Seq, SessionId, StoreError};

/// One session that a message is queued for. All overlapping non-shared subscriptions of a session make one target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The session.
    pub session: SessionId,
    /// The effective QoS, at least 1.
    pub qos: QoS,
    /// The RETAIN flag to send.
    pub retain: bool,
    /// Subscription identifiers to send, in order.
    pub subscription_ids: Vec<u32>,
    /// The shared subscription (`$share/group/filter`) that the entry belongs to.
    pub share: Option<Arc<str>>,
    /// Limits of this session's queue.
    pub limits: QueueLimits,
}

/// Limits of a session's queue, checked by the store inside the batch.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct QueueLimits {
    /// At most this many entries.
    pub items: u64,
    /// At most this many bytes of messages.
    pub bytes: u64,
    /// What gives way when one of the two is reached.
    pub policy: FullPolicy,
}

impl QueueLimits {
    /// No limit but the store's own.
    pub const UNLIMITED: QueueLimits =
        QueueLimits { items: u64::MAX, bytes: u64::MAX, policy: FullPolicy::DropNewest };
}

/// What gives way when a queue is full.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum FullPolicy {
    /// The message that comes.
    DropNewest,
    /// The oldest entries that have no packet id recorded, as many as are needed; the message that comes if there are
    /// not enough. (A QoS 1 entry may be on its way all the same: settling it later finds it absent.)
    DropOldest,
}

/// An entry of a queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Queued {
    /// Its place.
    pub seq: Seq,
    /// The message; `None` once it was released, when only its packet id counts.
    pub message: Option<Arc<Message>>,
    /// The effective QoS.
    pub qos: QoS,
    /// The RETAIN flag to send.
    pub retain: bool,
    /// Subscription identifiers to send.
    pub subscription_ids: Vec<u32>,
    /// The shared subscription that the entry belongs to.
    pub share: Option<Arc<str>>,
    /// How far its delivery has come.
    pub state: QueuedState,
}

/// How far the delivery of a queue entry has come.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum QueuedState {
    /// No packet id is recorded. (QoS 1 entries may have been sent all the same: their ids are not stored.)
    Waiting,
    /// Its packet id is recorded; it may have been sent.
    Assigned(PacketId),
    /// PUBREC was seen: PUBREL is to be sent, the message never again ([MQTT-4.3.3-6] of 5.0).
    Released(PacketId),
}

/// A page of a queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueuePage {
    /// Entries in order of their numbers.
    pub items: Vec<Queued>,
    /// Every entry up to this number is in this page or an earlier one, or is settled: a number missing below it was
    /// settled or displaced, one above it may still appear. At least the `after` of the read.
    pub final_up_to: Seq,
    /// Whether entries after `final_up_to` exist now.
    pub more: bool,
    /// Entries up to `final_up_to` that are there and could not be read: an error of kind `Corrupt` for each, which
    /// names it in a line. A page goes past them and may hold nothing else.
    pub damaged: Vec<StoreError>,
}
