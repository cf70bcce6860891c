//! What is stored of a QoS 2 message that came in: its packet id, until PUBREL.

use opifex_packet::PacketId;

use crate::SessionId;

/// A packet id of a QoS 2 message that came in and was routed; PUBREL is awaited.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub struct Inbound {
    /// The publisher's session.
    pub session: SessionId,
    /// The id that it chose.
    pub packet_id: PacketId,
}
