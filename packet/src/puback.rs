//! PUBACK: the receiver has a QoS 1 message, or will never take it.

use crate::ack::ack_packet;
use crate::decode::Role;
use crate::reason_code::ReasonCode;

ack_packet! {
    /// A PUBACK packet.
    Puback, first_byte: 0x40, statement: "MQTT-3.4.2-1", allows: allows
}

/// [MQTT-3.4.2-1]
pub(crate) fn allows(reason: ReasonCode, reader: Role) -> bool {
    match reason {
        // Table 3-4: this one is sent by servers only.
        ReasonCode::NoMatchingSubscribers => reader == Role::Client,
        ReasonCode::Success
        | ReasonCode::UnspecifiedError
        | ReasonCode::ImplementationSpecificError
        | ReasonCode::NotAuthorized
        | ReasonCode::TopicNameInvalid
        | ReasonCode::PacketIdentifierInUse
        | ReasonCode::QuotaExceeded
        | ReasonCode::PayloadFormatInvalid => true,
        _ => false,
    }
}
