//! Ends that were asked for, also while publishes wait for room.

use std::time::Duration;

use opifex_client::{Client, Error, Options, Status};
use opifex_packet::{Packet, Puback, QoS, ReasonCode, Suback};
use tokio::time::Instant;

use crate::server::{Peer, Server, connected_as, message, options, server_behind, soon};

/// A client whose session has room for two messages, and its server.
async fn narrow() -> (Client, Peer, Server) {
    let options = Options { max_pending: 2, ..options() };
    connected_as(Client::builder(options)).await
}

/// Publishes until nothing more is taken; how many were.
async fn fill(client: &Client) -> usize {
    let mut accepted = 0;
    loop {
        match client.try_enqueue(message(QoS::AtLeastOnce, accepted)) {
            Ok(delivery) => drop(delivery),
            Err(Error::Full) => return accepted,
            Err(other) => panic!("{other}"),
        }
        accepted += 1;
        if accepted.is_multiple_of(100) {
            // The driver has its turn.
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_disconnect_passes_by_what_waits_for_room_also_without_a_connection() {
    let (client, peer, _server) = narrow().await;
    drop(peer);
    let accepted = fill(&client).await;
    assert!(accepted > 1000, "only {accepted} were accepted");
    let begin = Instant::now();
    let end = soon(client.disconnect()).await;
    assert!(matches!(end, Err(Error::Unfinished(unfinished)) if unfinished == accepted), "{end:?}");
    assert!(begin.elapsed() <= Duration::from_secs(10), "{:?}", begin.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_disconnect_waits_for_what_gets_room_meanwhile() {
    let (client, mut peer, _server) = narrow().await;
    let mut deliveries = Vec::new();
    for number in 0..5 {
        deliveries.push(client.enqueue(message(QoS::AtLeastOnce, number)).await.unwrap());
    }
    let (disconnected, ()) = tokio::join!(client.disconnect(), async {
        for _ in 0..5 {
            let id = peer.publish().await.1.unwrap();
            peer.send(Puback::new(id)).await;
        }
        assert!(matches!(peer.receive().await, Packet::Disconnect(_)));
    });
    disconnected.unwrap();
    for delivery in deliveries {
        delivery.await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_subscribe_passes_by_what_waits_for_room_and_its_time_runs() {
    let (client, mut peer, mut server) = narrow().await;
    fill(&client).await;
    for _ in 0..2 {
        peer.publish().await;
    }
    let (subscribed, ()) = tokio::join!(client.subscribe("a", QoS::AtMostOnce), async {
        let Packet::Subscribe(subscribe) = peer.receive().await else { panic!("no SUBSCRIBE") };
        peer.send(Suback::new(subscribe.packet_id, vec![ReasonCode::Success])).await;
    });
    subscribed.unwrap();
    // The next connection is never accepted.
    drop(peer);
    let begin = Instant::now();
    let (timed_out, _held) = tokio::join!(client.subscribe("b", QoS::AtMostOnce), server.arrives());
    assert!(matches!(timed_out, Err(Error::Timeout("SUBACK"))), "{timed_out:?}");
    assert_eq!(begin.elapsed().as_secs(), 30);
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_room_does_not_keep_a_client_alive_that_nobody_holds() {
    let (client, peer, server) = narrow().await;
    drop((peer, server));
    fill(&client).await;
    let mut statuses = client.statuses();
    let begin = Instant::now();
    drop(client);
    let ended = async { while !matches!(statuses.next().await, Some(Status::Ended { .. })) {} };
    soon(ended).await;
    assert!(begin.elapsed() <= Duration::from_secs(10), "{:?}", begin.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_client_that_nobody_holds_writes_also_what_waited_for_room() {
    let (mut server, connector) = server_behind(512);
    let options = Options { max_buffered: 512, ..options() };
    let (client, mut peer) = tokio::join!(Client::connect(options, connector), server.accepts());
    let client = client.unwrap();
    for number in 0..500 {
        drop(client.enqueue(message(QoS::AtMostOnce, number)).await.unwrap());
    }
    drop(client);
    for number in 0..500 {
        assert_eq!(peer.publish().await.0.payload[..], *number.to_string().as_bytes());
    }
    assert!(matches!(peer.receive().await, Packet::Disconnect(_)));
}

#[tokio::test(start_paused = true)]
async fn a_disconnect_whose_time_is_up_while_nothing_can_be_written_waits_for_the_transport_asleep() {
    let (mut server, connector) = server_behind(512);
    let (client, mut peer) = tokio::join!(Client::connect(options(), connector), server.accepts());
    let client = client.unwrap();
    for number in 0..500 {
        drop(client.enqueue(message(QoS::AtMostOnce, number)).await.unwrap());
    }
    // Those are with the transport, which takes no more; this one is not.
    tokio::time::sleep(Duration::from_millis(1)).await;
    drop(client.enqueue(message(QoS::AtMostOnce, 500)).await.unwrap());
    // No packet; the connection is over when what waits is written.
    peer.connection.feed_raw(&[0xff, 0x00]);
    peer.connection.flush().await.unwrap();
    tokio::time::sleep(Duration::from_millis(1)).await;
    let begin = Instant::now();
    let _unfinished = soon(client.disconnect()).await;
    assert!(begin.elapsed() <= Duration::from_secs(31), "{:?}", begin.elapsed());
}
