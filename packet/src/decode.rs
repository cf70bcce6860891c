//! From bytes to packets: one packet from the front of the input, or how much of it is missing.
//!
//! The reader's state (is this the first packet? was that alias announced?) is not known here: a
//! second CONNECT, a packet before CONNECT or an alias beyond the maximum decodes well.

use crate::ack::Ack;
use crate::auth::Auth;
use crate::connack::Connack;
use crate::connect::Connect;
use crate::decode_error::DecodeError;
use crate::disconnect::Disconnect;
use crate::frame::Frame;
use crate::packet::Packet;
use crate::packet_type::PacketType;
use crate::publish::Publish;
use crate::reader::Reader;
use crate::suback::Suback;
use crate::subscribe::Subscribe;
use crate::unsuback::Unsuback;
use crate::unsubscribe::Unsubscribe;
use crate::varint::MAX_REMAINING_LENGTH;
use crate::version::Version;

/// Which side is reading.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// A server, reading what a client sent.
    Server,
    /// A client, reading what a server sent.
    Client,
}

/// What the reader knows of the connection.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct DecodeOptions {
    /// The version that CONNECT agreed on. In front of CONNECT any will do: CONNECT carries its own.
    pub version: Version,
    /// The longest packet in bytes, fixed header included, that is accepted.
    pub max_packet_size: usize,
    /// Which side is reading.
    pub role: Role,
}

impl DecodeOptions {
    /// Options without a limit but MQTT's own.
    pub const fn new(version: Version, role: Role) -> Self {
        DecodeOptions { version, max_packet_size: MAX_REMAINING_LENGTH as usize + 5, role }
    }
}

/// What stands at the front of the input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decoded<'a> {
    /// A whole packet, in the first `len` bytes.
    Packet {
        /// The packet.
        packet: Packet<'a>,
        /// Its bytes.
        len: usize,
    },
    /// The front of a packet. At least `needed` bytes from its start are necessary to go on, which
    /// is more than there are.
    Incomplete {
        /// The bytes.
        needed: usize,
    },
}

/// Decodes the packet at the front of `input`, borrowing from it. PUBLISH allocates nothing.
///
/// A wrong first byte and a packet that is too large are refused before their body has arrived.
///
/// # Errors
/// The statement of the standard that the bytes break.
#[inline]
pub fn decode<'a>(input: &'a [u8], options: &DecodeOptions) -> Result<Decoded<'a>, DecodeError> {
    let Some(&first_byte) = input.first() else { return Ok(Decoded::Incomplete { needed: 2 }) };
    let packet_type = PacketType::check(first_byte, options.role, options.version)?;
    // [MQTT-3.3.1-2] [MQTT-3.3.1-4]
    if packet_type == PacketType::Publish {
        Publish::check_flags(first_byte, options.version)?;
    }

    let Some(frame) = Frame::read(input, options.version)? else {
        return Ok(Decoded::Incomplete { needed: input.len() + 1 });
    };
    // [MQTT-1.5.5-1]; 3.x has no such rule, and of a CONNECT the version is not known yet.
    if !frame.is_shortest() && packet_type != PacketType::Connect && options.version.is_v5() {
        return Err(remaining_length_is_too_long());
    }
    let len = frame.packet_len();
    if len > options.max_packet_size {
        return Err(too_large(options));
    }
    let Some(body) = input.get(frame.header_len..len) else { return Ok(Decoded::Incomplete { needed: len }) };

    let reader = Reader::new(body, options.version);
    let packet = match packet_type {
        PacketType::Connect => {
            let connect = Connect::decode(reader)?;
            if !frame.is_shortest() && connect.version.is_v5() {
                return Err(remaining_length_is_too_long());
            }
            Packet::from(connect)
        }
        PacketType::Connack => Packet::Connack(Connack::decode(reader)?),
        PacketType::Publish => Packet::Publish(Publish::decode(first_byte, reader, options.role)?),
        PacketType::Puback => Packet::Puback(Ack::decode(reader, options.role)?),
        PacketType::Pubrec => Packet::Pubrec(Ack::decode(reader, options.role)?),
        PacketType::Pubrel => Packet::Pubrel(Ack::decode(reader, options.role)?),
        PacketType::Pubcomp => Packet::Pubcomp(Ack::decode(reader, options.role)?),
        PacketType::Subscribe => Packet::Subscribe(Subscribe::decode(reader)?),
        PacketType::Suback => Packet::Suback(Suback::decode(reader)?),
        PacketType::Unsubscribe => Packet::Unsubscribe(Unsubscribe::decode(reader)?),
        PacketType::Unsuback => Packet::Unsuback(Unsuback::decode(reader)?),
        PacketType::Pingreq => {
            reader.finish()?;
            Packet::Pingreq
        }
        PacketType::Pingresp => {
            reader.finish()?;
            Packet::Pingresp
        }
        PacketType::Disconnect => Packet::Disconnect(Disconnect::decode(reader, options.role)?),
        PacketType::Auth => Packet::Auth(Auth::decode(reader, options.role)?),
    };
    Ok(Decoded::Packet { packet, len })
}

#[cold]
fn remaining_length_is_too_long() -> DecodeError {
    DecodeError::malformed("MQTT-1.5.5-1", "remaining length is longer than need be")
}

#[cold]
fn too_large(options: &DecodeOptions) -> DecodeError {
    // [MQTT-3.2.2-15] [MQTT-3.1.2-24]; before 5.0 the limit is the reader's alone.
    DecodeError::too_large(match (options.version, options.role) {
        (Version::V5_0, Role::Server) => "MQTT-3.2.2-15",
        (Version::V5_0, Role::Client) => "MQTT-3.1.2-24",
        _ => "MQTT311 2.2.3",
    })
}
