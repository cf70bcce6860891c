//! A will with everything that its publication needs.

use std::sync::Arc;

use super::{FieldReader, FieldWriter, Malformed, StoredRecord};
use crate::{Epoch, Message, NewWill, SessionId, WillRecord};

impl StoredRecord for WillRecord {
    fn write(&self, fields: &mut FieldWriter) {
        fields.number(self.session.0);
        fields.number(self.epoch.0);
        fields.moment(self.due_at);
        fields.byte(u8::from(self.will.retain));
        fields.number(self.will.delay_secs.into());
        fields.optional(self.will.expiry_secs.map(u64::from));
        self.will.message.write(fields);
    }

    fn read(fields: &mut FieldReader) -> Result<Self, Malformed> {
        let (session, epoch) = (SessionId(fields.number()?), Epoch(fields.number()?));
        let due_at = fields.moment()?;
        let retain = fields.byte()? != 0;
        let delay_secs = fields.number_u32()?;
        let expiry_secs = match fields.optional()? {
            None => None,
            Some(secs) => Some(u32::try_from(secs).map_err(|_| Malformed("a number of 32 bits"))?),
        };
        let message = Arc::new(Message::read(fields)?);
        let will = NewWill { message, retain, delay_secs, expiry_secs };
        Ok(WillRecord { session, epoch, will, due_at })
    }
}
