//! Packets in and out of a stream: in pieces, one by one, broken, cancelled.

#![allow(clippy::unwrap_used, reason = "also in the functions that the tests share, what fails is the test")]

use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use futures_core::Stream;
use opifex_connection::{Connection, ConnectionError};
use opifex_packet::{
    Connect, DecodeOptions, Delivery, Packet, PacketId, Puback, Publish, Role, Subscribe, Subscription,
    SubscriptionOptions, TopicFilter, TopicName, Version,
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf, duplex, join, sink};

const SERVER: DecodeOptions = DecodeOptions::new(Version::V5_0, Role::Server);

/// What a client might send, in `version`.
fn conversation(version: Version) -> Vec<Packet<'static>> {
    let id = PacketId::new(7).unwrap();
    let filter = TopicFilter::new("a/+/c").unwrap();
    let mut publish = Publish::new(TopicName::new("a/b/c").unwrap(), b"payload".to_vec());
    publish.delivery = Delivery::AtLeastOnce(id);
    let subscribe = Subscribe {
        packet_id: id,
        properties: Default::default(),
        subscriptions: vec![Subscription { filter, options: SubscriptionOptions::default() }],
    };
    vec![
        Connect::new(version, "c1").into(),
        subscribe.into(),
        Packet::Pingreq,
        publish.into(),
        Packet::Puback(Puback::new(id)),
    ]
}

fn encoded(packets: &[Packet<'_>], version: Version) -> Vec<u8> {
    let mut out = Vec::new();
    for packet in packets {
        packet.encode(version, &mut out);
    }
    out
}

/// A stream that only reads.
fn reading<R: AsyncRead + Unpin>(
    reader: R,
    options: DecodeOptions,
) -> Connection<impl AsyncRead + AsyncWrite + Unpin> {
    Connection::new(join(reader, sink()), options)
}

async fn receive_all<S>(connection: &mut Connection<S>) -> (Vec<Packet<'static>>, Option<ConnectionError>)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut packets = Vec::new();
    loop {
        match connection.receive().await {
            Ok(Some(packet)) => packets.push(packet),
            Ok(None) => return (packets, None),
            Err(error) => return (packets, Some(error)),
        }
    }
}

fn poll_once<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

/// Gives one byte a read.
struct Bytewise<'a>(&'a [u8]);

impl AsyncRead for Bytewise<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Some((first, rest)) = self.0.split_first() {
            buffer.put_slice(&[*first]);
            self.0 = rest;
        }
        Poll::Ready(Ok(()))
    }
}

#[tokio::test]
async fn packets_split_at_every_byte_arrive_whole() {
    for version in [Version::V3_1, Version::V3_1_1, Version::V5_0] {
        let packets = conversation(version);
        let bytes = encoded(&packets, version);
        for at in 0..=bytes.len() {
            let (front, back) = bytes.split_at(at);
            let (received, error) = receive_all(&mut reading(front.chain(back), SERVER)).await;
            assert_eq!(received, packets, "split at {at}");
            assert!(error.is_none(), "split at {at}: {error:?}");
        }
    }
}

#[tokio::test]
async fn packets_arrive_byte_by_byte() {
    let packets = conversation(Version::V5_0);
    let bytes = encoded(&packets, Version::V5_0);
    assert_eq!(receive_all(&mut reading(Bytewise(&bytes), SERVER)).await.0, packets);
}

#[tokio::test]
async fn an_end_within_a_packet_is_told_from_one_between_packets() {
    let packets = conversation(Version::V5_0);
    let bytes = encoded(&packets, Version::V5_0);
    let ends: Vec<usize> = (0..=packets.len()).map(|n| encoded(&packets[..n], Version::V5_0).len()).collect();
    for len in 0..=bytes.len() {
        let (received, error) = receive_all(&mut reading(&bytes[..len], SERVER)).await;
        assert_eq!(received.len(), ends.iter().filter(|end| **end <= len).count() - 1);
        match error {
            None => assert!(ends.contains(&len), "a clean end at {len}"),
            Some(ConnectionError::Truncated) => assert!(!ends.contains(&len), "truncated at {len}"),
            Some(other) => panic!("{other}"),
        }
    }
}

#[tokio::test]
async fn a_megabyte_in_single_bytes_takes_linear_time() {
    let payload: Vec<u8> = (0..1024 * 1024).map(|n| (n % 251) as u8).collect();
    let publish = Packet::from(Publish::new(TopicName::new("t").unwrap(), payload));
    let bytes = encoded(std::slice::from_ref(&publish), Version::V5_0);
    let began = Instant::now();
    let (received, _) = receive_all(&mut reading(Bytewise(&bytes), SERVER)).await;
    assert!(received == [publish]);
    // Moving the packet at each byte would be 512 GB: minutes. This is well below a second.
    assert!(began.elapsed() < Duration::from_secs(20));
}

#[tokio::test]
async fn a_packet_that_claims_too_much_is_refused_from_its_header() {
    let (ours, mut peer) = duplex(64);
    let mut connection = Connection::new(ours, SERVER);
    connection.set_max_packet_size(1024);
    // PUBLISH with 2 MB to come; the peer goes on waiting.
    peer.write_all(&[0x30, 0x80, 0x80, 0x80, 0x01]).await.unwrap();
    match connection.receive().await {
        Err(ConnectionError::Decode(error)) => assert!(error.is_too_large()),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn packets_in_front_of_a_broken_one_are_received() {
    let mut bytes = encoded(&[Packet::Pingreq, Packet::Pingreq], Version::V5_0);
    // PINGREQ with reserved flags.
    bytes.extend([0xC1, 0x00]);
    let mut connection = reading(&bytes[..], SERVER);
    let (received, error) = receive_all(&mut connection).await;
    assert_eq!(received, [Packet::Pingreq, Packet::Pingreq]);
    assert!(matches!(error, Some(ConnectionError::Decode(_))));
    // What is broken stays so.
    assert!(matches!(connection.receive().await, Err(ConnectionError::Decode(_))));
}

#[tokio::test]
async fn a_stream_ends_behind_its_first_error() {
    let bytes = [0xC0, 0x00, 0xC1, 0x00, 0xC0, 0x00];
    let mut connection = reading(&bytes[..], SERVER);
    let mut next = async || poll_fn(|cx| Pin::new(&mut connection).poll_next(cx)).await;
    assert!(matches!(next().await, Some(Ok(Packet::Pingreq))));
    assert!(matches!(next().await, Some(Err(ConnectionError::Decode(_)))));
    assert!(next().await.is_none());
    assert!(next().await.is_none());
}

#[tokio::test]
async fn a_cancelled_receive_loses_nothing() {
    let packets = conversation(Version::V5_0);
    let bytes = encoded(&packets, Version::V5_0);
    let (ours, mut peer) = duplex(64);
    let mut connection = Connection::new(ours, SERVER);
    let mut received = Vec::new();
    for byte in bytes {
        assert!(poll_once(pin!(connection.receive())).is_pending());
        peer.write_all(&[byte]).await.unwrap();
        if let Poll::Ready(packet) = poll_once(pin!(connection.receive())) {
            received.extend(packet.unwrap());
        }
    }
    assert_eq!(received, packets);
}

#[tokio::test]
async fn a_cancelled_send_is_completed_by_the_next_flush() {
    let (ours, mut peer) = duplex(3);
    let mut connection = Connection::new(ours, SERVER);
    let publish = Packet::from(Publish::new(TopicName::new("topic").unwrap(), b"payload".to_vec()));
    assert!(poll_once(pin!(connection.send(&publish))).is_pending());
    connection.feed(&Packet::Pingreq);
    let mut sent = Vec::new();
    let (flushed, _) = tokio::join!(
        async {
            connection.flush().await?;
            connection.close().await
        },
        peer.read_to_end(&mut sent)
    );
    flushed.unwrap();
    assert_eq!(sent, encoded(&[publish, Packet::Pingreq], Version::V5_0));
}

#[tokio::test]
async fn a_connect_sets_the_version_of_both_sides() {
    for version in [Version::V3_1, Version::V3_1_1, Version::V5_0] {
        let (ours, theirs) = duplex(1024);
        let mut client = Connection::new(ours, DecodeOptions::new(Version::V5_0, Role::Client));
        let mut server = Connection::new(theirs, SERVER);
        for packet in conversation(version) {
            client.send(&packet).await.unwrap();
            assert_eq!(server.receive().await.unwrap(), Some(packet));
        }
        assert_eq!((client.version(), server.version()), (version, version));
    }
}

#[tokio::test]
async fn raw_bytes_keep_their_place_between_packets() {
    let (ours, mut peer) = duplex(64);
    let mut connection = Connection::new(ours, SERVER);
    connection.feed(&Packet::Pingreq);
    connection.feed_raw(b"\xFFnot a packet");
    connection.feed(&Packet::Pingresp);
    connection.close().await.unwrap();
    let mut sent = Vec::new();
    peer.read_to_end(&mut sent).await.unwrap();
    assert_eq!(sent, b"\xC0\x00\xFFnot a packet\xD0\x00");
}

#[tokio::test]
async fn a_transport_that_is_gone_is_an_io_error() {
    let (ours, peer) = duplex(64);
    drop(peer);
    let mut connection = Connection::new(ours, SERVER);
    assert!(matches!(connection.send(&Packet::Pingreq).await, Err(ConnectionError::Io(_))));
}
