//! A WebSocket (RFC 6455) as the byte stream that MQTT runs over (section 6 of 3.1.1 and of 5.0): the payloads of its binary
//! frames, one behind the other, as `AsyncRead + AsyncWrite`.
//!
//! [`accept`] is the server's side of the handshake, [`connect`] the client's; both give a [`WebSocket`]. Frames are nothing
//! to MQTT: a packet may lie in several, and several packets in one ([MQTT-6.0.0-2]). So bytes are handed on as they come,
//! in the reader's buffer, and none is kept: a server's connection owns a hundred bytes, whatever length a frame claims. Libraries of
//! WebSocket give whole messages instead, which have no end here; one of them checks this one in the tests.
//!
//! Nothing in here knows MQTT's packets, listens, or looks at a clock: a handshake that takes too long is the affair of
//! whoever waits for it. There are no extensions, and no TLS; the stream below may have it.

mod deframer;
mod error;
mod frame;
mod handshake;
mod origins;
mod outgoing;
mod stream;

pub use error::{HandshakeError, Violation};
pub use handshake::{LONGEST_HEAD, accept, connect};
pub use origins::Origins;
pub use stream::WebSocket;

/// Which end of the connection this is: clients mask what they send, and servers do not.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Client,
    Server,
}
