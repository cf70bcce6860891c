//! PUBREC: the receiver has a QoS 2 message, or will never take it.

use crate::ack::ack_packet;
use crate::decode::Role;
use crate::reason_code::ReasonCode;

ack_packet! {
    /// A PUBREC packet.
    Pubrec, first_byte: 0x50, statement: "MQTT-3.5.2-1", allows: allows
}

/// [MQTT-3.5.2-1]: the table is the one of PUBACK.
fn allows(reason: ReasonCode, reader: Role) -> bool {
    crate::puback::allows(reason, reader)
}
