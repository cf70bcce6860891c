//! The seal of a record: a format version before its fields, a checksum of key, version and fields behind them.
//!
//! ```text
//! version (1 byte)   fields   CRC-32C of key, version and fields (4 bytes, lowest first)
//! ```

use bytes::Bytes;

use super::field::{FieldReader, FieldWriter, Malformed};
use super::key;
use crate::{ErrorKind, Result, StoreError};

const CHECKSUM_BYTES: usize = 4;

/// A record that is stored as the value of a row.
pub trait StoredRecord: Sized {
    /// The version in which its fields are written. A reader refuses later ones and knows all earlier ones.
    const VERSION: u8 = 1;

    /// The earliest version that [`StoredRecord::read`] still knows.
    const OLDEST: u8 = 1;

    /// About how many bytes the fields take, so that they are written into one allocation.
    fn size_hint(&self) -> usize {
        64
    }

    /// Writes the fields.
    fn write(&self, fields: &mut FieldWriter);

    /// Reads the fields.
    fn read(fields: &mut FieldReader) -> Result<Self, Malformed>;
}

/// The value of the row with this key.
pub fn seal<R: StoredRecord>(key: &[u8], record: &R) -> Bytes {
    seal_fields::<R>(key, record.size_hint(), |fields| record.write(fields))
}

/// The value of the row with this key, of fields that are written without a record that holds them all.
pub(super) fn seal_fields<R: StoredRecord>(
    key: &[u8],
    size_hint: usize,
    write: impl FnOnce(&mut FieldWriter),
) -> Bytes {
    let mut writer = FieldWriter(Vec::with_capacity(size_hint + 1 + CHECKSUM_BYTES));
    writer.byte(R::VERSION);
    write(&mut writer);
    let mut value = writer.0;
    let checksum = checksum(key, &value);
    value.extend_from_slice(&checksum.to_le_bytes());
    Bytes::from(value)
}

/// The record in the row with this key; `Corrupt`, naming the record, when it is not what was sealed.
pub fn unseal<R: StoredRecord>(key: &[u8], value: &Bytes) -> Result<R> {
    let corrupt = |why: &str| {
        StoreError::not_applied(ErrorKind::Corrupt, format!("{} is damaged: {why}", key::describe(key)))
    };
    let Some(length) = value.len().checked_sub(CHECKSUM_BYTES).filter(|length| *length > 0) else {
        return Err(corrupt("it is cut short"));
    };
    if checksum(key, &value[..length]).to_le_bytes() != value[length..] {
        return Err(corrupt("its checksum differs"));
    }
    if !(R::OLDEST..=R::VERSION).contains(&value[0]) {
        return Err(StoreError::not_applied(
            ErrorKind::Unsupported,
            format!("{} has format {}, known is {}", key::describe(key), value[0], R::VERSION),
        ));
    }
    let mut fields = FieldReader::new(value.slice(1..length));
    R::read(&mut fields)
        .and_then(|record| fields.end().map(|()| record))
        .map_err(|Malformed(expected)| corrupt(&format!("{expected} was expected")))
}

/// The seal of a row's value, by which rows are counted and told from what they were before: its checksum, which nothing is
/// decoded for. Of a value that is too short to have one it is 0.
pub fn seal_of(value: &[u8]) -> u32 {
    value.last_chunk::<CHECKSUM_BYTES>().map_or(0, |checksum| u32::from_le_bytes(*checksum))
}

fn checksum(key: &[u8], sealed: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(key), sealed)
}
