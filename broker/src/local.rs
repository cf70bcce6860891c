//! Publishing and subscribing within the process, without a socket.

use std::sync::Arc;

use bytes::Bytes;
use opifex_connection::{Connection, ConnectionError};
use opifex_packet::{
    Connect, DecodeOptions, Delivery, Packet, PacketId, Properties, Puback, Pubcomp, Publish, Pubrec, QoS,
    RetainHandling, Role, Subscribe, Subscription, SubscriptionOptions, TopicError, TopicFilter, TopicName,
    Version,
};
use opifex_storage::{Message, Persistence, StoreError, Timestamp};
use tokio::io::DuplexStream;
use tokio::task::JoinHandle;

use crate::broker::Broker;
use crate::fanout::passed_on;
use crate::router::Publisher;
use crate::shared::Shared;
use crate::stats::Tally;
use crate::submission::submit;

/// Bytes that the in-memory connection holds in each direction.
const PIPE_BYTES: usize = 64 * 1024;

/// A message to publish in the broker's own name.
#[derive(Clone, Debug)]
pub struct Publication {
    topic: String,
    payload: Bytes,
    qos: QoS,
    retain: bool,
    properties: Properties<'static>,
    expiry_secs: Option<u32>,
}

/// Why a publication failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PublishError {
    /// The topic is not a topic name.
    #[error("not a topic name")]
    Topic(#[from] TopicError),
    /// The store refused or failed.
    #[error("the store failed")]
    Store(#[from] StoreError),
    /// The message (topic, properties and payload) is larger than the broker takes from anybody.
    #[error("a message of {size} bytes is larger than the maximum packet size of {limit}")]
    TooLarge {
        /// Its size in bytes.
        size: usize,
        /// [`crate::Limits::max_packet_size`].
        limit: u32,
    },
    /// The broker has stopped.
    #[error("the broker has stopped")]
    Stopped,
}

impl Publication {
    /// A message of QoS 0, not retained.
    pub fn new(topic: impl Into<String>, payload: impl Into<Bytes>) -> Publication {
        Publication {
            topic: topic.into(),
            payload: payload.into(),
            qos: QoS::AtMostOnce,
            retain: false,
            properties: Properties::new(),
            expiry_secs: None,
        }
    }

    /// The QoS at which subscribers get it at most.
    pub fn qos(mut self, qos: QoS) -> Publication {
        self.qos = qos;
        self
    }

    /// Whether it becomes its topic's retained message.
    pub fn retain(mut self, retain: bool) -> Publication {
        self.retain = retain;
        self
    }

    /// Properties to pass on: content type, response topic, user properties and the like.
    pub fn properties(mut self, properties: Properties<'static>) -> Publication {
        self.properties = properties;
        self
    }

    /// The message expiry interval in seconds.
    pub fn expiry_secs(mut self, secs: u32) -> Publication {
        self.expiry_secs = Some(secs);
        self
    }

    fn into_message(self, now: Timestamp) -> Result<(Message, bool), PublishError> {
        let message = Message {
            topic: TopicName::new(self.topic)?.into_owned(),
            qos: self.qos,
            properties: passed_on(&self.properties),
            payload: self.payload,
            expires_at: self.expiry_secs.map(|secs| now.plus_secs(secs)),
        };
        Ok((message, self.retain))
    }

    pub(crate) async fn publish<P: Persistence>(self, shared: &Arc<Shared<P>>) -> Result<(), PublishError> {
        if shared.is_stopping() {
            return Err(PublishError::Stopped);
        }
        let (message, retain) = self.into_message(shared.now())?;
        let (size, limit) = (message.size_bytes(), shared.limits.max_packet_size);
        if size > limit as usize {
            return Err(PublishError::TooLarge { size, limit });
        }
        let mut tally = Tally::default();
        tally.received = 1;
        let group = shared.route(message, retain, Publisher::default(), &mut tally);
        shared.counters.add(&tally);
        // Spawned, so that it runs to its end when this future is dropped.
        let submitted = tokio::spawn(submit(shared.clone(), shared.author(), vec![group]));
        let done = submitted.await.map_err(|_| PublishError::Stopped)?;
        Ok(done.durable().await?)
    }
}

/// A subscription within the process. Dropping it ends it.
pub struct LocalSubscription {
    connection: Connection<DuplexStream>,
    served: JoinHandle<()>,
}

/// A message that a [`LocalSubscription`] received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// Its topic.
    pub topic: TopicName<'static>,
    /// Its payload.
    pub payload: Bytes,
    /// The QoS at which it was delivered.
    pub qos: QoS,
    /// Whether it was a retained message.
    pub retain: bool,
    /// Its properties.
    pub properties: Properties<'static>,
}

/// Why a subscription within the process failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SubscribeError {
    /// The filter is not a topic filter.
    #[error("not a topic filter")]
    Filter(#[from] TopicError),
    /// The in-memory connection failed.
    #[error("the in-memory connection failed")]
    Connection(#[from] ConnectionError),
    /// The broker said no, or has stopped.
    #[error("the broker refused the subscription: {0}")]
    Refused(opifex_packet::ReasonCode),
}

impl LocalSubscription {
    pub(crate) async fn open<P: Persistence>(
        broker: Broker<P>,
        filter: &str,
        qos: QoS,
    ) -> Result<LocalSubscription, SubscribeError> {
        let filter = TopicFilter::new(filter)?;
        let (ours, theirs) = tokio::io::duplex(PIPE_BYTES);
        let served = tokio::spawn(async move { broker.serve_process(theirs).await });
        let connection = Connection::new(ours, DecodeOptions::new(Version::V5_0, Role::Client));
        let mut local = LocalSubscription { connection, served };
        let connect = Connect {
            version: Version::V5_0,
            clean_start: true,
            keep_alive_secs: 0,
            client_id: "".into(),
            will: None,
            user_name: None,
            password: None,
            properties: Properties::new(),
        };
        local.connection.send(&connect.into()).await?;
        match local.connection.receive().await? {
            Some(Packet::Connack(connack)) if !connack.reason.is_error() => {}
            Some(Packet::Connack(connack)) => return Err(SubscribeError::Refused(connack.reason)),
            _ => return Err(SubscribeError::Refused(opifex_packet::ReasonCode::ServerUnavailable)),
        }
        let options = SubscriptionOptions {
            qos,
            no_local: false,
            retain_as_published: false,
            retain_handling: RetainHandling::SendAtSubscribe,
        };
        let subscribe = Subscribe {
            packet_id: PacketId::MIN,
            properties: Properties::new(),
            subscriptions: vec![Subscription { filter, options }],
        };
        local.connection.send(&subscribe.into()).await?;
        match local.connection.receive().await? {
            Some(Packet::Suback(suback)) => match suback.reasons.first() {
                Some(reason) if reason.is_error() => Err(SubscribeError::Refused(*reason)),
                _ => Ok(local),
            },
            _ => Err(SubscribeError::Refused(opifex_packet::ReasonCode::ServerUnavailable)),
        }
    }

    /// The next message; `None` when the broker has stopped or ended the subscription. It is acknowledged by asking
    /// for it.
    pub async fn recv(&mut self) -> Option<Received> {
        loop {
            match self.connection.receive().await.ok()?? {
                Packet::Publish(publish) => {
                    self.acknowledge(publish.delivery).await?;
                    return received(publish);
                }
                Packet::Pubrel(pubrel) => {
                    self.connection.send(&Pubcomp::new(pubrel.packet_id).into()).await.ok()?;
                }
                Packet::Disconnect(_) => return None,
                _ => {}
            }
        }
    }

    async fn acknowledge(&mut self, delivery: Delivery) -> Option<()> {
        let ack: Packet<'_> = match delivery {
            Delivery::AtMostOnce => return Some(()),
            Delivery::AtLeastOnce(id) => Puback::new(id).into(),
            Delivery::ExactlyOnce(id) => Pubrec::new(id).into(),
        };
        self.connection.send(&ack).await.ok()
    }
}

impl Drop for LocalSubscription {
    fn drop(&mut self) {
        self.served.abort();
    }
}

fn received(publish: Publish<'static>) -> Option<Received> {
    Some(Received {
        qos: publish.qos(),
        topic: publish.topic?,
        payload: Bytes::from(publish.payload.into_owned()),
        retain: publish.retain,
        properties: publish.properties,
    })
}
