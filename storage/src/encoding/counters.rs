//! The numbers that a store gave out last, and what it counts.

use super::{FieldReader, FieldWriter, Malformed, StoredRecord};

/// The numbers that a store gave out last; each is given once. And what it counts.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// The last epoch.
    pub last_epoch: u64,
    /// The last version of a record.
    pub last_version: u64,
    /// The last number of a message's body.
    pub last_body: u64,
    /// How many retained messages there are; `None`: written by a store that did not count them.
    pub retained: Option<u64>,
}

impl StoredRecord for Counters {
    fn write(&self, fields: &mut FieldWriter) {
        fields.number(self.last_epoch);
        fields.number(self.last_version);
        fields.number(self.last_body);
        if let Some(retained) = self.retained {
            fields.number(retained);
        }
    }

    fn read(fields: &mut FieldReader) -> Result<Self, Malformed> {
        Ok(Counters {
            last_epoch: fields.number()?,
            last_version: fields.number()?,
            last_body: fields.number()?,
            retained: if fields.end().is_ok() { None } else { Some(fields.number()?) },
        })
    }
}
