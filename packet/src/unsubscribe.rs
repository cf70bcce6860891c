//! UNSUBSCRIBE: a client wants no more messages.

use crate::decode_error::DecodeError;
use crate::encode::Encode;
use crate::packet_id::PacketId;
use crate::properties::Properties;
use crate::property_context::PropertyContext;
use crate::reader::Reader;
use crate::topic_filter::TopicFilter;
use crate::version::Version;
use crate::writer;

/// An UNSUBSCRIBE packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsubscribe<'a> {
    /// What UNSUBACK answers to.
    pub packet_id: PacketId,
    /// 5.0.
    pub properties: Properties<'a>,
    /// At least one ([MQTT-3.10.3-2]).
    pub filters: Vec<TopicFilter<'a>>,
}

impl<'a> Unsubscribe<'a> {
    /// The packet without properties.
    pub const fn new(packet_id: PacketId, filters: Vec<TopicFilter<'a>>) -> Self {
        Unsubscribe { packet_id, properties: Properties::new(), filters }
    }

    /// The same packet, owning all that it refers to.
    pub fn into_owned(self) -> Unsubscribe<'static> {
        Unsubscribe {
            packet_id: self.packet_id,
            properties: self.properties.into_owned(),
            filters: self.filters.into_iter().map(TopicFilter::into_owned).collect(),
        }
    }

    pub(crate) fn decode(mut reader: Reader<'a>) -> Result<Self, DecodeError> {
        let packet_id = reader.packet_id()?;
        let properties = reader.properties(PropertyContext::Unsubscribe)?;
        // [MQTT-3.10.3-2]
        if reader.is_empty() {
            return Err(DecodeError::protocol_error("MQTT-3.10.3-2", "UNSUBSCRIBE without a topic filter"));
        }
        let mut filters = Vec::new();
        while !reader.is_empty() {
            filters.push(reader.topic_filter()?);
        }
        Ok(Unsubscribe { packet_id, properties, filters })
    }
}

impl Encode for Unsubscribe<'_> {
    fn first_byte(&self) -> u8 {
        0xa2
    }

    fn remaining_len(&self, version: Version) -> usize {
        let properties = if version.is_v5() { self.properties.encoded_len() } else { 0 };
        2 + properties + self.filters.iter().map(|filter| writer::string_len(filter.as_str())).sum::<usize>()
    }

    fn encode_body(&self, version: Version, out: &mut Vec<u8>) {
        writer::u16(out, self.packet_id.get());
        if version.is_v5() {
            self.properties.encode(out);
        }
        for filter in &self.filters {
            writer::string(out, filter.as_str());
        }
    }
}
