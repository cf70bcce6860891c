//! The future that serves a connection is dropped at awkward moments: nothing that was taken is lost, wills are
//! published, and nothing is left behind.

use opifex_conformance::faults::Faulty;
use opifex_packet::{Connect, Packet, QoS, Version};

use crate::backend::conversations;
use crate::gates::Gates;
use crate::peer::*;
use crate::store::Store;

conversations!(
    a_connection_that_is_dropped_publishes_its_will,
    a_connection_that_is_dropped_while_it_says_goodbye_leaves_nothing_behind,
    a_connection_that_is_dropped_while_it_is_opened_leaves_a_session_that_goes_on,
    what_a_dropped_connection_has_sent_still_arrives,
    a_takeover_goes_on_when_the_connection_that_waits_for_it_is_dropped,
);

/// With a will "gone" on "will".
fn mortal(durable: bool) -> Connect<'static> {
    let version = Version::V5_0;
    let mut hello = if durable { connect_durable(version, "c") } else { connect(version, "c") };
    hello.will = Some(will("will", "gone", QoS::AtLeastOnce));
    hello
}

async fn a_connection_that_is_dropped_publishes_its_will() {
    let broker = broker().await;
    let mut listener = Peer::v5(&broker, "listener").await;
    listener.subscribe("will", QoS::AtLeastOnce).await;
    for durable in [false, true] {
        let (peer, _) = Peer::connect(&broker, mortal(durable)).await;
        peer.abort();
        assert_eq!(listener.receive_text().await, "gone");
        wait_until(|| broker.stats().connections == 1).await;
        assert_eq!(broker.stats().sessions, if durable { 2 } else { 1 });
    }
}

async fn a_connection_that_is_dropped_while_it_says_goodbye_leaves_nothing_behind() {
    let broker = broker().await;
    let mut listener = Peer::v5(&broker, "listener").await;
    listener.subscribe("will", QoS::AtLeastOnce).await;
    for steps in 0..12 {
        // It does not read, so that saying goodbye takes its time.
        let mut peer = Peer::open_narrow(&broker, Version::V5_0, 600);
        peer.introduce(mortal(false)).await;
        peer.subscribe("big", QoS::AtMostOnce).await;
        listener.send(publish("big", &"x".repeat(2_000), QoS::AtMostOnce)).await;
        listener.settle().await;
        peer.send(mortal(false)).await;
        for _ in 0..steps {
            tokio::task::yield_now().await;
        }
        peer.abort();
        assert_eq!(listener.receive_text().await, "gone", "after {steps} steps");
        wait_until(|| broker.stats().connections == 1).await;
        assert_eq!(broker.stats().sessions, 1, "after {steps} steps");
        assert_eq!(broker.stats().subscriptions, 1, "after {steps} steps");
        listener.expect_silence().await;
    }
}

async fn a_connection_that_is_dropped_while_it_is_opened_leaves_a_session_that_goes_on() {
    let store = Faulty::over(Store::new());
    let broker = broker_over(store.clone()).await;
    let mut listener = Peer::v5(&broker, "listener").await;
    listener.subscribe("will", QoS::AtLeastOnce).await;
    store.set(Gates { hold_opens: true, ..Gates::default() });
    let mut peer = Peer::open(&broker, Version::V5_0);
    peer.send(mortal(true)).await;
    pass_secs(1).await;
    peer.abort();
    pass_secs(1).await;
    store.mend();
    assert_eq!(listener.receive_text().await, "gone", "the store has its will");
    wait_until(|| broker.stats().connections == 1).await;
    let (peer, connack) = Peer::connect(&broker, connect_durable(Version::V5_0, "c")).await;
    assert!(connack.session_present);
    peer.vanish(&broker).await;
    pass_secs(3_700).await;
    assert_eq!(broker.stats().sessions, 1, "its session expires");
}

async fn what_a_dropped_connection_has_sent_still_arrives() {
    for hold in
        [Gates { hold_orders: true, ..Gates::default() }, Gates { hold_commits: true, ..Gates::default() }]
    {
        for durable in [false, true] {
            let store = Faulty::over(Store::new());
            let broker = broker_over(store.clone()).await;
            let (mut listener, _) = Peer::connect(&broker, connect_durable(Version::V5_0, "listener")).await;
            listener.subscribe("#", QoS::AtLeastOnce).await;
            let (mut peer, _) = Peer::connect(&broker, mortal(durable)).await;
            store.set(hold);
            for n in 0..5 {
                peer.send(publish("a", &n.to_string(), QoS::AtLeastOnce)).await;
            }
            pass_secs(1).await;
            peer.abort();
            pass_secs(1).await;
            store.mend();
            for n in 0..5 {
                assert_eq!(listener.receive_text().await, n.to_string());
            }
            assert_eq!(listener.receive_text().await, "gone");
            wait_until(|| broker.stats().connections == 1).await;
            listener.expect_silence().await;
        }
    }
}

async fn a_takeover_goes_on_when_the_connection_that_waits_for_it_is_dropped() {
    let store = Faulty::over(Store::new());
    let broker = broker_over(store.clone()).await;
    let (mut first, _) = Peer::connect(&broker, connect_durable(Version::V5_0, "c")).await;
    first.subscribe("a", QoS::AtLeastOnce).await;
    store.set(Gates { hold_commits: true, ..Gates::default() });
    // The end of the first one is not durable yet, so the second one waits for the seat.
    let mut second = Peer::open(&broker, Version::V5_0);
    second.send(connect_durable(Version::V5_0, "c")).await;
    pass_secs(1).await;
    second.abort();
    let mut third = Peer::open(&broker, Version::V5_0);
    third.send(connect_durable(Version::V5_0, "c")).await;
    pass_secs(1).await;
    store.mend();
    assert!(matches!(third.receive().await, Packet::Connack(connack) if connack.session_present));
    third.publish("a", "x", QoS::AtMostOnce).await;
    assert_eq!(third.receive_text().await, "x");
    wait_until(|| broker.stats().connections == 1).await;
}
