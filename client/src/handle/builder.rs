//! What a client is made of besides its options: a store, a policy of reconnects, sizes of queues.

use std::sync::Arc;
use std::time::Duration;

use opifex_packet::{Properties, Property, PropertyContext};
use tokio::sync::broadcast;

use crate::connector::Once;
use crate::driver::Driver;
use crate::handle::authenticator::Authenticator;
use crate::handle::delivery::Pending;
use crate::handle::queue::{Other, Shared};
use crate::store::{SessionStore, Unstored};
use crate::{Client, Connector, Error, Options, Reconnect, Refusal, Transport};

/// Messages that wait for their driver, at most.
const QUEUE: usize = 1024;
/// Their bytes.
const QUEUE_BYTES: usize = 4 * 1024 * 1024;
/// Statuses that a listener may be behind.
const STATUSES: usize = 64;

/// Makes a client. [`Client::builder`] begins it.
pub struct Builder {
    pub(crate) options: Options,
    pub(crate) store: Box<dyn SessionStore + Send>,
    pub(crate) reconnect: Reconnect,
    pub(crate) authenticator: Option<Box<dyn Authenticator>>,
    pub(crate) subscription_capacity: usize,
    pub(crate) unread_bytes: usize,
    pub(crate) write_timeout: Duration,
}

impl std::fmt::Debug for Builder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Builder")
            .field("options", &self.options)
            .field("reconnect", &self.reconnect)
            .finish_non_exhaustive()
    }
}

impl Builder {
    pub(crate) fn new(options: Options) -> Self {
        Builder {
            options,
            store: Box::new(Unstored),
            reconnect: Reconnect::default(),
            authenticator: None,
            subscription_capacity: 1024,
            unread_bytes: 16 * 1024 * 1024,
            write_timeout: Duration::from_secs(30),
        }
    }

    /// Keeps the session in a store, so that the next process goes on with it:
    /// [`FileStore`](crate::FileStore). Without one the session is kept over reconnects and ends with the process.
    #[must_use]
    pub fn store(mut self, store: impl SessionStore + Send + 'static) -> Self {
        self.store = Box::new(store);
        self
    }

    /// What to do when the connection ends.
    #[must_use]
    pub fn reconnect(mut self, reconnect: Reconnect) -> Self {
        self.reconnect = reconnect;
        self
    }

    /// Authenticates by an exchange (5.0).
    #[must_use]
    pub fn authenticator(mut self, authenticator: impl Authenticator) -> Self {
        self.authenticator = Some(Box::new(authenticator));
        self
    }

    /// How many messages a [`Subscription`](crate::Subscription) holds that were not taken (1,024). When one is full, nothing more is read from
    /// the server, which makes the server wait. While the client itself waits for an answer of the server's, it reads
    /// on: a task that publishes and takes messages in turn does not wait for itself. Then at most
    /// [`unread_bytes`](Builder::unread_bytes) are held.
    #[must_use]
    pub fn subscription_capacity(mut self, messages: usize) -> Self {
        self.subscription_capacity = messages.max(1);
        self
    }

    /// Bytes of messages that are read beyond the capacity of a full subscription (16 MiB). QoS 0 messages above are
    /// dropped, and a [`Status`](crate::Status) says so; others are as many as the receive maximum lets the server send
    /// (before 5.0: as it sends).
    #[must_use]
    pub fn unread_bytes(mut self, bytes: usize) -> Self {
        self.unread_bytes = bytes;
        self
    }

    /// How long the transport may take nothing while something waits to be written (30 s). The connection is lost then.
    #[must_use]
    pub fn write_timeout(mut self, timeout: Duration) -> Self {
        self.write_timeout = timeout;
        self
    }

    /// Connects, and resolves when the server has accepted.
    ///
    /// # Errors
    /// [`Error::Refused`] of options that cannot be, and [`Error::Ended`] with the reason when there is no connection:
    /// at the first attempt, unless [`Reconnect::from_the_start`] says otherwise.
    ///
    /// # Panics
    /// Outside of a tokio runtime with time and I/O.
    pub async fn connect(mut self, connector: impl Connector) -> Result<Client, Error> {
        if let Some(credentials) = connector.credentials()
            && self.options.user_name.is_none()
        {
            self.options.user_name = Some(credentials.user_name);
            self.options.password = self.options.password.or(credentials.password);
        }
        if let Some(authenticator) = &self.authenticator {
            let method = Property::AuthenticationMethod(authenticator.method());
            let properties = std::mem::take(&mut self.options.properties);
            self.options.properties = properties.with(method);
            let bytes = self.options.properties.as_bytes();
            if Properties::from_bytes(PropertyContext::Connect, bytes).is_err() {
                return Err(
                    Refusal::Option("the authenticator names the method; the properties must not").into()
                );
            }
        }
        let shared = Arc::new(Shared::new(QUEUE, QUEUE_BYTES));
        let (statuses, _) = broadcast::channel(STATUSES);
        let client = Client::new(&shared, &statuses, &self);
        let connected = shared.push_other(|slot| Other::Connected { slot }).await?;
        let connected = Pending::new(&shared, connected);
        let driver = Driver::new(self, Box::new(connector), Arc::clone(&shared), statuses)?;
        drop(tokio::spawn(driver.run()));
        connected.answer().await?;
        Ok(client)
    }

    /// Connects over a stream that is there already. There is no second, so the client ends with it.
    ///
    /// # Errors
    /// As [`connect`](Builder::connect).
    ///
    /// # Panics
    /// As [`connect`](Builder::connect).
    pub async fn over(mut self, stream: impl Transport + 'static) -> Result<Client, Error> {
        self.reconnect = Reconnect::never();
        self.connect(Once(Some(Box::new(stream)))).await
    }
}
