//! Retained messages: set, replaced, cleared, sent to new subscriptions.

use opifex_packet::{Packet, Property, QoS, RetainHandling, Version};

use crate::backend::conversations;
use crate::peer::*;

conversations!(
    a_retained_message_is_set_replaced_and_cleared,
    a_message_without_retain_leaves_the_retained_one_alone,
    a_standing_subscription_sees_retain_only_as_published,
    retain_handling_is_obeyed,
    wildcards_bring_what_they_match_and_no_more,
    several_filters_in_one_subscribe_bring_a_message_once_with_their_highest_qos,
    a_shared_subscription_brings_no_retained_messages,
    a_retained_message_expires_and_says_how_long_it_lives,
);

const QOS: [QoS; 3] = [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce];

async fn a_retained_message_is_set_replaced_and_cleared() {
    let broker = broker().await;
    for version in [Version::V3_1, Version::V3_1_1, Version::V5_0] {
        for qos in QOS {
            let (mut sender, _) = Peer::connect(&broker, connect(version, "s")).await;
            let (mut late, _) = Peer::connect(&broker, connect(version, "late")).await;
            sender.publish_retained("a", "one", qos).await;
            sender.publish_retained("a", "two", qos).await;
            sender.settle_with_store().await;
            late.subscribe("a", QoS::ExactlyOnce).await;
            let publish = late.receive_acknowledged().await;
            assert!(publish.retain);
            assert_eq!((text(&publish).as_str(), publish.qos()), ("two", qos));
            sender.publish_retained("a", "", qos).await;
            assert_eq!(late.receive_text().await, "", "the clearing message is sent on");
            late.subscribe("a", QoS::ExactlyOnce).await;
            late.expect_silence().await;
            sender.disconnect(&broker).await;
            late.disconnect(&broker).await;
        }
    }
}

async fn a_message_without_retain_leaves_the_retained_one_alone() {
    let broker = broker().await;
    let mut sender = Peer::v5(&broker, "s").await;
    sender.publish_retained("a", "kept", QoS::AtLeastOnce).await;
    sender.publish("a", "passing", QoS::AtLeastOnce).await;
    sender.publish("a", "", QoS::AtLeastOnce).await;
    let mut late = Peer::v5(&broker, "late").await;
    late.subscribe("a", QoS::AtLeastOnce).await;
    assert_eq!(late.receive_text().await, "kept");
    late.expect_silence().await;
}

async fn a_standing_subscription_sees_retain_only_as_published() {
    let broker = broker().await;
    let mut plain = Peer::v4(&broker, "plain").await;
    plain.subscribe("a", QoS::AtLeastOnce).await;
    let (mut durable, _) = Peer::connect(&broker, connect_durable(Version::V5_0, "durable")).await;
    let mut bare = Peer::v5(&broker, "bare").await;
    let mut wanted = options(QoS::AtLeastOnce);
    wanted.retain_as_published = true;
    durable.subscribe_with("a", wanted, None).await;
    bare.subscribe_with("a", wanted, None).await;
    let mut sender = Peer::v5(&broker, "s").await;
    for qos in QOS {
        sender.publish_retained("a", "r", qos).await;
        sender.settle().await;
        assert!(!plain.receive_acknowledged().await.retain);
        assert!(durable.receive_acknowledged().await.retain);
        assert!(bare.receive_acknowledged().await.retain);
        sender.publish("a", "n", qos).await;
        for peer in [&mut plain, &mut durable, &mut bare] {
            assert!(!peer.receive_acknowledged().await.retain);
        }
    }
}

async fn retain_handling_is_obeyed() {
    let broker = broker().await;
    let mut sender = Peer::v5(&broker, "s").await;
    sender.publish_retained("a", "r", QoS::AtLeastOnce).await;
    for durable in [false, true] {
        let hello = match durable {
            true => connect_durable(Version::V5_0, "c"),
            false => connect(Version::V5_0, "c"),
        };
        let (mut peer, _) = Peer::connect(&broker, hello).await;
        let handling = |handling| {
            let mut options = options(QoS::AtLeastOnce);
            options.retain_handling = handling;
            options
        };
        peer.send(subscribe("a", handling(RetainHandling::DoNotSend), None)).await;
        assert!(matches!(peer.receive().await, Packet::Suback(_)));
        peer.expect_silence().await;
        peer.send(subscribe("a", handling(RetainHandling::SendIfNew), None)).await;
        assert!(matches!(peer.receive().await, Packet::Suback(_)));
        peer.expect_silence().await;
        peer.unsubscribe("a").await;
        for expected in [RetainHandling::SendIfNew, RetainHandling::SendAtSubscribe] {
            peer.send(subscribe("a", handling(expected), None)).await;
            let (mut messages, mut subacks) = (0, 0);
            for _ in 0..2 {
                match peer.receive().await {
                    Packet::Suback(_) => subacks += 1,
                    Packet::Publish(publish) => {
                        assert!(publish.retain);
                        messages += 1;
                        let id = publish.delivery.packet_id().unwrap();
                        peer.send(opifex_packet::Puback::new(id)).await;
                    }
                    other => panic!("unexpected {other:?}"),
                }
            }
            assert_eq!((messages, subacks), (1, 1));
            peer.expect_silence().await;
        }
        peer.disconnect(&broker).await;
    }
}

async fn wildcards_bring_what_they_match_and_no_more() {
    let broker = broker().await;
    let mut sender = Peer::v5(&broker, "s").await;
    for topic in ["a", "a/b", "a/c", "a/b/c", "/a", "$SYS/a", "b/b"] {
        sender.publish_retained(topic, topic, QoS::AtLeastOnce).await;
    }
    let expected: [(&str, &[&str]); 7] = [
        ("#", &["/a", "a", "a/b", "a/b/c", "a/c", "b/b"]),
        ("+", &["a"]),
        ("a/#", &["a", "a/b", "a/b/c", "a/c"]),
        ("a/+", &["a/b", "a/c"]),
        ("+/b", &["a/b", "b/b"]),
        ("$SYS/#", &["$SYS/a"]),
        ("+/+", &["/a", "a/b", "a/c", "b/b"]),
    ];
    for (filter, topics) in expected {
        let mut late = Peer::v5(&broker, "late").await;
        late.subscribe(filter, QoS::AtMostOnce).await;
        let mut got = Vec::new();
        for _ in topics {
            got.push(late.receive_text().await);
        }
        got.sort();
        assert_eq!(got, topics, "{filter}");
        late.expect_silence().await;
        late.disconnect(&broker).await;
    }
}

async fn several_filters_in_one_subscribe_bring_a_message_once_with_their_highest_qos() {
    let broker = broker().await;
    let mut sender = Peer::v5(&broker, "s").await;
    sender.publish_retained("a/b", "r", QoS::ExactlyOnce).await;
    let mut late = Peer::v5(&broker, "late").await;
    let mut all = subscribe("a/#", options(QoS::AtMostOnce), None);
    all.subscriptions.extend(subscribe("a/b", options(QoS::AtLeastOnce), None).subscriptions);
    late.send(all).await;
    assert!(matches!(late.receive().await, Packet::Suback(_)));
    assert_eq!(late.receive_acknowledged().await.qos(), QoS::AtLeastOnce);
    late.expect_silence().await;
}

async fn a_shared_subscription_brings_no_retained_messages() {
    let broker = broker().await;
    let mut sender = Peer::v5(&broker, "s").await;
    sender.publish_retained("a", "r", QoS::AtLeastOnce).await;
    for hello in [connect(Version::V5_0, "c"), connect_durable(Version::V5_0, "d")] {
        let (mut peer, _) = Peer::connect(&broker, hello).await;
        peer.subscribe("$share/g/a", QoS::AtLeastOnce).await;
        peer.expect_silence().await;
    }
}

async fn a_retained_message_expires_and_says_how_long_it_lives() {
    let broker = broker().await;
    let mut sender = Peer::v5(&broker, "s").await;
    let mut packet = retained("a", "r", QoS::AtLeastOnce);
    packet.properties.push(Property::MessageExpiryInterval(100));
    sender.publish_packet(packet).await;
    pass_secs(40).await;
    let mut late = Peer::v5(&broker, "late").await;
    late.subscribe("a", QoS::AtLeastOnce).await;
    assert_eq!(late.receive_acknowledged().await.properties.message_expiry_interval(), Some(60));
    pass_secs(61).await;
    late.subscribe("a", QoS::AtLeastOnce).await;
    late.expect_silence().await;
}
