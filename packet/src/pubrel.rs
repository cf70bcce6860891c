//! PUBREL: the sender of a QoS 2 message knows that it arrived.

use crate::ack::ack_packet;
use crate::decode::Role;
use crate::reason_code::ReasonCode;

ack_packet! {
    /// A PUBREL packet.
    Pubrel, first_byte: 0x62, statement: "MQTT-3.6.2-1", allows: allows
}

/// [MQTT-3.6.2-1]
pub(crate) fn allows(reason: ReasonCode, _reader: Role) -> bool {
    matches!(reason, ReasonCode::Success | ReasonCode::PacketIdentifierNotFound)
}
