//! What the machine tells the application.

use std::io;

use opifex_packet::{Properties, ReasonCode};

use crate::{Cause, Message, Refusal};

/// The name of a publish, subscribe or unsubscribe that is under way. One machine gives none twice, and a machine that
/// takes over a stored session gives none of a message that is in it.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Token(pub(crate) u64);

/// What acknowledges a message. It stays valid over reconnects; one of a session that is gone does nothing.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub struct AckToken(pub(crate) u64);

/// Something that has happened.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event {
    /// The server accepted the connection.
    Connected {
        /// Whether it goes on with a session. If not, its subscriptions are gone.
        session_present: bool,
        /// 5.0: all that CONNACK says.
        properties: Properties<'static>,
    },
    /// A QoS 1 or 2 message has come to the end of its flow. A reason of 0x80 or more: the server did not take it.
    PublishDone {
        /// The message.
        token: Token,
        /// How it went.
        reason: ReasonCode,
        /// 5.0: of PUBACK, PUBREC or PUBCOMP.
        properties: Properties<'static>,
    },
    /// A message that was accepted before its server was known is not for it, and was dropped.
    PublishRefused {
        /// The message.
        token: Token,
        /// Why.
        refusal: Refusal,
    },
    /// A message has arrived.
    Message {
        /// The message.
        message: Message,
        /// Whether the server may have sent it before.
        dup: bool,
        /// What acknowledges it, if that is the application's to do.
        ack: Option<AckToken>,
    },
    /// SUBACK.
    Subscribed {
        /// The call.
        token: Token,
        /// The granted QoS or a failure for each filter, in their order.
        reasons: Vec<ReasonCode>,
        /// 5.0.
        properties: Properties<'static>,
    },
    /// UNSUBACK.
    Unsubscribed {
        /// The call.
        token: Token,
        /// One for each filter (5.0), empty before.
        reasons: Vec<ReasonCode>,
        /// 5.0.
        properties: Properties<'static>,
    },
    /// The connection ended before the answer to a subscribe or unsubscribe came; whether it counts is not known.
    Unanswered {
        /// The call.
        token: Token,
    },
    /// AUTH: the server asks for more, or has accepted a re-authentication (5.0).
    Auth {
        /// `ContinueAuthentication` or `Success`.
        reason: ReasonCode,
        /// The method and its data.
        properties: Properties<'static>,
    },
    /// The session could not be written down while there is no connection. It is tried again with each
    /// [`poll_transmit`](crate::Machine::poll_transmit); this is said once until it succeeds.
    StoreFailed {
        /// Why.
        error: io::Error,
    },
    /// The connection is over: write what there is to transmit, close the transport.
    Disconnected {
        /// Why.
        cause: Cause,
    },
}
