//! A retained message with its version. Its topic is in its key, too, in an order that wildcards can seek in.

use super::{FieldReader, FieldWriter, Malformed, StoredRecord};
use crate::{Message, RecordVersion, Retained};
use std::sync::Arc;

/// A stored retained message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetainedRow {
    /// Its version.
    pub version: RecordVersion,
    /// The message.
    pub message: Arc<Message>,
}

impl From<RetainedRow> for Retained {
    fn from(row: RetainedRow) -> Retained {
        Retained { message: row.message, version: row.version }
    }
}

impl StoredRecord for RetainedRow {
    fn size_hint(&self) -> usize {
        self.message.size_hint() + 10
    }

    fn write(&self, fields: &mut FieldWriter) {
        fields.number(self.version.0);
        self.message.write(fields);
    }

    fn read(fields: &mut FieldReader) -> Result<Self, Malformed> {
        Ok(RetainedRow {
            version: RecordVersion(fields.number()?),
            message: Arc::new(Message::read(fields)?),
        })
    }
}
