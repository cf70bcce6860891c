//! What is in flight to a durable client: it comes again with its packet ids, before anything new, and gives way to
//! nothing.

use opifex_broker::{Broker, DropCause, Limits};
use opifex_packet::{Packet, Property, Puback, Pubcomp, Pubrec, Pubrel, QoS, Version};
use opifex_storage::FullPolicy;

use crate::backend::conversations;
use crate::peer::*;
use crate::store::Store;

conversations!(
    unacknowledged_messages_come_again_with_their_ids_in_order_before_anything_new,
    what_was_acknowledged_does_not_come_again,
    a_qos_2_delivery_goes_on_from_every_stage,
    what_is_released_keeps_its_place_before_what_waits,
    packet_ids_come_round,
    what_is_in_flight_does_not_give_way_to_newer_messages,
    what_is_in_flight_does_not_expire,
);

const VERSIONS: [Version; 2] = [Version::V3_1_1, Version::V5_0];

async fn durable(broker: &Broker<Store>, version: Version) -> Peer {
    Peer::connect(broker, connect_durable(version, "c")).await.0
}

/// Its session ends.
async fn forget(broker: &Broker<Store>) {
    let (peer, _) = Peer::connect(broker, connect(Version::V5_0, "c")).await;
    peer.disconnect(broker).await;
}

async fn unacknowledged_messages_come_again_with_their_ids_in_order_before_anything_new() {
    let broker = broker().await;
    for version in VERSIONS {
        for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
            let mut peer = durable(&broker, version).await;
            peer.subscribe("a", QoS::ExactlyOnce).await;
            let mut sender = Peer::v5(&broker, "s").await;
            let mut sent = Vec::new();
            for n in 0..5 {
                sender.publish("a", &n.to_string(), qos).await;
                let publish = peer.receive_publish().await;
                assert!(!publish.dup);
                sent.push(publish.delivery);
            }
            peer.vanish(&broker).await;
            sender.publish("a", "new", qos).await;
            let mut peer = durable(&broker, version).await;
            for (n, delivery) in sent.iter().enumerate() {
                let publish = peer.receive_publish().await;
                assert_eq!((text(&publish), publish.delivery, publish.dup), (n.to_string(), *delivery, true));
            }
            let publish = peer.receive_publish().await;
            assert_eq!((text(&publish).as_str(), publish.dup), ("new", false));
            assert!(!sent.contains(&publish.delivery), "its id is in use");
            peer.expect_silence().await;
            peer.vanish(&broker).await;
            sender.disconnect(&broker).await;
            forget(&broker).await;
        }
    }
}

async fn what_was_acknowledged_does_not_come_again() {
    let broker = broker().await;
    let mut peer = durable(&broker, Version::V5_0).await;
    peer.subscribe("a", QoS::ExactlyOnce).await;
    let mut sender = Peer::v5(&broker, "s").await;
    for n in 0..6 {
        let qos = if n % 2 == 0 { QoS::AtLeastOnce } else { QoS::ExactlyOnce };
        sender.publish("a", &n.to_string(), qos).await;
    }
    // In order at each QoS: what is sent at QoS 2 waits for its packet id to be on record.
    let mut ids = [id(1); 6];
    for _ in 0..6 {
        let publish = peer.receive_publish().await;
        ids[text(&publish).parse::<usize>().unwrap()] = publish.delivery.packet_id().unwrap();
    }
    // The third and the second.
    peer.send(Puback::new(ids[2])).await;
    peer.send(Pubrec::new(ids[1])).await;
    peer.expect(Pubrel::new(ids[1])).await;
    peer.send(Pubcomp::new(ids[1])).await;
    peer.settle().await;
    peer.vanish(&broker).await;
    let mut peer = durable(&broker, Version::V5_0).await;
    for n in [0, 3, 4, 5] {
        let publish = peer.receive_acknowledged_later().await;
        assert_eq!((text(&publish), publish.dup), (n.to_string(), true));
        assert_eq!(publish.delivery.packet_id(), Some(ids[n]));
    }
    peer.expect_no_more().await;
}

async fn a_qos_2_delivery_goes_on_from_every_stage() {
    let broker = broker().await;
    for version in VERSIONS {
        let mut peer = durable(&broker, version).await;
        peer.subscribe("a", QoS::ExactlyOnce).await;
        let mut sender = Peer::v5(&broker, "s").await;
        sender.publish("a", "x", QoS::ExactlyOnce).await;
        // PUBLISH sent.
        let first = peer.receive_publish().await;
        let packet_id = first.delivery.packet_id().unwrap();
        peer.vanish(&broker).await;
        let mut peer = durable(&broker, version).await;
        let again = peer.receive_publish().await;
        assert_eq!((again.delivery, again.dup), (first.delivery, true));
        // PUBREC received: PUBREL alone is sent again, twice.
        peer.send(Pubrec::new(packet_id)).await;
        peer.expect(Pubrel::new(packet_id)).await;
        for _ in 0..2 {
            peer.vanish(&broker).await;
            peer = durable(&broker, version).await;
            peer.expect(Pubrel::new(packet_id)).await;
        }
        // A message that is new has another id.
        sender.publish("a", "y", QoS::ExactlyOnce).await;
        let other = peer.receive_publish().await;
        assert_ne!(other.delivery.packet_id(), Some(packet_id));
        // PUBCOMP received: nothing is sent again.
        peer.send(Pubcomp::new(packet_id)).await;
        peer.settle().await;
        peer.vanish(&broker).await;
        let mut peer = durable(&broker, version).await;
        assert_eq!(peer.receive_acknowledged().await.delivery, other.delivery);
        peer.expect_silence().await;
        peer.vanish(&broker).await;
        sender.disconnect(&broker).await;
        forget(&broker).await;
    }
}

async fn what_is_released_keeps_its_place_before_what_waits() {
    let broker = broker().await;
    let mut peer = durable(&broker, Version::V5_0).await;
    peer.subscribe("a", QoS::ExactlyOnce).await;
    let mut sender = Peer::v5(&broker, "s").await;
    for n in 0..3 {
        sender.publish("a", &n.to_string(), QoS::ExactlyOnce).await;
    }
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(peer.receive_publish().await.delivery.packet_id().unwrap());
    }
    peer.send(Pubrec::new(ids[1])).await;
    peer.expect(Pubrel::new(ids[1])).await;
    peer.vanish(&broker).await;
    let mut peer = durable(&broker, Version::V5_0).await;
    assert_eq!(peer.receive_publish().await.delivery.packet_id(), Some(ids[0]));
    peer.expect(Pubrel::new(ids[1])).await;
    assert_eq!(peer.receive_publish().await.delivery.packet_id(), Some(ids[2]));
    peer.expect_silence().await;
}

async fn packet_ids_come_round() {
    let broker = broker().await;
    let mut peer = Peer::v5(&broker, "c").await;
    peer.subscribe("a", QoS::AtLeastOnce).await;
    let mut sender = Peer::v5(&broker, "s").await;
    let mut last = 0;
    for _ in 0..70 {
        for _ in 0..1_000 {
            sender.feed(publish("a", "x", QoS::AtMostOnce));
        }
        // QoS 1 in bulk, and its acknowledgements in bulk.
        for _ in 0..1_000 {
            sender.feed(publish("a", "y", QoS::AtLeastOnce));
        }
        sender.flush().await;
        let mut ones = 0;
        while ones < 1_000 {
            let publish = peer.receive_publish().await;
            if let Some(packet_id) = publish.delivery.packet_id() {
                ones += 1;
                assert_eq!(packet_id.get(), last % 65_535 + 1);
                last = packet_id.get();
                peer.feed(Puback::new(packet_id));
            }
        }
        peer.flush().await;
        for _ in 0..1_000 {
            assert!(matches!(sender.receive().await, Packet::Puback(_)));
        }
    }
}

async fn what_is_in_flight_does_not_give_way_to_newer_messages() {
    let limits = Limits { max_queued_messages: 3, queue_full: FullPolicy::DropOldest, ..Limits::default() };
    let broker = broker_with_limits(limits).await;
    let mut peer = durable(&broker, Version::V5_0).await;
    peer.subscribe("a", QoS::AtLeastOnce).await;
    let mut sender = Peer::v5(&broker, "s").await;
    for n in 0..2 {
        sender.publish("a", &n.to_string(), QoS::AtLeastOnce).await;
        peer.receive_publish().await;
        peer.settle_with_store().await;
    }
    peer.vanish(&broker).await;
    for n in 2..5 {
        sender.publish("a", &n.to_string(), QoS::AtLeastOnce).await;
    }
    let mut peer = durable(&broker, Version::V5_0).await;
    for (n, dup) in [(0, true), (1, true), (4, false)] {
        let publish = peer.receive_acknowledged().await;
        assert_eq!((text(&publish), publish.dup), (n.to_string(), dup));
    }
    peer.expect_silence().await;
    assert_eq!(broker.stats().dropped(DropCause::QueueFull), 2);
}

async fn what_is_in_flight_does_not_expire() {
    let broker = broker().await;
    let mut peer = durable(&broker, Version::V5_0).await;
    peer.subscribe("a", QoS::AtLeastOnce).await;
    let mut sender = Peer::v5(&broker, "s").await;
    let mut packet = publish("a", "x", QoS::AtLeastOnce);
    packet.properties.push(Property::MessageExpiryInterval(5));
    sender.publish_packet(packet).await;
    let first = peer.receive_publish().await;
    peer.settle_with_store().await;
    peer.vanish(&broker).await;
    pass_secs(20).await;
    let mut peer = durable(&broker, Version::V5_0).await;
    let again = peer.receive_acknowledged().await;
    assert_eq!((text(&again).as_str(), again.dup, again.delivery), ("x", true, first.delivery));
    // A late acknowledgement does no harm.
    peer.acknowledge(&first).await;
    peer.expect_silence().await;
    assert_eq!(broker.stats().dropped(DropCause::Expired), 0);
}
