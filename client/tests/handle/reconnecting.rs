//! Connections that end, and what comes after.

use std::time::Duration;

use opifex_client::{Cause, Client, Error, FileStore, Options, Reconnect, Status};
use opifex_packet::{
    Connack, Disconnect, Packet, Puback, Pubcomp, Publish, Pubrec, QoS, ReasonCode, Suback, Version,
};
use tokio::time::Instant;

use crate::server::{connected, connected_as, message, options, publish, server, soon};

fn present() -> Connack<'static> {
    Connack { session_present: true, ..Connack::new(ReasonCode::Success) }
}

#[tokio::test(start_paused = true)]
async fn what_is_under_way_goes_on_with_dup_and_the_same_ids() {
    let (client, mut peer, mut server) = connected().await;
    let mut deliveries = Vec::new();
    for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce, QoS::ExactlyOnce] {
        deliveries.push(client.enqueue(message(qos, 1)).await.unwrap());
    }
    let ids: Vec<_> = [peer.publish().await.1, peer.publish().await.1, peer.publish().await.1].into();
    peer.send(Pubrec::new(ids[2].unwrap())).await;
    assert!(matches!(peer.receive().await, Packet::Pubrel(_)));
    drop(peer);

    let (mut peer, connect) = server.accepts_with(present()).await;
    assert!(!connect.clean_start);
    assert!(matches!(peer.receive().await, Packet::Pubrel(pubrel) if Some(pubrel.packet_id) == ids[2]));
    peer.send(Pubcomp::new(ids[2].unwrap())).await;
    for id in &ids[..2] {
        let (publish, again): (Publish<'_>, _) = peer.publish().await;
        assert!(publish.dup);
        assert_eq!(again, *id);
    }
    peer.send(Puback::new(ids[0].unwrap())).await;
    peer.send(Pubrec::new(ids[1].unwrap())).await;
    assert!(matches!(peer.receive().await, Packet::Pubrel(_)));
    peer.send(Pubcomp::new(ids[1].unwrap())).await;
    for delivery in deliveries {
        soon(delivery).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn attempts_are_spaced_by_the_back_off_and_told_of() {
    let (server, connector) = server();
    drop(server);
    let policy = Reconnect::default()
        .waiting(Duration::from_secs(1), Duration::from_secs(4))
        .up_to(4)
        .from_the_start();
    let begin = Instant::now();
    let error = Client::builder(options()).reconnect(policy).connect(connector).await.unwrap_err();
    assert!(matches!(error.cause(), Some(Cause::Transport(_))), "{error}");
    // 1 + 2 + 4 + 4, each between a half and the whole.
    let took = begin.elapsed().as_secs_f64();
    assert!((5.5..=11.1).contains(&took), "{took}");
}

#[tokio::test(start_paused = true)]
async fn the_first_connection_has_one_attempt() {
    let (server, connector) = server();
    drop(server);
    let begin = Instant::now();
    assert!(Client::connect(options(), connector).await.unwrap_err().is_ended());
    assert_eq!(begin.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_that_nothing_will_change_ends_the_client() {
    let (client, peer, mut server) = connected().await;
    let mut statuses = client.statuses();
    drop(peer);
    server.accepts_with(Connack::new(ReasonCode::NotAuthorized)).await;
    let mut last = None;
    while let Some(status) = soon(statuses.next()).await {
        last = Some(status);
        if matches!(last, Some(Status::Ended { .. })) {
            break;
        }
    }
    let Some(Status::Ended { cause }) = last else { panic!("{last:?}") };
    assert!(matches!(*cause, Cause::Refused { reason: ReasonCode::NotAuthorized, .. }));
    assert!(matches!(client.publish(message(QoS::AtLeastOnce, 1)).await, Err(Error::Ended(_))));
}

#[tokio::test(start_paused = true)]
async fn a_session_that_was_taken_over_is_not_taken_back() {
    let (client, mut peer, _server) = connected().await;
    let mut subscription = {
        let (subscription, ()) = tokio::join!(client.subscribe("a", QoS::AtMostOnce), async {
            let Packet::Subscribe(subscribe) = peer.receive().await else { panic!() };
            peer.send(Suback::new(subscribe.packet_id, vec![ReasonCode::Success])).await;
        });
        subscription.unwrap()
    };
    peer.send(Disconnect::new(ReasonCode::SessionTakenOver)).await;
    assert!(soon(subscription.next()).await.is_none());
    let cause = client.ended().unwrap();
    assert!(matches!(*cause, Cause::Server { reason: ReasonCode::SessionTakenOver, .. }));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_has_forgotten_is_subscribed_to_again() {
    let (client, mut peer, mut server) = connected().await;
    let (subscription, first) = tokio::join!(client.subscribe("a", QoS::AtLeastOnce), async {
        let Packet::Subscribe(subscribe) = peer.receive().await else { panic!() };
        peer.send(Suback::new(subscribe.packet_id, vec![ReasonCode::GrantedQoS1])).await;
        subscribe
    });
    let mut subscription = subscription.unwrap();
    drop(peer);
    // A session that is there still has it.
    let (mut peer, _) = server.accepts_with(present()).await;
    peer.send(publish(QoS::AtMostOnce, 1, "a", 1)).await;
    assert_eq!(&soon(subscription.next()).await.unwrap().payload[..], b"1");
    drop(peer);
    let (mut peer, _) = server.accepts_with(Connack::new(ReasonCode::Success)).await;
    let Packet::Subscribe(again) = peer.receive().await else { panic!() };
    assert_eq!((&again.subscriptions, &again.properties), (&first.subscriptions, &first.properties));
    peer.send(Suback::new(again.packet_id, vec![ReasonCode::GrantedQoS1])).await;
    peer.send(publish(QoS::AtMostOnce, 1, "a", 2)).await;
    assert_eq!(&soon(subscription.next()).await.unwrap().payload[..], b"2");
    drop(peer);
    // One that does not grant it any more ends the stream.
    let (mut peer, _) = server.accepts_with(Connack::new(ReasonCode::Success)).await;
    let Packet::Subscribe(again) = peer.receive().await else { panic!() };
    peer.send(Suback::new(again.packet_id, vec![ReasonCode::NotAuthorized])).await;
    assert!(soon(subscription.next()).await.is_none());
}

#[tokio::test(start_paused = true)]
async fn calls_wait_for_a_connection_and_not_for_ever() {
    let (client, peer, mut server) = connected().await;
    drop(peer);
    let delivery = client.enqueue(message(QoS::AtLeastOnce, 1)).await.unwrap();
    let subscribing = client.subscribe("a", QoS::AtMostOnce);
    let refused = async {
        // The next connection is never accepted.
        server.arrives().await
    };
    let (subscribed, held) = tokio::join!(subscribing, refused);
    assert!(matches!(subscribed, Err(Error::Timeout("SUBACK"))), "{subscribed:?}");
    let lost = client.publish(message(QoS::AtMostOnce, 1)).await.unwrap_err();
    assert!(matches!(lost, Error::Refused(_)), "{lost}");
    drop(held);
    let (mut peer, _) = server.accepts_with(present()).await;
    let id = peer.publish().await.1.unwrap();
    peer.send(Puback::new(id)).await;
    soon(delivery).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_session_that_only_the_server_knows_is_not_asked_for_again() {
    let (mut server, connector) = server();
    let policy = Reconnect::default().from_the_start();
    let (client, _) = tokio::join!(
        Client::builder(options()).reconnect(policy).connect(connector),
        server.accepts_with(present())
    );
    let error = client.unwrap_err();
    assert!(matches!(error.cause(), Some(Cause::Violation { statement: "MQTT-3.2.2-4", .. })), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_process_that_begins_again_goes_on_with_its_messages() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("session");
    let builder = || Client::builder(options()).store(FileStore::open(&path).unwrap());
    let (client, mut peer, server_before) = connected_as(builder()).await;
    let delivery = client.enqueue(message(QoS::ExactlyOnce, 1)).await.unwrap();
    let id = peer.publish().await.1.unwrap();
    // The process dies: nobody says good-bye. What comes over the wire now is not read any more.
    drop((server_before, peer, client));
    assert!(soon(delivery).await.is_err());

    let (mut server, connector) = server();
    let client = builder().connect(connector);
    let (client, (mut peer, _)) = tokio::join!(client, server.accepts_with(present()));
    let client = client.unwrap();
    let mut statuses = client.statuses();
    let (publish, again) = peer.publish().await;
    assert!(publish.dup && again == Some(id));
    peer.send(Pubrec::new(id)).await;
    assert!(matches!(peer.receive().await, Packet::Pubrel(_)));
    peer.send(Pubcomp::new(id)).await;
    assert!(matches!(soon(statuses.next()).await, Some(Status::Settled { .. })));
}

#[tokio::test(start_paused = true)]
async fn before_5_0_a_session_is_resumed_all_the_same() {
    let options = Options::new(Version::V3_1_1, "c").resuming(0);
    let (client, mut peer, mut server) = connected_as(Client::builder(options)).await;
    let delivery = client.enqueue(message(QoS::AtLeastOnce, 1)).await.unwrap();
    let id = peer.publish().await.1;
    drop(peer);
    let (mut peer, connect) = server.accepts_with(present()).await;
    assert!(!connect.clean_start);
    let (publish, again) = peer.publish().await;
    assert!(publish.dup && again == id);
    peer.send(Puback::new(id.unwrap())).await;
    soon(delivery).await.unwrap();
}

/// Takes each connection, reads one message and closes, until the client gives up; how many there were.
async fn closes_because_of_a_message(server: &mut crate::server::Server) -> u32 {
    let mut connections = 0;
    while let Some(mut peer) = server.arrives_or_not().await {
        assert!(matches!(peer.receive().await, Packet::Connect(_)));
        peer.send(present()).await;
        peer.publish().await;
        connections += 1;
        assert!(connections < 20, "it goes on for ever");
    }
    connections
}

#[tokio::test(start_paused = true)]
async fn a_server_that_accepts_and_closes_because_of_a_message_is_not_asked_for_ever() {
    let policy = Reconnect::default().waiting(Duration::from_secs(1), Duration::from_secs(8)).up_to(5);
    let (client, mut peer, mut server) = connected_as(Client::builder(options()).reconnect(policy)).await;
    let publishing = client.publish(message(QoS::AtLeastOnce, 1));
    let serving = async {
        peer.publish().await;
        drop(peer);
        closes_because_of_a_message(&mut server).await
    };
    let begin = Instant::now();
    let (published, connections) = tokio::join!(publishing, serving);
    assert!(published.unwrap_err().is_ended());
    assert_eq!(connections, 5);
    // 1 + 2 + 4 + 8 + 8, each between a half and the whole.
    let took = begin.elapsed().as_secs_f64();
    assert!((11.5..=23.1).contains(&took), "{took}");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_never_acknowledges_is_not_asked_for_ever() {
    let policy = Reconnect::default().waiting(Duration::from_secs(1), Duration::from_secs(8)).up_to(5);
    let (client, mut peer, mut server) = connected_as(Client::builder(options()).reconnect(policy)).await;
    let publishing = client.publish(message(QoS::AtLeastOnce, 1));
    let serving = async {
        peer.publish().await;
        let mut connections = 0;
        // Each lasts until the client gives it up.
        while let Some(mut arrived) = server.arrives_or_not().await {
            arrived.receive().await;
            arrived.send(present()).await;
            peer = arrived;
            peer.publish().await;
            connections += 1;
            assert!(connections <= 5, "it is asked again and again");
        }
        connections
    };
    let (published, connections) = tokio::join!(publishing, serving);
    assert!(published.unwrap_err().is_ended());
    assert_eq!(connections, 5);
}

#[tokio::test(start_paused = true)]
async fn attempts_are_counted_anew_behind_an_acknowledgement_or_a_connection_that_lasted() {
    let policy = Reconnect::default().waiting(Duration::from_secs(1), Duration::from_secs(8)).up_to(3);
    let (client, mut peer, mut server) = connected_as(Client::builder(options()).reconnect(policy)).await;
    for round in 0..5 {
        // Two attempts of no use.
        for _ in 0..2 {
            drop(peer);
            peer = server.accepts_with(present()).await.0;
        }
        if round % 2 == 0 {
            let (published, ()) = tokio::join!(client.publish(message(QoS::AtLeastOnce, 1)), async {
                let id = peer.publish().await.1.unwrap();
                peer.send(Puback::new(id)).await;
            });
            published.unwrap();
        } else {
            tokio::time::sleep(Duration::from_secs(9)).await;
        }
    }
    assert!(client.ended().is_none());
}
