//! A client with its connection, as the commands hold it: what they say about it on standard error, and its end.

use std::fmt::Display;
use std::io::Write as _;
use std::time::Duration;

use opifex_client::{Cause, Client, Reconnect, Status, Statuses};
use opifex_packet::ReasonCode;

use super::ending::chain;
use super::{Setup, failure};
use crate::failure::Failure;

/// How long the acknowledgements of what was sent are waited for when all is done.
const PATIENCE: Duration = Duration::from_secs(30);
/// ... and after a signal.
const SHORT_PATIENCE: Duration = Duration::from_secs(1);

/// A client that is connected, or connects again.
pub(crate) struct Connected {
    pub(crate) client: Client,
    pub(crate) setup: Setup,
}

/// Looks after a connection beside what is done with it.
pub(crate) struct Watch<'a> {
    connected: &'a Connected,
    statuses: Statuses,
}

impl Connected {
    /// Connects once; `reconnect` is about later connections.
    pub(crate) async fn open(setup: Setup, reconnect: Reconnect) -> Result<Connected, Failure> {
        let builder = Client::builder(setup.options.clone()).reconnect(reconnect);
        let client = builder.connect(setup.address.clone()).await;
        let client = client.map_err(|error| failure(error, &setup.address))?;
        let connected = Connected { client, setup };
        connected.debug(format_args!("connected to {}", connected.setup.address));
        Ok(connected)
    }

    /// What is worth a line for those who ask for it.
    pub(crate) fn debug(&self, what: impl Display) {
        if self.setup.debug {
            say(what);
        }
    }

    /// What is worth a line unless somebody wants silence.
    pub(crate) fn warn(&self, what: impl Display) {
        if !self.setup.quiet {
            say(format_args!("warning: {what}"));
        }
    }

    /// Begins to look after the connection.
    pub(crate) fn watch(&self) -> Watch<'_> {
        Watch { connected: self, statuses: self.client.statuses() }
    }

    /// Why the client has ended.
    pub(crate) fn cause(&self) -> Failure {
        let cause = self.client.ended().unwrap_or_else(|| Cause::Lost.into());
        failure(opifex_client::Error::Ended(cause), &self.setup.address)
    }

    /// Ends the connection with DISCONNECT, when what was sent is acknowledged.
    pub(crate) async fn close(self) -> Result<(), Failure> {
        self.close_within(PATIENCE).await
    }

    /// The same for somebody who does not want to wait. What is not acknowledged is told.
    pub(crate) async fn close_soon(self) {
        let quiet = self.setup.quiet;
        if let Err(failure) = self.close_within(SHORT_PATIENCE).await
            && !quiet
        {
            say(format_args!("warning: {failure}"));
        }
    }

    /// The good-bye of a command that has failed: without it the server takes the client for lost, and publishes its will.
    pub(crate) async fn close_failed(self, failure: Failure) -> Failure {
        if self.client.ended().is_none() {
            // One failure is told, and it is not this one.
            let _ = self.close_within(SHORT_PATIENCE).await;
        }
        failure
    }

    async fn close_within(self, patience: Duration) -> Result<(), Failure> {
        let properties = self.setup.disconnect_properties()?;
        let closed =
            self.client.disconnect_with(ReasonCode::NORMAL_DISCONNECTION, properties, patience).await;
        closed.map_err(|error| failure(error, &self.setup.address))
    }
}

impl Watch<'_> {
    /// Waits for what happens to the connection, and says it. Resolves when the client has ended.
    pub(crate) async fn ended(&mut self) -> Failure {
        loop {
            match self.statuses.next().await {
                Some(Status::Lost { cause }) => {
                    self.connected.warn(format_args!("connection lost: {}", chain(&cause)))
                }
                Some(Status::Waiting { attempt, wait }) => {
                    self.connected
                        .debug(format_args!("attempt {attempt} to connect in {:.1} s", wait.as_secs_f64()));
                }
                Some(Status::Connected { session_present, .. }) => {
                    let kept = if session_present { "with" } else { "without" };
                    self.connected.warn(format_args!("connected again, {kept} the session"));
                }
                Some(Status::Unsubscribed { filters }) => {
                    self.connected.warn(format_args!("the server grants no more {}", filters.join(", ")));
                }
                Some(Status::Dropped { count }) => {
                    self.connected.warn(format_args!("{count} messages were dropped"))
                }
                Some(Status::Settled { .. }) => {}
                Some(Status::Ended { .. }) | None => return self.connected.cause(),
                // What is new there is nothing that has to be told here.
                Some(_) => {}
            }
        }
    }
}

/// One line on standard error.
pub(crate) fn say(what: impl Display) {
    // Nobody may be reading; that changes nothing.
    let _ = writeln!(std::io::stderr(), "{what}");
}
