//! The numbers that a store gave out last, and what it counts.

use super::{FieldReader, FieldWriter, Malformed, StoredRecord, Tally};

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
    /// All rows, counted; `None`: written by a store that did not. It stands behind the retained messages, not without.
    pub tally: Option<Tally>,
}

impl StoredRecord for Counters {
    /// Version 1 ended before the tally: who writes it changes rows and does not count them.
    const VERSION: u8 = 2;

    fn size_hint(&self) -> usize {
        128
    }

    fn write(&self, fields: &mut FieldWriter) {
        fields.number(self.last_epoch);
        fields.number(self.last_version);
        fields.number(self.last_body);
        if let Some(retained) = self.retained {
            fields.number(retained);
            self.tally.iter().for_each(|tally| tally.write(fields));
        }
    }

    fn read(fields: &mut FieldReader) -> Result<Self, Malformed> {
        Ok(Counters {
            last_epoch: fields.number()?,
            last_version: fields.number()?,
            last_body: fields.number()?,
            retained: if fields.end().is_ok() { None } else { Some(fields.number()?) },
            tally: if fields.end().is_ok() { None } else { Some(Tally::read(fields)?) },
        })
    }
}
