//! A subscription: all but its filter, which is in its key.

use opifex_packet::{SubscriptionOptions, TopicFilter, Version};

use super::{FieldReader, FieldWriter, Malformed, StoredRecord};
use crate::SubscriptionRecord;

/// A stored subscription.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct SubscriptionRow {
    /// Its options as granted.
    pub options: SubscriptionOptions,
    /// Its subscription identifier.
    pub identifier: Option<u32>,
}

impl SubscriptionRow {
    /// The contract's record.
    pub fn record(self, filter: TopicFilter<'static>) -> SubscriptionRecord {
        SubscriptionRecord { filter, options: self.options, identifier: self.identifier }
    }
}

impl StoredRecord for SubscriptionRow {
    fn write(&self, fields: &mut FieldWriter) {
        fields.byte(self.options.to_byte());
        fields.optional(self.identifier.map(u64::from));
    }

    fn read(fields: &mut FieldReader) -> Result<Self, Malformed> {
        let options = SubscriptionOptions::from_byte(fields.byte()?, Version::V5_0)
            .map_err(|_| Malformed("options of a subscription"))?;
        let identifier = match fields.optional()? {
            None => None,
            Some(id) => Some(u32::try_from(id).map_err(|_| Malformed("a number of 32 bits"))?),
        };
        Ok(SubscriptionRow { options, identifier })
    }
}
