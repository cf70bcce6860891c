//! What the row of a due item holds beside its key: the version that a claim carries.

use super::{FieldReader, FieldWriter, Malformed, StoredRecord};
use crate::RecordVersion;

/// The value of a row of the due index.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct DueRow {
    /// The version of the record behind it.
    pub version: RecordVersion,
}

impl StoredRecord for DueRow {
    fn write(&self, fields: &mut FieldWriter) {
        fields.number(self.version.0);
    }

    fn read(fields: &mut FieldReader) -> Result<Self, Malformed> {
        Ok(DueRow { version: RecordVersion(fields.number()?) })
    }
}
