//! Limits: what happens at each of them.

use std::time::Duration;

use opifex_broker::{DropCause, Limits};
use opifex_packet::{
    Connect, Packet, Property, QoS, ReasonCode, Subscription, SubscriptionOptions, TopicFilter, Version,
};
use opifex_storage::FullPolicy;

use crate::backend::conversations;
use crate::peer::*;

conversations!(
    max_connections_closes_one_more,
    connect_timeout_closes_who_says_nothing_or_too_little,
    max_packet_size_is_announced_and_a_larger_one_closes,
    packets_of_a_megabyte_pass_by_default,
    max_connect_packet_size_bounds_the_first_packet,
    max_qos_is_announced_granted_and_enforced,
    without_retain_it_is_announced_and_refused,
    without_wildcards_or_shares_their_filters_are_refused,
    max_sessions_refuses_one_more,
    max_subscriptions_refuses_one_more,
    max_topic_levels_holds_for_topics_filters_and_wills,
    a_shared_filters_levels_are_those_of_the_filter_in_it,
    max_client_id_bytes_refuses_longer_ones,
    a_full_queue_drops_the_newest_or_the_oldest_and_counts,
    max_queued_bytes_bounds_the_queue,
    a_session_that_is_away_keeps_as_much_as_its_queue_may_hold,
    max_topic_aliases_are_announced,
    an_answer_longer_than_the_client_takes_is_not_sent,
    a_client_that_cannot_be_told_what_holds_is_refused,
);

fn limited(change: impl FnOnce(&mut Limits)) -> Limits {
    let mut limits = Limits::default();
    change(&mut limits);
    limits
}

async fn suback(peer: &mut Peer, filter: &str, options: SubscriptionOptions) -> ReasonCode {
    peer.send(subscribe(filter, options, None)).await;
    match peer.receive().await {
        Packet::Suback(suback) => suback.reasons[0],
        other => panic!("expected SUBACK, got {other:?}"),
    }
}

async fn max_connections_closes_one_more() {
    let broker = broker_with_limits(limited(|limits| limits.max_connections = 2)).await;
    let first = Peer::v5(&broker, "a").await;
    let _second = Peer::v5(&broker, "b").await;
    Peer::refused(&broker, connect(Version::V5_0, "c"), ReasonCode::QuotaExceeded).await;
    Peer::refused(&broker, connect(Version::V3_1_1, "c"), ReasonCode::ServerUnavailable).await;
    first.disconnect(&broker).await;
    Peer::v5(&broker, "c").await;
}

async fn connect_timeout_closes_who_says_nothing_or_too_little() {
    let broker = broker_with_limits(limited(|limits| limits.connect_timeout = Duration::from_secs(5))).await;
    let mut silent = Peer::open(&broker, Version::V5_0);
    let mut slow = Peer::open(&broker, Version::V5_0);
    for byte in [0x10, 0x20, 0x00, 0x04] {
        slow.send_raw(&[byte]).await;
        pass_secs(1).await;
    }
    assert_eq!(broker.stats().connections, 2);
    pass_secs(2).await;
    assert_eq!(broker.stats().connections, 0);
    silent.expect_closed().await;
    slow.expect_closed().await;
}

async fn max_packet_size_is_announced_and_a_larger_one_closes() {
    let broker = broker_with_limits(limited(|limits| limits.max_packet_size = 1_000)).await;
    for version in [Version::V3_1_1, Version::V5_0] {
        let (mut peer, connack) = Peer::connect(&broker, connect(version, "c")).await;
        if version.is_v5() {
            assert_eq!(connack.properties.maximum_packet_size(), Some(1_000));
        }
        peer.subscribe("a", QoS::AtMostOnce).await;
        let fits = 1_000 - 3 - 3 - usize::from(version.is_v5());
        peer.publish("a", &"x".repeat(fits), QoS::AtMostOnce).await;
        assert_eq!(peer.receive_text().await.len(), fits);
        peer.publish("a", &"x".repeat(fits + 1), QoS::AtMostOnce).await;
        peer.expect_disconnect(ReasonCode::PacketTooLarge).await;
    }
}

async fn packets_of_a_megabyte_pass_by_default() {
    let broker = broker().await;
    let (mut durable, _) = Peer::connect(&broker, connect_durable(Version::V5_0, "d")).await;
    durable.subscribe("a", QoS::ExactlyOnce).await;
    let mut peer = Peer::v4(&broker, "c").await;
    peer.subscribe("a", QoS::ExactlyOnce).await;
    let mut sender = Peer::v5(&broker, "s").await;
    for qos in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
        sender.publish("a", &"x".repeat(1 << 20), qos).await;
        assert_eq!(peer.receive_text().await.len(), 1 << 20);
        assert_eq!(durable.receive_text().await.len(), 1 << 20);
    }
}

async fn max_connect_packet_size_bounds_the_first_packet() {
    let broker = broker_with_limits(limited(|limits| limits.max_connect_packet_size = 100)).await;
    let mut large = connect(Version::V5_0, "c");
    large.user_name = Some("x".repeat(200).into());
    let mut peer = Peer::open(&broker, Version::V5_0);
    peer.send(large).await;
    match peer.receive_within_secs(5).await {
        None => {}
        Some(Packet::Connack(connack)) => assert_eq!(connack.reason, ReasonCode::PacketTooLarge),
        Some(other) => panic!("unexpected {other:?}"),
    }
    peer.expect_closed().await;
    let mut peer = Peer::v5(&broker, "c").await;
    peer.publish("a", &"x".repeat(200), QoS::AtLeastOnce).await;
}

async fn max_qos_is_announced_granted_and_enforced() {
    for max_qos in [QoS::AtMostOnce, QoS::AtLeastOnce] {
        let broker = broker_with_limits(limited(|limits| limits.max_qos = max_qos)).await;
        let (mut peer, connack) = Peer::connect(&broker, connect(Version::V5_0, "c")).await;
        assert_eq!(connack.properties.maximum_qos(), Some(u8::from(max_qos)));
        let granted = suback(&mut peer, "a", options(QoS::ExactlyOnce)).await;
        assert_eq!(granted as u8, u8::from(max_qos));
        peer.send(publish("a", "x", QoS::ExactlyOnce)).await;
        peer.expect_disconnect(ReasonCode::QoSNotSupported).await;
        let mut hello = connect(Version::V5_0, "c");
        hello.will = Some(will("w", "x", QoS::ExactlyOnce));
        Peer::refused(&broker, hello, ReasonCode::QoSNotSupported).await;
    }
}

async fn without_retain_it_is_announced_and_refused() {
    let broker = broker_with_limits(limited(|limits| limits.retain_available = false)).await;
    let (mut peer, connack) = Peer::connect(&broker, connect(Version::V5_0, "c")).await;
    assert_eq!(connack.properties.retain_available(), Some(false));
    peer.send(retained("a", "x", QoS::AtMostOnce)).await;
    peer.expect_disconnect(ReasonCode::RetainNotSupported).await;
    let mut hello = connect(Version::V5_0, "c");
    hello.will = Some(will("w", "x", QoS::AtMostOnce));
    hello.will.as_mut().unwrap().retain = true;
    Peer::refused(&broker, hello, ReasonCode::RetainNotSupported).await;
}

async fn without_wildcards_or_shares_their_filters_are_refused() {
    let limits = limited(|limits| {
        limits.wildcard_subscriptions = false;
        limits.shared_subscriptions = false;
    });
    let broker = broker_with_limits(limits).await;
    let (mut peer, connack) = Peer::connect(&broker, connect(Version::V5_0, "c")).await;
    assert_eq!(connack.properties.wildcard_subscription_available(), Some(false));
    assert_eq!(connack.properties.shared_subscription_available(), Some(false));
    let wanted = options(QoS::AtMostOnce);
    let refused = ReasonCode::WildcardSubscriptionsNotSupported;
    assert_eq!(suback(&mut peer, "a/#", wanted).await, refused);
    assert_eq!(suback(&mut peer, "+/a", wanted).await, refused);
    let refused = ReasonCode::SharedSubscriptionsNotSupported;
    assert_eq!(suback(&mut peer, "$share/g/a", wanted).await, refused);
    assert_eq!(suback(&mut peer, "a", wanted).await, ReasonCode::Success);
    let mut peer = Peer::v4(&broker, "d").await;
    assert_eq!(suback(&mut peer, "a/#", wanted).await, ReasonCode::UnspecifiedError);
}

async fn max_sessions_refuses_one_more() {
    let broker = broker_with_limits(limited(|limits| limits.max_sessions = 2)).await;
    let (stored, _) = Peer::connect(&broker, connect_durable(Version::V5_0, "stored")).await;
    stored.disconnect(&broker).await;
    let peer = Peer::v5(&broker, "c").await;
    for version in [Version::V3_1_1, Version::V5_0] {
        let reason = if version.is_v5() { ReasonCode::QuotaExceeded } else { ReasonCode::ServerUnavailable };
        Peer::refused(&broker, connect(version, "one-more"), reason).await;
        Peer::refused(&broker, connect_durable(version, "one-more"), reason).await;
    }
    let (stored, connack) = Peer::connect(&broker, connect_durable(Version::V5_0, "stored")).await;
    assert!(connack.session_present, "a session that exists is no more");
    stored.disconnect(&broker).await;
    peer.disconnect(&broker).await;
    Peer::v5(&broker, "one-more").await;
}

async fn max_subscriptions_refuses_one_more() {
    let broker = broker_with_limits(limited(|limits| limits.max_subscriptions_per_session = 2)).await;
    let wanted = options(QoS::AtMostOnce);
    for version in [Version::V3_1_1, Version::V5_0] {
        let (mut peer, _) = Peer::connect(&broker, connect(version, "c")).await;
        let refused = if version.is_v5() { ReasonCode::QuotaExceeded } else { ReasonCode::UnspecifiedError };
        assert_eq!(suback(&mut peer, "a", wanted).await, ReasonCode::Success);
        assert_eq!(suback(&mut peer, "b", wanted).await, ReasonCode::Success);
        assert_eq!(suback(&mut peer, "c", wanted).await, refused);
        assert_eq!(suback(&mut peer, "b", wanted).await, ReasonCode::Success, "one that exists is no more");
        peer.unsubscribe("a").await;
        assert_eq!(suback(&mut peer, "c", wanted).await, ReasonCode::Success);
    }
}

async fn max_topic_levels_holds_for_topics_filters_and_wills() {
    let broker = broker_with_limits(limited(|limits| limits.max_topic_levels = 3)).await;
    let mut peer = Peer::v5(&broker, "c").await;
    let wanted = options(QoS::AtMostOnce);
    assert_eq!(suback(&mut peer, "a/b/c", wanted).await, ReasonCode::Success);
    assert_eq!(suback(&mut peer, "a/b/c/#", wanted).await, ReasonCode::TopicFilterInvalid);
    peer.publish("a/b/c", "x", QoS::AtMostOnce).await;
    assert_eq!(peer.receive_text().await, "x");
    peer.send(publish("a/b/c/d", "x", QoS::AtMostOnce)).await;
    peer.expect_disconnect(ReasonCode::TopicNameInvalid).await;
    let mut hello = connect(Version::V5_0, "c");
    hello.will = Some(will("a/b/c/d", "x", QoS::AtMostOnce));
    Peer::refused(&broker, hello, ReasonCode::TopicNameInvalid).await;
}

async fn a_shared_filters_levels_are_those_of_the_filter_in_it() {
    let broker = broker_with_limits(limited(|limits| limits.max_topic_levels = 3)).await;
    let mut peer = Peer::v5(&broker, "c").await;
    let wanted = options(QoS::AtMostOnce);
    assert_eq!(suback(&mut peer, "$share/g/a/b/c", wanted).await, ReasonCode::Success);
    assert_eq!(suback(&mut peer, "$share/g/a/b/c/d", wanted).await, ReasonCode::TopicFilterInvalid);
}

async fn max_client_id_bytes_refuses_longer_ones() {
    let broker = broker_with_limits(limited(|limits| limits.max_client_id_bytes = 30)).await;
    for version in [Version::V3_1_1, Version::V5_0] {
        let reason = ReasonCode::ClientIdentifierNotValid;
        Peer::refused(&broker, connect(version, &"x".repeat(31)), reason).await;
        Peer::connect(&broker, connect(version, &"x".repeat(30))).await;
    }
}

/// A client that takes one message at a time.
fn one_at_a_time(durable: bool) -> Connect<'static> {
    let version = Version::V5_0;
    let mut hello = if durable { connect_durable(version, "c") } else { connect(version, "c") };
    hello.properties.push(Property::ReceiveMaximum(1));
    hello
}

async fn a_full_queue_drops_the_newest_or_the_oldest_and_counts() {
    for (policy, kept) in
        [(FullPolicy::DropNewest, ["0", "1", "2", "3"]), (FullPolicy::DropOldest, ["0", "7", "8", "9"])]
    {
        for durable in [false, true] {
            // A durable session's queue holds what is in flight, too.
            let limits = limited(|limits| {
                limits.max_queued_messages = if durable { 4 } else { 3 };
                limits.queue_full = policy;
            });
            let broker = broker_with_limits(limits).await;
            let (mut peer, _) = Peer::connect(&broker, one_at_a_time(durable)).await;
            peer.subscribe("a", QoS::ExactlyOnce).await;
            let mut sender = Peer::v5(&broker, "s").await;
            for n in 0..10 {
                sender.publish("a", &n.to_string(), QoS::ExactlyOnce).await;
            }
            for n in kept {
                assert_eq!(peer.receive_text().await, n, "{policy:?}, durable: {durable}");
            }
            peer.expect_silence().await;
            assert_eq!(broker.stats().dropped(DropCause::QueueFull), 6);
        }
    }
}

async fn max_queued_bytes_bounds_the_queue() {
    for durable in [false, true] {
        let broker = broker_with_limits(limited(|limits| limits.max_queued_bytes = 5_000)).await;
        let (mut peer, _) = Peer::connect(&broker, one_at_a_time(durable)).await;
        peer.subscribe("a", QoS::AtLeastOnce).await;
        let mut sender = Peer::v5(&broker, "s").await;
        for _ in 0..10 {
            sender.publish("a", &"x".repeat(1_000), QoS::AtLeastOnce).await;
        }
        let dropped = broker.stats().dropped(DropCause::QueueFull);
        assert!((5..=6).contains(&dropped), "{dropped}");
        for _ in 0..10 - dropped {
            assert_eq!(peer.receive_text().await.len(), 1_000);
        }
        peer.expect_silence().await;
    }
}

async fn a_session_that_is_away_keeps_as_much_as_its_queue_may_hold() {
    let broker = broker_with_limits(limited(|limits| limits.max_queued_messages = 5)).await;
    let (mut peer, _) = Peer::connect(&broker, connect_durable(Version::V5_0, "c")).await;
    peer.subscribe("a", QoS::AtLeastOnce).await;
    peer.vanish(&broker).await;
    let mut sender = Peer::v5(&broker, "s").await;
    for n in 0..8 {
        sender.publish("a", &n.to_string(), QoS::AtLeastOnce).await;
    }
    assert_eq!(broker.stats().dropped(DropCause::QueueFull), 3);
    let (mut peer, _) = Peer::connect(&broker, connect_durable(Version::V5_0, "c")).await;
    for n in 0..5 {
        assert_eq!(peer.receive_text().await, n.to_string());
    }
    peer.expect_silence().await;
}

async fn max_topic_aliases_are_announced() {
    let broker = broker_with_limits(limited(|limits| limits.topic_alias_maximum = 7)).await;
    let (_peer, connack) = Peer::connect(&broker, connect(Version::V5_0, "c")).await;
    assert_eq!(connack.properties.topic_alias_maximum(), Some(7));
}

async fn a_client_that_cannot_be_told_what_holds_is_refused() {
    let broker = broker().await;
    let hello = |most| {
        let mut hello = connect_durable(Version::V5_0, "c");
        hello.properties.push(Property::MaximumPacketSize(most));
        hello
    };
    // Without the topic aliases that we would take it has 13 bytes.
    let mut peer = Peer::connect(&broker, hello(13)).await.0;
    peer.settle().await;
    peer.disconnect(&broker).await;
    Peer::connect(&broker, connect(Version::V5_0, "c")).await.0.disconnect(&broker).await;
    for most in [12, 5] {
        Peer::refused(&broker, hello(most), ReasonCode::PacketTooLarge).await;
    }
    let mut peer = Peer::open(&broker, Version::V5_0);
    peer.send(hello(4)).await;
    peer.expect_closed().await;
    assert_eq!(broker.stats().sessions, 0);
}

async fn an_answer_longer_than_the_client_takes_is_not_sent() {
    let broker = broker().await;
    let mut connect = connect(Version::V5_0, "c");
    connect.properties.push(Property::MaximumPacketSize(20));
    let (mut peer, connack) = Peer::connect(&broker, connect).await;
    assert!(Packet::Connack(connack).encoded_len(Version::V5_0) <= 20);
    // [MQTT-3.1.2-24]: a SUBACK for 20 filters would have 25 bytes; [MQTT-3.1.2-25]: it counts as sent.
    let mut many = subscribe("f/0", options(QoS::AtMostOnce), None);
    let one = many.subscriptions[0].clone();
    many.subscriptions = (0..20)
        .map(|n| Subscription { filter: TopicFilter::new(format!("f/{n}")).unwrap(), ..one.clone() })
        .collect();
    peer.send(many).await;
    peer.send(Packet::Pingreq).await;
    peer.expect(Packet::Pingresp).await;
    peer.publish("f/7", "x", QoS::AtMostOnce).await;
    assert_eq!(peer.receive_publish().await.topic.unwrap().as_str(), "f/7");
}
