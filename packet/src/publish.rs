//! PUBLISH: a message on its way, in either direction. The codec's hot path: decoding borrows
//! everything, encoding copies each byte once.

use std::borrow::Cow;

use crate::decode::Role;
use crate::decode_error::DecodeError;
use crate::delivery::Delivery;
use crate::encode::{self, Encode};
use crate::properties::Properties;
use crate::property_context::PropertyContext;
use crate::qos::QoS;
use crate::reader::Reader;
use crate::topic_name::TopicName;
use crate::version::Version;
use crate::writer;

const DUP: u8 = 0b1000;
const RETAIN: u8 = 0b0001;

/// A PUBLISH packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publish<'a> {
    /// Whether this is sent again. Always false with QoS 0 ([MQTT-3.3.1-2]): not encoded there.
    pub dup: bool,
    /// From a client: keep it. From a server: it was kept.
    pub retain: bool,
    /// QoS and packet identifier.
    pub delivery: Delivery,
    /// The topic; `None` when a topic alias stands for it (5.0).
    pub topic: Option<TopicName<'a>>,
    /// 5.0.
    pub properties: Properties<'a>,
    /// The message.
    pub payload: Cow<'a, [u8]>,
}

impl<'a> Publish<'a> {
    /// A QoS 0 message, not retained, without properties.
    pub fn new(topic: TopicName<'a>, payload: impl Into<Cow<'a, [u8]>>) -> Self {
        Publish {
            dup: false,
            retain: false,
            delivery: Delivery::AtMostOnce,
            topic: Some(topic),
            properties: Properties::new(),
            payload: payload.into(),
        }
    }

    /// The QoS.
    #[inline]
    pub fn qos(&self) -> QoS {
        self.delivery.qos()
    }

    /// The same packet, owning all that it refers to.
    pub fn into_owned(self) -> Publish<'static> {
        Publish {
            dup: self.dup,
            retain: self.retain,
            delivery: self.delivery,
            topic: self.topic.map(TopicName::into_owned),
            properties: self.properties.into_owned(),
            payload: Cow::Owned(self.payload.into_owned()),
        }
    }

    /// The bytes of the whole packet.
    ///
    /// # Panics
    /// As [`Packet::encoded_len`](crate::Packet::encoded_len).
    pub fn encoded_len(&self, version: Version) -> usize {
        encode::encoded_len(self, version)
    }

    /// Appends the packet.
    ///
    /// # Panics
    /// As [`Packet::encoded_len`](crate::Packet::encoded_len).
    pub fn encode(&self, version: Version, out: &mut Vec<u8>) {
        encode::encode(self, version, out);
    }

    /// Appends the packet; returns the offset, from its first byte, of the packet identifier when it
    /// has one. A message that goes to many is encoded once and gets each receiver's identifier there.
    ///
    /// # Panics
    /// As [`Packet::encoded_len`](crate::Packet::encoded_len).
    pub fn encode_with_id_offset(&self, version: Version, out: &mut Vec<u8>) -> Option<usize> {
        out.reserve(self.encoded_len(version));
        let offset = self.encode_head(version, self.payload.len(), out);
        out.extend_from_slice(&self.payload);
        offset
    }

    /// Appends all but the payload, for large payloads that are shared: the remaining length counts
    /// `payload_len` bytes that the caller sends next. Returns the offset of the packet identifier as
    /// [`encode_with_id_offset`](Publish::encode_with_id_offset) does.
    ///
    /// # Panics
    /// As [`Packet::encoded_len`](crate::Packet::encoded_len).
    pub fn encode_head(&self, version: Version, payload_len: usize, out: &mut Vec<u8>) -> Option<usize> {
        let start = out.len();
        let head_len = self.variable_header_len(version);
        out.reserve(5 + head_len);
        writer::fixed_header(out, self.first_byte(), head_len + payload_len);
        let id_at = out.len() + 2 + self.topic_str().len();
        self.encode_variable_header(version, out);
        self.delivery.packet_id().map(|_| id_at - start)
    }

    fn topic_str(&self) -> &str {
        self.topic.as_ref().map_or("", TopicName::as_str)
    }

    #[inline]
    fn variable_header_len(&self, version: Version) -> usize {
        2 + self.topic_str().len()
            + if self.delivery == Delivery::AtMostOnce { 0 } else { 2 }
            + if version.is_v5() { self.properties.encoded_len() } else { 0 }
    }

    #[inline]
    fn encode_variable_header(&self, version: Version, out: &mut Vec<u8>) {
        writer::string(out, self.topic_str());
        if let Some(id) = self.delivery.packet_id() {
            writer::u16(out, id.get());
        }
        if version.is_v5() {
            self.properties.encode(out);
        }
    }

    /// Refuses flags that no PUBLISH has, before the rest has arrived.
    #[inline]
    pub(crate) fn check_flags(first_byte: u8, version: Version) -> Result<(), DecodeError> {
        match (first_byte >> 1) & 0b11 {
            // [MQTT-3.3.1-2]; 3.1 does not say so.
            0 if first_byte & DUP != 0 && version != Version::V3_1 => {
                Err(DecodeError::malformed("MQTT-3.3.1-2", "DUP is set on a QoS 0 message"))
            }
            // [MQTT-3.3.1-4]
            3 => Err(DecodeError::malformed("MQTT-3.3.1-4", "QoS is 3")),
            _ => Ok(()),
        }
    }

    #[inline]
    pub(crate) fn decode(first_byte: u8, mut reader: Reader<'a>, role: Role) -> Result<Self, DecodeError> {
        let version = reader.version();
        let topic = reader.binary()?;
        let topic = if topic.is_empty() && version.is_v5() {
            None
        } else {
            let name = TopicName::from_wire(topic);
            Some(name.map_err(|error| match error {
                // [MQTT-3.3.2-2]
                crate::TopicError::Wildcard => DecodeError::malformed("MQTT-3.3.2-2", error.message()),
                error => DecodeError::topic(error, version),
            })?)
        };
        let delivery = match (first_byte >> 1) & 0b11 {
            0 => Delivery::AtMostOnce,
            1 => Delivery::AtLeastOnce(reader.packet_id()?),
            // 3 was refused by `check_flags`.
            _ => Delivery::ExactlyOnce(reader.packet_id()?),
        };
        let properties = reader.properties(PropertyContext::Publish)?;
        if version.is_v5() {
            check_properties(&properties, topic.is_none(), role)?;
        }
        Ok(Publish {
            dup: first_byte & DUP != 0 && delivery != Delivery::AtMostOnce,
            retain: first_byte & RETAIN != 0,
            delivery,
            topic,
            properties,
            payload: Cow::Borrowed(reader.rest()),
        })
    }
}

#[inline]
fn check_properties(properties: &Properties<'_>, no_topic: bool, role: Role) -> Result<(), DecodeError> {
    // 3.3.2.1
    if no_topic && properties.topic_alias().is_none() {
        return Err(DecodeError::protocol_error("MQTT5 3.3.2.1", "neither a topic nor a topic alias"));
    }
    // [MQTT-3.3.4-6]
    if role == Role::Server && !properties.is_empty() && properties.contains(0x0b) {
        return Err(DecodeError::protocol_error("MQTT-3.3.4-6", "subscription identifier from a client"));
    }
    Ok(())
}

impl Encode for Publish<'_> {
    #[inline]
    fn first_byte(&self) -> u8 {
        let qos = self.delivery.qos();
        let dup = if self.dup && qos != QoS::AtMostOnce { DUP } else { 0 };
        0x30 | dup | u8::from(qos) << 1 | u8::from(self.retain)
    }

    #[inline]
    fn remaining_len(&self, version: Version) -> usize {
        self.variable_header_len(version) + self.payload.len()
    }

    #[inline]
    fn encode_body(&self, version: Version, out: &mut Vec<u8>) {
        self.encode_variable_header(version, out);
        out.extend_from_slice(&self.payload);
    }
}
