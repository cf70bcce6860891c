//! The fields that records are made of: numbers of variable length, texts, options. No record is known here.

use bytes::Bytes;

use crate::{SessionExpiry, Timestamp};

/// Bytes that are no record of this format, though their checksum holds: what was expected where they end or differ.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Malformed(pub &'static str);

/// Writes fields one behind the other.
#[derive(Default)]
pub struct FieldWriter(pub(super) Vec<u8>);

impl FieldWriter {
    /// One byte.
    pub fn byte(&mut self, byte: u8) {
        self.0.push(byte);
    }

    /// A number, seven bits a byte, the lowest first.
    pub fn number(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.0.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.0.push(number as u8);
    }

    /// Bytes behind their length.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    /// A number or nothing: 0 for nothing, 1 and the number otherwise.
    pub fn optional(&mut self, number: Option<u64>) {
        self.byte(u8::from(number.is_some()));
        if let Some(number) = number {
            self.number(number);
        }
    }

    /// A moment or nothing.
    pub fn moment(&mut self, at: Option<Timestamp>) {
        self.optional(at.map(|at| at.0));
    }

    /// A session's expiry: nothing stands for never.
    pub fn expiry(&mut self, expiry: SessionExpiry) {
        self.optional(match expiry {
            SessionExpiry::Secs(secs) => Some(secs.into()),
            SessionExpiry::Never => None,
        });
    }
}

/// How many bytes [`FieldWriter::number`] writes.
pub(super) fn number_length(number: u64) -> usize {
    (u64::BITS - number.leading_zeros()).div_ceil(7).max(1) as usize
}

/// Reads fields one behind the other; byte fields share the memory of the whole.
pub struct FieldReader(Bytes);

impl FieldReader {
    /// Of the fields of a record.
    pub fn new(fields: Bytes) -> FieldReader {
        FieldReader(fields)
    }

    /// One byte.
    pub fn byte(&mut self) -> Result<u8, Malformed> {
        let byte = *self.0.first().ok_or(Malformed("one more byte"))?;
        let _ = self.0.split_to(1);
        Ok(byte)
    }

    /// A number.
    pub fn number(&mut self) -> Result<u64, Malformed> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                break;
            }
            number |= bits << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(Malformed("a number of 64 bits"))
    }

    /// A number of 32 bits.
    pub fn number_u32(&mut self) -> Result<u32, Malformed> {
        u32::try_from(self.number()?).map_err(|_| Malformed("a number of 32 bits"))
    }

    /// Bytes behind their length.
    pub fn bytes(&mut self) -> Result<Bytes, Malformed> {
        let length = usize::try_from(self.number()?).map_err(|_| Malformed("a length"))?;
        if length > self.0.len() {
            return Err(Malformed("as many bytes as the length says"));
        }
        Ok(self.0.split_to(length))
    }

    /// A text behind its length.
    pub fn text(&mut self) -> Result<String, Malformed> {
        String::from_utf8(self.bytes()?.into()).map_err(|_| Malformed("a text in UTF-8"))
    }

    /// A number or nothing.
    pub fn optional(&mut self) -> Result<Option<u64>, Malformed> {
        match self.byte()? {
            0 => Ok(None),
            1 => Ok(Some(self.number()?)),
            _ => Err(Malformed("0 or 1 before what is optional")),
        }
    }

    /// A moment or nothing.
    pub fn moment(&mut self) -> Result<Option<Timestamp>, Malformed> {
        Ok(self.optional()?.map(Timestamp))
    }

    /// A session's expiry.
    pub fn expiry(&mut self) -> Result<SessionExpiry, Malformed> {
        match self.optional()? {
            None => Ok(SessionExpiry::Never),
            Some(secs) => {
                u32::try_from(secs).map(SessionExpiry::Secs).map_err(|_| Malformed("seconds of 32 bits"))
            }
        }
    }

    /// That nothing is left.
    pub fn end(&self) -> Result<(), Malformed> {
        if self.0.is_empty() { Ok(()) } else { Err(Malformed("the end of the record")) }
    }
}
