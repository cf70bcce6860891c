//! Packet ids of QoS 2 messages that came in, of one session.

use std::collections::BTreeSet;

use opifex_packet::PacketId;

/// The inbound ids of a session, ascending.
#[derive(Default)]
pub(crate) struct InboundIds(BTreeSet<PacketId>);

impl InboundIds {
    /// Answers whether it was not there.
    pub(crate) fn insert(&mut self, id: PacketId) -> bool {
        self.0.insert(id)
    }

    /// Answers whether it was there.
    pub(crate) fn remove(&mut self, id: PacketId) -> bool {
        self.0.remove(&id)
    }

    /// Answers whether there was one.
    pub(crate) fn pop_first(&mut self) -> bool {
        self.0.pop_first().is_some()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = PacketId> + '_ {
        self.0.iter().copied()
    }

    pub(crate) fn after(&self, id: Option<PacketId>) -> impl Iterator<Item = PacketId> + '_ {
        use std::ops::Bound::{Excluded, Unbounded};
        self.0.range((id.map_or(Unbounded, Excluded), Unbounded)).copied()
    }
}
