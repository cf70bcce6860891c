//! Clients that send slowly, or not at all, or never read: they cost what the limits say, and only them.

use std::time::{Duration, Instant};

use opifex_broker::{DropCause, Limits};
use opifex_packet::raw::RawPacket;
use opifex_packet::{Connect, Packet, Property, QoS, ReasonCode, Version};

use crate::framing::resident_bytes;
use crate::house::{House, PATIENCE, wait_until};
use crate::peer::*;

/// More than a connection with small limits may take in: socket buffers of both sides, and plenty.
const FAR_TOO_MUCH: usize = 8 << 20;

fn short_connect_timeout() -> Limits {
    Limits { connect_timeout: Duration::from_millis(300), ..Limits::default() }
}

fn small_outbox() -> Limits {
    Limits { max_outbox_bytes: 64 * 1024, ..Limits::default() }
}

#[tokio::test]
async fn a_silent_connection_closes_at_the_connect_timeout() {
    let mut house = House::with_limits(short_connect_timeout()).await;
    let begun = Instant::now();
    house.open(Version::V5_0).await.expect_closed().await;
    assert!(begun.elapsed() >= Duration::from_millis(250));
    house.bystanders_are_served().await;
    house.finish().await;
}

#[tokio::test]
async fn hundreds_of_silent_connections_are_gone_at_the_connect_timeout() {
    let mut house = House::with_limits(short_connect_timeout()).await;
    let mut silent = Vec::new();
    for n in 0..300 {
        let mut peer = house.open(Version::V5_0).await;
        if n % 2 == 0 {
            peer.send_bytes(&[0x10]).await;
        }
        silent.push(peer);
    }
    house.bystanders_are_served().await;
    for mut peer in silent {
        peer.expect_closed().await;
    }
    house.finish().await;
}

#[tokio::test]
async fn a_connect_that_comes_byte_by_byte_does_not_stretch_the_connect_timeout() {
    let mut house = House::with_limits(short_connect_timeout()).await;
    let bytes = encoded(Connect::new(Version::V5_0, &*"slow".repeat(100)), Version::V5_0);
    let mut peer = house.open(Version::V5_0).await;
    let mut pace = tokio::time::interval(Duration::from_millis(20));
    let mut sent = 0;
    while peer.try_send(&bytes[sent..=sent]).await {
        sent += 1;
        assert!(sent < 100, "after two seconds the broker still reads this CONNECT");
        pace.tick().await;
    }
    assert!(sent > 5, "it was not given its time");
    house.bystanders_are_served().await;
    house.finish().await;
}

#[tokio::test]
async fn a_client_that_falls_silent_inside_a_packet_is_closed_by_its_keep_alive() {
    let mut house = House::start().await;
    for version in [Version::V3_1_1, Version::V5_0] {
        let mut connect = Connect::new(version, "silent");
        connect.keep_alive_secs = 1;
        let mut peer = Peer::connected_with(house.address, connect).await.0;
        peer.send_bytes(&RawPacket::new(0x30).claiming(1_000_000).u16(1).bytes("t").to_bytes()).await;
        peer.expect_disconnected(ReasonCode::KeepAliveTimeout).await;
        house.bystanders_are_served().await;
    }
    house.finish().await;
}

/// Publishes 16 MiB to a subscriber that never reads; answers the subscriber.
async fn publish_to_the_deaf(house: &mut House, subscriber: Connect<'_>, qos: QoS) -> Peer {
    let mut deaf = Peer::connected_with(house.address, subscriber).await.0;
    deaf.subscribe("loud", qos).await;
    let before = resident_bytes();
    let mut loud = house.connected(Version::V3_1_1, "loud").await;
    let payload = "x".repeat(16 * 1024);
    for n in 0..1_024u16 {
        loud.send(publish_as(n + 1, "loud", &payload, qos)).await;
        if n % 64 == 0 {
            let taken = house.bystanders_are_served().await;
            assert!(taken < Duration::from_secs(5), "the bystanders waited for {taken:?}");
        }
        if qos == QoS::AtLeastOnce {
            loud.receive_puback().await;
        }
    }
    loud.expect_alive().await;
    let grown = resident_bytes().saturating_sub(before);
    assert!(grown < 256 << 20, "a client that does not read took {grown} bytes");
    deaf
}

#[tokio::test]
async fn a_subscriber_that_never_reads_loses_qos_0_messages_and_they_are_counted() {
    let mut house = House::with_limits(small_outbox()).await;
    let deaf = publish_to_the_deaf(&mut house, Connect::new(Version::V5_0, "deaf"), QoS::AtMostOnce).await;
    assert!(house.stats().dropped(DropCause::OutboxFull) > 0, "{}", house.stats());
    drop(deaf);
    house.finish().await;
}

#[tokio::test]
async fn a_transient_subscriber_that_never_reads_has_a_bounded_queue() {
    let limits = Limits { max_queued_messages: 20, max_inflight: 10, ..small_outbox() };
    let mut house = House::with_limits(limits).await;
    let deaf = publish_to_the_deaf(&mut house, Connect::new(Version::V5_0, "deaf"), QoS::AtLeastOnce).await;
    assert_eq!(house.stats().dropped(DropCause::QueueFull), 1_024 - 30);
    drop(deaf);
    house.finish().await;
}

#[tokio::test]
async fn a_durable_subscriber_that_never_reads_has_a_bounded_queue() {
    let limits = Limits { max_queued_messages: 20, max_inflight: 10, ..small_outbox() };
    let mut house = House::with_limits(limits).await;
    let deaf = publish_to_the_deaf(&mut house, durable(Version::V3_1_1, "deaf"), QoS::AtLeastOnce).await;
    assert_eq!(house.stats().dropped(DropCause::QueueFull), 1_024 - 20);
    drop(deaf);
    house.shut_down().await;
}

#[tokio::test]
async fn a_subscriber_that_reads_late_gets_all_that_was_queued_in_order() {
    let mut house = House::with_limits(small_outbox()).await;
    for version in ALL {
        let mut late = house.connected(version, "late").await;
        late.subscribe("loud", QoS::AtLeastOnce).await;
        let mut loud = house.connected(Version::V5_0, "loud").await;
        let filling = "x".repeat(10_000);
        for n in 0..1_500u16 {
            loud.send(publish_as(n + 1, "loud", &format!("{n:05}{filling}"), QoS::AtLeastOnce)).await;
            loud.receive_puback().await;
        }
        for n in 0..1_500 {
            let received = late.receive_publish().await;
            assert_eq!(received.payload[..5], *format!("{n:05}").as_bytes());
            late.acknowledge(&received).await;
        }
        house.bystanders_are_served().await;
    }
    house.finish().await;
}

/// A client floods requests and reads no answer: the broker stops reading it, and answers all when it reads again.
async fn flood_unread(house: &mut House, mut peer: Peer, packet: &[u8]) {
    let (sent, rest) = peer.flood_unread(packet, FAR_TOO_MUCH).await;
    assert!(sent * packet.len() < FAR_TOO_MUCH, "the broker takes requests without end");
    house.bystanders_are_served().await;
    peer.send_while_reading(&rest).await;
    for _ in 0..sent {
        let answer = peer.receive().await;
        assert!(!matches!(answer, Packet::Disconnect(_)), "{answer:?}");
    }
    peer.expect_alive().await;
    house.bystanders_are_served().await;
}

#[tokio::test]
async fn a_client_that_never_reads_its_pingresps_is_not_read_either() {
    let mut house = House::with_limits(small_outbox()).await;
    for version in ALL {
        let peer = house.connected(version, "pinger").await;
        flood_unread(&mut house, peer, &[0xc0, 0x00]).await;
    }
    house.finish().await;
}

#[tokio::test]
async fn a_client_that_never_reads_its_pubacks_is_not_read_either() {
    let mut house = House::with_limits(small_outbox()).await;
    for version in ALL {
        let peer = house.connected(version, "publisher").await;
        let packet = encoded(publish("t", "", QoS::AtLeastOnce), version);
        flood_unread(&mut house, peer, &packet).await;
    }
    house.finish().await;
}

#[tokio::test]
async fn a_client_that_never_reads_its_subacks_is_not_read_either() {
    let mut house = House::with_limits(small_outbox()).await;
    for version in ALL {
        let peer = house.connected(version, "subscriber").await;
        let packet = encoded(subscribe(1, "a", QoS::AtMostOnce), version);
        flood_unread(&mut house, peer, &packet).await;
    }
    house.finish().await;
}

#[tokio::test]
async fn acknowledgements_that_wait_behind_an_unread_replay_are_bounded() {
    let mut house = House::start().await;
    let mut sower = house.connected(Version::V3_1_1, "sower").await;
    let payload = "x".repeat(7 * 1024);
    // More than socket buffers and the outbox hold.
    for n in 0..1_000 {
        let mut retained = publish(&format!("replay/{n}"), &payload, QoS::AtMostOnce);
        retained.retain = true;
        sower.send(retained).await;
    }
    sower.expect_alive().await;
    for packet in [
        encoded(publish("t", "", QoS::AtLeastOnce), Version::V3_1_1),
        encoded(publish("t", "", QoS::ExactlyOnce), Version::V3_1_1),
        encoded(opifex_packet::Pubrel::new(id(9)), Version::V3_1_1),
    ] {
        let mut deaf = Peer::connected_with(house.address, durable(Version::V3_1_1, "deaf")).await.0;
        deaf.send(subscribe(1, "replay/#", QoS::AtMostOnce)).await;
        let (sent, _) = deaf.flood_unread(&packet, FAR_TOO_MUCH).await;
        assert!(sent * packet.len() < FAR_TOO_MUCH, "acknowledgements pile up without end");
        house.bystanders_are_served().await;
    }
    house.shut_down().await;
}

#[tokio::test]
async fn a_replay_larger_than_the_outbox_loses_nothing() {
    let mut house = House::with_limits(small_outbox()).await;
    let mut sower = house.connected(Version::V3_1_1, "sower").await;
    // Among them messages that are larger than the whole outbox.
    for n in 0..400 {
        let payload = "x".repeat(if n % 50 == 7 { 100 * 1024 } else { 3 * 1024 });
        let mut retained = publish(&format!("replay/{n}"), &payload, QoS::AtLeastOnce);
        retained.retain = true;
        sower.send(retained).await;
        sower.receive_puback().await;
    }
    for connect in [Connect::new(Version::V5_0, "reader"), durable(Version::V5_0, "durable-reader")] {
        for qos in [QoS::AtMostOnce, QoS::AtLeastOnce] {
            let mut reader = Peer::connected_with(house.address, connect.clone()).await.0;
            reader.send(subscribe(1, "replay/#", qos)).await;
            let (mut messages, mut answered) = (0, false);
            while messages < 400 || !answered {
                match reader.receive().await {
                    Packet::Suback(_) => answered = true,
                    Packet::Publish(publish) => {
                        messages += 1;
                        reader.acknowledge(&publish).await;
                    }
                    other => panic!("{other:?}"),
                }
            }
            house.bystanders_are_served().await;
        }
    }
    assert_eq!(house.stats().dropped_total(), 0, "{}", house.stats());
    house.shut_down().await;
}

#[tokio::test]
async fn replays_that_wait_for_acknowledgements_do_not_keep_them_from_being_read() {
    let limits = Limits { max_queued_messages: 1_024, max_inflight: 8, ..Limits::default() };
    let mut house = House::with_limits(limits).await;
    let mut sower = house.connected(Version::V3_1_1, "sower").await;
    for n in 0..600 {
        let mut retained = publish(&format!("replay/{n}"), "kept", QoS::AtLeastOnce);
        retained.retain = true;
        sower.send(retained).await;
        sower.receive_puback().await;
    }
    let mut eager = house.connected(Version::V5_0, "eager").await;
    let bytes: Vec<u8> = (0..1_000u16)
        .flat_map(|n| encoded(subscribe(n + 1, "replay/#", QoS::AtLeastOnce), Version::V5_0))
        .collect();
    eager.send_while_reading(&bytes).await;
    let (mut subacks, mut messages) = (0, 0);
    while subacks < 1_000 || messages < 600 {
        match eager.receive().await {
            Packet::Suback(_) => subacks += 1,
            Packet::Publish(publish) => {
                messages += 1;
                eager.acknowledge(&publish).await;
            }
            other => panic!("{other:?}"),
        }
    }
    house.bystanders_are_served().await;
    drop((eager, sower));
    house.finish().await;
}

#[tokio::test]
async fn a_client_that_never_reads_is_taken_over_in_time() {
    let mut house = House::with_limits(small_outbox()).await;
    for version in ALL {
        let mut deaf = house.connected(version, "deaf").await;
        deaf.flood_unread(&[0xc0, 0x00], FAR_TOO_MUCH).await;
        let begun = Instant::now();
        drop(house.connected(version, "deaf").await);
        assert!(begun.elapsed() < Duration::from_secs(5), "took {:?}", begun.elapsed());
        house.bystanders_are_served().await;
    }
    house.finish().await;
}

#[tokio::test]
async fn clients_that_never_read_do_not_hold_up_a_stop() {
    let mut house = House::with_limits(small_outbox()).await;
    let mut deaf = Vec::new();
    for n in 0..10 {
        let mut peer = house.connected(Version::V5_0, &format!("deaf-{n}")).await;
        peer.flood_unread(&[0xc0, 0x00], FAR_TOO_MUCH).await;
        deaf.push(peer);
    }
    house.bystanders_are_served().await;
    let begun = Instant::now();
    house.shut_down().await;
    assert!(begun.elapsed() < PATIENCE / 2, "took {:?}", begun.elapsed());
}

#[tokio::test]
async fn a_client_that_takes_nothing_larger_than_a_few_bytes_harms_itself_alone() {
    let mut house = House::start().await;
    for most in [1, 5, 20] {
        let mut connect = Connect::new(Version::V5_0, "tiny");
        connect.properties.push(Property::MaximumPacketSize(most));
        let mut peer = house.open(Version::V5_0).await;
        peer.send(connect).await;
        peer.send(subscribe(1, "bystander/#", QoS::AtLeastOnce)).await;
        house.bystanders_are_served().await;
        house.bystanders_are_served().await;
        peer.half_close().await;
        for packet in peer.drain().await {
            assert!(!matches!(packet, Packet::Publish(_)), "{packet:?} is larger than {most} bytes");
        }
        wait_until("it is gone", || house.stats().connections == 2).await;
    }
    house.finish().await;
}
