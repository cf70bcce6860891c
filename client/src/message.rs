//! A message, on its way to a server or from one. Packet ids, DUP and topic aliases belong to a connection and are not
//! in here.

use bytes::Bytes;
use opifex_packet::{Properties, Publish, QoS, TopicName};

/// A message. A copy of it shares the payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Where it is published.
    pub topic: TopicName<'static>,
    /// What is published.
    pub payload: Bytes,
    /// What is promised about its delivery.
    pub qos: QoS,
    /// To a server: keep it. From a server: it was kept.
    pub retain: bool,
    /// 5.0. Without a topic alias: the machine chooses and resolves those.
    pub properties: Properties<'static>,
}

impl Message {
    /// A QoS 0 message, not retained, without properties.
    pub fn new(topic: TopicName<'_>, payload: impl Into<Bytes>) -> Self {
        Message {
            topic: topic.into_owned(),
            payload: payload.into(),
            qos: QoS::AtMostOnce,
            retain: false,
            properties: Properties::new(),
        }
    }

    /// The same message with that QoS.
    #[must_use]
    pub fn with_qos(mut self, qos: QoS) -> Self {
        self.qos = qos;
        self
    }

    /// What it counts for where bytes are limited.
    pub(crate) fn bytes(&self) -> usize {
        self.payload.len() + self.properties.as_bytes().len() + self.topic.as_str().len()
    }

    /// The message of a PUBLISH whose topic is known.
    pub(crate) fn received(topic: TopicName<'static>, publish: &Publish<'_>) -> Self {
        const TOPIC_ALIAS: u8 = 0x23;
        let properties = if publish.properties.contains(TOPIC_ALIAS) {
            publish.properties.retain(|property| property.id() != TOPIC_ALIAS)
        } else {
            publish.properties.clone().into_owned()
        };
        Message {
            topic,
            payload: Bytes::copy_from_slice(&publish.payload),
            qos: publish.qos(),
            retain: publish.retain,
            properties,
        }
    }
}
