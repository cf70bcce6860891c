//! Rows of one number: the pointer from a client to its session, and the references to a message's body.

use super::{FieldReader, FieldWriter, Malformed, StoredRecord};
use crate::SessionId;

/// The session that a client has now.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct ClientPointer(pub SessionId);

impl StoredRecord for ClientPointer {
    fn write(&self, fields: &mut FieldWriter) {
        fields.number(self.0.0);
    }

    fn read(fields: &mut FieldReader) -> Result<Self, Malformed> {
        Ok(ClientPointer(SessionId(fields.number()?)))
    }
}

/// How many queue entries refer to a body. A body without such a row has one.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct BodyReferences(pub u64);

impl StoredRecord for BodyReferences {
    fn write(&self, fields: &mut FieldWriter) {
        fields.number(self.0);
    }

    fn read(fields: &mut FieldReader) -> Result<Self, Malformed> {
        Ok(BodyReferences(fields.number()?))
    }
}
