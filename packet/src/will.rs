//! The will: the message that a CONNECT leaves with the server. When it is published is the
//! server's affair.

use std::borrow::Cow;

use crate::decode_error::DecodeError;
use crate::properties::Properties;
use crate::property_context::PropertyContext;
use crate::qos::QoS;
use crate::reader::Reader;
use crate::topic_name::TopicName;
use crate::version::Version;
use crate::writer;

/// The will in a CONNECT packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Will<'a> {
    /// The QoS that it is published with.
    pub qos: QoS,
    /// Whether it is published as a retained message.
    pub retain: bool,
    /// Where it is published.
    pub topic: TopicName<'a>,
    /// What is published: at most 65535 bytes.
    pub payload: Cow<'a, [u8]>,
    /// 5.0: the will delay interval and the properties of the message.
    pub properties: Properties<'a>,
}

impl<'a> Will<'a> {
    /// A QoS 0 will, not retained, without properties.
    pub fn new(topic: TopicName<'a>, payload: impl Into<Cow<'a, [u8]>>) -> Self {
        Will {
            qos: QoS::AtMostOnce,
            retain: false,
            topic,
            payload: payload.into(),
            properties: Properties::new(),
        }
    }

    /// The same will, owning all that it refers to.
    pub fn into_owned(self) -> Will<'static> {
        Will {
            qos: self.qos,
            retain: self.retain,
            topic: self.topic.into_owned(),
            payload: Cow::Owned(self.payload.into_owned()),
            properties: self.properties.into_owned(),
        }
    }

    /// [MQTT-3.1.2-9]: properties, topic and payload, in that order.
    pub(crate) fn decode(reader: &mut Reader<'a>, qos: QoS, retain: bool) -> Result<Self, DecodeError> {
        let properties = reader.properties(PropertyContext::Will)?;
        let topic = reader.topic_name()?;
        let payload = Cow::Borrowed(reader.binary()?);
        Ok(Will { qos, retain, topic, payload, properties })
    }

    pub(crate) fn encoded_len(&self, version: Version) -> usize {
        let properties = if version.is_v5() { self.properties.encoded_len() } else { 0 };
        properties + writer::string_len(self.topic.as_str()) + writer::binary_len(&self.payload)
    }

    pub(crate) fn encode(&self, version: Version, out: &mut Vec<u8>) {
        if version.is_v5() {
            self.properties.encode(out);
        }
        writer::string(out, self.topic.as_str());
        writer::binary(out, &self.payload);
    }
}
