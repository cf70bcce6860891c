//! An application message: the body that queue entries refer to, and a part of retained messages and wills.

use opifex_packet::{Properties, PropertyContext, QoS, TopicName};

use super::field::number_length;
use super::{FieldReader, FieldWriter, Malformed, StoredRecord};
use crate::Message;

impl Message {
    /// How many bytes its fields take.
    pub(super) fn fields_length(&self) -> usize {
        let texts = [self.topic.as_str().as_bytes(), self.properties.as_bytes(), &self.payload];
        let expiry = self.expires_at.map_or(0, |at| number_length(at.0));
        texts.iter().map(|text| number_length(text.len() as u64) + text.len()).sum::<usize>() + 1 + 1 + expiry
    }
}

impl StoredRecord for Message {
    fn size_hint(&self) -> usize {
        self.size_bytes() + 32
    }

    fn write(&self, fields: &mut FieldWriter) {
        fields.bytes(self.topic.as_str().as_bytes());
        fields.byte(self.qos.into());
        fields.moment(self.expires_at);
        fields.bytes(self.properties.as_bytes());
        fields.bytes(&self.payload);
    }

    fn read(fields: &mut FieldReader) -> Result<Self, Malformed> {
        Ok(Message {
            topic: TopicName::new(fields.text()?).map_err(|_| Malformed("a topic name"))?,
            qos: QoS::try_from(fields.byte()?).map_err(|_| Malformed("a quality of service"))?,
            expires_at: fields.moment()?,
            properties: Properties::from_bytes(PropertyContext::Publish, Vec::from(fields.bytes()?))
                .map_err(|_| Malformed("properties of a message"))?,
            payload: fields.bytes()?,
        })
    }
}
