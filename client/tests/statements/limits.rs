//! What the server announced in CONNACK: the client keeps to it.

use opifex_client::{Message, Options, Refusal};
use opifex_packet::{
    Connack, Packet, Properties, Property, Puback, QoS, Subscription, TopicFilter, TopicName, Version,
};

use crate::peer::{Peer, id, lasting, message, publish, publishes, success};
use crate::statements;

statements! { "limits";
    no_message_is_above_the_maximum_qos: v5 ["MQTT-3.2.2-11", "U5-19"];
    nothing_is_retained_where_that_is_not_available: v5 ["MQTT-3.2.2-14", "U5-20"];
    no_packet_is_larger_than_the_server_takes: v5 ["MQTT-3.2.2-15", "U5-5"];
    aliases_stay_within_the_servers_maximum:
        v5 ["MQTT-3.2.2-17", "MQTT-3.2.2-18", "MQTT-3.3.2-8", "MQTT-3.3.2-9", "U5-6"];
    unacknowledged_messages_stay_within_the_receive_maximum: v5 ["MQTT-3.3.4-7", "MQTT-4.9.0-1", "MQTT-4.9.0-2"];
    a_full_window_delays_messages_alone: v5 ["MQTT-3.3.4-8", "MQTT-4.9.0-3"];
    filters_are_those_that_the_server_knows: v5 ["U5-16", "U5-17", "U5-18"];
    a_message_carries_no_subscription_identifier: v5 ["MQTT-3.3.4-6"];
}

/// A client of a server that announces this.
fn announced(version: Version, property: Property<'_>) -> Peer {
    let properties = Properties::new().with(property);
    Peer::accepted(lasting(version), Connack { properties, ..success() })
}

fn is_forbidden<T: std::fmt::Debug>(answer: Result<T, Refusal>) {
    assert!(matches!(answer, Err(Refusal::Forbidden { .. })), "{answer:?}");
}

fn no_message_is_above_the_maximum_qos(version: Version) {
    for (maximum, qos) in [(0, QoS::AtLeastOnce), (1, QoS::ExactlyOnce)] {
        let mut peer = announced(version, Property::MaximumQoS(maximum));
        is_forbidden(peer.machine.publish(message("m", qos)));
        assert_eq!(peer.sent(), []);
        // One that was accepted before the server was known is not sent either.
        let mut peer = Peer::new(lasting(version));
        peer.publish("early", qos);
        let properties = Properties::new().with(Property::MaximumQoS(maximum));
        assert_eq!(peer.connect(Connack { properties, ..success() }), []);
    }
}

fn nothing_is_retained_where_that_is_not_available(version: Version) {
    let mut peer = announced(version, Property::RetainAvailable(false));
    let kept = Message { retain: true, ..message("m", QoS::AtMostOnce) };
    is_forbidden(peer.machine.publish(kept));
    assert_eq!(peer.sent(), []);
}

fn no_packet_is_larger_than_the_server_takes(version: Version) {
    let mut peer = announced(version, Property::MaximumPacketSize(40));
    let long = || TopicName::new("t".repeat(60)).unwrap();
    is_forbidden(peer.machine.publish(Message::new(long(), "m")));
    is_forbidden(peer.machine.publish(Message::new(long(), "m").with_qos(QoS::AtLeastOnce)));
    let filter = || TopicFilter::new("f".repeat(60)).unwrap();
    is_forbidden(
        peer.machine.subscribe(vec![Subscription::new(filter(), QoS::AtMostOnce)], Properties::new()),
    );
    is_forbidden(peer.machine.unsubscribe(vec![filter()], Properties::new()));
    assert_eq!(peer.sent(), []);
    // The longest that fits goes out.
    let mut longest = 0;
    for len in 1..60 {
        let sized = Message::new(TopicName::new("t".repeat(len)).unwrap(), "m");
        if peer.machine.publish(sized).is_ok() {
            longest = longest.max(peer.sent_bytes().len());
        }
    }
    assert_eq!(longest, 40);
}

fn aliases_stay_within_the_servers_maximum(version: Version) {
    for maximum in [None, Some(0), Some(2)] {
        let options = Options { topic_aliases: 10, ..lasting(version) };
        let mut properties = Properties::new();
        if let Some(maximum) = maximum {
            properties = properties.with(Property::TopicAliasMaximum(maximum));
        }
        let mut peer = Peer::accepted(options, Connack { properties, ..success() });
        let mut highest = 0;
        for round in 0..30 {
            let topic = TopicName::new(format!("t/{}", round % 5)).unwrap();
            peer.machine.publish(Message::new(topic, "m")).unwrap();
            let [Packet::Publish(publish)] = &peer.sent()[..] else { panic!() };
            let alias = publish.properties.topic_alias();
            assert!(alias != Some(0) && (alias.is_some() || publish.topic.is_some()));
            highest = highest.max(alias.unwrap_or(0));
        }
        assert_eq!(highest, maximum.unwrap_or(0));
    }
}

fn unacknowledged_messages_stay_within_the_receive_maximum(version: Version) {
    let mut peer = announced(version, Property::ReceiveMaximum(3));
    for _ in 0..8 {
        peer.publish("m", QoS::AtLeastOnce);
    }
    let first = publishes(&peer.sent());
    assert_eq!(first.len(), 3);
    // Each acknowledgement lets one more go.
    for (_, packet_id, _) in first {
        assert_eq!(publishes(&peer.gets(Puback::new(id(packet_id)))).len(), 1);
    }
}

fn a_full_window_delays_messages_alone(version: Version) {
    let mut peer = announced(version, Property::ReceiveMaximum(1));
    peer.publish("1", QoS::AtLeastOnce);
    peer.publish("2", QoS::AtLeastOnce);
    assert_eq!(publishes(&peer.sent()).len(), 1);
    let filter = || TopicFilter::new("f").unwrap();
    peer.machine.subscribe(vec![Subscription::new(filter(), QoS::AtMostOnce)], Properties::new()).unwrap();
    assert!(matches!(peer.sent()[..], [Packet::Subscribe(_)]));
    peer.machine.unsubscribe(vec![filter()], Properties::new()).unwrap();
    assert!(matches!(peer.sent()[..], [Packet::Unsubscribe(_)]));
    assert!(matches!(peer.gets(publish(QoS::AtLeastOnce, 9))[..], [Packet::Puback(_)]));
    assert!(matches!(peer.gets(publish(QoS::ExactlyOnce, 9))[..], [Packet::Pubrec(_)]));
}

fn filters_are_those_that_the_server_knows(version: Version) {
    let subscribe = |peer: &mut Peer, filter: &'static str, properties: Properties<'static>| {
        let subscription = Subscription::new(TopicFilter::new(filter).unwrap(), QoS::AtMostOnce);
        peer.machine.subscribe(vec![subscription], properties)
    };
    let identifier = || Properties::new().with(Property::SubscriptionIdentifier(1));
    for (property, filter, properties) in [
        (Property::WildcardSubscriptionAvailable(false), "a/#", Properties::new()),
        (Property::SubscriptionIdentifierAvailable(false), "a", identifier()),
        (Property::SharedSubscriptionAvailable(false), "$share/g/a", Properties::new()),
    ] {
        let mut peer = announced(version, property);
        is_forbidden(subscribe(&mut peer, filter, properties.clone()));
        assert_eq!(peer.sent(), []);
        let mut peer = Peer::connected(version);
        subscribe(&mut peer, filter, properties).unwrap();
        assert!(matches!(peer.sent()[..], [Packet::Subscribe(_)]));
    }
}

fn a_message_carries_no_subscription_identifier(version: Version) {
    let mut peer = Peer::connected(version);
    let properties = Properties::new().with(Property::SubscriptionIdentifier(1));
    is_forbidden(peer.machine.publish(Message { properties, ..message("m", QoS::AtMostOnce) }));
    assert_eq!(peer.sent(), []);
}
