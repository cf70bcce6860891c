//! What a client is made of besides its options: a store, a policy of reconnects, sizes of queues.

use std::sync::Arc;
use std::time::Duration;

use opifex_packet::{Properties, Property, PropertyContext, QoS, Subscription as Asked};
use tokio::sync::broadcast;

use crate::connector::Once;
use crate::driver::Driver;
use crate::handle::asked;
use crate::handle::authenticator::Authenticator;
use crate::handle::delivery::Pending;
use crate::handle::inbound::Inbound;
use crate::handle::queue::{Other, Shared};
use crate::store::{SessionStore, Unstored};
use crate::{Client, Connector, Error, Options, Reconnect, Refusal, Subscription, Transport};

/// Messages that wait for their driver, at most, and as many other calls.
const QUEUE: usize = 1024;
/// Their bytes.
const QUEUE_BYTES: usize = 4 * 1024 * 1024;
/// Statuses that a listener may be behind.
const STATUSES: usize = 64;

/// Makes a client. [`Client::builder`] begins it.
///
/// Whatever a client holds has an end in messages and one in bytes:
///
/// | what | messages | bytes | above |
/// | --- | --- | --- | --- |
/// | publishes on their way to the client's task, and as many again in it that wait for room | 1,024 | 4 MiB | `publish` waits |
/// | QoS 1 and 2 messages that are not at their end | [`max_pending`](Options::max_pending) | [`max_pending_bytes`](Options::max_pending_bytes) | as above |
/// | what waits for the transport | | [`max_buffered`](Options::max_buffered) | as above |
/// | other calls on their way, and as many again that wait for a connection | 1,024 | 4 MiB | the call waits; [`Error::Full`] without a connection |
/// | requests that wait for their response | 16,384 | 4 MiB until they are published | [`Error::Full`] |
/// | messages that one stream holds | [`subscription_capacity`](Builder::subscription_capacity) | | nothing is read |
/// | messages that all streams hold, and those of no stream | | [`unread_bytes`](Builder::unread_bytes) | nothing is read |
/// | messages of no stream | 1,024 | as above | nothing is read |
///
/// A single message may be larger than any of these; [`max_packet_size`](Options::max_packet_size) bounds that.
pub struct Builder {
    pub(crate) options: Options,
    pub(crate) store: Box<dyn SessionStore + Send>,
    pub(crate) reconnect: Reconnect,
    pub(crate) authenticator: Option<Box<dyn Authenticator>>,
    pub(crate) subscription_capacity: usize,
    pub(crate) unread_bytes: usize,
    pub(crate) unclaimed_timeout: Duration,
    pub(crate) write_timeout: Duration,
    shared: Arc<Shared>,
    pub(crate) begun: Begun,
}

/// Streams that are there before there is a connection.
#[derive(Default)]
pub(crate) struct Begun {
    pub(crate) streams: Vec<BegunStream>,
    pub(crate) unclaimed: Option<Arc<Inbound>>,
}

/// A stream, and what it is to subscribe to.
pub(crate) struct BegunStream {
    pub(crate) subscriptions: Vec<Asked<'static>>,
    pub(crate) properties: Properties<'static>,
    pub(crate) inbound: Arc<Inbound>,
}

/// Nothing comes on the streams of a builder that makes no client.
impl Drop for Begun {
    fn drop(&mut self) {
        self.streams.iter().map(|stream| &stream.inbound).chain(&self.unclaimed).for_each(|it| it.end());
    }
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
            unclaimed_timeout: Duration::from_secs(60),
            write_timeout: Duration::from_secs(30),
            shared: Arc::new(Shared::new(QUEUE, QUEUE_BYTES)),
            begun: Begun::default(),
        }
    }

    /// Keeps the session in a store, so that the next process goes on with it:
    /// [`FileStore`](crate::FileStore). Without one the session is kept over reconnects and ends with the process.
    ///
    /// The client's task writes to it between reading and sending, and waits until that is done: one that waits for a disk
    /// ([`FileStore::synced`](crate::FileStore::synced); each, now and then, when its file is written anew) holds up a thread
    /// of the runtime meanwhile. On a runtime with one thread that is the application's as well.
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

    /// Begins a stream that is there before the connection is, and is subscribed to with the first connection. A session
    /// that is resumed sends what it has as soon as it is, and what no stream takes holds up all that is behind it: a client
    /// that keeps its session over restarts begins its streams here. The stream ends when the server does not grant it, or
    /// when there is no client.
    ///
    /// # Errors
    /// [`Error::Refused`] of a filter that is none.
    pub fn subscribe(&mut self, filter: &str, qos: QoS) -> Result<Subscription, Error> {
        let subscriptions = vec![asked(filter, qos)?];
        Ok(self.subscribe_with(subscriptions, Properties::new()))
    }

    /// The same with several filters, and all options and properties (5.0) of SUBSCRIBE.
    pub fn subscribe_with(
        &mut self,
        subscriptions: Vec<Asked<'static>>,
        properties: Properties<'static>,
    ) -> Subscription {
        let stream = self.stream();
        let inbound = Arc::clone(&stream.inbound);
        self.begun.streams.push(BegunStream { subscriptions, properties, inbound });
        stream
    }

    /// Begins the stream of [what is for no other](Client::unclaimed) before there is a connection.
    pub fn unclaimed(&mut self) -> Subscription {
        let stream = self.stream();
        if let Some(earlier) = self.begun.unclaimed.replace(Arc::clone(&stream.inbound)) {
            earlier.end();
        }
        stream
    }

    fn stream(&self) -> Subscription {
        Subscription::new(&self.shared, self.subscription_capacity, self.options.manual_acks)
    }

    /// How many messages a [`Subscription`] holds that were not taken (1,024), of those that are begun from here on. When
    /// one is full, nothing more is read from the server, which makes the server wait. While the client itself waits for an
    /// answer of the server's, it reads on: a task that publishes and takes messages in turn does not wait for itself.
    #[must_use]
    pub fn subscription_capacity(mut self, messages: usize) -> Self {
        self.subscription_capacity = messages.max(1);
        self
    }

    /// Bytes that all subscriptions together hold of messages that were not taken (16 MiB; a message counts with all that
    /// it takes, also without a payload). At that many nothing more is read, as when one is full. While the client waits for
    /// an answer of the server's it reads on: of what comes then, QoS 0 messages that do not fit are dropped, and a
    /// [`Status`](crate::Status) says so; others may take as much again. Beyond that nothing is read, whatever the client
    /// waits for: calls end by their time-outs, a connection whose acknowledgements are waited for by
    /// [`Options::ack_timeout`].
    #[must_use]
    pub fn unread_bytes(mut self, bytes: usize) -> Self {
        self.unread_bytes = bytes;
        self
    }

    /// How long a message above QoS 0 may be there that no stream takes (a minute), before the client ends with
    /// [`Cause::Unclaimed`](crate::Cause::Unclaimed): see [`Client::unclaimed`]. It is not acknowledged.
    #[must_use]
    pub fn unclaimed_timeout(mut self, timeout: Duration) -> Self {
        self.unclaimed_timeout = timeout;
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
        let shared = Arc::clone(&self.shared);
        let (statuses, _) = broadcast::channel(STATUSES);
        let client = Client::new(&shared, &statuses, &self);
        let connected = shared.push_other(0, |slot| Other::Connected { slot }).await?;
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
