//! Packets that are well-formed and come at the wrong time, or from the wrong side, or in pieces.

use opifex_packet::raw::RawPacket;
use opifex_packet::{
    Connect, Disconnect, Packet, Properties, Property, Pubcomp, Pubrec, Pubrel, QoS, ReasonCode, TopicName,
    Unsubscribe, Version, Will,
};

use crate::house::House;
use crate::peer::*;

#[tokio::test]
async fn packets_that_only_a_server_sends_close() {
    let mut house = House::start().await;
    for (first_byte, body) in [(0x20, &b"\0\0"[..]), (0x90, b"\0\x01\0"), (0xb0, b"\0\x01"), (0xd0, b"")] {
        let packet = |_| RawPacket::new(first_byte).bytes(body);
        house.closes_in(&ALL, packet, ReasonCode::ProtocolError).await;
    }
    house.finish().await;
}

#[tokio::test]
async fn nothing_after_disconnect_is_looked_at() {
    let mut house = House::start().await;
    for version in ALL {
        let mut watcher = house.connected(Version::V5_0, "watcher").await;
        watcher.subscribe("after", QoS::AtMostOnce).await;
        let mut bytes = encoded(Disconnect::new(ReasonCode::Success), version);
        bytes.extend(encoded(publish("after", "from beyond", QoS::AtMostOnce), version));
        let mut peer = house.connected(version, "gone").await;
        peer.send_bytes(&bytes).await;
        peer.expect_closed().await;
        watcher.expect_alive().await;
        house.bystanders_are_served().await;
    }
    house.finish().await;
}

#[tokio::test]
async fn a_session_expiry_at_disconnect_where_connect_had_none_closes() {
    let mut house = House::start().await;
    let properties = Properties::new().with(Property::SessionExpiryInterval(60));
    let bytes = encoded(Disconnect { reason: ReasonCode::Success, properties }, Version::V5_0);
    house.closes(Version::V5_0, &bytes, ReasonCode::ProtocolError).await;
    house.finish().await;
}

#[tokio::test]
async fn a_will_is_published_when_its_client_breaks_the_protocol() {
    let mut house = House::start().await;
    for version in ALL {
        let mut watcher = house.connected(Version::V5_0, "watcher").await;
        watcher.subscribe("will", QoS::AtMostOnce).await;
        let mut connect = Connect::new(version, "doomed");
        connect.will = Some(Will::new(TopicName::new("will").unwrap(), &b"it broke the rules"[..]));
        let mut peer = Peer::connected_with(house.address, connect).await.0;
        peer.send_bytes(&[0x00, 0x00]).await;
        peer.expect_disconnected(ReasonCode::MalformedPacket).await;
        assert_eq!(&watcher.receive_publish().await.payload[..], b"it broke the rules");
        house.bystanders_are_served().await;
    }
    house.finish().await;
}

/// Everything that a client may say, and what it is answered when nobody else is there.
fn conversation(version: Version) -> (Vec<u8>, Vec<Packet<'static>>) {
    let connect = Connect::new(version, "conversation");
    let said: Vec<Packet<'static>> = vec![
        connect.into(),
        subscribe(1, "own/#", QoS::ExactlyOnce).into(),
        publish("own/0", "zero", QoS::AtMostOnce).into(),
        Packet::Pingreq,
        publish_as(2, "other/1", "one", QoS::AtLeastOnce).into(),
        publish_as(3, "other/2", "two", QoS::ExactlyOnce).into(),
        Pubrel::new(id(3)).into(),
        Unsubscribe::new(id(4), vec![opifex_packet::TopicFilter::new("own/#").unwrap()]).into(),
        Disconnect::new(ReasonCode::Success).into(),
    ];
    let nobody = if version.is_v5() { ReasonCode::NoMatchingSubscribers } else { ReasonCode::Success };
    let answered: Vec<Packet<'static>> = vec![
        publish("own/0", "zero", QoS::AtMostOnce).into(),
        Packet::Pingresp,
        opifex_packet::Puback::new(id(2)).with_reason(nobody).into(),
        Pubrec::new(id(3)).with_reason(nobody).into(),
        Pubcomp::new(id(3)).into(),
    ];
    (said.into_iter().flat_map(|packet| encoded(packet, version)).collect(), answered)
}

/// The answers to `conversation`, whatever pieces it came in. A message to oneself may overtake answers.
async fn expect_answers(peer: &mut Peer, version: Version) {
    let answers = peer.drain().await;
    assert!(matches!(&answers[0], Packet::Connack(connack) if connack.reason == ReasonCode::Success));
    assert!(answers.iter().any(|packet| matches!(packet, Packet::Suback(_))));
    assert!(matches!(answers.last(), Some(Packet::Unsuback(_))), "{answers:?}");
    for expected in conversation(version).1 {
        assert!(answers.contains(&expected), "{expected:?} is missing in {answers:?}");
    }
    assert_eq!(answers.len(), 8);
}

#[tokio::test]
async fn a_whole_conversation_in_one_segment_is_answered() {
    let mut house = House::start().await;
    for version in ALL {
        let mut peer = house.open(version).await;
        peer.send_bytes(&conversation(version).0).await;
        expect_answers(&mut peer, version).await;
        house.bystanders_are_served().await;
    }
    house.finish().await;
}

#[tokio::test]
async fn a_whole_conversation_byte_by_byte_is_answered() {
    let mut house = House::start().await;
    for version in ALL {
        let mut peer = house.open(version).await;
        peer.send_byte_by_byte(&conversation(version).0).await;
        expect_answers(&mut peer, version).await;
        house.bystanders_are_served().await;
    }
    house.finish().await;
}

#[tokio::test]
async fn a_conversation_cut_in_two_at_any_byte_is_answered() {
    let mut house = House::start().await;
    for version in ALL {
        let bytes = conversation(version).0;
        for at in 1..bytes.len() {
            let mut peer = house.open(version).await;
            peer.send_bytes(&bytes[..at]).await;
            tokio::task::yield_now().await;
            peer.send_bytes(&bytes[at..]).await;
            expect_answers(&mut peer, version).await;
        }
        house.bystanders_are_served().await;
    }
    house.finish().await;
}

#[tokio::test]
async fn what_comes_in_one_segment_with_connect_is_answered_without_another_byte() {
    let mut house = House::start().await;
    for version in ALL {
        let mut bytes = encoded(Connect::new(version, "hasty"), version);
        bytes.extend(encoded(Packet::Pingreq, version));
        let mut peer = house.open(version).await;
        peer.send_bytes(&bytes).await;
        assert_eq!(peer.receive_connack().await.reason, ReasonCode::Success);
        peer.expect(Packet::Pingresp).await;
        house.bystanders_are_served().await;
    }
    house.finish().await;
}

#[tokio::test]
async fn a_half_closed_connection_gets_the_answers_to_what_it_said() {
    let mut house = House::start().await;
    for version in ALL {
        let mut bytes = encoded(Connect::new(version, "half"), version);
        bytes.extend(encoded(publish("nobody", "hears", QoS::AtLeastOnce), version));
        bytes.extend(encoded(Packet::Pingreq, version));
        let mut peer = house.open(version).await;
        peer.send_bytes(&bytes).await;
        peer.half_close().await;
        let answers = peer.drain().await;
        assert!(matches!(answers[0], Packet::Connack(_)));
        assert!(matches!(answers[1], Packet::Puback(_)));
        assert_eq!(answers[2..], [Packet::Pingresp]);
        house.bystanders_are_served().await;
    }
    house.finish().await;
}

#[tokio::test]
async fn a_half_close_before_connect_closes() {
    let mut house = House::start().await;
    for bytes in [&b""[..], &[0x10], &[0x10, 0x20, 0x00, 0x04, b'M']] {
        let mut peer = house.open(Version::V5_0).await;
        peer.send_bytes(bytes).await;
        peer.half_close().await;
        peer.expect_closed().await;
        house.bystanders_are_served().await;
    }
    house.finish().await;
}

#[tokio::test]
async fn a_retained_message_is_not_lost_when_its_client_breaks_off_at_once() {
    let mut house = House::start().await;
    for version in ALL {
        let topic = format!("kept/{}", version.level());
        let mut packet = publish(&topic, "kept", QoS::AtLeastOnce);
        packet.retain = true;
        let mut bytes = encoded(packet, version);
        bytes.extend_from_slice(&[0x00, 0x00]);
        house.closes(version, &bytes, ReasonCode::MalformedPacket).await;
        let mut reader = house.connected(Version::V5_0, "reader").await;
        reader.send(subscribe(1, &topic, QoS::AtMostOnce)).await;
        let answers = [reader.receive().await, reader.receive().await];
        assert!(answers.iter().any(|answer| matches!(answer, Packet::Publish(_))), "{answers:?}");
    }
    house.finish().await;
}
