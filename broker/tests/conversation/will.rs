//! Wills: when they are published, when they are not, and as what.

use opifex_packet::{Connect, Disconnect, Properties, Property, QoS, ReasonCode, Version};

use crate::backend::conversations;
use crate::peer::*;
use crate::store::Store;

conversations!(
    a_will_is_not_sent_after_disconnect,
    a_will_is_sent_when_the_client_vanishes,
    a_will_is_sent_after_a_disconnect_that_asks_for_it,
    a_will_is_sent_when_the_client_breaks_the_protocol,
    a_will_is_sent_when_keep_alive_runs_out,
    a_will_comes_after_everything_that_the_client_has_published,
    a_takeover_publishes_the_will_of_a_session_that_ends_with_it,
    a_takeover_publishes_a_will_without_delay_though_the_session_goes_on,
    a_takeover_within_the_delay_cancels_the_will,
    a_takeover_with_clean_start_publishes_the_will_at_once,
    a_delayed_will_waits,
    a_client_that_is_back_within_the_delay_has_no_will_published,
    the_end_of_the_session_ends_the_delay,
    a_delay_in_a_session_that_ends_with_its_connection_is_no_delay,
    disconnect_with_will_and_an_expiry_of_zero_ends_the_delay,
    a_retained_will_is_retained,
    a_will_keeps_its_properties_and_its_expiry_counts_from_its_publication,
    a_will_reaches_a_durable_session_that_is_away,
    no_local_holds_for_no_will_of_another_session,
);

const VERSIONS: [Version; 3] = [Version::V3_1, Version::V3_1_1, Version::V5_0];

/// With a will "gone" on "will", for a session that ends with the connection.
fn mortal(version: Version, client_id: &str) -> Connect<'static> {
    let mut connect = connect(version, client_id);
    connect.will = Some(will("will", "gone", QoS::AtLeastOnce));
    connect
}

/// 5.0, with a will after `delay_secs`, in a session that lives on for `expiry_secs`.
fn delayed(client_id: &str, delay_secs: u32, expiry_secs: u32) -> Connect<'static> {
    let mut connect = mortal(Version::V5_0, client_id);
    connect.clean_start = false;
    connect.properties.push(Property::SessionExpiryInterval(expiry_secs));
    if let Some(will) = &mut connect.will {
        will.properties.push(Property::WillDelayInterval(delay_secs));
    }
    connect
}

/// The broker, and one that listens to wills.
async fn mourner() -> (opifex_broker::Broker<Store>, Peer) {
    let broker = broker().await;
    let mut listener = Peer::v5(&broker, "listener").await;
    listener.subscribe("will", QoS::ExactlyOnce).await;
    (broker, listener)
}

async fn a_will_is_not_sent_after_disconnect() {
    let (broker, mut listener) = mourner().await;
    for version in VERSIONS {
        let mut durable = connect_durable(version, "c");
        durable.will = mortal(version, "c").will;
        for hello in [mortal(version, "c"), durable] {
            let (peer, _) = Peer::connect(&broker, hello).await;
            peer.disconnect(&broker).await;
            pass_secs(5).await;
            listener.expect_silence().await;
        }
    }
}

async fn a_will_is_sent_when_the_client_vanishes() {
    let (broker, mut listener) = mourner().await;
    for version in VERSIONS {
        let mut durable = connect_durable(version, "c");
        durable.will = mortal(version, "c").will;
        for hello in [mortal(version, "c"), durable] {
            let (peer, _) = Peer::connect(&broker, hello).await;
            listener.expect_silence().await;
            peer.vanish(&broker).await;
            let publish = listener.receive_acknowledged().await;
            assert_eq!(text(&publish), "gone");
            assert_eq!(publish.qos(), QoS::AtLeastOnce);
            assert!(!publish.retain);
            listener.expect_silence().await;
        }
    }
}

async fn a_will_is_sent_after_a_disconnect_that_asks_for_it() {
    let (broker, mut listener) = mourner().await;
    for hello in [mortal(Version::V5_0, "c"), delayed("d", 0, 100)] {
        let (peer, _) = Peer::connect(&broker, hello).await;
        peer.disconnect_with(&broker, Disconnect::new(ReasonCode::DisconnectWithWill)).await;
        assert_eq!(listener.receive_text().await, "gone");
        listener.expect_silence().await;
    }
}

async fn a_will_is_sent_when_the_client_breaks_the_protocol() {
    let (broker, mut listener) = mourner().await;
    for hello in [mortal(Version::V5_0, "c"), delayed("d", 0, 100)] {
        let (mut peer, _) = Peer::connect(&broker, hello.clone()).await;
        peer.send(hello).await;
        peer.expect_disconnect(ReasonCode::ProtocolError).await;
        assert_eq!(listener.receive_text().await, "gone");
        listener.expect_silence().await;
    }
}

async fn a_will_is_sent_when_keep_alive_runs_out() {
    let (broker, mut listener) = mourner().await;
    let mut hello = mortal(Version::V3_1_1, "c");
    hello.keep_alive_secs = 10;
    let (mut peer, _) = Peer::connect(&broker, hello).await;
    peer.expect_closed().await;
    assert_eq!(listener.receive_text().await, "gone");
}

async fn a_will_comes_after_everything_that_the_client_has_published() {
    let (broker, mut listener) = mourner().await;
    let (mut peer, _) = Peer::connect(&broker, mortal(Version::V5_0, "c")).await;
    for n in 0..50 {
        peer.send(publish("will", &n.to_string(), QoS::AtMostOnce)).await;
    }
    peer.vanish(&broker).await;
    for n in 0..50 {
        assert_eq!(listener.receive_text().await, n.to_string());
    }
    assert_eq!(listener.receive_text().await, "gone");
}

async fn a_takeover_publishes_the_will_of_a_session_that_ends_with_it() {
    let (broker, mut listener) = mourner().await;
    let (mut first, _) = Peer::connect(&broker, mortal(Version::V5_0, "c")).await;
    let (second, _) = Peer::connect(&broker, connect(Version::V5_0, "c")).await;
    first.expect_disconnect(ReasonCode::SessionTakenOver).await;
    assert_eq!(listener.receive_text().await, "gone");
    second.disconnect(&broker).await;
    listener.expect_silence().await;
}

async fn a_takeover_publishes_a_will_without_delay_though_the_session_goes_on() {
    let (broker, mut listener) = mourner().await;
    let (mut first, _) = Peer::connect(&broker, delayed("c", 0, 100)).await;
    let (_second, connack) = Peer::connect(&broker, delayed("c", 0, 100)).await;
    assert!(connack.session_present);
    first.expect_disconnect(ReasonCode::SessionTakenOver).await;
    assert_eq!(listener.receive_text().await, "gone");
    pass_secs(200).await;
    listener.expect_silence().await;
}

async fn a_takeover_within_the_delay_cancels_the_will() {
    let (broker, mut listener) = mourner().await;
    let (mut first, _) = Peer::connect(&broker, delayed("c", 30, 100)).await;
    let (second, _) = Peer::connect(&broker, delayed("c", 30, 100)).await;
    first.expect_disconnect(ReasonCode::SessionTakenOver).await;
    pass_secs(60).await;
    listener.expect_silence().await;
    second.disconnect(&broker).await;
    pass_secs(60).await;
    listener.expect_silence().await;
}

async fn a_takeover_with_clean_start_publishes_the_will_at_once() {
    let (broker, mut listener) = mourner().await;
    let (mut first, _) = Peer::connect(&broker, delayed("c", 30, 100)).await;
    let (_second, _) = Peer::connect(&broker, connect(Version::V5_0, "c")).await;
    first.expect_disconnect(ReasonCode::SessionTakenOver).await;
    assert_eq!(listener.receive_text().await, "gone");
    pass_secs(60).await;
    listener.expect_silence().await;
}

async fn a_delayed_will_waits() {
    let (broker, mut listener) = mourner().await;
    let (peer, _) = Peer::connect(&broker, delayed("c", 30, 100)).await;
    peer.vanish(&broker).await;
    pass_secs(28).await;
    listener.expect_silence().await;
    pass_secs(4).await;
    assert_eq!(listener.receive_text().await, "gone");
    pass_secs(200).await;
    listener.expect_silence().await;
}

async fn a_client_that_is_back_within_the_delay_has_no_will_published() {
    let (broker, mut listener) = mourner().await;
    let (peer, _) = Peer::connect(&broker, delayed("c", 30, 100)).await;
    peer.vanish(&broker).await;
    pass_secs(20).await;
    let (peer, _) = Peer::connect(&broker, connect_durable(Version::V5_0, "c")).await;
    pass_secs(60).await;
    listener.expect_silence().await;
    peer.vanish(&broker).await;
    pass_secs(60).await;
    listener.expect_silence().await;
}

async fn the_end_of_the_session_ends_the_delay() {
    let (broker, mut listener) = mourner().await;
    let (peer, _) = Peer::connect(&broker, delayed("c", 1000, 10)).await;
    peer.vanish(&broker).await;
    pass_secs(8).await;
    listener.expect_silence().await;
    pass_secs(4).await;
    assert_eq!(listener.receive_text().await, "gone");
    listener.expect_silence().await;
}

async fn a_delay_in_a_session_that_ends_with_its_connection_is_no_delay() {
    let (broker, mut listener) = mourner().await;
    let (peer, _) = Peer::connect(&broker, delayed("c", 1000, 0)).await;
    peer.vanish(&broker).await;
    assert_eq!(listener.receive_text().await, "gone");
}

async fn disconnect_with_will_and_an_expiry_of_zero_ends_the_delay() {
    let (broker, mut listener) = mourner().await;
    let (peer, _) = Peer::connect(&broker, delayed("c", 1000, 1000)).await;
    let properties = Properties::new().with(Property::SessionExpiryInterval(0));
    let goodbye = Disconnect { reason: ReasonCode::DisconnectWithWill, properties };
    peer.disconnect_with(&broker, goodbye).await;
    assert_eq!(listener.receive_text().await, "gone");
}

async fn a_retained_will_is_retained() {
    let (broker, mut listener) = mourner().await;
    for durable in [false, true] {
        let mut hello = if durable { delayed("c", 0, 100) } else { mortal(Version::V5_0, "c") };
        if let Some(will) = &mut hello.will {
            will.retain = true;
        }
        let (peer, _) = Peer::connect(&broker, hello).await;
        peer.vanish(&broker).await;
        let publish = listener.receive_acknowledged().await;
        assert!(!publish.retain, "a subscription that stands gets it as a new message");
        let mut late = Peer::v5(&broker, "late").await;
        late.subscribe("will", QoS::AtLeastOnce).await;
        let publish = late.receive_acknowledged().await;
        assert!(publish.retain);
        assert_eq!(text(&publish), "gone");
        late.disconnect(&broker).await;
        let mut clearer = Peer::v5(&broker, "clearer").await;
        clearer.publish_retained("will", "", QoS::AtLeastOnce).await;
        clearer.disconnect(&broker).await;
        assert_eq!(listener.receive_text().await, "");
    }
}

async fn a_will_keeps_its_properties_and_its_expiry_counts_from_its_publication() {
    let (broker, mut listener) = mourner().await;
    for (delay, expiry) in [(0, 0), (30, 100)] {
        let mut hello = delayed("c", delay, expiry);
        if let Some(will) = &mut hello.will {
            will.properties.push(Property::PayloadFormatIndicator(true));
            will.properties.push(Property::MessageExpiryInterval(50));
            will.properties.push(Property::ContentType("text/plain"));
            will.properties.push(Property::ResponseTopic("reply"));
            will.properties.push(Property::CorrelationData(b"corr"));
            will.properties.push(Property::UserProperty("a", "1"));
            will.properties.push(Property::UserProperty("a", "2"));
        }
        let (peer, _) = Peer::connect(&broker, hello).await;
        peer.vanish(&broker).await;
        pass_secs(u64::from(delay) + 2).await;
        let publish = listener.receive_acknowledged().await;
        let properties = &publish.properties;
        assert_eq!(properties.message_expiry_interval(), Some(50));
        assert_eq!(properties.payload_format_indicator(), Some(true));
        assert_eq!(properties.content_type(), Some("text/plain"));
        assert_eq!(properties.response_topic(), Some("reply"));
        assert_eq!(properties.correlation_data(), Some(&b"corr"[..]));
        assert_eq!(properties.user_properties().collect::<Vec<_>>(), [("a", "1"), ("a", "2")]);
        assert_eq!(properties.will_delay_interval(), None);
    }
}

async fn a_will_reaches_a_durable_session_that_is_away() {
    let (broker, _listener) = mourner().await;
    for hello in [mortal(Version::V3_1_1, "c"), delayed("d", 5, 100)] {
        let (mut away, _) = Peer::connect(&broker, connect_durable(Version::V5_0, "away")).await;
        away.subscribe("will", QoS::AtLeastOnce).await;
        away.vanish(&broker).await;
        let (peer, _) = Peer::connect(&broker, hello).await;
        peer.vanish(&broker).await;
        pass_secs(10).await;
        let (mut away, _) = Peer::connect(&broker, connect_durable(Version::V5_0, "away")).await;
        assert_eq!(away.receive_text().await, "gone");
        away.expect_silence().await;
        away.disconnect(&broker).await;
    }
}

async fn no_local_holds_for_no_will_of_another_session() {
    let (broker, mut listener) = mourner().await;
    let mut wanted = options(QoS::AtLeastOnce);
    wanted.no_local = true;
    listener.subscribe_with("will", wanted, None).await;
    let (peer, _) = Peer::connect(&broker, mortal(Version::V5_0, "c")).await;
    peer.vanish(&broker).await;
    assert_eq!(listener.receive_text().await, "gone");
}
