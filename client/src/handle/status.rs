//! What happens to a client's connection, for those who want to know. Nobody has to listen.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use opifex_packet::Properties;
use tokio::sync::broadcast::{self, error::RecvError};

use crate::{Cause, Token};

/// Something happened to the connection.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Status {
    /// The server accepted the connection.
    Connected {
        /// Whether it goes on with a session. If not, the client subscribes again.
        session_present: bool,
        /// 5.0: all that CONNACK says.
        properties: Properties<'static>,
    },
    /// The connection, or an attempt at one, has ended.
    Lost {
        /// Why.
        cause: Arc<Cause>,
    },
    /// The client tries again after a wait.
    Waiting {
        /// The attempt, counted from 1 since there was a connection of use ([`Reconnect::attempts`](crate::Reconnect)).
        attempt: u32,
        /// How long it waits.
        wait: Duration,
    },
    /// After a reconnect the server did not grant a subscription again; its stream has ended.
    Unsubscribed {
        /// The filters.
        filters: Vec<String>,
    },
    /// QoS 0 messages were dropped, because their streams were full while the client waited for an answer, or because no
    /// stream took them.
    Dropped {
        /// How many, since it was last said.
        count: u64,
    },
    /// A message of an earlier process has come to its end.
    Settled {
        /// The message.
        token: Token,
    },
    /// The session could not be written down while there is no connection; it is tried again.
    StoreFailed {
        /// Why.
        error: Arc<io::Error>,
    },
    /// The client has ended. Nothing follows.
    Ended {
        /// Why.
        cause: Arc<Cause>,
    },
}

/// What happens to a connection from now on. A listener that is slow misses the oldest.
#[derive(Debug)]
pub struct Statuses(pub(crate) broadcast::Receiver<Status>);

impl Statuses {
    /// The next; `None` when the client is gone.
    pub async fn next(&mut self) -> Option<Status> {
        loop {
            match self.0.recv().await {
                Ok(status) => return Some(status),
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return None,
            }
        }
    }
}
