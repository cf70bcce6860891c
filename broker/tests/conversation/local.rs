//! Publishing and subscribing within the process.

use opifex_broker::{Limits, Publication, PublishError, StaticUsers, SubscribeError};
use opifex_packet::{Properties, Property, QoS, Version};

use crate::backend::conversations;
use crate::peer::*;

conversations!(
    the_process_hears_itself,
    the_process_talks_to_clients_and_they_to_it,
    the_process_retains_with_properties_and_expiry,
    what_is_no_topic_is_refused,
    a_subscription_ends_when_it_is_dropped,
    a_subscription_ends_when_the_broker_stops,
    a_subscription_that_is_not_read_stops_nobody,
    what_is_larger_than_a_packet_may_be_is_refused,
    the_process_needs_no_user_and_no_rule,
);

const QOS: [QoS; 3] = [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce];

async fn the_process_hears_itself() {
    let broker = broker().await;
    for qos in QOS {
        let mut subscription = broker.subscribe("a/+", qos).await.unwrap();
        broker.publish(Publication::new("a/b", "x").qos(qos)).await.unwrap();
        let received = subscription.recv().await.unwrap();
        assert_eq!(received.topic.as_str(), "a/b");
        assert_eq!((received.payload.as_ref(), received.qos, received.retain), (&b"x"[..], qos, false));
    }
}

async fn the_process_talks_to_clients_and_they_to_it() {
    let broker = broker().await;
    let mut subscription = broker.subscribe("to/process", QoS::ExactlyOnce).await.unwrap();
    for version in [Version::V3_1_1, Version::V5_0] {
        let (mut peer, _) = Peer::connect(&broker, connect(version, "c")).await;
        peer.subscribe("to/peer", QoS::ExactlyOnce).await;
        for qos in QOS {
            broker.publish(Publication::new("to/peer", "p").qos(qos)).await.unwrap();
            let publish = peer.receive_acknowledged().await;
            assert_eq!((text(&publish).as_str(), publish.qos()), ("p", qos));
            peer.publish("to/process", "q", qos).await;
            assert_eq!(subscription.recv().await.unwrap().payload.as_ref(), b"q");
        }
    }
}

async fn the_process_retains_with_properties_and_expiry() {
    let broker = broker().await;
    let properties = Properties::new()
        .with(Property::ContentType("text/plain"))
        .with(Property::UserProperty("k", "v"))
        // Of one hop alone: not passed on.
        .with(Property::TopicAlias(3));
    let publication =
        Publication::new("r", "x").qos(QoS::AtLeastOnce).retain(true).properties(properties).expiry_secs(100);
    broker.publish(publication).await.unwrap();
    pass_secs(30).await;
    let mut peer = Peer::v5(&broker, "c").await;
    peer.subscribe("r", QoS::AtLeastOnce).await;
    let publish = peer.receive_acknowledged().await;
    assert!(publish.retain);
    assert_eq!(publish.properties.content_type(), Some("text/plain"));
    assert_eq!(publish.properties.message_expiry_interval(), Some(70));
    assert_eq!(publish.properties.topic_alias(), None);
    let mut subscription = broker.subscribe("r", QoS::AtLeastOnce).await.unwrap();
    assert!(subscription.recv().await.unwrap().retain);
}

async fn what_is_no_topic_is_refused() {
    let broker = broker().await;
    for topic in ["", "a/+", "#", "a\0b"] {
        let said = broker.publish(Publication::new(topic, "x")).await;
        assert!(matches!(said, Err(PublishError::Topic(_))), "{topic:?}");
    }
    for filter in ["", "a/#/b", "a+"] {
        let said = broker.subscribe(filter, QoS::AtMostOnce).await;
        assert!(matches!(said, Err(SubscribeError::Filter(_))), "{filter:?}");
    }
}

async fn a_subscription_ends_when_it_is_dropped() {
    let broker = broker().await;
    let subscription = broker.subscribe("a", QoS::AtMostOnce).await.unwrap();
    assert_eq!(broker.stats().subscriptions, 1);
    drop(subscription);
    wait_until(|| broker.stats().connections == 0).await;
    assert_eq!((broker.stats().subscriptions, broker.stats().sessions), (0, 0));
}

async fn a_subscription_ends_when_the_broker_stops() {
    let broker = broker().await;
    let mut subscription = broker.subscribe("a", QoS::AtMostOnce).await.unwrap();
    broker.shutdown().await;
    assert_eq!(subscription.recv().await, None);
    assert!(broker.subscribe("a", QoS::AtMostOnce).await.is_err());
}

async fn a_subscription_that_is_not_read_stops_nobody() {
    let limits = Limits { max_outbox_bytes: 10_000, max_queued_messages: 10, ..Limits::default() };
    let broker = broker_with_limits(limits).await;
    let mut idle = broker.subscribe("a", QoS::AtLeastOnce).await.unwrap();
    for n in 0..500 {
        let publication = Publication::new("a", format!("{n:01000}")).qos(QoS::AtLeastOnce);
        broker.publish(publication).await.unwrap();
    }
    assert!(broker.stats().dropped_total() > 0);
    assert_eq!(idle.recv().await.unwrap().payload.len(), 1_000);
}

async fn what_is_larger_than_a_packet_may_be_is_refused() {
    let broker = broker_with_limits(Limits { max_packet_size: 100, ..Limits::default() }).await;
    let refused = broker.publish(Publication::new("t", vec![0; 100])).await.unwrap_err();
    assert!(matches!(refused, PublishError::TooLarge { size: 101, limit: 100 }), "{refused}");
    broker.publish(Publication::new("t", vec![0; 99])).await.unwrap();
}

async fn the_process_needs_no_user_and_no_rule() {
    let users = StaticUsers::builder().allow_anonymous(false).build();
    let broker = broker_with(|builder| builder.access(users)).await;
    let mut subscription = broker.subscribe("a/#", QoS::AtLeastOnce).await.unwrap();
    broker.publish(Publication::new("a/b", "x").qos(QoS::AtLeastOnce)).await.unwrap();
    assert_eq!(subscription.recv().await.unwrap().topic.as_str(), "a/b");
}
