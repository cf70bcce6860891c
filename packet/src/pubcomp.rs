//! PUBCOMP: the end of a QoS 2 delivery.

use crate::ack::ack_packet;
use crate::decode::Role;
use crate::reason_code::ReasonCode;

ack_packet! {
    /// A PUBCOMP packet.
    Pubcomp, first_byte: 0x70, statement: "MQTT-3.7.2-1", allows: allows
}

/// [MQTT-3.7.2-1]: the table is the one of PUBREL.
fn allows(reason: ReasonCode, reader: Role) -> bool {
    crate::pubrel::allows(reason, reader)
}
