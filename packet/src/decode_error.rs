//! Why bytes are no packet: the statement that they break and the reason code to answer with. How
//! and whether it is answered is for the owner of the connection to say.

use crate::reason_code::ReasonCode;
use crate::topic_error::TopicError;
use crate::version::Version;

/// A violation of the standard in the bytes of a peer. The connection cannot go on after it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message} [{statement}]")]
pub struct DecodeError {
    statement: &'static str,
    message: &'static str,
    reason: ReasonCode,
    kind: Kind,
}

#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Kind {
    Violation,
    UnsupportedVersion(u8),
    TooLarge,
}

impl DecodeError {
    /// The normative statement that was broken (`MQTT-2.2.1-3`), or the section with the rule where
    /// it has no number (`MQTT5 2.1.4`, `MQTT311 2.2.3`). MQTT 3.1 borrows the numbers of 3.1.1.
    pub fn statement(&self) -> &'static str {
        self.statement
    }

    /// The reason code for CONNACK or DISCONNECT. Before 5.0 only a refused CONNECT has an answer:
    /// see [`ReasonCode::connect_return_code`].
    pub fn reason(&self) -> ReasonCode {
        self.reason
    }

    /// What was wrong, a lowercase phrase.
    pub fn message(&self) -> &'static str {
        self.message
    }

    /// The protocol level that a CONNECT asked for, when nobody speaks it. The answer is CONNACK
    /// with 0x01 in the form of 3.x, or 0x84 in that of 5.0.
    pub fn is_unsupported_version(&self) -> Option<u8> {
        match self.kind {
            Kind::UnsupportedVersion(level) => Some(level),
            Kind::Violation | Kind::TooLarge => None,
        }
    }

    /// Whether the packet is longer than the reader's maximum packet size.
    pub fn is_too_large(&self) -> bool {
        self.kind == Kind::TooLarge
    }

    #[cold]
    pub(crate) fn malformed(statement: &'static str, message: &'static str) -> Self {
        DecodeError::because(ReasonCode::MalformedPacket, statement, message)
    }

    #[cold]
    pub(crate) fn protocol_error(statement: &'static str, message: &'static str) -> Self {
        DecodeError::because(ReasonCode::ProtocolError, statement, message)
    }

    #[cold]
    pub(crate) fn because(reason: ReasonCode, statement: &'static str, message: &'static str) -> Self {
        DecodeError { statement, message, reason, kind: Kind::Violation }
    }

    #[cold]
    pub(crate) fn unsupported_version(level: u8) -> Self {
        DecodeError {
            statement: "MQTT-3.1.2-2",
            message: "protocol level is not supported",
            reason: ReasonCode::UnsupportedProtocolVersion,
            kind: Kind::UnsupportedVersion(level),
        }
    }

    #[cold]
    pub(crate) fn too_large(statement: &'static str) -> Self {
        DecodeError {
            statement,
            message: "packet is longer than the maximum packet size",
            reason: ReasonCode::PacketTooLarge,
            kind: Kind::TooLarge,
        }
    }

    #[cold]
    pub(crate) fn topic(error: TopicError, version: Version) -> Self {
        let (v3, v5) = error.statements();
        DecodeError::malformed(version.statement(v3, v5), error.message())
    }
}
