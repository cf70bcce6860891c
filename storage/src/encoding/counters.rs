//! The numbers that a store gave out last.

use super::{FieldReader, FieldWriter, Malformed, StoredRecord};

/// The numbers that a store gave out last; each is given once.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// The last epoch.
    pub last_epoch: u64,
    /// The last version of a record.
    pub last_version: u64,
    /// The last number of a message's body.
    pub last_body: u64,
}

impl StoredRecord for Counters {
    fn write(&self, fields: &mut FieldWriter) {
        fields.number(self.last_epoch);
        fields.number(self.last_version);
        fields.number(self.last_body);
    }

    fn read(fields: &mut FieldReader) -> Result<Self, Malformed> {
        Ok(Counters {
            last_epoch: fields.number()?,
            last_version: fields.number()?,
            last_body: fields.number()?,
        })
    }
}
