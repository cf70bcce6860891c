//! SUBSCRIBE: a client asks for messages.

use crate::decode_error::DecodeError;
use crate::encode::Encode;
use crate::packet_id::PacketId;
use crate::properties::Properties;
use crate::property_context::PropertyContext;
use crate::reader::Reader;
use crate::subscription_options::SubscriptionOptions;
use crate::topic_filter::TopicFilter;
use crate::version::Version;
use crate::writer;

/// A SUBSCRIBE packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscribe<'a> {
    /// What SUBACK answers to.
    pub packet_id: PacketId,
    /// 5.0.
    pub properties: Properties<'a>,
    /// At least one ([MQTT-3.8.3-2]).
    pub subscriptions: Vec<Subscription<'a>>,
}

/// One subscription that a SUBSCRIBE asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscription<'a> {
    /// The topics.
    pub filter: TopicFilter<'a>,
    /// How their messages are to come.
    pub options: SubscriptionOptions,
}

impl<'a> Subscription<'a> {
    /// A subscription with those options; a QoS will do.
    pub fn new(filter: TopicFilter<'a>, options: impl Into<SubscriptionOptions>) -> Self {
        Subscription { filter, options: options.into() }
    }

    /// The same subscription, owning its filter.
    pub fn into_owned(self) -> Subscription<'static> {
        Subscription { filter: self.filter.into_owned(), options: self.options }
    }
}

impl<'a> Subscribe<'a> {
    /// The packet without properties.
    pub const fn new(packet_id: PacketId, subscriptions: Vec<Subscription<'a>>) -> Self {
        Subscribe { packet_id, properties: Properties::new(), subscriptions }
    }

    /// The same packet, owning all that it refers to.
    pub fn into_owned(self) -> Subscribe<'static> {
        Subscribe {
            packet_id: self.packet_id,
            properties: self.properties.into_owned(),
            subscriptions: self.subscriptions.into_iter().map(Subscription::into_owned).collect(),
        }
    }

    pub(crate) fn decode(mut reader: Reader<'a>) -> Result<Self, DecodeError> {
        let version = reader.version();
        let packet_id = reader.packet_id()?;
        let properties = reader.properties(PropertyContext::Subscribe)?;
        // [MQTT-3.8.3-2], 3.1.1 [MQTT-3.8.3-3]
        if reader.is_empty() {
            let statement = version.statement("MQTT-3.8.3-3", "MQTT-3.8.3-2");
            return Err(DecodeError::protocol_error(statement, "SUBSCRIBE without a topic filter"));
        }
        let mut subscriptions = Vec::new();
        while !reader.is_empty() {
            let filter = reader.topic_filter()?;
            let options = SubscriptionOptions::from_byte(reader.u8()?, version)?;
            // [MQTT-3.8.3-4]
            if options.no_local && filter.shared().is_some() {
                return Err(DecodeError::protocol_error("MQTT-3.8.3-4", "no local on a shared subscription"));
            }
            subscriptions.push(Subscription { filter, options });
        }
        Ok(Subscribe { packet_id, properties, subscriptions })
    }
}

impl Encode for Subscribe<'_> {
    fn first_byte(&self) -> u8 {
        0x82
    }

    fn remaining_len(&self, version: Version) -> usize {
        let properties = if version.is_v5() { self.properties.encoded_len() } else { 0 };
        let filters = self.subscriptions.iter();
        2 + properties + filters.map(|one| writer::string_len(one.filter.as_str()) + 1).sum::<usize>()
    }

    fn encode_body(&self, version: Version, out: &mut Vec<u8>) {
        writer::u16(out, self.packet_id.get());
        if version.is_v5() {
            self.properties.encode(out);
        }
        for Subscription { filter, options } in &self.subscriptions {
            writer::string(out, filter.as_str());
            out.push(if version.is_v5() { options.to_byte() } else { u8::from(options.qos) });
        }
    }
}
