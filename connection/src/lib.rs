//! MQTT over any byte stream: what arrives in pieces, what waits to be sent, and who may push it out.
//!
//! The crate has two levels. A client, a tool or a test has a [`Connection`]: whole packets in and out, as a `Stream` if
//! wanted. A broker with many connections takes the halves apart: [`Inbox`] reads all that is there and lends it out
//! without owning a buffer between batches, [`Outlet`] holds what waits for one peer together with the write half, so
//! that whoever filled it can flush it at once.
//!
//! Nothing here knows sessions, keep-alive or a broker, and no transport is named: TCP, TLS, WebSocket, a Unix socket
//! or an in-memory pipe are all `AsyncRead + AsyncWrite`.

mod error;
mod framed;
mod inbox;
mod outlet;
mod pool;
mod scratch;
mod segments;

pub use error::ConnectionError;
pub use framed::Connection;
pub use inbox::{Inbox, Read};
pub use outlet::{Flush, Outlet};
pub use scratch::SCRATCH_BYTES;
pub use segments::{CHUNK_BYTES, SHARE_FROM_BYTES};
