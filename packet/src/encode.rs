//! From packets to bytes: the length first, then exactly as many bytes.

use crate::packet::Packet;
use crate::version::Version;
use crate::writer;

/// What every packet knows of its own bytes.
pub(crate) trait Encode {
    /// Type and flags.
    fn first_byte(&self) -> u8;

    /// The bytes behind the fixed header.
    fn remaining_len(&self, version: Version) -> usize;

    /// Appends exactly `remaining_len` bytes.
    fn encode_body(&self, version: Version, out: &mut Vec<u8>);
}

#[inline]
pub(crate) fn encoded_len(packet: &impl Encode, version: Version) -> usize {
    writer::packet_len(packet.remaining_len(version))
}

#[inline]
pub(crate) fn encode(packet: &impl Encode, version: Version, out: &mut Vec<u8>) {
    let remaining_len = packet.remaining_len(version);
    out.reserve(writer::packet_len(remaining_len));
    writer::fixed_header(out, packet.first_byte(), remaining_len);
    let body = out.len();
    packet.encode_body(version, out);
    debug_assert_eq!(out.len() - body, remaining_len);
}

impl Packet<'_> {
    /// The bytes of the whole packet in that version. A CONNECT has the version that it names.
    ///
    /// # Panics
    /// When there are more than MQTT can count, which is 268,435,455 behind the fixed header.
    pub fn encoded_len(&self, version: Version) -> usize {
        match self {
            Packet::Connect(packet) => encoded_len(&**packet, version),
            Packet::Connack(packet) => encoded_len(packet, version),
            Packet::Publish(packet) => encoded_len(packet, version),
            Packet::Puback(packet) => encoded_len(packet, version),
            Packet::Pubrec(packet) => encoded_len(packet, version),
            Packet::Pubrel(packet) => encoded_len(packet, version),
            Packet::Pubcomp(packet) => encoded_len(packet, version),
            Packet::Subscribe(packet) => encoded_len(packet, version),
            Packet::Suback(packet) => encoded_len(packet, version),
            Packet::Unsubscribe(packet) => encoded_len(packet, version),
            Packet::Unsuback(packet) => encoded_len(packet, version),
            Packet::Pingreq => encoded_len(&crate::pingreq::Pingreq, version),
            Packet::Pingresp => encoded_len(&crate::pingresp::Pingresp, version),
            Packet::Disconnect(packet) => encoded_len(packet, version),
            Packet::Auth(packet) => encoded_len(packet, version),
        }
    }

    /// Appends the packet, exactly [`encoded_len`](Packet::encoded_len) bytes. What the version does
    /// not have (properties, most reason codes) is left out; a text or binary field longer than
    /// [`MAX_FIELD_LEN`](crate::MAX_FIELD_LEN) is cut.
    ///
    /// # Panics
    /// As [`encoded_len`](Packet::encoded_len).
    pub fn encode(&self, version: Version, out: &mut Vec<u8>) {
        match self {
            Packet::Connect(packet) => encode(&**packet, version, out),
            Packet::Connack(packet) => encode(packet, version, out),
            Packet::Publish(packet) => encode(packet, version, out),
            Packet::Puback(packet) => encode(packet, version, out),
            Packet::Pubrec(packet) => encode(packet, version, out),
            Packet::Pubrel(packet) => encode(packet, version, out),
            Packet::Pubcomp(packet) => encode(packet, version, out),
            Packet::Subscribe(packet) => encode(packet, version, out),
            Packet::Suback(packet) => encode(packet, version, out),
            Packet::Unsubscribe(packet) => encode(packet, version, out),
            Packet::Unsuback(packet) => encode(packet, version, out),
            Packet::Pingreq => encode(&crate::pingreq::Pingreq, version, out),
            Packet::Pingresp => encode(&crate::pingresp::Pingresp, version, out),
            Packet::Disconnect(packet) => encode(packet, version, out),
            Packet::Auth(packet) => encode(packet, version, out),
        }
    }
}
