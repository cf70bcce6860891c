//! 3.3.2.3.4 topic aliases (5.0).

use opifex_client::{Event, Options};
use opifex_packet::{Connack, Packet, Properties, Property, QoS, ReasonCode, Version};

use crate::peer::{Peer, lasting, message, publish_bytes, success};
use crate::statements;

statements! { "aliases";
    aliases_of_the_server_end_with_the_connection: v5 ["MQTT-3.3.2-7", "U5-22"];
    its_own_aliases_end_with_the_connection: v5 ["MQTT-3.3.2-7"];
    alias_0_and_those_above_the_maximum_end_the_connection: v5 ["MQTT-3.3.2-8", "U5-22"];
    an_alias_of_the_applications_is_not_sent: v5 ["MQTT-3.3.2-8"];
}

/// PUBLISH of the server.
fn aliased(version: Version, topic: &[u8], alias: u8) -> Vec<u8> {
    publish_bytes(version, topic, &[0x23, 0, alias])
}

fn aliases_of_the_server_end_with_the_connection(version: Version) {
    let mut peer = Peer::connected(version);
    peer.arrives(&aliased(version, b"t", 1));
    peer.arrives(&aliased(version, b"", 1));
    assert_eq!(peer.messages(), 2);
    peer.reconnect(true);
    peer.is_ended_by(&aliased(version, b"", 1), ReasonCode::ProtocolError);
}

fn its_own_aliases_end_with_the_connection(version: Version) {
    let connack = |session_present| Connack {
        session_present,
        properties: Properties::new().with(Property::TopicAliasMaximum(5)),
        ..success()
    };
    let mut peer = Peer::accepted(lasting(version), connack(false));
    let publishes = |peer: &mut Peer| {
        peer.machine.publish(message("m", QoS::AtMostOnce)).unwrap();
        let [Packet::Publish(publish)] = &peer.sent()[..] else { panic!() };
        (publish.topic.is_some(), publish.properties.topic_alias())
    };
    assert_eq!(publishes(&mut peer), (true, Some(1)));
    assert_eq!(publishes(&mut peer), (false, Some(1)));
    peer.machine.connection_lost();
    peer.connect(connack(true));
    assert_eq!(publishes(&mut peer), (true, Some(1)));
}

fn alias_0_and_those_above_the_maximum_end_the_connection(version: Version) {
    for (maximum, alias) in [(16, 0), (16, 17), (0, 1)] {
        let options = Options { topic_alias_maximum: maximum, ..lasting(version) };
        for topic in [&b"t"[..], b""] {
            let mut peer = Peer::accepted(options.clone(), success());
            peer.is_ended_by(&aliased(version, topic, alias), ReasonCode::TopicAliasInvalid);
        }
    }
    let mut peer = Peer::accepted(Options { topic_alias_maximum: 16, ..lasting(version) }, success());
    peer.arrives(&aliased(version, b"t", 16));
    assert!(matches!(peer.events().pop(), Some(Event::Message { .. })));
}

fn an_alias_of_the_applications_is_not_sent(version: Version) {
    for alias in [0, 1] {
        let mut peer = Peer::connected(version);
        let properties = Properties::new().with(Property::TopicAlias(alias));
        let aliased = opifex_client::Message { properties, ..message("m", QoS::AtMostOnce) };
        assert!(peer.machine.publish(aliased).is_err());
        assert_eq!(peer.sent(), []);
    }
}
