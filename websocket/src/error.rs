//! What can be wrong about the other side of a WebSocket.

/// A rule of WebSocket, or of MQTT over it, that the peer broke. The connection closes.
#[derive(Copy, Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Violation {
    /// [MQTT-6.0.0-1] A data frame that is not binary.
    #[error("a text frame: MQTT goes in binary frames")]
    Text,
    /// An opcode without a meaning.
    #[error("opcode {0:#x} has no meaning")]
    Opcode(u8),
    /// Reserved bits are set, and no extension was agreed on.
    #[error("reserved bits of a frame are set")]
    Reserved,
    /// A client that does not mask, or a server that does.
    #[error("a frame is masked that must not be, or the other way round")]
    Mask,
    /// A control frame in pieces, or of more than 125 bytes.
    #[error("a control frame is in pieces or too long")]
    Control,
    /// A Close of one byte, or with a status that must not be sent.
    #[error("a Close has a status that must not be sent")]
    Close,
    /// A continuation of nothing, or a message inside of another.
    #[error("a continuation of nothing, or a message inside of another")]
    Continuation,
    /// A length of more than 63 bits, or in more bytes than it needs.
    #[error("the length of a frame is not written as it has to be")]
    Length,
}

impl Violation {
    /// The status code of the Close frame.
    pub(crate) fn status(self) -> u16 {
        match self {
            Violation::Text => 1003,
            _ => 1002,
        }
    }
}

impl From<Violation> for std::io::Error {
    fn from(violation: Violation) -> std::io::Error {
        std::io::Error::new(std::io::ErrorKind::InvalidData, violation)
    }
}

/// Why no WebSocket came about.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HandshakeError {
    /// The connection failed, or ended in the middle.
    #[error("the connection ended in its handshake")]
    Io(#[from] std::io::Error),
    /// What came is no HTTP head, or too long for one.
    #[error("no HTTP head of at most {LONGEST} bytes came", LONGEST = crate::LONGEST_HEAD)]
    Head,
    /// A request that opens no WebSocket for MQTT. It was answered with this status.
    #[error("refused with {status}: {reason}")]
    Refused {
        /// Of the HTTP response.
        status: u16,
        /// What was expected.
        reason: &'static str,
    },
    /// The server answers, and opens no WebSocket for MQTT.
    #[error("the server does not open a WebSocket for MQTT: {0}")]
    Answer(String),
}
