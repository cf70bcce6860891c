//! The fifteen packet types, and what the first byte of a packet may be. 0 is reserved, and so was
//! 15 before 5.0.

use std::fmt;

use crate::decode::Role;
use crate::decode_error::DecodeError;
use crate::version::Version;

/// The type of a packet: the upper four bits of its first byte.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
#[allow(missing_docs, reason = "the names of the packets say it all")]
pub enum PacketType {
    Connect = 1,
    Connack = 2,
    Publish = 3,
    Puback = 4,
    Pubrec = 5,
    Pubrel = 6,
    Pubcomp = 7,
    Subscribe = 8,
    Suback = 9,
    Unsubscribe = 10,
    Unsuback = 11,
    Pingreq = 12,
    Pingresp = 13,
    Disconnect = 14,
    Auth = 15,
}

impl PacketType {
    /// All types, in the order of their numbers.
    pub const ALL: [PacketType; 15] = [
        PacketType::Connect,
        PacketType::Connack,
        PacketType::Publish,
        PacketType::Puback,
        PacketType::Pubrec,
        PacketType::Pubrel,
        PacketType::Pubcomp,
        PacketType::Subscribe,
        PacketType::Suback,
        PacketType::Unsubscribe,
        PacketType::Unsuback,
        PacketType::Pingreq,
        PacketType::Pingresp,
        PacketType::Disconnect,
        PacketType::Auth,
    ];

    /// The type that a first byte names, `None` for the reserved type 0.
    #[inline]
    pub const fn of(first_byte: u8) -> Option<PacketType> {
        Some(match first_byte >> 4 {
            1 => PacketType::Connect,
            2 => PacketType::Connack,
            3 => PacketType::Publish,
            4 => PacketType::Puback,
            5 => PacketType::Pubrec,
            6 => PacketType::Pubrel,
            7 => PacketType::Pubcomp,
            8 => PacketType::Subscribe,
            9 => PacketType::Suback,
            10 => PacketType::Unsubscribe,
            11 => PacketType::Unsuback,
            12 => PacketType::Pingreq,
            13 => PacketType::Pingresp,
            14 => PacketType::Disconnect,
            15 => PacketType::Auth,
            _ => return None,
        })
    }

    /// Whether packets of this type reach a reader of that role in that version.
    pub const fn reaches(self, reader: Role, version: Version) -> bool {
        match self {
            PacketType::Connect | PacketType::Subscribe | PacketType::Unsubscribe | PacketType::Pingreq => {
                matches!(reader, Role::Server)
            }
            PacketType::Connack | PacketType::Suback | PacketType::Unsuback | PacketType::Pingresp => {
                matches!(reader, Role::Client)
            }
            PacketType::Publish
            | PacketType::Puback
            | PacketType::Pubrec
            | PacketType::Pubrel
            | PacketType::Pubcomp => true,
            PacketType::Disconnect => version.is_v5() || matches!(reader, Role::Server),
            PacketType::Auth => version.is_v5(),
        }
    }

    /// The type of a packet that may begin with that byte: direction, then flags.
    #[inline]
    pub(crate) fn check(first_byte: u8, reader: Role, version: Version) -> Result<PacketType, DecodeError> {
        let table = version.statement("MQTT311 2.2.1", "MQTT5 2.1.2");
        let Some(packet_type) = PacketType::of(first_byte) else {
            return Err(DecodeError::malformed(table, "packet type 0 is reserved"));
        };
        if packet_type == PacketType::Auth && !version.is_v5() {
            return Err(DecodeError::malformed(table, "packet type 15 is reserved before 5.0"));
        }
        if !packet_type.reaches(reader, version) {
            return Err(DecodeError::protocol_error(table, "packet goes the wrong way"));
        }
        packet_type.check_flags(first_byte & 0x0f, version)?;
        Ok(packet_type)
    }

    #[inline]
    fn check_flags(self, flags: u8, version: Version) -> Result<(), DecodeError> {
        // The flags of PUBLISH are its own: see publish.rs.
        // [MQTT-2.1.3-1], 3.1.1 [MQTT-2.2.2-1] [MQTT-2.2.2-2]
        let statement = match self {
            PacketType::Publish => return Ok(()),
            // [MQTT-3.6.1-1] [MQTT-3.8.1-1] [MQTT-3.10.1-1]
            PacketType::Pubrel | PacketType::Subscribe | PacketType::Unsubscribe => {
                // 3.1 has DUP there, for a packet that is sent again.
                if flags == 0b0010 || (flags == 0b1010 && version == Version::V3_1) {
                    return Ok(());
                }
                match self {
                    PacketType::Pubrel => "MQTT-3.6.1-1",
                    PacketType::Subscribe => "MQTT-3.8.1-1",
                    _ => "MQTT-3.10.1-1",
                }
            }
            _ if flags == 0 => return Ok(()),
            // [MQTT-3.14.1-1]
            PacketType::Disconnect => "MQTT-3.14.1-1",
            // [MQTT-3.15.1-1]
            PacketType::Auth => "MQTT-3.15.1-1",
            _ => version.statement("MQTT-2.2.2-2", "MQTT-2.1.3-1"),
        };
        Err(DecodeError::malformed(statement, "reserved flags of the fixed header"))
    }
}

impl fmt::Display for PacketType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            PacketType::Connect => "CONNECT",
            PacketType::Connack => "CONNACK",
            PacketType::Publish => "PUBLISH",
            PacketType::Puback => "PUBACK",
            PacketType::Pubrec => "PUBREC",
            PacketType::Pubrel => "PUBREL",
            PacketType::Pubcomp => "PUBCOMP",
            PacketType::Subscribe => "SUBSCRIBE",
            PacketType::Suback => "SUBACK",
            PacketType::Unsubscribe => "UNSUBSCRIBE",
            PacketType::Unsuback => "UNSUBACK",
            PacketType::Pingreq => "PINGREQ",
            PacketType::Pingresp => "PINGRESP",
            PacketType::Disconnect => "DISCONNECT",
            PacketType::Auth => "AUTH",
        })
    }
}
