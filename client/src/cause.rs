//! Why a connection ended. Whether another attempt makes sense is for the driver to say; it learns here what happened.

use std::io;

use opifex_packet::{DecodeError, Properties, ReasonCode};

/// The end of a connection, or of an attempt at one.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Cause {
    /// The application asked for it.
    #[error("the client disconnected")]
    Asked,
    /// The transport ended.
    #[error("the connection was lost")]
    Lost,
    /// No transport could be opened, or it failed.
    #[error("the transport failed")]
    Transport(#[source] io::Error),
    /// The application's authenticator gave up.
    #[error("the authentication failed")]
    Authentication(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// CONNACK said no.
    #[error("the server refused the connection: {reason}")]
    Refused {
        /// Why.
        reason: ReasonCode,
        /// 5.0: a reason in words, another server to use.
        properties: Properties<'static>,
    },
    /// The server sent DISCONNECT.
    #[error("the server disconnected: {reason}")]
    Server {
        /// Why.
        reason: ReasonCode,
        /// 5.0: a reason in words, another server to use.
        properties: Properties<'static>,
    },
    /// The server broke the standard in a packet that is well-formed.
    #[error("the server broke the protocol: {what} [{statement}]")]
    Violation {
        /// The statement or section that was broken.
        statement: &'static str,
        /// What was wrong.
        what: &'static str,
        /// What it was told in DISCONNECT (5.0).
        reason: ReasonCode,
    },
    /// The server sent bytes that are no packet.
    #[error("the server sent no valid packet")]
    Malformed(#[source] DecodeError),
    /// The server did not answer in time.
    #[error("the server did not send {0} in time")]
    Timeout(&'static str),
    /// Messages above QoS 0 came that no stream took in time. They are not acknowledged; a session that is kept has them.
    #[error(
        "messages to {topic:?} are for no stream: begin the streams of a kept session in the builder, take what is \
         unclaimed, or unsubscribe from what is not wanted"
    )]
    Unclaimed {
        /// Where one of them was published.
        topic: String,
    },
    /// The session could not be written down.
    #[error("the session cannot be stored")]
    Store(#[source] io::Error),
}

impl Cause {
    pub(crate) const fn protocol_error(statement: &'static str, what: &'static str) -> Self {
        Cause::Violation { statement, what, reason: ReasonCode::ProtocolError }
    }
}
