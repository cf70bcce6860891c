//! Packets in and out of one stream, for clients, tools and tests: one task, owned packets.
//!
//! Not what a broker's connections are made of: those borrow their packets from the read and are written to by other
//! tasks ([`Inbox`], [`Outlet`](crate::Outlet)).

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_core::Stream;
use opifex_packet::{DecodeError, DecodeOptions, Decoded, Packet, Version, decode};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::error::ConnectionError;
use crate::inbox::{Inbox, Read};
use crate::segments::Segments;

/// A stream of bytes as a stream of packets, and the other way.
///
/// A CONNECT that passes, in whichever direction, sets the version of all that follows.
///
/// ```
/// use opifex_connection::Connection;
/// use opifex_packet::{DecodeOptions, Packet, Role, Version};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), opifex_connection::ConnectionError> {
/// let (ours, theirs) = tokio::io::duplex(1024);
/// let mut client = Connection::new(ours, DecodeOptions::new(Version::V5_0, Role::Client));
/// let mut server = Connection::new(theirs, DecodeOptions::new(Version::V5_0, Role::Server));
///
/// client.send(&Packet::Pingreq).await?;
/// assert_eq!(server.receive().await?, Some(Packet::Pingreq));
/// server.send(&Packet::Pingresp).await?;
/// assert_eq!(client.receive().await?, Some(Packet::Pingresp));
/// client.close().await?;
/// assert_eq!(server.receive().await?, None);
/// # Ok(()) }
/// ```
pub struct Connection<S> {
    stream: S,
    options: DecodeOptions,
    inbox: Inbox,
    waiting: Segments,
    /// As a `Stream` it ends behind its first error.
    ended: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    /// A connection over `stream`; `options` say what may arrive.
    pub fn new(stream: S, options: DecodeOptions) -> Self {
        Connection { stream, options, inbox: Inbox::new(), waiting: Segments::default(), ended: false }
    }

    /// The version of what is sent and received from here on.
    pub fn set_version(&mut self, version: Version) {
        self.options.version = version;
    }

    /// The version of what is sent and received.
    pub fn version(&self) -> Version {
        self.options.version
    }

    /// Sets the size, fixed header included, of the largest packet that may arrive.
    pub fn set_max_packet_size(&mut self, bytes: usize) {
        self.options.max_packet_size = bytes;
    }

    /// The next packet; `None` at the end of the stream, between two packets. Nothing is lost when the future is
    /// dropped before it is ready.
    ///
    /// # Errors
    ///
    /// A failing transport, bytes that are no packet (each further call says so again), an end within a packet.
    pub async fn receive(&mut self) -> Result<Option<Packet<'static>>, ConnectionError> {
        poll_fn(|cx| self.poll_receive(cx)).await
    }

    /// [`receive`](Connection::receive) for a hand-written future.
    ///
    /// # Errors
    ///
    /// Those of `receive`.
    pub fn poll_receive(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Packet<'static>>, ConnectionError>> {
        let options = self.options;
        let mut taken = self.inbox.take_waiting(|bytes| take_one(bytes, &options));
        loop {
            match taken.take() {
                Some(Ok(Some(packet))) => {
                    self.follow_version(&packet);
                    return Poll::Ready(Ok(Some(packet)));
                }
                Some(Err(error)) => return Poll::Ready(Err(error.into())),
                Some(Ok(None)) | None => {}
            }
            taken = match ready!(
                self.inbox.poll_read(cx, &mut self.stream, |bytes| take_one(bytes, &options))
            )? {
                Read::Taken { value, .. } => Some(value),
                Read::Closed { partial: true } => return Poll::Ready(Err(ConnectionError::Truncated)),
                Read::Closed { partial: false } => return Poll::Ready(Ok(None)),
            };
        }
    }

    /// Sends a packet and all that was fed before it. When the future is dropped before it is ready, what was not
    /// written yet waits for the next flush.
    ///
    /// # Errors
    ///
    /// A failing transport.
    pub async fn send(&mut self, packet: &Packet<'_>) -> Result<(), ConnectionError> {
        self.feed(packet);
        self.flush().await
    }

    /// Encodes a packet behind what waits to be flushed.
    pub fn feed(&mut self, packet: &Packet<'_>) {
        self.follow_version(packet);
        self.waiting.append_with(|out| packet.encode(self.options.version, out));
    }

    /// Puts bytes, whatever they are, behind what waits to be flushed.
    pub fn feed_raw(&mut self, bytes: &[u8]) {
        self.waiting.append(bytes);
    }

    /// Writes what waits.
    ///
    /// # Errors
    ///
    /// A failing transport.
    pub async fn flush(&mut self) -> Result<(), ConnectionError> {
        Ok(poll_fn(|cx| self.poll_flush(cx)).await?)
    }

    /// Writes what waits and closes the write half; what the peer still sends is not read.
    ///
    /// # Errors
    ///
    /// A failing transport.
    pub async fn close(mut self) -> Result<(), ConnectionError> {
        self.flush().await?;
        Ok(poll_fn(|cx| Pin::new(&mut self.stream).poll_shutdown(cx)).await?)
    }

    /// The stream below. What was received and not taken, and what was fed and not flushed, is lost.
    pub fn into_inner(self) -> S {
        self.stream
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.waiting.poll_write(cx, &mut self.stream))?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn follow_version(&mut self, packet: &Packet<'_>) {
        if let Packet::Connect(connect) = packet {
            self.options.version = connect.version;
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Stream for Connection<S> {
    type Item = Result<Packet<'static>, ConnectionError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let connection = self.get_mut();
        if connection.ended {
            return Poll::Ready(None);
        }
        let next = ready!(connection.poll_receive(cx)).transpose();
        connection.ended = !matches!(next, Some(Ok(_)));
        Poll::Ready(next)
    }
}

impl<S> std::fmt::Debug for Connection<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection")
            .field("options", &self.options)
            .field("received_bytes", &self.inbox.partial_len())
            .field("unsent_bytes", &self.waiting.len())
            .finish_non_exhaustive()
    }
}

/// The packet at the front of `bytes`, if it is whole, and its length.
fn take_one(bytes: &[u8], options: &DecodeOptions) -> (usize, Result<Option<Packet<'static>>, DecodeError>) {
    match decode(bytes, options) {
        Ok(Decoded::Packet { packet, len }) => (len, Ok(Some(packet.into_owned()))),
        Ok(Decoded::Incomplete { .. }) => (0, Ok(None)),
        Err(error) => (0, Err(error)),
    }
}
