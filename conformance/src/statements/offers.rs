//! What a broker announces in the CONNACK of 5.0. A broker without 5.0 announces nothing, and is taken to offer what a
//! CONNACK without properties would.

use opifex_packet::{Connack, Packet, Property, QoS, Version};

use super::stop::Stop;

/// A broker's limits, as far as they matter to cases.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offers {
    /// Highest QoS that may be published.
    pub maximum_qos: QoS,
    /// Whether retained messages are kept.
    pub retain: bool,
    /// Whether subscriptions may have wildcards.
    pub wildcards: bool,
    /// Whether subscriptions may have identifiers.
    pub subscription_identifiers: bool,
    /// Whether subscriptions may be shared.
    pub shared: bool,
    /// Unacknowledged QoS 1 and 2 messages at once.
    pub receive_maximum: u16,
    /// The highest topic alias.
    pub topic_alias_maximum: u16,
    /// The longest packet, in bytes.
    pub maximum_packet_size: Option<u32>,
    /// The keep-alive in seconds that replaces the client's.
    pub server_keep_alive: Option<u16>,
}

impl Offers {
    /// What this CONNACK announces.
    pub fn of(connack: &Connack<'_>) -> Offers {
        let properties = &connack.properties;
        Offers {
            maximum_qos: match properties.maximum_qos() {
                Some(0) => QoS::AtMostOnce,
                Some(1) => QoS::AtLeastOnce,
                _ => QoS::ExactlyOnce,
            },
            retain: properties.retain_available().unwrap_or(true),
            wildcards: properties.wildcard_subscription_available().unwrap_or(true),
            subscription_identifiers: properties.subscription_identifier_available().unwrap_or(true),
            shared: properties.shared_subscription_available().unwrap_or(true),
            receive_maximum: properties.receive_maximum().unwrap_or(u16::MAX),
            topic_alias_maximum: properties.topic_alias_maximum().unwrap_or(0),
            maximum_packet_size: properties.maximum_packet_size(),
            server_keep_alive: properties.server_keep_alive(),
        }
    }
}

impl Offers {
    /// Whether the broker offers to take that packet; if not, the case that sends it does not apply.
    pub(crate) fn allow(&self, packet: &Packet<'_>, version: Version) -> Result<(), Stop> {
        let needs = |offered: bool, what: String| if offered { Ok(()) } else { Err(Stop::needs(what)) };
        let message = |qos: QoS, retain: bool| {
            needs(qos <= self.maximum_qos, format!("{qos:?} messages"))?;
            needs(self.retain || !retain, "retained messages".to_owned())
        };
        match packet {
            Packet::Connect(connect) => {
                if let Some(will) = &connect.will {
                    message(will.qos, will.retain)?;
                }
            }
            Packet::Publish(publish) => {
                message(publish.qos(), publish.retain)?;
                let alias = publish.properties.topic_alias().unwrap_or(0);
                needs(alias <= self.topic_alias_maximum, format!("topic alias {alias}"))?;
            }
            Packet::Subscribe(subscribe) => {
                let identified = subscribe
                    .properties
                    .iter()
                    .any(|property| matches!(property, Property::SubscriptionIdentifier(_)));
                needs(self.subscription_identifiers || !identified, "subscription identifiers".to_owned())?;
                for subscription in &subscribe.subscriptions {
                    let wildcards = subscription.filter.has_wildcards();
                    needs(self.wildcards || !wildcards, "wildcard subscriptions".to_owned())?;
                    let shared = version.is_v5() && subscription.filter.as_str().starts_with("$share/");
                    needs(self.shared || !shared, "shared subscriptions".to_owned())?;
                }
            }
            _ => {}
        }
        if let Some(limit) = self.maximum_packet_size {
            let mut bytes = Vec::new();
            packet.encode(version, &mut bytes);
            needs(bytes.len() <= limit as usize, format!("packets of {} bytes", bytes.len()))?;
        }
        Ok(())
    }
}

impl Default for Offers {
    fn default() -> Offers {
        Offers {
            maximum_qos: QoS::ExactlyOnce,
            retain: true,
            wildcards: true,
            subscription_identifiers: true,
            shared: true,
            receive_maximum: u16::MAX,
            topic_alias_maximum: 0,
            maximum_packet_size: None,
            server_keep_alive: None,
        }
    }
}
