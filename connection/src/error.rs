//! Why a connection gives no more packets.

use std::io;

use opifex_packet::DecodeError;

/// Why a [`Connection`](crate::Connection) cannot go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectionError {
    /// The transport failed.
    #[error("the transport failed")]
    Io(#[from] io::Error),
    /// The peer sent bytes that are no packet, or one that is too large.
    #[error("the peer sent an invalid packet")]
    Decode(#[from] DecodeError),
    /// The stream ended in the middle of a packet.
    #[error("the stream ended in the middle of a packet")]
    Truncated,
}
