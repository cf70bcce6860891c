//! What a call of the handle fails with. How a connection ended is a [`Cause`].

use std::sync::Arc;

use opifex_packet::{Properties, ReasonCode};

use crate::{Cause, Refusal};

/// Why a call failed.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The call asks for what is not allowed or cannot be; nothing was sent.
    #[error(transparent)]
    Refused(Arc<Refusal>),
    /// The server answered with a reason of 0x80 or more: it did not take the message, or granted no subscription.
    #[error("the server said no: {reason}{}", words(.properties))]
    Rejected {
        /// Why.
        reason: ReasonCode,
        /// 5.0: a reason in words, user properties.
        properties: Properties<'static>,
    },
    /// The connection ended before a QoS 0 message was written, or before an answer. Whether it counts is not known.
    #[error("the connection ended before this was done; whether the server has it is not known")]
    Lost,
    /// An answer did not come in time.
    #[error("no {0} came in time")]
    Timeout(&'static str),
    /// The queue to the server is full (calls that do not wait).
    #[error("too much waits for the server; wait for room or send less")]
    Full,
    /// The client has come to its end, and why.
    #[error("the client has ended")]
    Ended(#[source] Arc<Cause>),
    /// Some messages were not at their end when the time for a disconnect was up.
    #[error(
        "{0} messages were not at their end before the disconnect; a session that is kept still has those that it had \
         room for"
    )]
    Unfinished(usize),
}

impl Error {
    /// Whether the client has ended, so that every further call fails as well.
    pub fn is_ended(&self) -> bool {
        matches!(self, Error::Ended(_))
    }

    /// How the connection ended, when that is the reason.
    pub fn cause(&self) -> Option<&Cause> {
        match self {
            Error::Ended(cause) => Some(cause),
            _ => None,
        }
    }

    /// What the server said no with.
    pub fn reason(&self) -> Option<ReasonCode> {
        match self {
            Error::Rejected { reason, .. } => Some(*reason),
            _ => None,
        }
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        Error::Refused(Arc::new(refusal))
    }
}

/// The server's own words, when it has some.
fn words(properties: &Properties<'_>) -> String {
    properties.reason_string().map(|words| format!(" ({words})")).unwrap_or_default()
}
