//! Retained messages: set, replaced, cleared, sent to new subscriptions.

use opifex_broker::{DropCause, Limits};
use opifex_packet::{Packet, Property, QoS, RetainHandling, Version};

use opifex_storage::FullPolicy;

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
    a_new_subscriber_gets_thousands_of_retained_messages_and_loses_none,
    a_new_subscriber_loses_no_large_retained_messages_however_slowly_it_reads,
    a_new_subscriber_loses_none_beyond_its_queue_limit,
    a_message_that_changes_while_it_is_replayed_never_ends_with_the_older_value,
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

/// Publishes many retained messages, subscribes, and checks that all of them come, once each.
async fn all_arrive(
    broker: &opifex_broker::Broker<impl opifex_storage::Persistence>,
    count: usize,
    size: usize,
) {
    let mut sender = Peer::v5(broker, "s").await;
    for n in 0..count {
        let payload = format!("{n:0size$}");
        sender.publish_retained(&format!("many/{n}"), &payload, QoS::ExactlyOnce).await;
    }
    sender.settle().await;
    for version in [Version::V3_1_1, Version::V5_0] {
        for durable in [false, true] {
            for qos in QOS {
                let hello = if durable { connect_durable(version, "late") } else { connect(version, "late") };
                let mut late = Peer::open_narrow(broker, version, 4096);
                late.introduce(hello).await;
                late.send(subscribe("many/#", options(qos), None)).await;
                let mut seen = vec![false; count];
                let mut subacks = 0;
                while subacks == 0 || seen.contains(&false) {
                    match late.receive().await {
                        Packet::Suback(_) => subacks += 1,
                        Packet::Publish(publish) => {
                            let n: usize = text(&publish).parse().unwrap();
                            assert!(!std::mem::replace(&mut seen[n], true), "{n} came twice");
                            late.acknowledge(&publish).await;
                        }
                        Packet::Pubrel(pubrel) => {
                            late.send(opifex_packet::Pubcomp::new(pubrel.packet_id)).await;
                        }
                        other => panic!("unexpected {other:?}"),
                    }
                }
                late.vanish(broker).await;
                let (clean, _) = Peer::connect(broker, connect(version, "late")).await;
                clean.disconnect(broker).await;
            }
        }
    }
    for cause in DropCause::ALL {
        assert_eq!(broker.stats().dropped(cause), 0, "{}", cause.name());
    }
    sender.disconnect(broker).await;
}

async fn a_new_subscriber_gets_thousands_of_retained_messages_and_loses_none() {
    all_arrive(&broker().await, 3_000, 20).await;
}

async fn a_new_subscriber_loses_no_large_retained_messages_however_slowly_it_reads() {
    let limits = Limits { max_outbox_bytes: 100_000, ..Limits::default() };
    all_arrive(&broker_with_limits(limits).await, 100, 30_000).await;
}

async fn a_new_subscriber_loses_none_beyond_its_queue_limit() {
    for policy in [FullPolicy::DropNewest, FullPolicy::DropOldest] {
        let limits = Limits { max_queued_messages: 20, queue_full: policy, ..Limits::default() };
        let broker = broker_with_limits(limits).await;
        let mut sender = Peer::v5(&broker, "s").await;
        for n in 0..300 {
            sender.publish_retained(&format!("many/{n}"), &n.to_string(), QoS::AtLeastOnce).await;
        }
        for durable in [false, true] {
            let version = Version::V5_0;
            let mut hello = if durable { connect_durable(version, "late") } else { connect(version, "late") };
            hello.properties.push(Property::ReceiveMaximum(5));
            let (mut late, _) = Peer::connect(&broker, hello).await;
            late.send(subscribe("many/#", options(QoS::AtLeastOnce), None)).await;
            let mut seen = vec![false; 300];
            let mut subacks = 0;
            while subacks == 0 || seen.contains(&false) {
                match late.receive().await {
                    Packet::Suback(_) => subacks += 1,
                    Packet::Publish(publish) => {
                        let n: usize = text(&publish).parse().unwrap();
                        assert!(!std::mem::replace(&mut seen[n], true), "{n} came twice");
                        late.acknowledge(&publish).await;
                    }
                    other => panic!("unexpected {other:?}"),
                }
            }
            late.disconnect(&broker).await;
        }
        assert_eq!(broker.stats().dropped_total(), 0);
    }
}

async fn a_message_that_changes_while_it_is_replayed_never_ends_with_the_older_value() {
    let broker = broker().await;
    let mut sender = Peer::v5(&broker, "s").await;
    for (durable, qos) in [(false, QoS::AtMostOnce), (false, QoS::AtLeastOnce), (true, QoS::AtLeastOnce)] {
        for n in 0..1_000 {
            sender.publish_retained(&format!("many/{n}"), "old", QoS::AtLeastOnce).await;
        }
        sender.settle().await;
        let version = Version::V5_0;
        let hello = if durable { connect_durable(version, "late") } else { connect(version, "late") };
        let mut late = Peer::open_narrow(&broker, version, 512);
        late.introduce(hello).await;
        late.send(subscribe("many/#", options(qos), None)).await;
        let mut last = vec![String::new(); 1_000];
        let mut overtaking = 0;
        while last.iter().any(|value| value != "new") {
            match late.receive().await {
                Packet::Publish(publish) => {
                    let n: usize = publish.topic.as_ref().unwrap().as_str()[5..].parse().unwrap();
                    last[n] = text(&publish);
                    late.acknowledge(&publish).await;
                    if overtaking < 1_000 {
                        // From the far end, so that the replay meets the changes.
                        let n = 999 - overtaking;
                        overtaking += 1;
                        sender.publish_retained(&format!("many/{n}"), "new", QoS::AtLeastOnce).await;
                    }
                }
                Packet::Suback(_) => {}
                other => panic!("unexpected {other:?}"),
            }
        }
        late.expect_silence().await;
        late.disconnect(&broker).await;
        let (clean, _) = Peer::connect(&broker, connect(version, "late")).await;
        clean.disconnect(&broker).await;
    }
}
