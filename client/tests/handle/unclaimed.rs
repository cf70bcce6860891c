//! Messages that no stream takes, and streams that are there before them.

use std::time::Duration;

use opifex_client::{Cause, Client, Options, Status};
use opifex_packet::{
    Connack, Packet, PacketId, Properties, Property, Puback, Publish, Pubrec, QoS, ReasonCode, Suback,
    TopicFilter, Unsuback, Version,
};
use tokio::time::{Instant, timeout};

use crate::server::{Peer, connected, connected_as, options, publish, server, soon};
use crate::subscribing::{none_comes, payload, subscribed};

fn present() -> Connack<'static> {
    Connack { session_present: true, ..Connack::new(ReasonCode::Success) }
}

fn id(id: u16) -> PacketId {
    PacketId::new(id).unwrap()
}

/// A client whose server has a session of an earlier process.
async fn resumed() -> (Client, Peer) {
    let (mut server, connector) = server();
    let builder = Client::builder(Options { adopt_session: true, keep_alive_secs: 0, ..options() });
    let (client, (peer, _)) = tokio::join!(builder.connect(connector), server.accepts_with(present()));
    (client.unwrap(), peer)
}

async fn nothing_is_sent(peer: &mut Peer) {
    let sent = timeout(Duration::from_secs(1), peer.receive()).await;
    assert!(sent.is_err(), "{sent:?}");
}

async fn unsubscribes(peer: &mut Peer) -> Vec<TopicFilter<'static>> {
    let Packet::Unsubscribe(packet) = peer.receive().await else { panic!("no UNSUBSCRIBE") };
    let reasons = vec![ReasonCode::Success; packet.filters.len()];
    peer.send(Unsuback { reasons, ..Unsuback::new(packet.packet_id, vec![]) }).await;
    packet.filters
}

#[tokio::test(start_paused = true)]
async fn messages_that_come_before_their_stream_wait_for_it() {
    let (client, mut peer) = resumed().await;
    peer.send(publish(QoS::AtLeastOnce, 1, "a", 1)).await;
    peer.send(publish(QoS::AtLeastOnce, 2, "b", 2)).await;
    tokio::time::sleep(Duration::from_secs(50)).await;
    let (mut subscription, _) = subscribed(&client, &mut peer, "a").await;
    assert_eq!(payload(&mut subscription).await, "1");
    peer.expect(Puback::new(id(1))).await;
    // Or they are taken by whoever asks for the rest.
    let mut rest = client.unclaimed().await.unwrap();
    assert_eq!(payload(&mut rest).await, "2");
    peer.expect(Puback::new(id(2))).await;
    peer.send(publish(QoS::AtLeastOnce, 3, "b", 3)).await;
    assert_eq!(payload(&mut rest).await, "3");
}

#[tokio::test(start_paused = true)]
async fn what_nobody_claims_is_never_acknowledged_and_ends_the_client_with_a_word_on_it() {
    for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
        let (client, mut peer) = resumed().await;
        let mut statuses = client.statuses();
        let begin = Instant::now();
        peer.send(publish(qos, 1, "a", 1)).await;
        let Packet::Disconnect(said) = peer.receive().await else { panic!("no DISCONNECT") };
        assert_eq!(said.reason, ReasonCode::ImplementationSpecificError);
        assert_eq!(begin.elapsed().as_secs(), 60);
        peer.closed().await;
        let ended = async {
            loop {
                if let Some(Status::Ended { cause }) = statuses.next().await {
                    return cause;
                }
            }
        };
        assert!(matches!(&*soon(ended).await, Cause::Unclaimed { topic } if topic == "a"));
    }
}

#[tokio::test(start_paused = true)]
async fn what_nobody_claims_at_qos_0_is_dropped_and_told_of() {
    let (client, mut peer) = resumed().await;
    let mut statuses = client.statuses();
    peer.send(publish(QoS::AtMostOnce, 1, "a", 1)).await;
    assert!(matches!(soon(statuses.next()).await, Some(Status::Dropped { count: 1 })));
    let (mut subscription, _) = subscribed(&client, &mut peer, "a").await;
    none_comes(&mut subscription).await;
}

#[tokio::test(start_paused = true)]
async fn streams_of_the_builder_are_there_before_the_session_sends_what_it_has() {
    let (mut server, connector) = server();
    let mut builder = Client::builder(Options { adopt_session: true, ..options() });
    let mut one = builder.subscribe("a/+", QoS::AtLeastOnce).unwrap();
    let mut two = builder.subscribe("b", QoS::AtLeastOnce).unwrap();
    let mut rest = builder.unclaimed();
    assert!(builder.subscribe("a/#/b", QoS::AtLeastOnce).is_err());
    let (client, mut peer) = tokio::join!(builder.connect(connector), async {
        let (mut peer, _) = server.accepts_with(present()).await;
        peer.send(publish(QoS::AtLeastOnce, 1, "a/1", 1)).await;
        peer.send(publish(QoS::ExactlyOnce, 2, "b", 2)).await;
        peer.send(publish(QoS::AtLeastOnce, 3, "c", 3)).await;
        peer
    });
    let client = client.unwrap();
    // The session may have other subscriptions.
    let mut identifiers = Vec::new();
    for filter in ["a/+", "b"] {
        let Packet::Subscribe(subscribe) = peer.receive().await else { panic!("no SUBSCRIBE") };
        assert_eq!(subscribe.subscriptions[0].filter.as_str(), filter);
        identifiers.extend(subscribe.properties.subscription_identifier());
        peer.send(Suback::new(subscribe.packet_id, vec![ReasonCode::GrantedQoS1])).await;
    }
    assert!(identifiers.len() == 2 && identifiers[0] != identifiers[1], "{identifiers:?}");
    assert_eq!(payload(&mut one).await, "1");
    assert_eq!(payload(&mut two).await, "2");
    assert_eq!(payload(&mut rest).await, "3");
    peer.expect(Puback::new(id(1))).await;
    peer.expect(Pubrec::new(id(2))).await;
    peer.expect(Puback::new(id(3))).await;
    drop(client);
    nothing_is_sent(&mut peer).await;
    // Connected again, the session is known.
    drop(peer);
    let (mut peer, _) = server.accepts_with(present()).await;
    nothing_is_sent(&mut peer).await;
    drop((one, two, rest));
    assert!(matches!(peer.receive().await, Packet::Disconnect(_)));
}

#[tokio::test(start_paused = true)]
async fn streams_of_a_builder_that_makes_no_client_end() {
    let mut builder = Client::builder(options());
    let mut stream = builder.subscribe("a", QoS::AtMostOnce).unwrap();
    drop(builder);
    assert!(soon(stream.next()).await.is_none());

    let (server, connector) = server();
    drop(server);
    let mut builder = Client::builder(options());
    let mut stream = builder.subscribe("a", QoS::AtMostOnce).unwrap();
    builder.connect(connector).await.unwrap_err();
    assert!(soon(stream.next()).await.is_none());
}

#[tokio::test(start_paused = true)]
async fn what_is_unsubscribed_from_is_acknowledged_and_holds_up_nothing() {
    let (client, mut peer) = resumed().await;
    peer.send(publish(QoS::AtLeastOnce, 1, "a", 1)).await;
    let filter = TopicFilter::new("a").unwrap();
    let (reasons, _) = tokio::join!(client.unsubscribe(vec![filter]), unsubscribes(&mut peer));
    assert_eq!(reasons.unwrap(), [ReasonCode::Success]);
    peer.expect(Puback::new(id(1))).await;
    // The server may have had more of it on the way.
    peer.send(publish(QoS::AtLeastOnce, 2, "a", 2)).await;
    peer.expect(Puback::new(id(2))).await;
    // Until it is subscribed to once more.
    let (mut subscription, _) = subscribed(&client, &mut peer, "a").await;
    peer.send(publish(QoS::AtLeastOnce, 3, "a", 3)).await;
    assert_eq!(payload(&mut subscription).await, "3");
}

#[tokio::test(start_paused = true)]
async fn an_unsubscribe_that_is_refused_changes_nothing() {
    let (client, mut peer, _server) = connected().await;
    let (mut subscription, _) = subscribed(&client, &mut peer, "a").await;
    let filter = TopicFilter::new("a").unwrap();
    let (reasons, ()) = tokio::join!(client.unsubscribe(vec![filter]), async {
        let Packet::Unsubscribe(packet) = peer.receive().await else { panic!("no UNSUBSCRIBE") };
        peer.send(Unsuback::new(packet.packet_id, vec![ReasonCode::NotAuthorized])).await;
    });
    assert_eq!(reasons.unwrap(), [ReasonCode::NotAuthorized]);
    peer.send(publish(QoS::AtLeastOnce, 1, "a", 1)).await;
    assert_eq!(payload(&mut subscription).await, "1");
}

#[tokio::test(start_paused = true)]
async fn what_came_for_another_subscription_is_not_acknowledged_with_one_that_is_unsubscribed_from() {
    let (client, mut peer) = resumed().await;
    let (_ended, subscribe) = subscribed(&client, &mut peer, "#").await;
    let own = subscribe.properties.subscription_identifier().unwrap();
    let filter = TopicFilter::new("#").unwrap();
    let (reasons, _) = tokio::join!(client.unsubscribe(vec![filter]), unsubscribes(&mut peer));
    reasons.unwrap();
    let came_for = |packet_id, named: &[u32]| {
        let properties = named.iter().map(|named| Property::SubscriptionIdentifier(*named));
        let properties = properties.fold(Properties::new(), Properties::with);
        Publish { properties, ..publish(QoS::AtLeastOnce, packet_id, "a/b", packet_id) }
    };
    // What was on its way.
    for (packet_id, named) in [(1, &[own][..]), (2, &[])] {
        peer.send(came_for(packet_id, named)).await;
        peer.expect(Puback::new(id(packet_id))).await;
    }
    // The session has a subscription of an earlier process's.
    peer.send(came_for(3, &[own, own + 1])).await;
    peer.send(came_for(4, &[own + 1])).await;
    nothing_is_sent(&mut peer).await;
    let (mut stream, _) = subscribed(&client, &mut peer, "a/b").await;
    for number in [3, 4] {
        assert_eq!(payload(&mut stream).await, number.to_string());
        peer.expect(Puback::new(id(number))).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_was_unsubscribed_and_is_dropped_leaves_no_debts() {
    let (client, mut peer, _server) = connected().await;
    let (subscription, _) = subscribed(&client, &mut peer, "a").await;
    peer.send(publish(QoS::AtLeastOnce, 1, "a", 1)).await;
    let filter = TopicFilter::new("a").unwrap();
    let (reasons, _) = tokio::join!(client.unsubscribe(vec![filter]), unsubscribes(&mut peer));
    reasons.unwrap();
    nothing_is_sent(&mut peer).await;
    drop(subscription);
    peer.expect(Puback::new(id(1))).await;
}

#[tokio::test(start_paused = true)]
async fn a_dropped_stream_leaves_its_messages_to_the_next_in_a_session_that_is_kept() {
    let (client, mut peer, _server) = connected().await;
    let (subscription, _) = subscribed(&client, &mut peer, "a").await;
    peer.send(publish(QoS::AtLeastOnce, 1, "a", 1)).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    drop(subscription);
    let (mut next, _) = subscribed(&client, &mut peer, "a").await;
    assert_eq!(payload(&mut next).await, "1");
}

#[tokio::test(start_paused = true)]
async fn a_dropped_stream_unsubscribes_in_a_session_that_is_not() {
    for version in [Version::V3_1_1, Version::V5_0] {
        let (client, mut peer, _server) = connected_as(Client::builder(Options::new(version, "c"))).await;
        let (subscription, _) = subscribed(&client, &mut peer, "a").await;
        let (mut other, _) = subscribed(&client, &mut peer, "b").await;
        peer.send(publish(QoS::AtLeastOnce, 1, "a", 1)).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        let begin = Instant::now();
        drop(subscription);
        assert_eq!(unsubscribes(&mut peer).await, [TopicFilter::new("a").unwrap()]);
        assert_eq!(begin.elapsed(), Duration::ZERO);
        peer.send(publish(QoS::AtLeastOnce, 2, "b", 2)).await;
        assert_eq!(payload(&mut other).await, "2");
        peer.expect(Puback::new(id(1))).await;
        peer.expect(Puback::new(id(2))).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_asked_for_behind_an_unsubscribe_of_its_filter_lives() {
    let (client, mut peer, _server) = connected().await;
    let (mut first, _) = subscribed(&client, &mut peer, "a").await;
    let filter = TopicFilter::new("a").unwrap();
    let server = async {
        let Packet::Unsubscribe(unsubscribe) = peer.receive().await else { panic!("no UNSUBSCRIBE") };
        let Packet::Subscribe(subscribe) = peer.receive().await else { panic!("no SUBSCRIBE") };
        peer.send(Unsuback::new(unsubscribe.packet_id, vec![ReasonCode::Success])).await;
        peer.send(Suback::new(subscribe.packet_id, vec![ReasonCode::GrantedQoS1])).await;
        peer.send(publish(QoS::AtLeastOnce, 1, "a", 1)).await;
    };
    let (ended, second, ()) =
        tokio::join!(client.unsubscribe(vec![filter]), client.subscribe("a", QoS::AtLeastOnce), server);
    ended.unwrap();
    assert_eq!(payload(&mut second.unwrap()).await, "1");
    assert!(first.next().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn an_unsubscribe_under_way_is_not_undone_by_a_server_that_forgets() {
    let (client, mut peer, mut server) = connected().await;
    let (mut gone, _) = subscribed(&client, &mut peer, "a").await;
    let (_stays, _) = subscribed(&client, &mut peer, "b").await;
    let filter = TopicFilter::new("a").unwrap();
    let server = async {
        assert!(matches!(peer.receive().await, Packet::Unsubscribe(_)));
        drop(peer);
        let mut peer = server.accepts().await;
        assert_eq!(unsubscribes(&mut peer).await, [TopicFilter::new("a").unwrap()]);
        let Packet::Subscribe(again) = peer.receive().await else { panic!("no SUBSCRIBE") };
        assert_eq!(again.subscriptions[0].filter.as_str(), "b");
        nothing_is_sent(&mut peer).await;
    };
    let (ended, ()) = tokio::join!(client.unsubscribe(vec![filter]), server);
    ended.unwrap();
    assert!(gone.next().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn what_was_not_taken_before_a_reconnect_is_there_once() {
    let (client, mut peer, mut server) = connected().await;
    let (mut subscription, _) = subscribed(&client, &mut peer, "a").await;
    peer.send(publish(QoS::AtLeastOnce, 1, "a", 1)).await;
    peer.send(publish(QoS::ExactlyOnce, 2, "a", 2)).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    for _ in 0..3 {
        drop(peer);
        peer = server.accepts_with(present()).await.0;
        for (qos, id) in [(QoS::AtLeastOnce, 1), (QoS::ExactlyOnce, 2)] {
            let again = publish(qos, id, "a", id);
            peer.send(opifex_packet::Publish { dup: true, ..again }).await;
        }
        nothing_is_sent(&mut peer).await;
    }
    let mut taken = [payload(&mut subscription).await, payload(&mut subscription).await];
    taken.sort_unstable();
    assert_eq!(taken, ["1", "2"]);
    none_comes(&mut subscription).await;
    peer.expect(Puback::new(id(1))).await;
    peer.expect(Pubrec::new(id(2))).await;
    drop(client);
}

#[tokio::test(start_paused = true)]
async fn what_was_not_taken_before_the_server_forgot_is_still_there() {
    let (client, mut peer, mut server) = connected().await;
    let (mut subscription, _) = subscribed(&client, &mut peer, "a").await;
    peer.send(publish(QoS::AtLeastOnce, 1, "a", 1)).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    drop(peer);
    let _peer = server.accepts().await;
    assert_eq!(payload(&mut subscription).await, "1");
    drop(client);
}
