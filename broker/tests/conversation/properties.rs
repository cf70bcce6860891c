//! What 5.0 adds to a message and to a connection: passed on, translated, or kept to one hop.

use opifex_broker::Limits;
use opifex_packet::{Properties, Property, Publish, QoS, ReasonCode, TopicName, Version};

use crate::backend::conversations;
use crate::peer::*;

conversations!(
    every_property_of_a_message_is_passed_on_live_retained_queued_and_shared,
    message_expiry_is_passed_on_as_what_remains,
    a_message_that_waits_for_the_window_expires_there,
    a_client_sets_topic_aliases,
    the_broker_sets_topic_aliases_where_the_client_takes_them,
    overlapping_subscriptions_bring_one_message_with_all_their_identifiers,
    no_local_holds_for_the_publisher_alone,
    a_client_without_an_id_is_given_one,
    a_request_finds_its_response,
);

const QOS: [QoS; 3] = [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce];

/// A message with everything that is passed on.
fn rich(topic: &str, qos: QoS) -> Publish<'static> {
    let mut packet = publish(topic, "payload", qos);
    packet.properties = Properties::new()
        .with(Property::PayloadFormatIndicator(true))
        .with(Property::ContentType("text/plain"))
        .with(Property::ResponseTopic("reply/to"))
        .with(Property::CorrelationData(b"\x00\xff"))
        .with(Property::UserProperty("b", "1"))
        .with(Property::UserProperty("a", "2"))
        .with(Property::UserProperty("b", "3"))
        .with(Property::UserProperty("b", "1"));
    packet
}

fn assert_rich(publish: &Publish<'_>) {
    let properties = &publish.properties;
    assert_eq!(properties.payload_format_indicator(), Some(true));
    assert_eq!(properties.content_type(), Some("text/plain"));
    assert_eq!(properties.response_topic(), Some("reply/to"));
    assert_eq!(properties.correlation_data(), Some(&b"\x00\xff"[..]));
    let user: Vec<_> = properties.user_properties().collect();
    assert_eq!(user, [("b", "1"), ("a", "2"), ("b", "3"), ("b", "1")], "[MQTT-3.3.2-18]");
    assert_eq!(text(publish), "payload");
}

async fn every_property_of_a_message_is_passed_on_live_retained_queued_and_shared() {
    let broker = broker().await;
    let mut sender = Peer::v5(&broker, "s").await;
    for qos in QOS {
        let mut plain = Peer::v5(&broker, "plain").await;
        let (mut durable, _) = Peer::connect(&broker, connect_durable(Version::V5_0, "durable")).await;
        let mut shared = Peer::v5(&broker, "shared").await;
        let mut old = Peer::v4(&broker, "old").await;
        plain.subscribe("a", qos).await;
        durable.subscribe("a", qos).await;
        shared.subscribe("$share/g/a", qos).await;
        old.subscribe("a", qos).await;
        for retain in [false, true] {
            let mut packet = rich("a", qos);
            packet.retain = retain;
            sender.publish_packet(packet).await;
            for peer in [&mut plain, &mut durable, &mut shared] {
                assert_rich(&peer.receive_acknowledged().await);
            }
            assert!(old.receive_acknowledged().await.properties.is_empty());
        }
        let mut late = Peer::v5(&broker, "late").await;
        late.subscribe("a", qos).await;
        assert_rich(&late.receive_acknowledged().await);
        durable.vanish(&broker).await;
        if qos > QoS::AtMostOnce {
            sender.publish_packet(rich("a", qos)).await;
            let (mut durable, _) = Peer::connect(&broker, connect_durable(Version::V5_0, "durable")).await;
            assert_rich(&durable.receive_acknowledged().await);
            durable.disconnect(&broker).await;
        }
        for peer in [plain, shared, old, late] {
            peer.vanish(&broker).await;
        }
        sender.publish_retained("a", "", QoS::AtLeastOnce).await;
        let (clean, _) = Peer::connect(&broker, connect(Version::V5_0, "durable")).await;
        clean.disconnect(&broker).await;
    }
}

async fn message_expiry_is_passed_on_as_what_remains() {
    let broker = broker().await;
    let mut sender = Peer::v5(&broker, "s").await;
    let expiring = |topic, secs| {
        let mut packet = publish(topic, "x", QoS::AtLeastOnce);
        packet.properties.push(Property::MessageExpiryInterval(secs));
        packet
    };
    let (mut peer, _) = Peer::connect(&broker, connect_durable(Version::V5_0, "c")).await;
    let mut plain = Peer::v5(&broker, "plain").await;
    peer.subscribe("a", QoS::AtLeastOnce).await;
    plain.subscribe("a", QoS::AtLeastOnce).await;
    sender.publish_packet(expiring("a", 100)).await;
    for peer in [&mut peer, &mut plain] {
        assert_eq!(peer.receive_acknowledged().await.properties.message_expiry_interval(), Some(100));
    }
    plain.disconnect(&broker).await;
    peer.vanish(&broker).await;
    sender.publish_packet(expiring("a", 20)).await;
    sender.publish_packet(expiring("a", 100)).await;
    pass_secs(30).await;
    let (mut peer, _) = Peer::connect(&broker, connect_durable(Version::V5_0, "c")).await;
    assert_eq!(peer.receive_acknowledged().await.properties.message_expiry_interval(), Some(70));
    peer.expect_silence().await;
    assert_eq!(broker.stats().dropped(opifex_broker::DropCause::Expired), 1);
}

async fn a_message_that_waits_for_the_window_expires_there() {
    let broker = broker().await;
    let mut sender = Peer::v5(&broker, "s").await;
    for durable in [false, true] {
        let version = Version::V5_0;
        let mut hello = if durable { connect_durable(version, "c") } else { connect(version, "c") };
        hello.properties.push(Property::ReceiveMaximum(1));
        let (mut peer, _) = Peer::connect(&broker, hello).await;
        peer.subscribe("a", QoS::AtLeastOnce).await;
        for (payload, secs) in [("first", 1_000), ("short", 10), ("long", 100)] {
            let mut packet = publish("a", payload, QoS::AtLeastOnce);
            packet.properties.push(Property::MessageExpiryInterval(secs));
            sender.publish_packet(packet).await;
        }
        let first = peer.receive_publish().await;
        pass_secs(30).await;
        peer.acknowledge(&first).await;
        let next = peer.receive_acknowledged().await;
        assert_eq!((text(&next).as_str(), next.properties.message_expiry_interval()), ("long", Some(70)));
        peer.expect_silence().await;
        peer.disconnect(&broker).await;
    }
    assert_eq!(broker.stats().dropped(opifex_broker::DropCause::Expired), 2);
}

async fn a_client_sets_topic_aliases() {
    let broker = broker_with_limits(Limits { topic_alias_maximum: 3, ..Limits::default() }).await;
    let mut plain = Peer::v5(&broker, "plain").await;
    let (mut durable, _) = Peer::connect(&broker, connect_durable(Version::V5_0, "durable")).await;
    let mut old = Peer::v4(&broker, "old").await;
    for peer in [&mut plain, &mut durable, &mut old] {
        peer.subscribe("#", QoS::ExactlyOnce).await;
    }
    let mut sender = Peer::v5(&broker, "s").await;
    let aliased = |topic: Option<&str>, alias, payload: &str, qos| {
        let mut packet = publish("unused", payload, qos);
        packet.topic = topic.map(|topic| TopicName::new(topic.to_owned()).unwrap());
        packet.properties.push(Property::TopicAlias(alias));
        packet
    };
    for qos in QOS {
        for (topic, alias, expected) in [
            (Some("one"), 1, "one"),
            (None, 1, "one"),
            (Some("three"), 3, "three"),
            (None, 1, "one"),
            (None, 3, "three"),
            // An alias is set anew.
            (Some("other"), 1, "other"),
            (None, 1, "other"),
        ] {
            sender.publish_packet(aliased(topic, alias, "x", qos)).await;
            for peer in [&mut plain, &mut durable, &mut old] {
                let publish = peer.receive_acknowledged().await;
                assert_eq!(publish.topic.as_ref().unwrap().as_str(), expected);
                assert_eq!(publish.properties.topic_alias(), None);
            }
        }
    }
    // All in one write.
    for n in 0..3 {
        sender.feed(aliased(Some("fed"), 2, &n.to_string(), QoS::AtMostOnce));
        sender.feed(aliased(None, 2, &n.to_string(), QoS::AtMostOnce));
    }
    sender.flush().await;
    for _ in 0..6 {
        assert_eq!(plain.receive_publish().await.topic.unwrap().as_str(), "fed");
    }
    for (alias, reason) in [(4, ReasonCode::TopicAliasInvalid), (2, ReasonCode::ProtocolError)] {
        // Aliases last as long as the connection, so 2 is not set.
        let mut sender = Peer::v5(&broker, "s2").await;
        sender.send(aliased(None, alias, "x", QoS::AtMostOnce)).await;
        sender.expect_disconnect(reason).await;
    }
}

async fn the_broker_sets_topic_aliases_where_the_client_takes_them() {
    let limits = Limits { max_outgoing_topic_aliases: 2, ..Limits::default() };
    let broker = broker_with_limits(limits).await;
    let mut sender = Peer::v5(&broker, "s").await;
    for (takes, sets) in [(0, 0), (1, 1), (9, 2)] {
        for version in [connect(Version::V5_0, "c"), connect_durable(Version::V5_0, "c")] {
            let mut hello = version;
            hello.properties.push(Property::TopicAliasMaximum(takes));
            let (mut peer, _) = Peer::connect(&broker, hello).await;
            peer.subscribe("t/#", QoS::ExactlyOnce).await;
            let mut known: std::collections::HashMap<u16, String> = Default::default();
            for qos in QOS {
                for topic in ["t/1", "t/2", "t/3", "t/1", "t/2", "t/3"] {
                    sender.publish(topic, topic, qos).await;
                    let publish = peer.receive_acknowledged().await;
                    let alias = publish.properties.topic_alias();
                    if let (Some(alias), Some(topic)) = (alias, &publish.topic) {
                        assert!(alias > 0 && alias <= takes);
                        known.insert(alias, topic.as_str().to_owned());
                    }
                    let meant = match (&publish.topic, alias) {
                        (Some(topic), _) => topic.as_str().to_owned(),
                        (None, alias) => known[&alias.unwrap()].clone(),
                    };
                    assert_eq!(meant, text(&publish));
                }
            }
            assert_eq!(known.len(), sets);
            peer.disconnect(&broker).await;
        }
    }
}

async fn overlapping_subscriptions_bring_one_message_with_all_their_identifiers() {
    let broker = broker().await;
    let mut sender = Peer::v5(&broker, "s").await;
    for hello in [connect(Version::V5_0, "c"), connect_durable(Version::V5_0, "c")] {
        let (mut peer, _) = Peer::connect(&broker, hello).await;
        peer.subscribe_with("a/b", options(QoS::AtMostOnce), Some(1)).await;
        peer.subscribe_with("a/+", options(QoS::ExactlyOnce), Some(268_435_455)).await;
        peer.subscribe_with("#", options(QoS::AtLeastOnce), None).await;
        peer.subscribe_with("a/#", options(QoS::AtMostOnce), Some(300)).await;
        for qos in QOS {
            sender.publish("a/b", "x", qos).await;
            let publish = peer.receive_acknowledged().await;
            assert_eq!(publish.qos(), qos, "[MQTT-3.3.4-2]");
            let mut ids: Vec<_> = publish.properties.subscription_identifiers().collect();
            ids.sort_unstable();
            assert_eq!(ids, [1, 300, 268_435_455]);
            sender.publish("other", "x", qos).await;
            let publish = peer.receive_acknowledged().await;
            assert_eq!(publish.properties.subscription_identifiers().count(), 0);
        }
        // A subscription made again has the identifier of the new one.
        peer.subscribe_with("a/b", options(QoS::AtMostOnce), Some(2)).await;
        peer.unsubscribe("a/#").await;
        sender.publish("a/b", "x", QoS::AtMostOnce).await;
        let publish = peer.receive_acknowledged().await;
        let mut ids: Vec<_> = publish.properties.subscription_identifiers().collect();
        ids.sort_unstable();
        assert_eq!(ids, [2, 268_435_455]);
        peer.disconnect(&broker).await;
    }
}

async fn no_local_holds_for_the_publisher_alone() {
    let broker = broker().await;
    let mut wanted = options(QoS::AtLeastOnce);
    wanted.no_local = true;
    for hello in [connect(Version::V5_0, "c"), connect_durable(Version::V5_0, "c")] {
        let (mut peer, _) = Peer::connect(&broker, hello).await;
        peer.subscribe_with("a", wanted, None).await;
        for qos in QOS {
            peer.publish("a", "own", qos).await;
            peer.publish_retained("a", "", qos).await;
        }
        peer.expect_silence().await;
        let mut sender = Peer::v5(&broker, "s").await;
        sender.publish("a", "x", QoS::AtLeastOnce).await;
        assert_eq!(peer.receive_text().await, "x");
        // An overlapping subscription without the option gets it.
        peer.subscribe_with("+", options(QoS::AtMostOnce), None).await;
        peer.publish("a", "own", QoS::AtMostOnce).await;
        assert_eq!(peer.receive_text().await, "own");
        peer.vanish(&broker).await;
        sender.disconnect(&broker).await;
    }
}

async fn a_client_without_an_id_is_given_one() {
    let broker = broker().await;
    let (first, connack) = Peer::connect(&broker, connect(Version::V5_0, "")).await;
    let given = connack.properties.assigned_client_identifier().unwrap().to_owned();
    let (_second, connack) = Peer::connect(&broker, connect(Version::V5_0, "")).await;
    assert_ne!(connack.properties.assigned_client_identifier(), Some(given.as_str()));
    first.disconnect(&broker).await;
    // It can be used from then on.
    let (peer, connack) = Peer::connect(&broker, connect_durable(Version::V5_0, "")).await;
    let given = connack.properties.assigned_client_identifier().unwrap().to_owned();
    peer.disconnect(&broker).await;
    let (_peer, connack) = Peer::connect(&broker, connect_durable(Version::V5_0, &given)).await;
    assert!(connack.session_present);
    assert_eq!(connack.properties.assigned_client_identifier(), None);
    Peer::connect(&broker, connect(Version::V3_1_1, "")).await;
    let mut stored = connect(Version::V3_1_1, "");
    stored.clean_start = false;
    Peer::refused(&broker, stored, ReasonCode::ClientIdentifierNotValid).await;
    Peer::refused(&broker, connect(Version::V3_1, ""), ReasonCode::ClientIdentifierNotValid).await;
}

async fn a_request_finds_its_response() {
    let broker = broker().await;
    let mut server = Peer::v5(&broker, "server").await;
    server.subscribe("service", QoS::AtLeastOnce).await;
    let mut client = Peer::v5(&broker, "client").await;
    client.subscribe("answers/client", QoS::AtLeastOnce).await;
    let mut request = publish("service", "2+2", QoS::AtLeastOnce);
    request.properties.push(Property::ResponseTopic("answers/client"));
    request.properties.push(Property::CorrelationData(b"42"));
    client.publish_packet(request).await;
    let request = server.receive_acknowledged().await;
    let mut response = publish(request.properties.response_topic().unwrap(), "4", QoS::AtLeastOnce);
    response.properties.push(Property::CorrelationData(request.properties.correlation_data().unwrap()));
    server.publish_packet(response).await;
    let response = client.receive_acknowledged().await;
    assert_eq!(response.properties.correlation_data(), Some(&b"42"[..]));
}
