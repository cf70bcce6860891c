//! PUBLISH: topics, QoS, packet ids, aliases, and what the broker has announced not to take.

use opifex_broker::Limits;
use opifex_packet::raw::RawPacket;
use opifex_packet::{Delivery, Property, QoS, ReasonCode, Version};

use crate::house::House;
use crate::peer::*;

#[tokio::test]
async fn qos_3_closes() {
    let mut house = House::start().await;
    let packet = |version| no_properties(RawPacket::new(0x36).string("t").u16(1), version);
    house.closes_in(&ALL, packet, ReasonCode::MalformedPacket).await;
    house.finish().await;
}

#[tokio::test]
async fn dup_with_qos_0_closes() {
    let mut house = House::start().await;
    let packet = |version| no_properties(RawPacket::new(0x38).string("t"), version);
    house.closes_in(&[Version::V3_1_1, Version::V5_0], packet, ReasonCode::MalformedPacket).await;
    house.finish().await;
}

#[tokio::test]
async fn packet_id_0_closes() {
    let mut house = House::start().await;
    for first_byte in [0x32, 0x34] {
        let packet = |version| no_properties(RawPacket::new(first_byte).string("t").u16(0), version);
        house.closes_in(&ALL, packet, ReasonCode::MalformedPacket).await;
    }
    house.finish().await;
}

#[tokio::test]
async fn a_missing_packet_id_closes() {
    let mut house = House::start().await;
    for first_byte in [0x32, 0x34] {
        let packet = |_| RawPacket::new(first_byte).string("t");
        house.closes_in(&ALL, packet, ReasonCode::MalformedPacket).await;
    }
    house.finish().await;
}

#[tokio::test]
async fn a_wildcard_in_a_topic_name_closes() {
    let mut house = House::start().await;
    for topic in ["#", "+", "a/+/b", "a/#", "bystander/#", "a+b"] {
        let packet = |version| raw_publish(version, topic.as_bytes());
        house.closes_in(&ALL, packet, ReasonCode::MalformedPacket).await;
    }
    house.finish().await;
}

#[tokio::test]
async fn bad_text_in_a_topic_name_closes() {
    let mut house = House::start().await;
    for bad in BAD_TEXT {
        house.closes_in(&ALL, |version| raw_publish(version, bad), ReasonCode::MalformedPacket).await;
    }
    house.finish().await;
}

#[tokio::test]
async fn an_empty_topic_closes() {
    let mut house = House::start().await;
    house.closes_in(&V3, |version| raw_publish(version, b""), ReasonCode::MalformedPacket).await;
    house.closes_in(&V5, |version| raw_publish(version, b""), ReasonCode::ProtocolError).await;
    house.finish().await;
}

#[tokio::test]
async fn a_topic_that_is_too_deep_closes() {
    let mut house = House::start().await;
    for topic in ["/".repeat(128), "a/".repeat(300), "/".repeat(65_535)] {
        let packet = |version| raw_publish(version, topic.as_bytes());
        house.closes_in(&ALL, packet, ReasonCode::TopicNameInvalid).await;
    }
    let mut peer = house.connected(Version::V3_1_1, "just").await;
    peer.send(publish(&"/".repeat(127), "as deep as may be", QoS::AtLeastOnce)).await;
    peer.receive_puback().await;
    drop(peer);
    house.finish().await;
}

#[tokio::test]
async fn topic_alias_0_closes() {
    let mut house = House::start().await;
    let packet = |_| RawPacket::new(0x30).string("t").properties([0x23, 0, 0]);
    house.closes_in(&V5, packet, ReasonCode::TopicAliasInvalid).await;
    house.finish().await;
}

#[tokio::test]
async fn a_topic_alias_above_the_maximum_closes() {
    let mut house = House::with_limits(Limits { topic_alias_maximum: 3, ..Limits::default() }).await;
    for alias in [4, 5, 65_535] {
        for topic in ["t", ""] {
            let block = [&[0x23][..], &u16::to_be_bytes(alias)].concat();
            let packet = |_| RawPacket::new(0x30).string(topic).properties(&block);
            house.closes_in(&V5, packet, ReasonCode::TopicAliasInvalid).await;
        }
    }
    house.finish().await;
}

#[tokio::test]
async fn a_topic_alias_where_none_is_granted_closes() {
    let mut house = House::with_limits(Limits { topic_alias_maximum: 0, ..Limits::default() }).await;
    let packet = |_| RawPacket::new(0x30).string("t").properties([0x23, 0, 1]);
    house.closes_in(&V5, packet, ReasonCode::TopicAliasInvalid).await;
    house.finish().await;
}

#[tokio::test]
async fn a_topic_alias_that_was_never_set_closes() {
    let mut house = House::start().await;
    let packet = |_| RawPacket::new(0x30).string("").properties([0x23, 0, 7]);
    house.closes_in(&V5, packet, ReasonCode::ProtocolError).await;
    house.finish().await;
}

#[tokio::test]
async fn a_topic_alias_does_not_outlive_its_connection() {
    let mut house = House::start().await;
    let connect = durable(Version::V5_0, "aliaser");
    let mut peer = Peer::connected_with(house.address, connect.clone()).await.0;
    let mut first = publish("t", "sets it", QoS::AtLeastOnce);
    first.properties.push(Property::TopicAlias(1));
    peer.send(first.clone()).await;
    peer.receive_puback().await;
    drop(peer);
    let mut peer = Peer::connected_with(house.address, connect).await.0;
    first.topic = None;
    peer.send(first).await;
    peer.expect_disconnected(ReasonCode::ProtocolError).await;
    house.bystanders_are_served().await;
    house.shut_down().await;
}

#[tokio::test]
async fn exceeding_the_receive_maximum_with_qos_2_closes() {
    let mut house = House::with_limits(Limits { receive_maximum: 5, ..Limits::default() }).await;
    let mut peer = house.connected(Version::V5_0, "greedy").await;
    for n in 1..=5 {
        peer.send(publish_as(n, "t", "within", QoS::ExactlyOnce)).await;
        assert!(matches!(peer.receive().await, opifex_packet::Packet::Pubrec(_)));
    }
    peer.send(publish_as(6, "t", "beyond", QoS::ExactlyOnce)).await;
    peer.expect_disconnected(ReasonCode::ReceiveMaximumExceeded).await;
    house.bystanders_are_served().await;
    house.finish().await;
}

#[tokio::test]
async fn a_qos_above_the_maximum_closes() {
    let mut house = House::with_limits(Limits { max_qos: QoS::AtLeastOnce, ..Limits::default() }).await;
    for version in ALL {
        let bytes = encoded(publish("t", "too good", QoS::ExactlyOnce), version);
        house.closes(version, &bytes, ReasonCode::QoSNotSupported).await;
    }
    house.finish().await;
}

#[tokio::test]
async fn a_retained_message_where_none_are_kept_closes() {
    let mut house = House::with_limits(Limits { retain_available: false, ..Limits::default() }).await;
    for version in ALL {
        let mut packet = publish("t", "keep", QoS::AtMostOnce);
        packet.retain = true;
        house.closes(version, &encoded(packet, version), ReasonCode::RetainNotSupported).await;
    }
    house.finish().await;
}

#[tokio::test]
async fn a_subscription_identifier_from_a_client_closes() {
    let mut house = House::start().await;
    let packet = |_| RawPacket::new(0x30).string("t").properties([0x0b, 1]);
    house.closes_in(&V5, packet, ReasonCode::ProtocolError).await;
    house.finish().await;
}

#[tokio::test]
async fn a_response_topic_with_a_wildcard_closes() {
    let mut house = House::start().await;
    for topic in ["a/#", "+"] {
        let mut packet = publish("t", "answer me", QoS::AtMostOnce);
        packet.properties.push(Property::ResponseTopic(topic));
        let bytes = encoded(packet, Version::V5_0);
        house.closes(Version::V5_0, &bytes, ReasonCode::ProtocolError).await;
    }
    house.finish().await;
}

#[tokio::test]
async fn a_qos_2_message_sent_again_and_again_is_delivered_once() {
    let mut house = House::start().await;
    for version in ALL {
        let mut watcher = house.connected(Version::V5_0, "watcher").await;
        watcher.subscribe("once", QoS::ExactlyOnce).await;
        let mut peer = house.connected(version, "insistent").await;
        for n in 0..50 {
            let mut packet = publish("once", "once", QoS::ExactlyOnce);
            packet.dup = n % 2 == 1;
            peer.send(packet).await;
            assert!(matches!(peer.receive().await, opifex_packet::Packet::Pubrec(_)));
        }
        let received = watcher.receive_publish().await;
        assert!(matches!(received.delivery, Delivery::ExactlyOnce(_)));
        watcher.acknowledge(&received).await;
        watcher.expect_alive().await;
        house.bystanders_are_served().await;
    }
    house.finish().await;
}
