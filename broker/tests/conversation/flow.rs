//! Flow control: receive maximum and maximum packet size both ways, and subscribers that are slow.

use opifex_broker::{Broker, DropCause, Limits};
use opifex_packet::{
    Connect, Delivery, Packet, Property, Puback, Pubcomp, Publish, Pubrec, Pubrel, QoS, ReasonCode, Version,
};

use crate::backend::conversations;
use crate::peer::*;
use crate::store::Store;

conversations!(
    no_more_is_in_flight_than_the_client_takes,
    a_qos_2_message_counts_until_pubcomp,
    max_inflight_holds_whatever_the_client_takes,
    a_client_that_comes_back_with_a_smaller_window_is_sent_no_more,
    a_client_that_exceeds_our_receive_maximum_is_disconnected,
    an_older_client_is_not_held_to_a_maximum_that_it_was_not_told,
    a_message_that_the_client_cannot_take_is_left_out_and_counted,
    a_packet_of_just_the_maximum_size_is_sent,
    a_subscriber_that_never_reads_costs_no_more_than_its_outbox_and_slows_nobody,
    a_durable_subscriber_that_never_reads_loses_nothing,
    what_waited_and_what_comes_live_arrive_once_each_and_in_order,
    a_publisher_that_does_not_take_its_acknowledgements_is_not_read_any_more,
);

fn with(mut connect: Connect<'static>, property: Property<'_>) -> Connect<'static> {
    connect.properties.push(property);
    connect
}

fn both() -> [Connect<'static>; 2] {
    [connect(Version::V5_0, "c"), connect_durable(Version::V5_0, "c")]
}

async fn fill(sender: &mut Peer, qos: QoS, count: usize) {
    for n in 0..count {
        sender.publish("a", &n.to_string(), qos).await;
    }
}

async fn no_more_is_in_flight_than_the_client_takes() {
    let broker = broker().await;
    for hello in both() {
        let (mut peer, _) = Peer::connect(&broker, with(hello, Property::ReceiveMaximum(3))).await;
        peer.subscribe("a", QoS::AtLeastOnce).await;
        let mut sender = Peer::v5(&broker, "s").await;
        fill(&mut sender, QoS::AtLeastOnce, 10).await;
        let mut unacknowledged = std::collections::VecDeque::new();
        for n in 0..10 {
            if n >= 3 {
                peer.expect_silence().await;
                peer.send(Puback::new(unacknowledged.pop_front().unwrap())).await;
            }
            let publish = peer.receive_publish().await;
            assert_eq!(text(&publish), n.to_string());
            unacknowledged.push_back(publish.delivery.packet_id().unwrap());
        }
        // QoS 0 is not held up.
        sender.publish("a", "free", QoS::AtMostOnce).await;
        assert_eq!(peer.receive_text().await, "free");
        peer.vanish(&broker).await;
        sender.disconnect(&broker).await;
    }
}

async fn a_qos_2_message_counts_until_pubcomp() {
    let broker = broker().await;
    for hello in both() {
        let (mut peer, _) = Peer::connect(&broker, with(hello, Property::ReceiveMaximum(1))).await;
        peer.subscribe("a", QoS::ExactlyOnce).await;
        let mut sender = Peer::v5(&broker, "s").await;
        fill(&mut sender, QoS::ExactlyOnce, 2).await;
        let first = peer.receive_publish().await.delivery.packet_id().unwrap();
        peer.expect_silence().await;
        peer.send(Pubrec::new(first)).await;
        peer.expect(Pubrel::new(first)).await;
        peer.expect_silence().await;
        peer.send(Pubcomp::new(first)).await;
        assert_eq!(peer.receive_text().await, "1");
        peer.vanish(&broker).await;
        sender.disconnect(&broker).await;
    }
}

async fn max_inflight_holds_whatever_the_client_takes() {
    let broker = broker_with_limits(Limits { max_inflight: 2, ..Limits::default() }).await;
    for version in [Version::V3_1_1, Version::V5_0] {
        for hello in [connect(version, "c"), connect_durable(version, "c")] {
            let (mut peer, _) = Peer::connect(&broker, hello).await;
            peer.subscribe("a", QoS::AtLeastOnce).await;
            let mut sender = Peer::v5(&broker, "s").await;
            fill(&mut sender, QoS::AtLeastOnce, 5).await;
            let first = peer.receive_publish().await;
            peer.receive_publish().await;
            peer.expect_silence().await;
            peer.acknowledge(&first).await;
            peer.receive_publish().await;
            peer.expect_silence().await;
            peer.vanish(&broker).await;
            sender.disconnect(&broker).await;
            let (clean, _) = Peer::connect(&broker, connect(version, "c")).await;
            clean.disconnect(&broker).await;
        }
    }
}

async fn a_client_that_comes_back_with_a_smaller_window_is_sent_no_more() {
    let broker = broker().await;
    let (mut peer, _) = Peer::connect(&broker, connect_durable(Version::V5_0, "c")).await;
    peer.subscribe("a", QoS::ExactlyOnce).await;
    let mut sender = Peer::v5(&broker, "s").await;
    fill(&mut sender, QoS::ExactlyOnce, 5).await;
    for _ in 0..5 {
        peer.receive_publish().await;
    }
    peer.vanish(&broker).await;
    let smaller = with(connect_durable(Version::V5_0, "c"), Property::ReceiveMaximum(2));
    let (mut peer, _) = Peer::connect(&broker, smaller).await;
    let first = peer.receive_publish().await;
    let second = peer.receive_publish().await;
    assert_eq!((text(&first).as_str(), text(&second).as_str()), ("0", "1"));
    peer.expect_silence().await;
    for (n, publish) in [(2, first), (3, second)] {
        let packet_id = publish.delivery.packet_id().unwrap();
        peer.acknowledge(&publish).await;
        peer.expect(Pubrel::new(packet_id)).await;
        peer.send(Pubcomp::new(packet_id)).await;
        let next = peer.receive_publish().await;
        assert_eq!((text(&next), next.dup), (n.to_string(), true));
    }
    peer.expect_silence().await;
}

async fn a_client_that_exceeds_our_receive_maximum_is_disconnected() {
    let broker = broker_with_limits(Limits { receive_maximum: 3, ..Limits::default() }).await;
    let numbered = |n| {
        let mut packet = publish("a", "x", QoS::ExactlyOnce);
        packet.delivery = Delivery::ExactlyOnce(id(n));
        packet
    };
    for hello in both() {
        let (mut peer, connack) = Peer::connect(&broker, hello).await;
        assert_eq!(connack.properties.receive_maximum(), Some(3));
        for n in 1..=3 {
            peer.send(numbered(n)).await;
            assert!(matches!(peer.receive().await, Packet::Pubrec(_)));
        }
        // The same message again is no other message.
        peer.send(numbered(3)).await;
        assert!(matches!(peer.receive().await, Packet::Pubrec(_)));
        // PUBREL makes room for one.
        peer.send(Pubrel::new(id(2))).await;
        peer.expect(Pubcomp::new(id(2))).await;
        peer.send(numbered(9)).await;
        assert!(matches!(peer.receive().await, Packet::Pubrec(_)));
        // QoS 0 does not count.
        peer.send(publish("a", "x", QoS::AtMostOnce)).await;
        peer.send(numbered(10)).await;
        peer.expect_disconnect(ReasonCode::ReceiveMaximumExceeded).await;
    }
}

async fn an_older_client_is_not_held_to_a_maximum_that_it_was_not_told() {
    let broker = broker_with_limits(Limits { receive_maximum: 3, ..Limits::default() }).await;
    let mut peer = Peer::v4(&broker, "c").await;
    for n in 1..=10 {
        let mut packet = publish("a", "x", QoS::ExactlyOnce);
        packet.delivery = Delivery::ExactlyOnce(id(n));
        peer.send(packet).await;
        assert!(matches!(peer.receive().await, Packet::Pubrec(_)));
    }
}

async fn a_message_that_the_client_cannot_take_is_left_out_and_counted() {
    let broker = broker().await;
    let mut dropped = 0;
    for hello in both() {
        let (mut peer, _) =
            Peer::connect(&broker, with(hello.clone(), Property::MaximumPacketSize(100))).await;
        peer.subscribe("a", QoS::ExactlyOnce).await;
        let mut sender = Peer::v5(&broker, "s").await;
        for qos in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
            sender.publish("a", &"x".repeat(200), qos).await;
            sender.publish("a", "small", qos).await;
            assert_eq!(peer.receive_text().await, "small");
            dropped += 1;
            assert_eq!(broker.stats().dropped(DropCause::PacketTooLarge), dropped);
        }
        peer.expect_silence().await;
        peer.vanish(&broker).await;
        // It is gone, not waiting for a client that takes more.
        let (mut peer, _) = Peer::connect(&broker, hello).await;
        peer.expect_silence().await;
        peer.disconnect(&broker).await;
        sender.disconnect(&broker).await;
    }
}

async fn a_packet_of_just_the_maximum_size_is_sent() {
    let broker = broker().await;
    let mut sender = Peer::v5(&broker, "s").await;
    for qos in [QoS::AtMostOnce, QoS::AtLeastOnce] {
        for hello in both() {
            let (mut peer, _) = Peer::connect(&broker, with(hello, Property::MaximumPacketSize(100))).await;
            peer.subscribe("a", qos).await;
            // Fixed header 2, topic 3, packet id, property length 1.
            let fits = 100 - 6 - if qos == QoS::AtMostOnce { 0 } else { 2 };
            sender.publish("a", &"x".repeat(fits + 1), qos).await;
            sender.publish("a", &"x".repeat(fits), qos).await;
            assert_eq!(peer.receive_text().await.len(), fits);
            peer.expect_silence().await;
            peer.disconnect(&broker).await;
        }
    }
}

/// A subscriber to "a" that never reads, over a pipe that holds little.
async fn stuck(broker: &Broker<Store>, hello: Connect<'static>, qos: QoS) -> Peer {
    let mut peer = Peer::open_narrow(broker, hello.version, 500);
    peer.introduce(hello).await;
    peer.subscribe("a", qos).await;
    peer
}

fn kilobyte(n: usize, qos: QoS) -> Publish<'static> {
    publish("a", &format!("{n:01024}"), qos)
}

async fn a_subscriber_that_never_reads_costs_no_more_than_its_outbox_and_slows_nobody() {
    let limits = Limits { max_outbox_bytes: 50_000, max_queued_messages: 20, ..Limits::default() };
    let broker = broker_with_limits(limits).await;
    for qos in [QoS::AtMostOnce, QoS::AtLeastOnce] {
        let _stuck = stuck(&broker, connect(Version::V5_0, "stuck"), qos).await;
        let mut other = Peer::v5(&broker, "other").await;
        other.subscribe("a", qos).await;
        let mut sender = Peer::v5(&broker, "s").await;
        let before = broker.stats();
        for n in 0..500 {
            sender.publish_packet(kilobyte(n, qos)).await;
            assert_eq!(other.receive_text().await.parse::<usize>().unwrap(), n);
        }
        let stats = broker.stats();
        let cause = if qos == QoS::AtMostOnce { DropCause::OutboxFull } else { DropCause::QueueFull };
        let dropped = stats.dropped(cause) - before.dropped(cause);
        // An outbox of 50 kB, a queue of 20, and what the pipe holds.
        assert!((500 - 75..500).contains(&dropped), "{dropped}");
        assert_eq!(stats.dropped_total() - before.dropped_total(), dropped);
    }
}

async fn a_durable_subscriber_that_never_reads_loses_nothing() {
    let limits = Limits { max_outbox_bytes: 20_000, ..Limits::default() };
    let broker = broker_with_limits(limits).await;
    for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
        let mut stuck = stuck(&broker, connect_durable(Version::V5_0, "stuck"), qos).await;
        let mut sender = Peer::v5(&broker, "s").await;
        for n in 0..3_000 {
            sender.publish_packet(kilobyte(n, qos)).await;
        }
        for n in 0..3_000 {
            assert_eq!(stuck.receive_in_order().await.parse::<usize>().unwrap(), n);
        }
        stuck.expect_no_more().await;
        assert_eq!(broker.stats().dropped_total(), 0);
        stuck.vanish(&broker).await;
        sender.disconnect(&broker).await;
        let (clean, _) = Peer::connect(&broker, connect(Version::V5_0, "stuck")).await;
        clean.disconnect(&broker).await;
    }
}

async fn what_waited_and_what_comes_live_arrive_once_each_and_in_order() {
    let broker = broker().await;
    for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
        let (mut away, _) = Peer::connect(&broker, connect_durable(Version::V5_0, "c")).await;
        away.subscribe("a", qos).await;
        away.vanish(&broker).await;
        let mut sender = Peer::v5(&broker, "s").await;
        let (mut sent, mut received) = (0, 0);
        while sent < 1_500 {
            sender.publish_packet(kilobyte(sent, qos)).await;
            sent += 1;
        }
        let hello = with(connect_durable(Version::V5_0, "c"), Property::ReceiveMaximum(7));
        let (mut back, _) = Peer::connect(&broker, hello).await;
        while received < 4_000 {
            // Two in, three out, until all that waited is gone; then one in, one out.
            for _ in 0..2 {
                if sent < 4_000 {
                    sender.publish_packet(kilobyte(sent, qos)).await;
                    sent += 1;
                }
            }
            for _ in 0..3 {
                if received < sent {
                    assert_eq!(back.receive_in_order().await.parse::<usize>().unwrap(), received);
                    received += 1;
                }
            }
        }
        back.expect_no_more().await;
        back.vanish(&broker).await;
        sender.disconnect(&broker).await;
        let (clean, _) = Peer::connect(&broker, connect(Version::V5_0, "c")).await;
        clean.disconnect(&broker).await;
    }
}

async fn a_publisher_that_does_not_take_its_acknowledgements_is_not_read_any_more() {
    let limits = Limits { max_outbox_bytes: 10_000, ..Limits::default() };
    let broker = broker_with_limits(limits).await;
    let mut peer = Peer::open_narrow(&broker, Version::V3_1_1, 1_000);
    peer.introduce(connect(Version::V3_1_1, "c")).await;
    let pings = tokio::time::timeout(std::time::Duration::from_secs(5), async {
        for _ in 0..100_000 {
            peer.send(Packet::Pingreq).await;
        }
    });
    assert!(pings.await.is_err(), "the broker stops reading");
    // And goes on when its answers are taken.
    let mut pongs = 0;
    while let Some(Packet::Pingresp) = peer.receive_within_secs(1).await {
        pongs += 1;
    }
    assert!(pongs > 5_000, "{pongs}");
}
