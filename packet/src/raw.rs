//! Packets that may be broken: bytes put together field by field, for tests of what a peer does
//! with them. Nothing is checked, and nothing here decodes.

use crate::packet::Packet;
use crate::varint;
use crate::version::Version;
use crate::writer;

/// The bytes of a packet, right or wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawPacket {
    /// Type and flags.
    pub first_byte: u8,
    /// What stands where the remaining length is expected.
    pub remaining_length: RemainingLength,
    /// All behind the fixed header.
    pub body: Vec<u8>,
}

/// The remaining length of a [`RawPacket`].
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum RemainingLength {
    /// The length of the body.
    #[default]
    Right,
    /// Some other length, in its shortest form. Only the lower 28 bits count.
    Claimed(u32),
    /// Some bytes.
    Bytes(Vec<u8>),
}

impl RawPacket {
    /// A packet with that first byte and nothing behind its fixed header.
    pub const fn new(first_byte: u8) -> Self {
        RawPacket { first_byte, remaining_length: RemainingLength::Right, body: Vec::new() }
    }

    /// The bytes of a valid packet, to be broken.
    pub fn of(packet: &Packet<'_>, version: Version) -> Self {
        let mut bytes = Vec::new();
        packet.encode(version, &mut bytes);
        let header_len = 1 + bytes[1..].iter().position(|&byte| byte < 0x80).map_or(0, |at| at + 1);
        RawPacket {
            first_byte: bytes[0],
            remaining_length: RemainingLength::Right,
            body: bytes.split_off(header_len),
        }
    }

    /// Replaces the remaining length.
    #[must_use]
    pub fn remaining_length(mut self, remaining_length: RemainingLength) -> Self {
        self.remaining_length = remaining_length;
        self
    }

    /// Claims a remaining length.
    #[must_use]
    pub fn claiming(self, len: u32) -> Self {
        self.remaining_length(RemainingLength::Claimed(len))
    }

    /// Appends a byte.
    #[must_use]
    pub fn u8(mut self, value: u8) -> Self {
        self.body.push(value);
        self
    }

    /// Appends a two byte integer.
    #[must_use]
    pub fn u16(mut self, value: u16) -> Self {
        writer::u16(&mut self.body, value);
        self
    }

    /// Appends a four byte integer.
    #[must_use]
    pub fn u32(mut self, value: u32) -> Self {
        writer::u32(&mut self.body, value);
        self
    }

    /// Appends a variable byte integer in its shortest form. Only the lower 28 bits count.
    #[must_use]
    pub fn varint(mut self, value: u32) -> Self {
        varint::write(&mut self.body, value & varint::MAX_REMAINING_LENGTH);
        self
    }

    /// Appends a text field: the length in two bytes, then the text.
    #[must_use]
    pub fn string(self, text: &str) -> Self {
        self.binary(text.as_bytes())
    }

    /// Appends a binary field: the length in two bytes, then the bytes. They may be bad UTF-8.
    #[must_use]
    pub fn binary(mut self, bytes: &[u8]) -> Self {
        writer::binary(&mut self.body, bytes);
        self
    }

    /// Appends bytes as they are.
    #[must_use]
    pub fn bytes(mut self, bytes: impl AsRef<[u8]>) -> Self {
        self.body.extend_from_slice(bytes.as_ref());
        self
    }

    /// Appends a property block with its length: a [`Properties`](crate::Properties), or any bytes.
    #[must_use]
    pub fn properties(self, block: impl AsRef<[u8]>) -> Self {
        let block = block.as_ref();
        self.varint(block.len() as u32).bytes(block)
    }

    /// The bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![self.first_byte];
        match &self.remaining_length {
            RemainingLength::Right => {
                varint::write(&mut bytes, self.body.len() as u32 & varint::MAX_REMAINING_LENGTH)
            }
            RemainingLength::Claimed(len) => varint::write(&mut bytes, len & varint::MAX_REMAINING_LENGTH),
            RemainingLength::Bytes(length) => bytes.extend_from_slice(length),
        }
        bytes.extend_from_slice(&self.body);
        bytes
    }
}
