//! Sessions: clean start, resume, expiry, takeover.

use opifex_broker::Limits;
use opifex_packet::{Connect, Disconnect, Properties, Property, QoS, ReasonCode, Version};

use crate::backend::conversations;
use crate::peer::*;

conversations!(
    a_session_that_ends_with_its_connection_is_never_present,
    clean_start_false_without_expiry_leaves_nothing_in_5_0,
    a_resumed_session_has_its_subscriptions_with_their_options,
    clean_start_ends_the_stored_session_with_all_that_it_held,
    clean_start_with_expiry_begins_a_durable_session_anew,
    a_session_expires_when_its_interval_has_passed_and_not_before,
    an_expired_session_gets_no_more_messages,
    a_session_without_end_stays,
    disconnect_changes_the_expiry,
    an_expiry_of_zero_cannot_be_made_longer_at_disconnect,
    a_resumed_session_with_an_expiry_of_zero_ends_with_its_connection,
    a_longer_expiry_than_the_limit_is_cut_and_said,
    a_second_connection_takes_the_first_one_over,
    of_many_contenders_one_stays_and_all_others_are_told,
    what_was_in_flight_goes_to_the_connection_that_took_over,
    a_session_changes_its_version_on_resume,
);

fn expiring(client_id: &str, secs: u32) -> Connect<'static> {
    let mut connect = connect(Version::V5_0, client_id);
    connect.clean_start = false;
    connect.properties = Properties::new().with(Property::SessionExpiryInterval(secs));
    connect
}

fn disconnect_expiring(secs: u32) -> Disconnect<'static> {
    Disconnect {
        reason: ReasonCode::Success,
        properties: Properties::new().with(Property::SessionExpiryInterval(secs)),
    }
}

async fn a_session_that_ends_with_its_connection_is_never_present() {
    let broker = broker().await;
    for version in [Version::V3_1_1, Version::V5_0] {
        for _ in 0..2 {
            let (mut peer, connack) = Peer::connect(&broker, connect(version, "c")).await;
            assert!(!connack.session_present);
            peer.subscribe("a", QoS::AtLeastOnce).await;
            peer.disconnect(&broker).await;
            assert_eq!(broker.stats().sessions, 0);
            assert_eq!(broker.stats().subscriptions, 0);
        }
    }
}

async fn clean_start_false_without_expiry_leaves_nothing_in_5_0() {
    let broker = broker().await;
    let mut hello = connect(Version::V5_0, "c");
    hello.clean_start = false;
    let (mut peer, connack) = Peer::connect(&broker, hello.clone()).await;
    assert!(!connack.session_present);
    peer.subscribe("a", QoS::AtLeastOnce).await;
    peer.vanish(&broker).await;
    assert_eq!(broker.stats().sessions, 0);
    let (_peer, connack) = Peer::connect(&broker, hello).await;
    assert!(!connack.session_present);
}

async fn a_resumed_session_has_its_subscriptions_with_their_options() {
    let broker = broker().await;
    let (mut peer, _) = Peer::connect(&broker, expiring("c", 60)).await;
    let mut wanted = options(QoS::AtLeastOnce);
    wanted.retain_as_published = true;
    peer.subscribe_with("a/#", wanted, Some(7)).await;
    peer.vanish(&broker).await;
    let (mut peer, connack) = Peer::connect(&broker, expiring("c", 60)).await;
    assert!(connack.session_present);
    let mut sender = Peer::v5(&broker, "s").await;
    sender.publish_retained("a/b", "x", QoS::ExactlyOnce).await;
    let publish = peer.receive_acknowledged().await;
    assert!(publish.retain);
    assert_eq!(publish.qos(), QoS::AtLeastOnce);
    assert_eq!(publish.properties.subscription_identifiers().collect::<Vec<_>>(), [7]);
}

async fn clean_start_ends_the_stored_session_with_all_that_it_held() {
    let broker = broker().await;
    for version in [Version::V3_1, Version::V3_1_1, Version::V5_0] {
        let (mut peer, _) = Peer::connect(&broker, connect_durable(version, "c")).await;
        peer.subscribe("a", QoS::AtLeastOnce).await;
        peer.vanish(&broker).await;
        let mut sender = Peer::v5(&broker, "s").await;
        sender.publish("a", "old", QoS::AtLeastOnce).await;
        let (mut peer, connack) = Peer::connect(&broker, connect(version, "c")).await;
        assert!(!connack.session_present);
        peer.expect_silence().await;
        sender.publish("a", "gone", QoS::AtLeastOnce).await;
        peer.expect_silence().await;
        peer.disconnect(&broker).await;
        sender.disconnect(&broker).await;
        assert_eq!(broker.stats().sessions, 0);
        assert_eq!(broker.stats().subscriptions, 0);
    }
}

async fn clean_start_with_expiry_begins_a_durable_session_anew() {
    let broker = broker().await;
    let mut anew = expiring("c", 60);
    anew.clean_start = true;
    let (mut peer, _) = Peer::connect(&broker, expiring("c", 60)).await;
    peer.subscribe("old", QoS::AtLeastOnce).await;
    peer.vanish(&broker).await;
    let (mut peer, connack) = Peer::connect(&broker, anew).await;
    assert!(!connack.session_present);
    peer.subscribe("new", QoS::AtLeastOnce).await;
    peer.vanish(&broker).await;
    let mut sender = Peer::v5(&broker, "s").await;
    sender.publish("old", "x", QoS::AtLeastOnce).await;
    sender.publish("new", "y", QoS::AtLeastOnce).await;
    let (mut peer, connack) = Peer::connect(&broker, expiring("c", 60)).await;
    assert!(connack.session_present);
    assert_eq!(peer.receive_text().await, "y");
    peer.expect_silence().await;
}

async fn a_session_expires_when_its_interval_has_passed_and_not_before() {
    let broker = broker().await;
    let (peer, _) = Peer::connect(&broker, expiring("c", 10)).await;
    peer.vanish(&broker).await;
    pass_secs(8).await;
    let (peer, connack) = Peer::connect(&broker, expiring("c", 10)).await;
    assert!(connack.session_present, "its time was not over");
    pass_secs(60).await;
    peer.vanish(&broker).await;
    pass_secs(8).await;
    assert_eq!(broker.stats().sessions, 1, "the clock runs from the connection's end");
    pass_secs(4).await;
    assert_eq!(broker.stats().sessions, 0);
    let (_peer, connack) = Peer::connect(&broker, expiring("c", 10)).await;
    assert!(!connack.session_present);
}

async fn an_expired_session_gets_no_more_messages() {
    let broker = broker().await;
    let (mut peer, _) = Peer::connect(&broker, expiring("c", 10)).await;
    peer.subscribe("a", QoS::ExactlyOnce).await;
    peer.vanish(&broker).await;
    pass_secs(12).await;
    assert_eq!(broker.stats().subscriptions, 0);
    let mut sender = Peer::v5(&broker, "s").await;
    sender.publish("a", "x", QoS::ExactlyOnce).await;
    let (mut peer, _) = Peer::connect(&broker, expiring("c", 10)).await;
    peer.expect_silence().await;
}

async fn a_session_without_end_stays() {
    let broker = broker().await;
    let (peer, _) = Peer::connect(&broker, expiring("c", u32::MAX)).await;
    peer.vanish(&broker).await;
    pass_secs(5_000).await;
    let (_peer, connack) = Peer::connect(&broker, expiring("c", u32::MAX)).await;
    assert!(connack.session_present);
}

async fn disconnect_changes_the_expiry() {
    let broker = broker().await;
    let (peer, _) = Peer::connect(&broker, expiring("shorter", 1000)).await;
    peer.disconnect_with(&broker, disconnect_expiring(5)).await;
    let (peer, _) = Peer::connect(&broker, expiring("longer", 5)).await;
    peer.disconnect_with(&broker, disconnect_expiring(1000)).await;
    let (peer, _) = Peer::connect(&broker, expiring("ended", 1000)).await;
    peer.disconnect_with(&broker, disconnect_expiring(0)).await;
    assert_eq!(broker.stats().sessions, 2, "an expiry of 0 ends the session at once");
    pass_secs(8).await;
    assert_eq!(broker.stats().sessions, 1);
    let (_peer, connack) = Peer::connect(&broker, expiring("longer", 5)).await;
    assert!(connack.session_present);
}

async fn an_expiry_of_zero_cannot_be_made_longer_at_disconnect() {
    let broker = broker().await;
    let mut peer = Peer::v5(&broker, "c").await;
    peer.send(disconnect_expiring(10)).await;
    peer.expect_disconnect(ReasonCode::ProtocolError).await;
}

async fn a_resumed_session_with_an_expiry_of_zero_ends_with_its_connection() {
    let broker = broker().await;
    let (mut peer, _) = Peer::connect(&broker, expiring("c", 100)).await;
    peer.subscribe("a", QoS::AtLeastOnce).await;
    peer.vanish(&broker).await;
    let (mut peer, connack) = Peer::connect(&broker, expiring("c", 0)).await;
    assert!(connack.session_present);
    let mut sender = Peer::v5(&broker, "s").await;
    sender.publish("a", "x", QoS::AtLeastOnce).await;
    assert_eq!(peer.receive_text().await, "x");
    peer.vanish(&broker).await;
    let (_peer, connack) = Peer::connect(&broker, expiring("c", 100)).await;
    assert!(!connack.session_present);
}

async fn a_longer_expiry_than_the_limit_is_cut_and_said() {
    let broker = broker_with_limits(Limits { max_session_expiry_secs: 20, ..Limits::default() }).await;
    let (peer, connack) = Peer::connect(&broker, expiring("c", 1000)).await;
    assert_eq!(connack.properties.session_expiry_interval(), Some(20));
    peer.vanish(&broker).await;
    let (peer, _) = Peer::connect(&broker, connect_durable(Version::V3_1_1, "d")).await;
    peer.vanish(&broker).await;
    pass_secs(18).await;
    assert_eq!(broker.stats().sessions, 2);
    pass_secs(4).await;
    assert_eq!(broker.stats().sessions, 0);
}

async fn a_second_connection_takes_the_first_one_over() {
    let broker = broker().await;
    for version in [Version::V3_1_1, Version::V5_0] {
        for durable in [false, true] {
            let hello = if durable { connect_durable(version, "c") } else { connect(version, "c") };
            let (mut first, _) = Peer::connect(&broker, hello.clone()).await;
            first.subscribe("a", QoS::AtLeastOnce).await;
            let (mut second, connack) = Peer::connect(&broker, hello).await;
            assert_eq!(connack.session_present, durable);
            first.expect_disconnect(ReasonCode::SessionTakenOver).await;
            let mut sender = Peer::v5(&broker, "s").await;
            sender.publish("a", "x", QoS::AtLeastOnce).await;
            if durable {
                assert_eq!(second.receive_text().await, "x");
            }
            second.expect_silence().await;
            second.disconnect(&broker).await;
            sender.disconnect(&broker).await;
            let (clean, _) = Peer::connect(&broker, connect(version, "c")).await;
            clean.disconnect(&broker).await;
        }
    }
}

async fn of_many_contenders_one_stays_and_all_others_are_told() {
    let broker = broker().await;
    for durable in [false, true] {
        let hello = match durable {
            true => connect_durable(Version::V5_0, "c"),
            false => connect(Version::V5_0, "c"),
        };
        let mut contenders = Vec::new();
        for _ in 0..5 {
            let mut peer = Peer::open(&broker, Version::V5_0);
            peer.send(hello.clone()).await;
            contenders.push(peer);
        }
        let mut standing = Vec::new();
        for (n, mut peer) in contenders.into_iter().enumerate() {
            assert!(matches!(peer.receive().await, opifex_packet::Packet::Connack(_)), "contender {n}");
            match tokio::time::timeout(std::time::Duration::from_secs(1), peer.receive()).await {
                Ok(opifex_packet::Packet::Disconnect(said)) => {
                    assert_eq!(said.reason, ReasonCode::SessionTakenOver);
                    peer.expect_closed().await;
                }
                Ok(other) => panic!("expected DISCONNECT, got {other:?}"),
                Err(_) => standing.push(peer),
            }
        }
        assert_eq!(standing.len(), 1);
        let mut last = standing.pop().unwrap();
        last.subscribe("a", QoS::AtMostOnce).await;
        last.publish("a", "mine", QoS::AtMostOnce).await;
        assert_eq!(last.receive_text().await, "mine");
        assert_eq!(broker.stats().connections, 1);
        assert_eq!(broker.stats().sessions, 1);
        last.disconnect_with(&broker, Disconnect::new(ReasonCode::Success)).await;
        assert_eq!(broker.stats().sessions, u64::from(durable));
    }
}

async fn what_was_in_flight_goes_to_the_connection_that_took_over() {
    let broker = broker().await;
    let (mut first, _) = Peer::connect(&broker, expiring("c", 100)).await;
    first.subscribe("a", QoS::AtLeastOnce).await;
    let mut sender = Peer::v5(&broker, "s").await;
    sender.publish("a", "x", QoS::AtLeastOnce).await;
    let unacknowledged = first.receive_publish().await;
    let (mut second, _) = Peer::connect(&broker, expiring("c", 100)).await;
    let again = second.receive_acknowledged().await;
    assert!(again.dup);
    assert_eq!(again.delivery, unacknowledged.delivery);
    second.expect_silence().await;
}

async fn a_session_changes_its_version_on_resume() {
    let broker = broker().await;
    let (mut old, _) = Peer::connect(&broker, connect_durable(Version::V3_1_1, "c")).await;
    old.subscribe("a", QoS::ExactlyOnce).await;
    old.vanish(&broker).await;
    let mut sender = Peer::v5(&broker, "s").await;
    let mut packet = publish("a", "x", QoS::ExactlyOnce);
    packet.properties.push(Property::UserProperty("k", "v"));
    sender.publish_packet(packet).await;
    let (mut new, connack) = Peer::connect(&broker, expiring("c", 100)).await;
    assert!(connack.session_present);
    let publish = new.receive_acknowledged().await;
    assert_eq!(publish.properties.user_properties().collect::<Vec<_>>(), [("k", "v")]);
    new.vanish(&broker).await;
    sender.publish("a", "y", QoS::ExactlyOnce).await;
    let (mut old, connack) = Peer::connect(&broker, connect_durable(Version::V3_1_1, "c")).await;
    assert!(connack.session_present);
    assert_eq!(old.receive_text().await, "y");
}
