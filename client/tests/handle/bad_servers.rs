//! Servers and networks that do not do what they should: an error in bounded time, never a panic or a hang.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use opifex_client::{BoxedTransport, Cause, Client, Connector, Error, Reconnect, Status, Statuses};
use opifex_packet::{
    Connack, Packet, PacketId, Properties, Property, Puback, Pubcomp, Pubrec, Pubrel, QoS, ReasonCode,
    Suback, Unsuback,
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use crate::server::{Peer, connected, connected_as, message, options, publish, server_behind, soon};

async fn lost(statuses: &mut Statuses) -> std::sync::Arc<Cause> {
    loop {
        match soon(statuses.next()).await.expect("it is told") {
            Status::Lost { cause } => return cause,
            Status::Ended { .. } => panic!("it ended without a word on why"),
            _ => {}
        }
    }
}

/// What the client makes of such bytes, behind a CONNACK.
async fn after_bytes(bytes: &[u8]) -> std::sync::Arc<Cause> {
    let (client, mut peer, _server) = connected().await;
    let mut statuses = client.statuses();
    peer.connection.feed_raw(bytes);
    peer.connection.flush().await.unwrap();
    lost(&mut statuses).await
}

#[tokio::test(start_paused = true)]
async fn bytes_that_are_no_packet_end_the_connection() {
    for bytes in [
        &[0xff, 0x00][..],
        &[0x00, 0x00],
        &[0x30, 0xff, 0xff, 0xff, 0xff],
        &[0x40, 0x02, 0, 0],
        &[0x36, 0x04, 0, 1, b't', 0],
        &[0x30, 0x05, 0, 3, b'a', b'#', b'b', 0],
        &[0x90, 0x03, 0, 1, 0],
        &[0xd0, 0x01, 0],
    ] {
        let cause = after_bytes(bytes).await;
        assert!(matches!(*cause, Cause::Malformed(_) | Cause::Violation { .. }), "{bytes:?}: {cause:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_packet_above_the_maximum_that_was_announced_is_refused_by_its_header() {
    let mut options = options();
    options.max_packet_size = Some(1000);
    let (client, mut peer, _server) = connected_as(Client::builder(options)).await;
    let mut statuses = client.statuses();
    peer.connection.feed_raw(&[0x30, 0xff, 0xff, 0x7f]);
    peer.connection.flush().await.unwrap();
    assert!(matches!(&*lost(&mut statuses).await, Cause::Malformed(error) if error.is_too_large()));
    let Packet::Disconnect(said) = peer.receive().await else { panic!() };
    assert_eq!(said.reason, ReasonCode::PacketTooLarge);
    peer.closed().await;
}

#[tokio::test(start_paused = true)]
async fn packets_for_nothing_that_was_sent_end_the_connection() {
    let packets: [Packet<'_>; 8] = [
        Puback::new(PacketId::MIN).into(),
        Suback::new(PacketId::MIN, vec![ReasonCode::Success]).into(),
        Unsuback::new(PacketId::MIN, vec![ReasonCode::Success]).into(),
        Connack::new(ReasonCode::Success).into(),
        Packet::Pingreq,
        opifex_packet::Subscribe::new(PacketId::MIN, vec![]).into(),
        opifex_packet::Auth::new(ReasonCode::Success, Properties::new()).into(),
        // A topic alias that stands for nothing.
        opifex_packet::Publish {
            topic: None,
            properties: Properties::new().with(Property::TopicAlias(1)),
            ..publish(QoS::AtMostOnce, 1, "t", 1)
        }
        .into(),
    ];
    for packet in packets {
        let shown = format!("{packet:?}");
        let (client, mut peer, _server) = connected().await;
        let mut statuses = client.statuses();
        peer.send(packet).await;
        let cause = lost(&mut statuses).await;
        assert!(matches!(*cause, Cause::Violation { .. } | Cause::Malformed(_)), "{shown}: {cause:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn pubrec_pubrel_and_pubcomp_of_unknown_ids_are_answered_or_passed_over() {
    let (client, mut peer, _server) = connected().await;
    let id = PacketId::MIN;
    peer.send(Pubrec::new(id)).await;
    peer.expect(Pubrel::new(id).with_reason(ReasonCode::PacketIdentifierNotFound)).await;
    peer.send(Pubrel::new(id)).await;
    peer.expect(Pubcomp::new(id).with_reason(ReasonCode::PacketIdentifierNotFound)).await;
    peer.send(Pubcomp::new(id)).await;
    client.publish(message(QoS::AtMostOnce, 1)).await.unwrap();
    peer.publish().await;
}

#[tokio::test(start_paused = true)]
async fn a_server_that_never_says_connack_is_given_up_in_time() {
    let (mut server, connector) = crate::server::server();
    let begin = Instant::now();
    let (connected, _held) = tokio::join!(Client::connect(options(), connector), server.arrives());
    assert!(matches!(connected.unwrap_err().cause(), Some(Cause::Timeout("CONNACK"))));
    assert_eq!(begin.elapsed().as_secs(), 30);
}

#[tokio::test(start_paused = true)]
async fn a_transport_that_never_opens_is_given_up_in_time() {
    let connector = || std::future::pending::<std::io::Result<tokio::io::DuplexStream>>();
    let begin = Instant::now();
    let error = Client::connect(options(), connector).await.unwrap_err();
    assert!(matches!(error.cause(), Some(Cause::Transport(_))));
    assert_eq!(begin.elapsed().as_secs(), 30);
}

/// A server that reads everything and says nothing but PINGRESP.
async fn only_pings(peer: &mut Peer) {
    while let Ok(Some(packet)) = peer.connection.receive().await {
        if packet == Packet::Pingreq && peer.connection.send(&Packet::Pingresp).await.is_err() {
            return;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_answers_nothing_but_pings_ends_calls_in_time() {
    let builder = Client::builder(options()).reconnect(Reconnect::never());
    let (client, mut peer, _server) = connected_as(builder).await;
    let begin = Instant::now();
    let call = async {
        let error = client.subscribe("a", QoS::AtMostOnce).await.unwrap_err();
        assert!(matches!(error, Error::Timeout("SUBACK") | Error::Ended(_)), "{error}");
        assert_eq!(begin.elapsed().as_secs(), 30);
    };
    tokio::join!(call, only_pings(&mut peer));

    let builder = Client::builder(options()).reconnect(Reconnect::never());
    let (client, mut peer, _server) = connected_as(builder).await;
    let begin = Instant::now();
    let call = async {
        let error = client.publish(message(QoS::AtLeastOnce, 1)).await.unwrap_err();
        assert!(matches!(error.cause(), Some(Cause::Timeout("acknowledgement"))), "{error}");
        assert_eq!(begin.elapsed().as_secs(), 60);
    };
    tokio::join!(call, only_pings(&mut peer));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_falls_silent_is_noticed_by_its_missing_pingresp() {
    let (client, _peer, _server) = connected().await;
    let mut statuses = client.statuses();
    let begin = Instant::now();
    assert!(matches!(*lost(&mut statuses).await, Cause::Timeout("PINGRESP")));
    assert_eq!(begin.elapsed().as_secs(), 90);
}

#[tokio::test(start_paused = true)]
async fn a_network_that_stalls_holds_back_publishers_and_is_given_up() {
    let (mut server, connector) = server_behind(4096);
    let builder = Client::builder(options()).reconnect(Reconnect::never());
    let (client, _peer) = tokio::join!(builder.connect(connector), server.accepts());
    let client = client.unwrap();
    // Nobody reads: the pipe fills, then the buffer of the machine, then the queue.
    let begin = Instant::now();
    let mut accepted = 0;
    let error = loop {
        let payload = vec![0; 64 * 1024];
        let topic = opifex_packet::TopicName::new("t").unwrap();
        match client.enqueue(opifex_client::Message::new(topic, payload)).await {
            Ok(delivery) => {
                drop(delivery);
                accepted += 1;
            }
            Err(error) => break error,
        }
    };
    // 1 MiB in the buffer, 1 MiB on its way, 4 MiB in the queue and as much taken from it.
    assert!(accepted < 200, "{accepted} messages are held");
    assert!(matches!(error.cause(), Some(Cause::Transport(_))), "{error:?}");
    assert!(begin.elapsed() <= Duration::from_secs(31));
}

/// A transport that never finishes closing, as TLS on a network that stalls.
struct Unclosing(BoxedTransport);

impl AsyncRead for Unclosing {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, into)
    }
}

impl AsyncWrite for Unclosing {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Pending
    }
}

#[tokio::test(start_paused = true)]
async fn a_transport_that_does_not_close_is_left_in_time() {
    let (mut server, mut connector) = server_behind(4096);
    let unclosing = move || {
        let opening = connector.connect();
        async move { Ok(Unclosing(opening.await?)) }
    };
    let (client, mut peer) = tokio::join!(Client::connect(options(), unclosing), server.accepts());
    let client = client.unwrap();
    let begin = Instant::now();
    peer.connection.feed_raw(&[0xff, 0x00]);
    peer.connection.flush().await.unwrap();
    // The next connection: five seconds, and the first wait.
    let _peer = server.accepts().await;
    assert!(begin.elapsed() <= Duration::from_secs(6), "{:?}", begin.elapsed());
    let begin = Instant::now();
    soon(client.disconnect()).await.unwrap();
    assert!(begin.elapsed() <= Duration::from_secs(5), "{:?}", begin.elapsed());
}
