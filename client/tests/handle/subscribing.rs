//! Messages from the server.

use std::time::Duration;

use opifex_client::{Client, Error, Received, Status, Subscription};
use opifex_packet::{
    Packet, PacketId, Properties, Property, Puback, Publish, Pubrec, QoS, ReasonCode, Suback, Subscribe,
    Subscription as Asked, TopicFilter, Unsuback, Version,
};
use tokio::time::{Instant, timeout};

use crate::server::{Peer, connected, connected_as, message, options, publish, soon};

pub(crate) async fn grants(peer: &mut Peer) -> Subscribe<'static> {
    let Packet::Subscribe(subscribe) = peer.receive().await else { panic!("no SUBSCRIBE") };
    let reasons = vec![ReasonCode::GrantedQoS1; subscribe.subscriptions.len()];
    peer.send(Suback::new(subscribe.packet_id, reasons)).await;
    subscribe
}

#[tokio::test(start_paused = true)]
async fn messages_come_by_their_subscription_and_are_acknowledged_when_taken() {
    let (client, mut peer, _server) = connected().await;
    let (subscription, _) = tokio::join!(client.subscribe("a/+", QoS::AtLeastOnce), grants(&mut peer));
    let mut subscription = subscription.unwrap();
    assert_eq!(subscription.reasons(), [ReasonCode::GrantedQoS1]);
    peer.send(publish(QoS::AtLeastOnce, 1, "a/b", 1)).await;
    let received = subscription.next().await.unwrap();
    assert_eq!((received.topic.as_str(), &received.payload[..]), ("a/b", &b"1"[..]));
    peer.expect(Puback::new(PacketId::MIN)).await;
}

#[tokio::test(start_paused = true)]
async fn an_unsubscribed_stream_ends() {
    let (client, mut peer, _server) = connected().await;
    let (subscription, subscribe) = tokio::join!(client.subscribe("a", QoS::AtLeastOnce), grants(&mut peer));
    let filters = vec![subscribe.subscriptions[0].filter.clone()];
    let (unsubscribed, ()) = tokio::join!(client.unsubscribe(filters), async {
        let Packet::Unsubscribe(packet) = peer.receive().await else { panic!("no UNSUBSCRIBE") };
        peer.send(publish(QoS::AtLeastOnce, 1, "a", 1)).await;
        peer.send(Unsuback { reasons: vec![ReasonCode::Success], ..Unsuback::new(packet.packet_id, vec![]) })
            .await;
    });
    assert_eq!(unsubscribed.unwrap(), [ReasonCode::Success]);
    let mut subscription = subscription.unwrap();
    assert!(subscription.next().await.is_some());
    assert!(subscription.next().await.is_none());
}

pub(crate) async fn subscribed(
    client: &Client,
    peer: &mut Peer,
    filter: &str,
) -> (Subscription, Subscribe<'static>) {
    let (subscription, subscribe) = tokio::join!(client.subscribe(filter, QoS::ExactlyOnce), grants(peer));
    (subscription.unwrap(), subscribe)
}

pub(crate) async fn payload(subscription: &mut Subscription) -> String {
    let received = soon(subscription.next()).await.expect("there is one");
    String::from_utf8(received.payload.to_vec()).unwrap()
}

pub(crate) async fn none_comes(subscription: &mut Subscription) {
    assert!(timeout(Duration::from_secs(1), subscription.next()).await.is_err());
}

fn named(publish: Publish<'static>, identifiers: &[u32]) -> Publish<'static> {
    let mut properties = Properties::new();
    identifiers.iter().for_each(|identifier| properties.push(Property::SubscriptionIdentifier(*identifier)));
    Publish { properties, ..publish }
}

#[tokio::test(start_paused = true)]
async fn in_5_0_overlapping_streams_get_what_names_them() {
    let (client, mut peer, _server) = connected().await;
    let (mut one, first) = subscribed(&client, &mut peer, "a/#").await;
    let (mut two, second) = subscribed(&client, &mut peer, "a/b").await;
    let ids = [&first, &second].map(|subscribe| subscribe.properties.subscription_identifier().unwrap());
    peer.send(named(publish(QoS::AtMostOnce, 1, "a/b", 1), &ids[..1])).await;
    peer.send(named(publish(QoS::AtMostOnce, 1, "a/b", 2), &ids[1..])).await;
    peer.send(named(publish(QoS::AtMostOnce, 1, "a/b", 3), &ids)).await;
    assert_eq!([payload(&mut one).await, payload(&mut one).await], ["1", "3"]);
    assert_eq!([payload(&mut two).await, payload(&mut two).await], ["2", "3"]);
    // One that names nobody here is for all that match.
    peer.send(named(publish(QoS::AtMostOnce, 1, "a/b", 4), &[77])).await;
    assert_eq!([payload(&mut one).await, payload(&mut two).await], ["4", "4"]);
    // A name of an earlier process, whose filter was another, is none.
    peer.send(named(publish(QoS::AtMostOnce, 1, "a/c", 5), &ids[1..])).await;
    assert_eq!(payload(&mut one).await, "5");
    none_comes(&mut two).await;
}

#[tokio::test(start_paused = true)]
async fn before_5_0_streams_get_what_their_filters_match_and_a_shared_debt_is_paid_once() {
    let options = opifex_client::Options::new(Version::V3_1_1, "c");
    let (client, mut peer, _server) = connected_as(Client::builder(options)).await;
    let (mut one, first) = subscribed(&client, &mut peer, "a/#").await;
    assert!(first.properties.is_empty());
    let (mut two, _) = subscribed(&client, &mut peer, "a/b").await;
    peer.send(publish(QoS::AtLeastOnce, 1, "a/b", 1)).await;
    assert_eq!(payload(&mut one).await, "1");
    assert!(timeout(Duration::from_secs(1), peer.receive()).await.is_err(), "it is not taken by both");
    assert_eq!(payload(&mut two).await, "1");
    peer.expect(Puback::new(PacketId::MIN)).await;
}

#[tokio::test(start_paused = true)]
async fn with_manual_acknowledgement_the_application_says_when() {
    let mut options = options();
    options.manual_acks = true;
    let (client, mut peer, _server) = connected_as(Client::builder(options)).await;
    let (mut subscription, _) = subscribed(&client, &mut peer, "a").await;
    peer.send(publish(QoS::AtLeastOnce, 1, "a", 1)).await;
    peer.send(publish(QoS::ExactlyOnce, 2, "a", 2)).await;
    let received: [Received; 2] = [subscription.next().await.unwrap(), subscription.next().await.unwrap()];
    assert!(timeout(Duration::from_secs(1), peer.receive()).await.is_err());
    let [first, second] = received;
    second.ack();
    assert!(timeout(Duration::from_secs(1), peer.receive()).await.is_err(), "none passes another");
    first.ack();
    peer.expect(Puback::new(PacketId::MIN)).await;
    peer.expect(Pubrec::new(PacketId::new(2).unwrap())).await;
}

/// Sends QoS 0 messages until the client reads no more; how many it took.
pub(crate) async fn flood(peer: &mut Peer, limit: usize) -> usize {
    for sent in 0..limit {
        let big = Publish { payload: vec![0; 1024].into(), ..publish(QoS::AtMostOnce, 1, "a", 1) };
        if timeout(Duration::from_secs(1), peer.connection.send(&big.into())).await.is_err() {
            return sent;
        }
    }
    limit
}

#[tokio::test(start_paused = true)]
async fn a_full_stream_makes_the_server_wait_and_loses_nothing() {
    let builder = Client::builder(options()).subscription_capacity(10);
    let (client, mut peer, _server) = connected_as(builder).await;
    let (mut subscription, _) = subscribed(&client, &mut peer, "a").await;
    let sent = flood(&mut peer, 10_000).await;
    assert!(sent < 1000, "{sent} were taken though nobody reads");
    for _ in 0..sent {
        assert_eq!(soon(subscription.next()).await.unwrap().payload.len(), 1024);
    }
    // The connection has not been taken for dead meanwhile.
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(client.ended().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_full_stream_for_an_hour_is_no_dead_server_and_no_dead_client() {
    let builder = Client::builder(options()).subscription_capacity(10);
    let (client, mut peer, mut server) = connected_as(builder).await;
    let (mut subscription, _) = subscribed(&client, &mut peer, "a").await;
    for number in 0..10 {
        peer.send(publish(QoS::AtMostOnce, 1, "a", number)).await;
    }
    let mut statuses = client.statuses();
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(3500) {
        // A keep-alive of a minute: behind one and a half the server takes the client for dead.
        let packet = timeout(Duration::from_secs(90), peer.receive()).await;
        assert_eq!(packet.expect("the client goes on saying that it lives"), Packet::Pingreq);
        peer.send(Packet::Pingresp).await;
    }
    assert!(timeout(Duration::from_secs(1), statuses.next()).await.is_err());
    assert!(timeout(Duration::from_secs(1), server.arrives()).await.is_err());
    assert!(subscription.next().await.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_task_that_publishes_while_its_stream_is_full_does_not_wait_for_itself() {
    let builder = Client::builder(options()).subscription_capacity(10).unread_bytes(128 * 1024);
    let (client, mut peer, _server) = connected_as(builder).await;
    let (mut subscription, _) = subscribed(&client, &mut peer, "a").await;
    let mut statuses = client.statuses();
    let (published, sent) = tokio::join!(client.publish(message(QoS::AtLeastOnce, 1)), async {
        let id = peer.publish().await.1.unwrap();
        let sent = flood(&mut peer, 1000).await;
        peer.send(Puback::new(id)).await;
        sent
    });
    published.unwrap();
    assert_eq!(sent, 1000);
    // Memory has its end: what is above is dropped, and that is told.
    let mut read = 0;
    while timeout(Duration::from_secs(1), subscription.next()).await.is_ok() {
        read += 1;
    }
    let mut dropped = 0;
    while let Ok(Some(status)) = timeout(Duration::from_secs(1), statuses.next()).await {
        if let Status::Dropped { count } = status {
            dropped += count;
        }
    }
    assert!((100..200).contains(&read), "{read} were held");
    assert_eq!(read + dropped, 1000);
}

#[tokio::test(start_paused = true)]
async fn a_filter_that_is_not_granted_is_an_error_and_of_several_some_may_be() {
    let (client, mut peer, _server) = connected().await;
    let refuse = async |peer: &mut Peer, reasons: Vec<ReasonCode>| {
        let Packet::Subscribe(subscribe) = peer.receive().await else { panic!() };
        peer.send(Suback::new(subscribe.packet_id, reasons)).await;
    };
    let (refused, ()) = tokio::join!(
        client.subscribe("a", QoS::AtMostOnce),
        refuse(&mut peer, vec![ReasonCode::NotAuthorized])
    );
    assert_eq!(refused.unwrap_err().reason(), Some(ReasonCode::NotAuthorized));
    let both = ["a", "b"].map(|filter| Asked::new(TopicFilter::new(filter).unwrap(), QoS::AtMostOnce));
    let (some, ()) = tokio::join!(
        client.subscribe_with(both.to_vec(), Properties::new()),
        refuse(&mut peer, vec![ReasonCode::NotAuthorized, ReasonCode::Success])
    );
    assert_eq!(some.unwrap().reasons(), [ReasonCode::NotAuthorized, ReasonCode::Success]);
    assert!(matches!(client.subscribe("a/#/b", QoS::AtMostOnce).await, Err(Error::Refused(_))));
}

#[tokio::test(start_paused = true)]
async fn a_stream_outlives_the_handles_and_the_client_ends_with_the_last_of_both() {
    let (client, mut peer, _server) = connected().await;
    let (mut subscription, _) = subscribed(&client, &mut peer, "a").await;
    drop(client);
    peer.send(publish(QoS::AtMostOnce, 1, "a", 1)).await;
    assert_eq!(payload(&mut subscription).await, "1");
    let begin = Instant::now();
    drop(subscription);
    assert!(matches!(peer.receive().await, Packet::Disconnect(_)));
    peer.closed().await;
    assert_eq!(begin.elapsed(), Duration::ZERO);
}
