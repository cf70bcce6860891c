//! PUBLISH.

use ReasonCode::{MalformedPacket, ProtocolError, TopicAliasInvalid};
use opifex_packet::raw::RawPacket;
use opifex_packet::*;

use super::*;

#[test]
fn a_topic_name_is_there_and_without_wildcards() {
    for version in Version::ALL {
        for topic in ["+", "a/#", "a+"] {
            let packet = RawPacket::new(0x30).string(topic).properties([]);
            refused(packet, version, Role::Server, "MQTT-3.3.2-2", MalformedPacket);
        }
    }
    for version in V3 {
        refused(RawPacket::new(0x30).string(""), version, Role::Server, "MQTT-4.7.3-1", MalformedPacket);
    }
    let nothing = RawPacket::new(0x30).string("").properties([]);
    refused(nothing, Version::V5_0, Role::Server, "MQTT5 3.3.2.1", ProtocolError);
    let aliased = RawPacket::new(0x30).string("").properties(block([Property::TopicAlias(1)]));
    accepted(aliased, Version::V5_0, Role::Server);
}

#[test]
fn topic_alias_0_is_refused() {
    let packet = publish_with(block([Property::TopicAlias(0)]));
    refused(packet, Version::V5_0, Role::Server, "MQTT-3.3.2-8", TopicAliasInvalid);
}

#[test]
fn a_response_topic_is_a_topic_name() {
    for (topic, statement, reason) in [
        ("a/+", "MQTT-3.3.2-14", ProtocolError),
        ("#", "MQTT-3.3.2-14", ProtocolError),
        ("", "MQTT-4.7.3-1", MalformedPacket),
    ] {
        let properties = block([Property::ResponseTopic(topic)]);
        refused(publish_with(&properties), Version::V5_0, Role::Client, statement, reason);
        let will = connect(Version::V5_0, 0x04).string("c").properties(&properties).string("t").string("");
        refused(will, Version::V5_0, Role::Server, statement, reason);
    }
}

#[test]
fn a_subscription_identifier_comes_from_a_server_only() {
    let packet =
        publish_with(block([Property::SubscriptionIdentifier(1), Property::SubscriptionIdentifier(2)]));
    accepted(packet.clone(), Version::V5_0, Role::Client);
    refused(packet, Version::V5_0, Role::Server, "MQTT-3.3.4-6", ProtocolError);
}
