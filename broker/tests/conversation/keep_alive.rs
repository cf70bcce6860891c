//! Keep-alive: silence for one and a half times the interval ends a connection, and nothing shorter.

use opifex_broker::Limits;
use opifex_packet::{Packet, QoS, ReasonCode, Version};

use crate::backend::conversations;
use crate::peer::*;

conversations!(
    silence_ends_a_connection_after_one_and_a_half_intervals,
    every_packet_is_a_sign_of_life,
    what_the_broker_sends_is_no_sign_of_life_of_the_client,
    a_keep_alive_of_zero_never_ends,
    the_servers_keep_alive_is_told_and_holds,
    a_client_that_was_not_read_for_a_while_is_held_to_its_keep_alive_again,
    a_client_that_never_reads_does_not_stay_for_ever,
);

const VERSIONS: [Version; 3] = [Version::V3_1, Version::V3_1_1, Version::V5_0];

async fn silence_ends_a_connection_after_one_and_a_half_intervals() {
    let broker = broker().await;
    for version in VERSIONS {
        let mut hello = connect(version, "c");
        hello.keep_alive_secs = 10;
        let (mut peer, _) = Peer::connect(&broker, hello).await;
        pass_secs(14).await;
        assert_eq!(broker.stats().connections, 1, "too early");
        let before = tokio::time::Instant::now();
        peer.expect_disconnect(ReasonCode::KeepAliveTimeout).await;
        assert!(before.elapsed().as_secs() <= 3, "too late: {:?}", before.elapsed());
    }
}

async fn every_packet_is_a_sign_of_life() {
    let broker = broker().await;
    let mut hello = connect(Version::V5_0, "c");
    hello.keep_alive_secs = 10;
    let (mut peer, _) = Peer::connect(&broker, hello).await;
    for _ in 0..3 {
        pass_secs(12).await;
        peer.settle().await;
        pass_secs(12).await;
        peer.publish("a", "x", QoS::AtMostOnce).await;
        pass_secs(12).await;
        peer.publish("a", "x", QoS::ExactlyOnce).await;
        pass_secs(12).await;
        peer.subscribe("a/b", QoS::AtMostOnce).await;
    }
    peer.expect_disconnect(ReasonCode::KeepAliveTimeout).await;
}

async fn what_the_broker_sends_is_no_sign_of_life_of_the_client() {
    let broker = broker().await;
    let mut hello = connect(Version::V5_0, "c");
    hello.keep_alive_secs = 10;
    let (mut peer, _) = Peer::connect(&broker, hello).await;
    peer.subscribe("a", QoS::AtMostOnce).await;
    let mut sender = Peer::v5(&broker, "s").await;
    for _ in 0..30 {
        sender.publish("a", "x", QoS::AtMostOnce).await;
        pass_secs(1).await;
    }
    assert_eq!(broker.stats().connections, 1);
    loop {
        match peer.receive().await {
            Packet::Publish(_) => {}
            Packet::Disconnect(said) => break assert_eq!(said.reason, ReasonCode::KeepAliveTimeout),
            other => panic!("unexpected {other:?}"),
        }
    }
}

async fn a_keep_alive_of_zero_never_ends() {
    let broker = broker().await;
    let mut peer = Peer::v4(&broker, "c").await;
    pass_secs(5_000).await;
    peer.settle().await;
}

async fn the_servers_keep_alive_is_told_and_holds() {
    let broker = broker_with_limits(Limits { max_keep_alive_secs: 20, ..Limits::default() }).await;
    for (asked, told, ends_after) in [(0, Some(20), 30), (60, Some(20), 30), (10, None, 15)] {
        let mut hello = connect(Version::V5_0, "c");
        hello.keep_alive_secs = asked;
        let (mut peer, connack) = Peer::connect(&broker, hello).await;
        assert_eq!(connack.properties.server_keep_alive(), told);
        pass_secs(ends_after - 1).await;
        assert_eq!(broker.stats().connections, 1, "too early");
        pass_secs(4).await;
        assert_eq!(broker.stats().connections, 0, "too late");
        peer.expect_disconnect(ReasonCode::KeepAliveTimeout).await;
    }
    let mut peer = Peer::v4(&broker, "old").await;
    pass_secs(100).await;
    peer.settle().await;
}

async fn a_client_that_was_not_read_for_a_while_is_held_to_its_keep_alive_again() {
    let limits = Limits { max_outbox_bytes: 10_000, ..Limits::default() };
    let broker = broker_with_limits(limits).await;
    let mut peer = Peer::open_narrow(&broker, Version::V5_0, 1_000);
    let mut hello = connect(Version::V5_0, "c");
    hello.keep_alive_secs = 10;
    peer.introduce(hello).await;
    peer.subscribe("a", QoS::AtLeastOnce).await;
    let mut sender = Peer::v5(&broker, "s").await;
    for _ in 0..30 {
        sender.publish("a", &"x".repeat(500), QoS::AtLeastOnce).await;
    }
    sender.settle().await;
    pass_secs(12).await;
    // Reads all at once, and goes on in silence.
    while peer.receive_within_secs(1).await.is_some() {}
    pass_secs(30).await;
    assert_eq!(broker.stats().connections, 1, "the sender alone");
}

async fn a_client_that_never_reads_does_not_stay_for_ever() {
    let limits = Limits { max_outbox_bytes: 10_000, ..Limits::default() };
    let broker = broker_with_limits(limits).await;
    let mut peer = Peer::open_narrow(&broker, Version::V5_0, 1_000);
    let mut hello = connect(Version::V5_0, "c");
    hello.keep_alive_secs = 10;
    peer.introduce(hello).await;
    peer.subscribe("a", QoS::AtLeastOnce).await;
    let mut sender = Peer::v5(&broker, "s").await;
    for _ in 0..30 {
        sender.publish("a", &"x".repeat(500), QoS::AtLeastOnce).await;
    }
    sender.settle().await;
    pass_secs(120).await;
    assert_eq!(broker.stats().connections, 1, "the sender alone");
}
