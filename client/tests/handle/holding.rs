//! What a client holds of messages that nobody takes: its ends, in messages and in bytes.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use opifex_client::{Cause, Client, Error, Message, Options, Status};
use opifex_packet::{Connack, PacketId, Puback, Publish, QoS, ReasonCode, TopicName, Version};
use tokio::time::timeout;

use crate::server::{Peer, connected_as, message, options, publish, server, soon};
use crate::subscribing::{flood, grants, subscribed};

/// Sends messages of a kibibyte until the client reads no more; how many it took.
async fn flood_at(peer: &mut Peer, qos: QoS, limit: u16) -> u16 {
    for sent in 0..limit {
        let big = Publish { payload: vec![0; 1024].into(), ..publish(qos, sent + 1, "a", 1) };
        if timeout(Duration::from_secs(1), peer.connection.send(&big.into())).await.is_err() {
            return sent;
        }
    }
    limit
}

/// Messages of a kibibyte that a pipe holds, and one read of it.
const PIPE: usize = 100;

#[tokio::test(start_paused = true)]
async fn a_few_large_messages_fill_a_stream_as_many_small_ones_do() {
    let builder = Client::builder(options()).unread_bytes(256 * 1024);
    let (client, mut peer, _server) = connected_as(builder).await;
    let (mut subscription, _) = subscribed(&client, &mut peer, "a").await;
    let sent = flood(&mut peer, 10_000).await;
    assert!(sent < 256 + PIPE, "{sent} were taken though nobody reads");
    for _ in 0..sent * 3 / 4 {
        assert_eq!(soon(subscription.next()).await.unwrap().payload.len(), 1024);
    }
    // There is room again, and it goes on.
    assert_eq!(flood(&mut peer, 100).await, 100);
    for _ in 0..sent - sent * 3 / 4 + 100 {
        soon(subscription.next()).await.unwrap();
    }
    let (more, _) = tokio::join!(flood(&mut peer, 1000), async {
        for _ in 0..1000 {
            soon(subscription.next()).await.unwrap();
        }
    });
    assert_eq!(more, 1000);
}

#[tokio::test(start_paused = true)]
async fn all_streams_together_hold_so_many_bytes() {
    let builder = Client::builder(options()).unread_bytes(256 * 1024);
    let (client, mut peer, _server) = connected_as(builder).await;
    let (_other, _) = subscribed(&client, &mut peer, "a").await;
    let (mut subscription, _) = subscribed(&client, &mut peer, "a").await;
    let sent = flood(&mut peer, 10_000).await;
    assert!(sent < 128 + PIPE, "{sent} were taken though nobody reads");
    // Whichever is read makes room.
    for _ in 0..sent {
        soon(subscription.next()).await.unwrap();
    }
    assert!(flood(&mut peer, 10).await == 10);
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_a_stream_has_its_ends_too() {
    let builder = Client::builder(options()).unread_bytes(256 * 1024);
    let (_client, mut peer, _server) = connected_as(builder).await;
    let sent = flood_at(&mut peer, QoS::AtLeastOnce, 1000).await;
    assert!(usize::from(sent) < 256 + PIPE, "{sent} were taken though there is no stream");
}

#[tokio::test(start_paused = true)]
async fn what_is_read_for_the_sake_of_an_answer_has_its_end_and_so_has_the_wait() {
    // Before 5.0 a server is not held to a receive maximum.
    let options = Options { clean_start: false, ..Options::new(Version::V3_1_1, "c") };
    let builder = Client::builder(options).unread_bytes(256 * 1024);
    let (client, mut peer, mut server) = connected_as(builder).await;
    let (_subscription, _) = subscribed(&client, &mut peer, "a").await;
    let mut statuses = client.statuses();
    let delivery = client.enqueue(message(QoS::AtLeastOnce, 1)).await.unwrap();
    peer.publish().await;
    // It is not acknowledged.
    let sent = flood_at(&mut peer, QoS::AtLeastOnce, 10_000).await;
    assert!((256..512 + PIPE).contains(&usize::from(sent)), "{sent} were taken");
    let lost = async {
        loop {
            if let Some(Status::Lost { cause }) = statuses.next().await {
                return cause;
            }
        }
    };
    assert!(matches!(*soon(lost).await, Cause::Timeout("acknowledgement")));
    drop(peer);
    // The server goes on with the session, and has what was not taken: there is room for the answer.
    let present = Connack { session_present: true, ..Connack::new(ReasonCode::Success) };
    let (mut peer, _) = server.accepts_with(present).await;
    let id = peer.publish().await.1.unwrap();
    peer.send(Puback::new(id)).await;
    soon(delivery).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_server_may_have_any_number_under_way_unless_it_is_told_otherwise() {
    let builder = Client::builder(options()).subscription_capacity(10);
    let (mut server, connector) = server();
    let (client, (mut peer, connect)) =
        tokio::join!(builder.connect(connector), server.accepts_with(Connack::new(ReasonCode::Success)));
    assert_eq!(connect.properties.receive_maximum(), None);
    let (mut subscription, _) = subscribed(&client.unwrap(), &mut peer, "a").await;
    // As many as one read brings, of which the stream is full.
    for number in 1..=3000 {
        peer.connection.feed(&publish(QoS::AtLeastOnce, number, "a", number).into());
    }
    peer.connection.flush().await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    for number in 1..=3000 {
        assert_eq!(soon(subscription.next()).await.unwrap().payload, number.to_string());
        peer.expect(Puback::new(PacketId::new(number).unwrap())).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_that_was_given_up_is_no_reason_to_read_on() {
    let builder = Client::builder(options()).subscription_capacity(10);
    let (client, mut peer, _server) = connected_as(builder).await;
    let (_subscription, _) = subscribed(&client, &mut peer, "a").await;
    let request = client.request(message(QoS::AtMostOnce, 1), Duration::from_secs(5));
    let (unanswered, ()) = tokio::join!(request, async {
        grants(&mut peer).await;
        peer.publish().await;
        // While it waits, it is read on.
        assert_eq!(flood(&mut peer, 1000).await, 1000);
    });
    assert!(matches!(unanswered, Err(Error::Timeout("response"))), "{unanswered:?}");
    let sent = flood(&mut peer, 1000).await;
    assert!(sent < PIPE, "{sent} were taken though nobody reads");
}

#[tokio::test(start_paused = true)]
async fn calls_that_wait_for_a_connection_have_their_end_in_bytes() {
    let (client, peer, _server) = connected_as(Client::builder(options())).await;
    drop(peer);
    let large = "x".repeat(60_000);
    let minute = Duration::from_secs(60);
    let subscribes = (0..100).map(|_| async { client.subscribe(&large, QoS::AtMostOnce).await.map(drop) });
    let requests = (0..100).map(|_| async {
        let topic = TopicName::new("t").unwrap();
        client.request(Message::new(topic, vec![0; 60_000]), minute).await.map(drop)
    });
    let subscribes = all(subscribes.map(|call| Box::pin(call) as BoxedCall<'_>).collect()).await;
    let requests = all(requests.map(|call| Box::pin(call) as BoxedCall<'_>).collect()).await;
    for ends in [subscribes, requests] {
        let full = ends.iter().filter(|end| matches!(end, Err(Error::Full))).count();
        assert!((25..40).contains(&full), "{full} of a hundred found no room");
    }
}

type BoxedCall<'a> = Pin<Box<dyn Future<Output = Result<(), Error>> + 'a>>;

/// Waits for all at once.
async fn all(mut calls: Vec<BoxedCall<'_>>) -> Vec<Result<(), Error>> {
    let mut ends = Vec::new();
    poll_fn(|cx| {
        calls.retain_mut(|call| match call.as_mut().poll(cx) {
            Poll::Ready(end) => {
                ends.push(end);
                false
            }
            Poll::Pending => true,
        });
        if calls.is_empty() { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    ends
}
