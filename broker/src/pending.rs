//! A message that waits for one session, or is kept for another member of its shared subscription.

use std::sync::Arc;

use opifex_packet::{PacketId, QoS};
use opifex_storage::{Message, Queued, QueuedState, Seq};

/// A message of QoS 1 or 2 on its way to one session.
#[derive(Clone, Debug)]
pub(crate) struct Pending {
    /// `None`: its PUBREC was seen, PUBREL is to be sent.
    pub(crate) message: Option<Arc<Message>>,
    pub(crate) qos: QoS,
    pub(crate) retain: bool,
    pub(crate) ids: SubscriptionIds,
    /// The shared subscription that it belongs to.
    pub(crate) share: Option<Arc<str>>,
    /// Its queue entry, for a durable session; `Seq::ZERO` else.
    pub(crate) seq: Seq,
    /// The id that it had in an earlier connection.
    pub(crate) packet_id: Option<PacketId>,
    /// It may have been sent before.
    pub(crate) dup: bool,
}

/// A message of a shared subscription, for another member if the one that has it goes.
#[derive(Clone, Debug)]
pub(crate) struct Orphan {
    pub(crate) message: Arc<Message>,
    pub(crate) share: Arc<str>,
}

/// Subscription identifiers of one delivery; mostly none.
pub(crate) type SubscriptionIds = Option<Box<[u32]>>;

impl Pending {
    pub(crate) fn size_bytes(&self) -> usize {
        self.message.as_ref().map_or(0, |message| message.size_bytes())
    }

    /// What another member of the shared subscription would get of it.
    pub(crate) fn orphan(&self) -> Option<Orphan> {
        Some(Orphan { message: self.message.clone()?, share: self.share.clone()? })
    }

    /// A queue entry as it is to be sent, when `sent_as` is the id under which it was sent before.
    pub(crate) fn from_queued(queued: Queued, sent_as: Option<PacketId>, dup: bool) -> Pending {
        let packet_id = match queued.state {
            QueuedState::Waiting => sent_as,
            QueuedState::Assigned(id) | QueuedState::Released(id) => Some(id),
        };
        Pending {
            message: queued.message,
            qos: queued.qos,
            retain: queued.retain,
            ids: (!queued.subscription_ids.is_empty()).then(|| queued.subscription_ids.into_boxed_slice()),
            share: queued.share,
            seq: queued.seq,
            packet_id,
            dup: dup || packet_id.is_some(),
        }
    }
}
