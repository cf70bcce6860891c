//! QoS 1 and 2 in both directions: each handshake, what a packet id stands for, and order.

use opifex_broker::Broker;
use opifex_packet::{Delivery, Packet, Puback, Pubcomp, Publish, Pubrec, Pubrel, QoS, ReasonCode, Version};

use crate::backend::conversations;
use crate::peer::*;
use crate::store::Store;

conversations!(
    a_qos_2_message_that_comes_twice_is_routed_once,
    a_clean_session_has_forgotten_its_inbound_ids,
    a_pubrec_that_refuses_ends_the_delivery,
    a_puback_that_refuses_ends_the_delivery,
    ids_that_nobody_knows_are_answered_and_do_no_harm,
    an_acknowledgement_of_the_wrong_kind_is_a_protocol_error,
    a_second_pubrec_is_answered_by_a_second_pubrel,
    a_message_is_delivered_at_the_lower_of_both_qos,
    a_publisher_is_told_that_nobody_listens,
    one_publishers_messages_of_one_qos_arrive_in_order_however_they_are_stored,
);

const VERSIONS: [Version; 2] = [Version::V3_1_1, Version::V5_0];

async fn durable(broker: &Broker<Store>, version: Version) -> Peer {
    Peer::connect(broker, connect_durable(version, "c")).await.0
}

/// A publish with this packet id.
fn numbered(topic: &str, payload: &str, qos: QoS, packet_id: u16) -> Publish<'static> {
    let mut packet = publish(topic, payload, qos);
    packet.delivery = Delivery::new(qos, id(packet_id));
    packet
}

async fn forget(broker: &Broker<Store>) {
    let (peer, _) = Peer::connect(broker, connect(Version::V5_0, "c")).await;
    peer.disconnect(broker).await;
}

async fn a_qos_2_message_that_comes_twice_is_routed_once() {
    let broker = broker().await;
    let mut listener = Peer::v5(&broker, "listener").await;
    listener.subscribe("a", QoS::ExactlyOnce).await;
    for version in VERSIONS {
        for durable in [false, true] {
            let hello = if durable { connect_durable(version, "c") } else { connect(version, "c") };
            let (mut peer, _) = Peer::connect(&broker, hello.clone()).await;
            let mut packet = numbered("a", "x", QoS::ExactlyOnce, 5);
            peer.send(packet.clone()).await;
            assert!(matches!(peer.receive().await, Packet::Pubrec(ack) if ack.packet_id == id(5)));
            for dup in [true, false] {
                packet.dup = dup;
                peer.send(packet.clone()).await;
                match peer.receive().await {
                    Packet::Pubrec(ack) => assert!(!ack.reason.is_error()),
                    other => panic!("expected PUBREC, got {other:?}"),
                }
            }
            if durable {
                peer.vanish(&broker).await;
                peer = Peer::connect(&broker, hello).await.0;
                packet.dup = true;
                peer.send(packet).await;
                assert!(matches!(peer.receive().await, Packet::Pubrec(_)));
            }
            for _ in 0..2 {
                // PUBREL may come again, too: the PUBCOMP was lost.
                peer.send(Pubrel::new(id(5))).await;
                assert!(matches!(peer.receive().await, Packet::Pubcomp(ack) if ack.packet_id == id(5)));
            }
            assert_eq!(listener.receive_text().await, "x");
            listener.expect_silence().await;
            // The id is free.
            peer.send(numbered("a", "y", QoS::ExactlyOnce, 5)).await;
            assert!(matches!(peer.receive().await, Packet::Pubrec(_)));
            assert_eq!(listener.receive_text().await, "y");
            peer.send(Pubrel::new(id(5))).await;
            peer.expect(Pubcomp::new(id(5))).await;
            peer.disconnect(&broker).await;
        }
    }
}

async fn a_clean_session_has_forgotten_its_inbound_ids() {
    let broker = broker().await;
    let mut listener = Peer::v5(&broker, "listener").await;
    listener.subscribe("a", QoS::AtMostOnce).await;
    for n in 0..2 {
        let (mut peer, _) = Peer::connect(&broker, connect(Version::V5_0, "c")).await;
        peer.send(numbered("a", &n.to_string(), QoS::ExactlyOnce, 5)).await;
        assert!(matches!(peer.receive().await, Packet::Pubrec(_)));
        assert_eq!(listener.receive_text().await, n.to_string());
        peer.vanish(&broker).await;
    }
}

async fn a_pubrec_that_refuses_ends_the_delivery() {
    let broker = broker().await;
    for hello in [connect(Version::V5_0, "c"), connect_durable(Version::V5_0, "c")] {
        let (mut peer, _) = Peer::connect(&broker, hello.clone()).await;
        peer.subscribe("a", QoS::ExactlyOnce).await;
        let mut sender = Peer::v5(&broker, "s").await;
        sender.publish("a", "x", QoS::ExactlyOnce).await;
        let packet_id = peer.receive_publish().await.delivery.packet_id().unwrap();
        peer.send(Pubrec::new(packet_id).with_reason(ReasonCode::QuotaExceeded)).await;
        peer.expect_silence().await;
        sender.publish("a", "y", QoS::ExactlyOnce).await;
        assert_eq!(peer.receive_text().await, "y");
        peer.vanish(&broker).await;
        let (mut peer, _) = Peer::connect(&broker, hello).await;
        peer.expect_silence().await;
        peer.disconnect(&broker).await;
        sender.disconnect(&broker).await;
    }
}

async fn a_puback_that_refuses_ends_the_delivery() {
    let broker = broker().await;
    let mut peer = durable(&broker, Version::V5_0).await;
    peer.subscribe("a", QoS::AtLeastOnce).await;
    let mut sender = Peer::v5(&broker, "s").await;
    sender.publish("a", "x", QoS::AtLeastOnce).await;
    let packet_id = peer.receive_publish().await.delivery.packet_id().unwrap();
    peer.send(Puback::new(packet_id).with_reason(ReasonCode::QuotaExceeded)).await;
    peer.vanish(&broker).await;
    durable(&broker, Version::V5_0).await.expect_silence().await;
}

async fn ids_that_nobody_knows_are_answered_and_do_no_harm() {
    let broker = broker().await;
    for version in VERSIONS {
        let unknown =
            if version.is_v5() { ReasonCode::PacketIdentifierNotFound } else { ReasonCode::Success };
        for hello in [connect(version, "c"), connect_durable(version, "c")] {
            let (mut peer, _) = Peer::connect(&broker, hello).await;
            peer.send(Puback::new(id(9))).await;
            peer.send(Pubcomp::new(id(9))).await;
            peer.send(Pubrec::new(id(9)).with_reason(ReasonCode::Success)).await;
            peer.expect(Pubrel::new(id(9)).with_reason(unknown)).await;
            peer.send(Pubrel::new(id(9))).await;
            peer.expect(Pubcomp::new(id(9)).with_reason(unknown)).await;
            peer.settle().await;
            peer.disconnect(&broker).await;
        }
        forget(&broker).await;
    }
}

async fn an_acknowledgement_of_the_wrong_kind_is_a_protocol_error() {
    let broker = broker().await;
    let mut sender = Peer::v5(&broker, "s").await;
    for (qos, wrong) in [
        (QoS::AtLeastOnce, Packet::from(Pubrec::new(id(1)))),
        (QoS::AtLeastOnce, Packet::from(Pubcomp::new(id(1)))),
        (QoS::ExactlyOnce, Packet::from(Puback::new(id(1)))),
        (QoS::ExactlyOnce, Packet::from(Pubcomp::new(id(1)))),
    ] {
        let mut peer = Peer::v5(&broker, "c").await;
        peer.subscribe("a", QoS::ExactlyOnce).await;
        sender.publish("a", "x", qos).await;
        assert_eq!(peer.receive_publish().await.delivery.packet_id(), Some(id(1)));
        peer.send(wrong).await;
        peer.expect_disconnect(ReasonCode::ProtocolError).await;
    }
}

async fn a_second_pubrec_is_answered_by_a_second_pubrel() {
    let broker = broker().await;
    for hello in [connect(Version::V5_0, "c"), connect_durable(Version::V5_0, "c")] {
        let (mut peer, _) = Peer::connect(&broker, hello).await;
        peer.subscribe("a", QoS::ExactlyOnce).await;
        peer.publish("b", "x", QoS::AtMostOnce).await;
        let mut sender = Peer::v5(&broker, "s").await;
        sender.publish("a", "x", QoS::ExactlyOnce).await;
        let packet_id = peer.receive_publish().await.delivery.packet_id().unwrap();
        for _ in 0..2 {
            peer.send(Pubrec::new(packet_id)).await;
            peer.expect(Pubrel::new(packet_id)).await;
        }
        peer.send(Pubcomp::new(packet_id)).await;
        peer.expect_silence().await;
        peer.disconnect(&broker).await;
        sender.disconnect(&broker).await;
    }
}

async fn a_message_is_delivered_at_the_lower_of_both_qos() {
    let broker = broker().await;
    let all = [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce];
    let mut sender = Peer::v5(&broker, "s").await;
    for hello in [connect(Version::V5_0, "c"), connect_durable(Version::V5_0, "c")] {
        let (mut peer, _) = Peer::connect(&broker, hello).await;
        for granted in all {
            peer.subscribe("a", granted).await;
            for published in all {
                sender.publish("a", "x", published).await;
                assert_eq!(peer.receive_acknowledged().await.qos(), granted.min(published));
            }
        }
        peer.disconnect(&broker).await;
    }
}

async fn a_publisher_is_told_that_nobody_listens() {
    let broker = broker().await;
    let mut sender = Peer::v5(&broker, "s").await;
    for hello in [None, Some(connect_durable(Version::V5_0, "d"))] {
        if let Some(hello) = hello {
            sender = Peer::connect(&broker, hello).await.0;
        }
        sender.send(publish("nobody", "x", QoS::AtLeastOnce)).await;
        sender.expect(Puback::new(id(77)).with_reason(ReasonCode::NoMatchingSubscribers)).await;
        sender.send(publish("nobody", "x", QoS::ExactlyOnce)).await;
        sender.expect(Pubrec::new(id(78)).with_reason(ReasonCode::NoMatchingSubscribers)).await;
        sender.send(Pubrel::new(id(78))).await;
        sender.expect(Pubcomp::new(id(78))).await;
    }
}

async fn one_publishers_messages_of_one_qos_arrive_in_order_however_they_are_stored() {
    let broker = broker().await;
    let mut sender = Peer::v5(&broker, "s").await;
    for qos in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
        let (mut durable, _) = Peer::connect(&broker, connect_durable(Version::V5_0, "c")).await;
        let mut plain = Peer::v4(&broker, "p").await;
        durable.subscribe("a", qos).await;
        plain.subscribe("a", qos).await;
        // In one write: some retained (stored), some not.
        for n in 0..200u16 {
            let mut packet = numbered("a", &n.to_string(), qos, n + 1);
            packet.retain = n % 7 == 0;
            sender.feed(packet);
        }
        sender.flush().await;
        for peer in [&mut durable, &mut plain] {
            let mut next = 0;
            while next < 200 {
                match peer.receive().await {
                    Packet::Publish(publish) => {
                        assert_eq!(text(&publish), next.to_string(), "{qos:?}");
                        next += 1;
                        peer.acknowledge(&publish).await;
                    }
                    Packet::Pubrel(pubrel) => peer.send(Pubcomp::new(pubrel.packet_id)).await,
                    other => panic!("unexpected {other:?}"),
                }
            }
        }
        // Acknowledgements of one kind come in the order of their packets.
        for n in 0..200u16 {
            match (qos, sender.receive_if(qos > QoS::AtMostOnce).await) {
                (QoS::AtMostOnce, _) => {}
                (QoS::AtLeastOnce, Some(Packet::Puback(ack))) => assert_eq!(ack.packet_id, id(n + 1)),
                (QoS::ExactlyOnce, Some(Packet::Pubrec(ack))) => assert_eq!(ack.packet_id, id(n + 1)),
                (_, other) => panic!("unexpected {other:?}"),
            }
        }
        if qos == QoS::ExactlyOnce {
            for n in 0..200u16 {
                sender.feed(Pubrel::new(id(n + 1)));
            }
            sender.flush().await;
            for n in 0..200u16 {
                sender.expect(Pubcomp::new(id(n + 1))).await;
            }
        }
        durable.vanish(&broker).await;
        plain.vanish(&broker).await;
        forget(&broker).await;
        sender.publish_retained("a", "", QoS::AtLeastOnce).await;
    }
}
