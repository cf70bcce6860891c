//! The fixed header: where a packet ends, before anything else of it is known.

use crate::decode_error::DecodeError;
use crate::varint::{self, Varint};
use crate::version::Version;

/// A packet's fixed header.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Type and flags.
    pub first_byte: u8,
    /// The bytes of the fixed header: 2 to 5.
    pub header_len: usize,
    /// The bytes behind the fixed header.
    pub remaining_len: usize,
}

impl Frame {
    /// The fixed header at the front of `input`; `None` while it is not all there.
    ///
    /// # Errors
    /// A remaining length of more than four bytes.
    #[inline]
    pub fn read(input: &[u8], version: Version) -> Result<Option<Frame>, DecodeError> {
        let Some((&first_byte, rest)) = input.split_first() else { return Ok(None) };
        match varint::read(rest) {
            Varint::Whole { value, len } => {
                Ok(Some(Frame { first_byte, header_len: 1 + len, remaining_len: value as usize }))
            }
            Varint::Incomplete => Ok(None),
            Varint::TooLong => Err(DecodeError::malformed(
                version.statement("MQTT311 2.2.3", "MQTT5 1.5.5"),
                "remaining length has more than four bytes",
            )),
        }
    }

    /// The bytes of the whole packet.
    #[inline]
    pub fn packet_len(&self) -> usize {
        self.header_len + self.remaining_len
    }

    /// Whether the remaining length takes no more bytes than need be.
    #[inline]
    pub(crate) fn is_shortest(&self) -> bool {
        self.header_len == 1 + varint::len(self.remaining_len as u32)
    }
}

/// The length of the packet at the front of `input`; `None` while its fixed header is not all there.
///
/// # Errors
/// A remaining length of more than four bytes.
pub fn packet_len(input: &[u8]) -> Result<Option<usize>, DecodeError> {
    Ok(Frame::read(input, Version::V5_0)?.map(|frame| frame.packet_len()))
}
