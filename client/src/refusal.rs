//! Why a call did nothing. What goes wrong later is an event.

use std::io;

use crate::AuthenticationError;

/// A call that was refused; nothing has changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// An option that cannot be.
    #[error("{0}")]
    Option(&'static str),
    /// The session could not be loaded.
    #[error("the stored session cannot be read")]
    Store(#[source] io::Error),
    /// The application's authenticator does not begin.
    #[error("the authentication does not begin")]
    Authentication(#[source] AuthenticationError),
    /// There is a connection, or an attempt at one.
    #[error("there is a connection already; end it first")]
    Connected,
    /// The call needs a connection.
    #[error("there is no connection; connect first and wait for the event that says so")]
    NotConnected,
    /// As much waits as the options allow.
    #[error("too much is under way; go on when something of it is done")]
    Full,
    /// The standard, or what the server said in CONNACK, forbids the packet.
    #[error("{what} [{statement}]")]
    Forbidden {
        /// The statement or section that forbids it.
        statement: &'static str,
        /// What is forbidden.
        what: &'static str,
    },
}

impl Refusal {
    pub(crate) const fn forbidden(statement: &'static str, what: &'static str) -> Self {
        Refusal::Forbidden { statement, what }
    }
}
