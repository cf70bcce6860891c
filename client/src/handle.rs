//! The asynchronous client: what an application holds. All work is done by one task, the driver; a handle leaves
//! commands in a bounded queue and waits for the answers.

pub(crate) mod authenticator;
pub(crate) mod builder;
pub(crate) mod delivery;
pub(crate) mod inbound;
pub(crate) mod queue;
pub(crate) mod received;
pub(crate) mod slots;
pub(crate) mod status;
pub(crate) mod subscription;

use std::sync::Arc;
use std::time::Duration;

use opifex_packet::{Properties, QoS, ReasonCode, Subscription as Asked, TopicFilter};
use tokio::sync::broadcast;

use crate::{Cause, Connector, Error, Message, Options, Refusal, Transport};

/// How long what was accepted may take to come to its end when a client is to end.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

use builder::Builder;
use delivery::{Delivery, Pending, Published};
use queue::{Command, Other, Shared, bytes_of};
use slots::{Answer, SlotId};
use status::{Status, Statuses};
use subscription::Subscription;

/// A connection to a server, and the session behind it, for any number of tasks: a copy is another handle of the same
/// client. When the last copy and the last [`Subscription`] are dropped, what was accepted is written, the client
/// disconnects, and its task ends; [`disconnect`](Client::disconnect) waits for the acknowledgements, too.
#[derive(Debug)]
pub struct Client {
    shared: Arc<Shared>,
    statuses: broadcast::Sender<Status>,
    settings: Settings,
}

#[derive(Copy, Clone, Debug)]
struct Settings {
    subscription_capacity: usize,
    manual_acks: bool,
}

impl Clone for Client {
    fn clone(&self) -> Self {
        self.shared.enter();
        Client { shared: Arc::clone(&self.shared), statuses: self.statuses.clone(), settings: self.settings }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.shared.go();
    }
}

impl Client {
    /// Connects, and resolves when the server has accepted. [`builder`](Client::builder) has more to say.
    ///
    /// # Errors
    /// As [`Builder::connect`].
    ///
    /// # Panics
    /// As [`Builder::connect`].
    pub async fn connect(options: Options, connector: impl Connector) -> Result<Client, Error> {
        Client::builder(options).connect(connector).await
    }

    /// Connects over a stream that is there already, without reconnects.
    ///
    /// # Errors
    /// As [`Builder::connect`].
    ///
    /// # Panics
    /// As [`Builder::connect`].
    pub async fn over(options: Options, stream: impl Transport + 'static) -> Result<Client, Error> {
        Client::builder(options).over(stream).await
    }

    /// Begins a client that has more than options.
    pub fn builder(options: Options) -> Builder {
        Builder::new(options)
    }

    pub(crate) fn new(shared: &Arc<Shared>, statuses: &broadcast::Sender<Status>, builder: &Builder) -> Self {
        let settings = Settings {
            subscription_capacity: builder.subscription_capacity,
            manual_acks: builder.options.manual_acks,
        };
        Client { shared: Arc::clone(shared), statuses: statuses.clone(), settings }
    }

    /// Publishes a message, and resolves at the end of its QoS's flow: see [`Delivery`]. QoS 1 and 2 are accepted
    /// without a connection, too, and go out when there is one.
    ///
    /// # Errors
    /// [`Error::Rejected`] by the server, [`Error::Refused`] by the standard or by what the server said in CONNACK (at
    /// QoS 0 also without a connection), [`Error::Lost`] at QoS 0, [`Error::Ended`].
    pub async fn publish(&self, message: Message) -> Result<Published, Error> {
        self.enqueue(message).await?.await
    }

    /// Publishes a message, and resolves as soon as it is accepted; the end of its flow is the [`Delivery`]'s. Messages
    /// are sent in the order in which they are accepted, but for [requests](Client::request). This waits while too many are under way, so it is how to have
    /// many under way without a task for each.
    ///
    /// # Errors
    /// [`Error::Ended`]; all others are the delivery's.
    pub async fn enqueue(&self, message: Message) -> Result<Delivery, Error> {
        let bytes = message.bytes();
        let slot = self.shared.push(bytes, |slot| Command::Publish { message, slot }).await?;
        Ok(Delivery(Pending::new(&self.shared, slot)))
    }

    /// As [`enqueue`](Client::enqueue), without waiting.
    ///
    /// # Errors
    /// [`Error::Full`] when it would wait; the message is gone then. [`Error::Ended`].
    pub fn try_enqueue(&self, message: Message) -> Result<Delivery, Error> {
        let bytes = message.bytes();
        let slot = self.shared.try_push(bytes, |slot| Command::Publish { message, slot })?;
        Ok(Delivery(Pending::new(&self.shared, slot)))
    }

    /// Subscribes to a filter, and resolves when the server has granted it. After a reconnect to a server that has
    /// forgotten the session, the client subscribes again.
    ///
    /// # Errors
    /// As [`subscribe_with`](Client::subscribe_with); [`Error::Refused`] also of a filter that is none.
    pub async fn subscribe(&self, filter: &str, qos: QoS) -> Result<Subscription, Error> {
        self.subscribe_with(vec![asked(filter, qos)?], Properties::new()).await
    }

    /// Subscribes to several filters with one stream for all, with all options and properties (5.0) of SUBSCRIBE. With
    /// 5.0 the client gives a subscription identifier unless `properties` has one, so that streams whose filters
    /// overlap get their own messages only.
    ///
    /// # Errors
    /// [`Error::Rejected`] when the server grants none of them (of several,
    /// [`Subscription::reasons`] says which), [`Error::Refused`], [`Error::Timeout`] without an answer, [`Error::Ended`].
    pub async fn subscribe_with(
        &self,
        subscriptions: Vec<Asked<'static>>,
        properties: Properties<'static>,
    ) -> Result<Subscription, Error> {
        let mut subscription = self.stream();
        let inbound = Arc::clone(&subscription.inbound);
        let filters = bytes_of(subscriptions.iter().map(|asked| &asked.filter));
        let bytes = filters + properties.as_bytes().len();
        let call = self.call(bytes, |slot| Other::Subscribe { subscriptions, properties, inbound, slot });
        let answer = call.await?;
        if let Answer::Granted { reasons, properties } = answer {
            (subscription.reasons, subscription.properties) = (reasons, properties);
        }
        match subscription.reasons.iter().find(|reason| reason.is_error()) {
            Some(&reason) if subscription.reasons.iter().all(|reason| reason.is_error()) => {
                Err(Error::Rejected { reason, properties: subscription.properties.clone() })
            }
            _ => Ok(subscription),
        }
    }

    /// Ends subscriptions at the server, also those of an earlier process. Streams that have no other filter end when the
    /// server has answered and they are read to their end. What comes for those filters and is taken by no stream is
    /// acknowledged from then on: of a filter of an earlier process also what came for another subscription of that process,
    /// as nothing tells them apart. A process that goes on with one of them begins its stream before it unsubscribes from
    /// the other. Returns a reason for each filter (5.0), nothing before.
    ///
    /// # Errors
    /// [`Error::Refused`], [`Error::Timeout`], [`Error::Ended`].
    pub async fn unsubscribe(&self, filters: Vec<TopicFilter<'static>>) -> Result<Vec<ReasonCode>, Error> {
        let properties = Properties::new();
        let bytes = bytes_of(filters.iter());
        match self.call(bytes, |slot| Other::Unsubscribe { filters, properties, slot }).await? {
            Answer::Granted { reasons, .. } => Ok(reasons),
            _ => Ok(Vec::new()),
        }
    }

    /// Messages that are for no stream: those of a session's earlier subscriptions, and of streams that were dropped.
    /// While nobody takes them, QoS 0 messages are dropped after ten seconds, and others stay unacknowledged until a
    /// subscription that they match is made, their filter is [unsubscribed](Client::unsubscribe), or this is called. As
    /// acknowledgements keep their order, they hold up those of all messages behind them: after
    /// [`Builder::unclaimed_timeout`] the client ends with [`Cause::Unclaimed`]. There is one such stream: an earlier one
    /// ends.
    ///
    /// # Errors
    /// [`Error::Ended`].
    pub async fn unclaimed(&self) -> Result<Subscription, Error> {
        let subscription = self.stream();
        let inbound = Arc::clone(&subscription.inbound);
        self.call(0, |slot| Other::Unclaimed { inbound, slot }).await?;
        Ok(subscription)
    }

    /// Publishes a request (5.0) and resolves with its response: sets Response Topic and Correlation Data, and waits for
    /// a message that carries the latter. The client subscribes to its response topic with the first request.
    ///
    /// A request does not queue with the messages that are published: it passes by those that wait for room, also of its
    /// topic, and one above QoS 0 for which there is none fails with [`Refusal::Full`]. What a request relies on is to be
    /// [published](Client::publish) to its end before.
    ///
    /// # Errors
    /// [`Error::Timeout`] without a response in time; else as [`publish`](Client::publish) and
    /// [`subscribe`](Client::subscribe).
    pub async fn request(&self, message: Message, timeout: Duration) -> Result<Message, Error> {
        let call = self.call(message.bytes(), |slot| Other::Request { message, slot });
        match tokio::time::timeout(timeout, call).await {
            Ok(Ok(Answer::Response(message))) => Ok(*message),
            Ok(Ok(_)) => Err(Error::Lost),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(Error::Timeout("response")),
        }
    }

    /// Authenticates again on the same connection (5.0), by the builder's authenticator.
    ///
    /// # Errors
    /// [`Error::Refused`] without a connection or an authenticator, [`Error::Lost`] with the connection, which a server
    /// ends that does not accept, [`Error::Ended`].
    pub async fn reauthenticate(&self) -> Result<(), Error> {
        self.call(0, |slot| Other::Reauthenticate { slot }).await.map(drop)
    }

    /// Waits until all that was accepted is at its end, up to ten seconds, then disconnects, whether or not there is a
    /// connection. The client ends.
    ///
    /// # Errors
    /// As [`disconnect_with`](Client::disconnect_with).
    pub async fn disconnect(&self) -> Result<(), Error> {
        self.disconnect_with(ReasonCode::NORMAL_DISCONNECTION, Properties::new(), PATIENCE).await
    }

    /// Waits until all that was accepted is at its end, at most for `patience`, then disconnects with that reason
    /// and those properties (5.0): `DisconnectWithWill` has the will published. The client ends.
    ///
    /// # Errors
    /// [`Error::Unfinished`] when something was not at its end, [`Error::Refused`] of a reason or properties that no
    /// client sends (nothing happens then), [`Error::Ended`] when it had ended before.
    pub async fn disconnect_with(
        &self,
        reason: ReasonCode,
        properties: Properties<'static>,
        patience: Duration,
    ) -> Result<(), Error> {
        self.call(0, |slot| Other::Disconnect { reason, properties, patience, slot }).await.map(drop)
    }

    /// What happens to the connection from now on.
    pub fn statuses(&self) -> Statuses {
        Statuses(self.statuses.subscribe())
    }

    /// Why the client has ended, when it has.
    pub fn ended(&self) -> Option<Arc<Cause>> {
        self.shared.ended()
    }

    fn stream(&self) -> Subscription {
        Subscription::new(&self.shared, self.settings.subscription_capacity, self.settings.manual_acks)
    }

    async fn call(&self, bytes: usize, other: impl FnOnce(SlotId) -> Other) -> Result<Answer, Error> {
        let slot = self.shared.push_other(bytes, other).await?;
        Pending::new(&self.shared, slot).answer().await
    }
}

/// A subscription to that filter.
pub(crate) fn asked(filter: &str, qos: QoS) -> Result<Asked<'static>, Refusal> {
    let filter = TopicFilter::new(filter).map_err(|_| {
        let what = "that is no topic filter: a wildcard is a whole level, # the last one";
        Refusal::forbidden("MQTT-4.7.1-1", what)
    })?;
    Ok(Asked::new(filter.into_owned(), qos))
}
