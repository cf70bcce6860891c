//! What messages cost that come alone or together: how often the transport is asked, and whose turn it is.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use opifex_client::{BoxedTransport, Client, Connector, Subscription};
use opifex_connection::SCRATCH_BYTES;
use opifex_packet::{Packet, PacketId, Puback, Pubcomp, Publish, Pubrec, Pubrel, QoS};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::server::{Peer, options, publish, server_behind, soon};
use crate::subscribing::subscribed;

/// What a client did with its transport.
#[derive(Debug, Default)]
struct Calls {
    /// Also those that brought nothing.
    reads: AtomicUsize,
    bytes_read: AtomicUsize,
    writes: AtomicUsize,
}

impl Calls {
    fn forget(&self) {
        self.reads.store(0, Ordering::Relaxed);
        self.bytes_read.store(0, Ordering::Relaxed);
        self.writes.store(0, Ordering::Relaxed);
    }

    fn reads_and_writes(&self) -> (usize, usize) {
        (self.reads.load(Ordering::Relaxed), self.writes.load(Ordering::Relaxed))
    }
}

/// A pipe that counts.
struct Counted(BoxedTransport, Arc<Calls>);

impl AsyncRead for Counted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.0).poll_read(cx, buffer);
        self.1.reads.fetch_add(1, Ordering::Relaxed);
        self.1.bytes_read.fetch_add(buffer.filled().len() - before, Ordering::Relaxed);
        read
    }
}

impl AsyncWrite for Counted {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.1.writes.fetch_add(1, Ordering::Relaxed);
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

/// A client with one stream, its server, and what it does with a pipe of that many bytes.
async fn counted(bytes: usize) -> (Client, Subscription, Peer, Arc<Calls>) {
    let (mut server, mut connector) = server_behind(bytes);
    let calls = Arc::new(Calls::default());
    let counting = Arc::clone(&calls);
    let over = move || {
        let (opening, calls) = (connector.connect(), Arc::clone(&counting));
        async move { opening.await.map(|stream| Counted(stream, calls)) }
    };
    let (client, mut peer) = tokio::join!(Client::connect(options(), over), server.accepts());
    let client = client.unwrap();
    let (stream, _) = subscribed(&client, &mut peer, "t").await;
    // All is quiet.
    tokio::time::sleep(Duration::from_millis(1)).await;
    calls.forget();
    (client, stream, peer, calls)
}

#[tokio::test(start_paused = true)]
async fn a_message_that_comes_alone_is_read_in_one_look_and_acknowledged_in_another() {
    for (qos, calls_of_it) in [(QoS::AtMostOnce, (2, 0)), (QoS::AtLeastOnce, (3, 1))] {
        let (_client, mut stream, mut peer, calls) = counted(64 * 1024).await;
        let taken = tokio::spawn(async move {
            let received = stream.next().await;
            (stream, received)
        });
        // It waits.
        tokio::time::sleep(Duration::from_millis(1)).await;
        peer.send(publish(qos, 1, "t", 1)).await;
        let (_stream, received) = soon(taken).await.unwrap();
        assert_eq!(received.unwrap().payload, "1");
        tokio::time::sleep(Duration::from_millis(1)).await;
        // A read that brings nothing has the task woken for the next; one more goes with the look that acknowledges.
        assert_eq!(calls.reads_and_writes(), calls_of_it, "{qos:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn messages_that_come_together_are_acknowledged_in_one_write_in_their_order() {
    let (_client, mut stream, mut peer, calls) = counted(64 * 1024).await;
    let taken = tokio::spawn(async move {
        for number in 1..=200 {
            assert_eq!(stream.next().await.unwrap().payload, number.to_string());
        }
        stream
    });
    for number in 1..=200 {
        peer.connection.feed(&Packet::from(publish(QoS::AtLeastOnce, number, "t", number)));
    }
    peer.connection.flush().await.unwrap();
    let _stream = soon(taken).await.unwrap();
    for number in 1..=200 {
        peer.expect(Puback::new(PacketId::new(number).unwrap())).await;
    }
    assert_eq!(calls.reads_and_writes(), (3, 1));
}

#[tokio::test(start_paused = true)]
async fn the_end_of_one_message_and_the_acknowledgement_of_the_next_leave_in_one_write() {
    let (_client, mut stream, mut peer, calls) = counted(64 * 1024).await;
    let ids = [1, 2].map(|id| PacketId::new(id).unwrap());
    let taken = tokio::spawn(async move {
        for payload in ["1", "2"] {
            assert_eq!(stream.next().await.unwrap().payload, payload);
        }
        stream
    });
    peer.send(publish(QoS::ExactlyOnce, 1, "t", 1)).await;
    peer.expect(Pubrec::new(ids[0])).await;
    calls.forget();
    peer.connection.feed(&Packet::from(Pubrel::new(ids[0])));
    peer.connection.feed(&Packet::from(publish(QoS::ExactlyOnce, 2, "t", 2)));
    peer.connection.flush().await.unwrap();
    peer.expect(Pubcomp::new(ids[0])).await;
    peer.expect(Pubrec::new(ids[1])).await;
    let _stream = soon(taken).await.unwrap();
    assert_eq!(calls.reads_and_writes(), (3, 1));
}

#[tokio::test(start_paused = true)]
async fn what_is_to_be_written_waits_for_no_application_that_takes_its_time() {
    let (_client, mut stream, mut peer, _calls) = counted(64 * 1024).await;
    let ids = [1, 2].map(|id| PacketId::new(id).unwrap());
    let taken = tokio::spawn(async move {
        stream.next().await.unwrap();
        // It waits with the second message as if it were asleep, and takes it when it has slept.
        let mut second = Box::pin(stream.next());
        std::future::poll_fn(|cx| {
            assert!(second.as_mut().poll(cx).is_pending());
            Poll::Ready(())
        })
        .await;
        tokio::time::sleep(Duration::from_secs(60)).await;
        second.await.unwrap();
    });
    peer.send(publish(QoS::ExactlyOnce, 1, "t", 1)).await;
    peer.expect(Pubrec::new(ids[0])).await;
    peer.connection.feed(&Packet::from(Pubrel::new(ids[0])));
    peer.connection.feed(&Packet::from(publish(QoS::ExactlyOnce, 2, "t", 2)));
    peer.connection.flush().await.unwrap();
    let started = tokio::time::Instant::now();
    peer.expect(Pubcomp::new(ids[0])).await;
    assert_eq!(started.elapsed(), Duration::ZERO);
    peer.expect(Pubrec::new(ids[1])).await;
    soon(taken).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_fills_the_buffer_is_handed_on_before_more_is_read() {
    let (_client, mut stream, mut peer, calls) = counted(4 * SCRATCH_BYTES).await;
    let taken = tokio::spawn(async move {
        stream.next().await.unwrap();
        (stream, calls.bytes_read.load(Ordering::Relaxed))
    });
    let large = Publish { payload: vec![0; 1000].into(), ..publish(QoS::AtMostOnce, 1, "t", 1) };
    for _ in 0..4 * SCRATCH_BYTES / 1010 {
        peer.connection.feed(&Packet::from(large.clone()));
    }
    peer.connection.flush().await.unwrap();
    let (_stream, read) = soon(taken).await.unwrap();
    assert_eq!(read, SCRATCH_BYTES, "so much was read when the first message was taken");
}
