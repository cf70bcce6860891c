//! What the server of a connection allows, from CONNACK. Before 5.0, and where it says nothing, all is allowed.

use opifex_packet::{Connack, QoS};

use crate::{Message, Refusal};

/// The limits that a server announced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerLimits {
    /// QoS 1 and 2 messages that may be under way to it.
    pub receive_maximum: u16,
    /// The highest QoS of messages to it.
    pub maximum_qos: QoS,
    /// Whether it keeps retained messages.
    pub retain_available: bool,
    /// The longest packet in bytes that it accepts.
    pub maximum_packet_size: usize,
    /// The highest topic alias that it accepts.
    pub topic_alias_maximum: u16,
    /// Whether filters may hold wildcards.
    pub wildcards: bool,
    /// Whether subscriptions may have identifiers.
    pub subscription_identifiers: bool,
    /// Whether subscriptions may be shared.
    pub shared_subscriptions: bool,
}

impl ServerLimits {
    /// What a server that says nothing allows.
    pub(crate) const NONE: ServerLimits = ServerLimits {
        receive_maximum: u16::MAX,
        maximum_qos: QoS::ExactlyOnce,
        retain_available: true,
        maximum_packet_size: opifex_packet::MAX_REMAINING_LENGTH as usize + 5,
        topic_alias_maximum: 0,
        wildcards: true,
        subscription_identifiers: true,
        shared_subscriptions: true,
    };

    pub(crate) fn of(connack: &Connack<'_>) -> Self {
        let said = &connack.properties;
        let none = ServerLimits::NONE;
        ServerLimits {
            receive_maximum: said.receive_maximum().unwrap_or(none.receive_maximum),
            maximum_qos: match said.maximum_qos() {
                Some(0) => QoS::AtMostOnce,
                Some(1) => QoS::AtLeastOnce,
                _ => QoS::ExactlyOnce,
            },
            retain_available: said.retain_available().unwrap_or(true),
            maximum_packet_size: said
                .maximum_packet_size()
                .map_or(none.maximum_packet_size, |size| none.maximum_packet_size.min(size as usize)),
            topic_alias_maximum: said.topic_alias_maximum().unwrap_or(0),
            wildcards: said.wildcard_subscription_available().unwrap_or(true),
            subscription_identifiers: said.subscription_identifier_available().unwrap_or(true),
            shared_subscriptions: said.shared_subscription_available().unwrap_or(true),
        }
    }

    /// Whether the server may be sent that message, all but its size.
    pub(crate) fn check(&self, message: &Message) -> Result<(), Refusal> {
        // [MQTT-3.2.2-11]
        if message.qos > self.maximum_qos {
            return Err(Refusal::forbidden("MQTT-3.2.2-11", "the server does not support this QoS"));
        }
        // [MQTT-3.2.2-14]
        if message.retain && !self.retain_available {
            return Err(Refusal::forbidden("MQTT-3.2.2-14", "the server keeps no retained messages"));
        }
        Ok(())
    }

    /// Whether the server may be sent a packet of that many bytes.
    pub(crate) fn check_size(&self, len: usize) -> Result<(), Refusal> {
        // [MQTT-3.2.2-15]
        if len > self.maximum_packet_size {
            return Err(Refusal::forbidden("MQTT-3.2.2-15", "the packet is longer than the server accepts"));
        }
        Ok(())
    }
}
