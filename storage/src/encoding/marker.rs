//! A row whose key says everything, such as an inbound id: its value is a seal around nothing.

use super::{FieldReader, FieldWriter, Malformed, StoredRecord};

/// The value of a row whose key says everything.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Marker;

impl StoredRecord for Marker {
    fn write(&self, _fields: &mut FieldWriter) {}

    fn read(_fields: &mut FieldReader) -> Result<Self, Malformed> {
        Ok(Marker)
    }
}
