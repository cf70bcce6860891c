//! Acknowledgements for nothing, of the wrong kind, in the wrong state.

use opifex_packet::raw::RawPacket;
use opifex_packet::{Connect, Packet, Property, Puback, Pubcomp, Pubrec, Pubrel, QoS, ReasonCode, Version};

use crate::house::House;
use crate::peer::*;

/// A subscriber that was sent one message, not acknowledged, and the message's packet id.
async fn owing(house: &House, version: Version, qos: QoS) -> (Peer, opifex_packet::PacketId) {
    let mut peer = house.connected(version, "debtor").await;
    peer.subscribe("owed", qos).await;
    let mut sender = house.connected(Version::V5_0, "creditor").await;
    sender.send(publish("owed", "acknowledge me", qos)).await;
    assert!(matches!(sender.receive().await, Packet::Puback(_) | Packet::Pubrec(_)));
    let received = peer.receive_publish().await;
    (peer, received.delivery.packet_id().unwrap())
}

#[tokio::test]
async fn packet_id_0_in_an_acknowledgement_closes() {
    let mut house = House::start().await;
    for first_byte in [0x40, 0x50, 0x62, 0x70] {
        house.closes_in(&ALL, |_| RawPacket::new(first_byte).u16(0), ReasonCode::MalformedPacket).await;
    }
    house.finish().await;
}

#[tokio::test]
async fn puback_for_an_unknown_id_is_let_pass() {
    let mut house = House::start().await;
    for version in ALL {
        let mut peer = house.connected(version, "stray").await;
        for n in [1, 2, 65_535] {
            peer.send(Puback::new(id(n))).await;
        }
        peer.expect_alive().await;
        house.bystanders_are_served().await;
    }
    house.finish().await;
}

#[tokio::test]
async fn pubrec_for_an_unknown_id_is_answered_not_found() {
    let mut house = House::start().await;
    for version in ALL {
        let mut peer = house.connected(version, "stray").await;
        peer.send(Pubrec::new(id(9))).await;
        let reason = if version.is_v5() { ReasonCode::PacketIdentifierNotFound } else { ReasonCode::Success };
        peer.expect(Pubrel::new(id(9)).with_reason(reason)).await;
        peer.expect_alive().await;
        house.bystanders_are_served().await;
    }
    house.finish().await;
}

#[tokio::test]
async fn pubrel_for_an_unknown_id_is_answered_not_found() {
    let mut house = House::start().await;
    for version in ALL {
        let mut peer = house.connected(version, "stray").await;
        peer.send(Pubrel::new(id(9))).await;
        let reason = if version.is_v5() { ReasonCode::PacketIdentifierNotFound } else { ReasonCode::Success };
        peer.expect(Pubcomp::new(id(9)).with_reason(reason)).await;
        peer.expect_alive().await;
        house.bystanders_are_served().await;
    }
    house.finish().await;
}

#[tokio::test]
async fn pubcomp_for_an_unknown_id_is_let_pass() {
    let mut house = House::start().await;
    for version in ALL {
        let mut peer = house.connected(version, "stray").await;
        peer.send(Pubcomp::new(id(9))).await;
        peer.expect_alive().await;
        house.bystanders_are_served().await;
    }
    house.finish().await;
}

#[tokio::test]
async fn puback_for_a_qos_2_message_closes() {
    let mut house = House::start().await;
    for version in ALL {
        let (mut peer, id) = owing(&house, version, QoS::ExactlyOnce).await;
        peer.send(Puback::new(id)).await;
        peer.expect_disconnected(ReasonCode::ProtocolError).await;
        house.bystanders_are_served().await;
    }
    house.finish().await;
}

#[tokio::test]
async fn pubrec_or_pubcomp_for_a_qos_1_message_closes() {
    let mut house = House::start().await;
    for version in ALL {
        let (mut peer, id) = owing(&house, version, QoS::AtLeastOnce).await;
        peer.send(Pubrec::new(id)).await;
        peer.expect_disconnected(ReasonCode::ProtocolError).await;
        let (mut peer, id) = owing(&house, version, QoS::AtLeastOnce).await;
        peer.send(Pubcomp::new(id)).await;
        peer.expect_disconnected(ReasonCode::ProtocolError).await;
        house.bystanders_are_served().await;
    }
    house.finish().await;
}

#[tokio::test]
async fn pubcomp_before_pubrec_closes() {
    let mut house = House::start().await;
    for version in ALL {
        let (mut peer, id) = owing(&house, version, QoS::ExactlyOnce).await;
        peer.send(Pubcomp::new(id)).await;
        peer.expect_disconnected(ReasonCode::ProtocolError).await;
        house.bystanders_are_served().await;
    }
    house.finish().await;
}

#[tokio::test]
async fn pubrec_twice_is_answered_pubrel_twice() {
    let mut house = House::start().await;
    for version in ALL {
        let (mut peer, id) = owing(&house, version, QoS::ExactlyOnce).await;
        for _ in 0..3 {
            peer.send(Pubrec::new(id)).await;
            peer.expect(Pubrel::new(id)).await;
        }
        for _ in 0..3 {
            peer.send(Pubcomp::new(id)).await;
        }
        peer.expect_alive().await;
        house.bystanders_are_served().await;
    }
    house.finish().await;
}

#[tokio::test]
async fn acknowledging_twice_opens_the_window_once() {
    let mut house = House::start().await;
    let mut connect = Connect::new(Version::V5_0, "twice");
    connect.properties.push(Property::ReceiveMaximum(1));
    let mut peer = Peer::connected_with(house.address, connect).await.0;
    peer.subscribe("t", QoS::AtLeastOnce).await;
    let mut sender = house.connected(Version::V5_0, "sender").await;
    for n in ["1", "2", "3"] {
        sender.send(publish("t", n, QoS::AtLeastOnce)).await;
        sender.receive_puback().await;
    }
    let first = peer.receive_publish().await.delivery.packet_id().unwrap();
    for _ in 0..20 {
        peer.send(Puback::new(first)).await;
    }
    let second = peer.receive_publish().await;
    assert_eq!(&second.payload[..], b"2");
    // Were the window open twice, "3" would come before the answer.
    peer.expect_alive().await;
    house.bystanders_are_served().await;
    drop((peer, sender));
    house.finish().await;
}

#[tokio::test]
async fn a_reason_code_that_is_not_the_packet_s_closes() {
    let mut house = House::start().await;
    for (first_byte, reason) in [
        (0x40, 0x01),
        (0x40, 0x92),
        (0x50, 0x02),
        (0x62, 0x10),
        (0x62, 0x80),
        (0x70, 0x97),
        (0xe0, 0x01),
        (0xe0, 0x8b),
    ] {
        let packet = |_| match first_byte {
            0xe0 => RawPacket::new(first_byte).u8(reason),
            _ => RawPacket::new(first_byte).u16(1).u8(reason),
        };
        house.closes_in(&V5, packet, ReasonCode::ProtocolError).await;
    }
    house.finish().await;
}

#[tokio::test]
async fn refusing_every_message_ends_each_delivery() {
    let mut house = House::start().await;
    let mut connect = Connect::new(Version::V5_0, "refuser");
    connect.properties.push(Property::ReceiveMaximum(1));
    let mut peer = Peer::connected_with(house.address, connect).await.0;
    peer.subscribe("t", QoS::ExactlyOnce).await;
    let mut sender = house.connected(Version::V3_1_1, "sender").await;
    for n in 1..=20 {
        sender.send(publish_as(n, "t", "unwanted", QoS::ExactlyOnce)).await;
        assert!(matches!(sender.receive().await, Packet::Pubrec(_)));
        let id = peer.receive_publish().await.delivery.packet_id().unwrap();
        peer.send(Pubrec::new(id).with_reason(ReasonCode::NotAuthorized)).await;
    }
    peer.expect_alive().await;
    house.bystanders_are_served().await;
    drop((peer, sender));
    house.finish().await;
}
