//! The test peer: one client's end of an in-memory connection, driven packet by packet.

use std::time::Duration;

use opifex_broker::{Broker, Builder, Limits, Peer as Origin};
use opifex_connection::Connection;
use opifex_packet::{
    Connack, Connect, DecodeOptions, Delivery, Packet, PacketId, Properties, Property, Puback, Pubcomp,
    Publish, Pubrec, Pubrel, QoS, ReasonCode, RetainHandling, Role, Subscribe, Subscription,
    SubscriptionOptions, TopicFilter, TopicName, Unsubscribe, Version, Will,
};
use opifex_storage_memory::MemoryStore;
use tokio::io::DuplexStream;
use tokio::time::timeout;

/// Time is paused in these tests: this passes at once when nothing else can happen.
const SILENCE: Duration = Duration::from_millis(200);

/// A broker over a fresh memory store.
pub(crate) async fn broker() -> Broker<MemoryStore> {
    broker_with(|builder| builder).await
}

/// A broker with other limits.
pub(crate) async fn broker_with_limits(limits: Limits) -> Broker<MemoryStore> {
    broker_with(|builder| builder.limits(limits)).await
}

/// A broker with other settings.
pub(crate) async fn broker_with(
    settings: impl FnOnce(Builder<MemoryStore>) -> Builder<MemoryStore>,
) -> Broker<MemoryStore> {
    settings(Broker::builder(MemoryStore::new())).start().await.unwrap()
}

/// A client, packet by packet.
pub(crate) struct Peer {
    connection: Connection<DuplexStream>,
    version: Version,
}

impl Peer {
    /// A connection on which nothing has been said.
    pub(crate) fn open(broker: &Broker<MemoryStore>, version: Version) -> Peer {
        let (ours, theirs) = tokio::io::duplex(1 << 20);
        let broker = broker.clone();
        tokio::spawn(async move { broker.serve(theirs, Origin::Local).await });
        Peer { connection: Connection::new(ours, DecodeOptions::new(version, Role::Client)), version }
    }

    /// A connection whose CONNECT was accepted.
    pub(crate) async fn connect(
        broker: &Broker<MemoryStore>,
        connect: Connect<'_>,
    ) -> (Peer, Connack<'static>) {
        let mut peer = Peer::open(broker, connect.version);
        peer.send(connect).await;
        match peer.receive().await {
            Packet::Connack(connack) => {
                assert_eq!(connack.reason, ReasonCode::Success, "CONNECT was refused");
                (peer, connack)
            }
            other => panic!("expected CONNACK, got {other:?}"),
        }
    }

    /// A clean session of 3.1.1.
    pub(crate) async fn v4(broker: &Broker<MemoryStore>, client_id: &str) -> Peer {
        Peer::connect(broker, connect(Version::V3_1_1, client_id)).await.0
    }

    /// A clean session of 5.0.
    pub(crate) async fn v5(broker: &Broker<MemoryStore>, client_id: &str) -> Peer {
        Peer::connect(broker, connect(Version::V5_0, client_id)).await.0
    }

    pub(crate) async fn send<'a>(&mut self, packet: impl Into<Packet<'a>>) {
        self.connection.send(&packet.into()).await.unwrap();
    }

    pub(crate) async fn send_raw(&mut self, bytes: &[u8]) {
        self.connection.feed_raw(bytes);
        self.connection.flush().await.unwrap();
    }

    /// The next packet.
    pub(crate) async fn receive(&mut self) -> Packet<'static> {
        let received = timeout(Duration::from_secs(30), self.connection.receive()).await;
        match received.expect("the broker says nothing").expect("the broker sends well-formed packets") {
            Some(packet) => packet,
            None => panic!("the broker has closed the connection"),
        }
    }

    pub(crate) async fn expect<'a>(&mut self, packet: impl Into<Packet<'a>>) {
        assert_eq!(self.receive().await, packet.into());
    }

    pub(crate) async fn receive_publish(&mut self) -> Publish<'static> {
        match self.receive().await {
            Packet::Publish(publish) => publish,
            other => panic!("expected PUBLISH, got {other:?}"),
        }
    }

    /// The payload of the next packet, which is a PUBLISH of QoS 1, acknowledged.
    pub(crate) async fn receive_acknowledged(&mut self) -> Publish<'static> {
        let publish = self.receive_publish().await;
        match publish.delivery {
            Delivery::AtMostOnce => {}
            Delivery::AtLeastOnce(id) => self.send(Puback::new(id)).await,
            Delivery::ExactlyOnce(id) => {
                self.send(Pubrec::new(id)).await;
                self.expect(Pubrel::new(id)).await;
                self.send(Pubcomp::new(id)).await;
            }
        }
        publish
    }

    /// Nothing comes.
    pub(crate) async fn expect_silence(&mut self) {
        if let Ok(received) = timeout(SILENCE, self.connection.receive()).await {
            panic!("expected silence, got {received:?}");
        }
    }

    /// The connection closes without another word.
    pub(crate) async fn expect_closed(&mut self) {
        let received = timeout(Duration::from_secs(30), self.connection.receive()).await;
        match received.expect("the connection stays open") {
            Ok(None) | Err(_) => {}
            Ok(Some(packet)) => panic!("expected the end, got {packet:?}"),
        }
    }

    /// The connection closes; 5.0: with this reason first.
    pub(crate) async fn expect_disconnect(&mut self, reason: ReasonCode) {
        if self.version.is_v5() {
            match self.receive().await {
                Packet::Disconnect(disconnect) => assert_eq!(disconnect.reason, reason),
                other => panic!("expected DISCONNECT, got {other:?}"),
            }
        }
        self.expect_closed().await;
    }

    /// Subscribes to one filter and takes the SUBACK.
    pub(crate) async fn subscribe(&mut self, filter: &str, qos: QoS) {
        self.subscribe_with(filter, options(qos), None).await;
    }

    pub(crate) async fn subscribe_with(
        &mut self,
        filter: &str,
        options: SubscriptionOptions,
        identifier: Option<u32>,
    ) {
        self.send(subscribe(filter, options, identifier)).await;
        match self.receive().await {
            Packet::Suback(suback) => assert!(!suback.reasons[0].is_error(), "refused: {suback:?}"),
            other => panic!("expected SUBACK, got {other:?}"),
        }
    }

    pub(crate) async fn unsubscribe(&mut self, filter: &str) {
        self.send(Unsubscribe {
            packet_id: id(900),
            properties: Properties::new(),
            filters: vec![TopicFilter::new(filter).unwrap()],
        })
        .await;
        assert!(matches!(self.receive().await, Packet::Unsuback(_)));
    }

    /// Publishes and takes the acknowledgement to its end.
    pub(crate) async fn publish(&mut self, topic: &str, payload: &str, qos: QoS) {
        self.publish_packet(publish(topic, payload, qos)).await;
    }

    pub(crate) async fn publish_retained(&mut self, topic: &str, payload: &str, qos: QoS) {
        let mut packet = publish(topic, payload, qos);
        packet.retain = true;
        self.publish_packet(packet).await;
    }

    pub(crate) async fn publish_packet(&mut self, packet: Publish<'_>) {
        let delivery = packet.delivery;
        self.send(packet).await;
        match delivery {
            Delivery::AtMostOnce => {}
            Delivery::AtLeastOnce(id) => match self.receive().await {
                Packet::Puback(ack) => assert_eq!(ack.packet_id, id),
                other => panic!("expected PUBACK, got {other:?}"),
            },
            Delivery::ExactlyOnce(id) => {
                match self.receive().await {
                    Packet::Pubrec(ack) => assert_eq!(ack.packet_id, id),
                    other => panic!("expected PUBREC, got {other:?}"),
                }
                self.send(Pubrel::new(id)).await;
                self.expect(Pubcomp::new(id)).await;
            }
        }
    }

    /// Goes without a word.
    pub(crate) async fn vanish(self, broker: &Broker<MemoryStore>) {
        let before = broker.stats().connections;
        drop(self.connection);
        wait_until(|| broker.stats().connections < before).await;
    }

    /// DISCONNECT, and waits until the broker has noticed.
    pub(crate) async fn disconnect(mut self, broker: &Broker<MemoryStore>) {
        let before = broker.stats().connections;
        self.send(opifex_packet::Disconnect { reason: ReasonCode::Success, properties: Properties::new() })
            .await;
        self.expect_closed().await;
        wait_until(|| broker.stats().connections < before).await;
    }
}

/// Waits for something that the broker does in the background.
pub(crate) async fn wait_until(mut condition: impl FnMut() -> bool) {
    for _ in 0..10_000 {
        if condition() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("it never came true");
}

pub(crate) fn id(id: u16) -> PacketId {
    PacketId::new(id).unwrap()
}

pub(crate) fn connect(version: Version, client_id: &str) -> Connect<'static> {
    Connect {
        version,
        clean_start: true,
        keep_alive_secs: 0,
        client_id: client_id.to_owned().into(),
        will: None,
        user_name: None,
        password: None,
        properties: Properties::new(),
    }
}

/// A session that outlives its connection for an hour.
pub(crate) fn connect_durable(version: Version, client_id: &str) -> Connect<'static> {
    let mut connect = connect(version, client_id);
    connect.clean_start = false;
    if version.is_v5() {
        connect.properties.push(Property::SessionExpiryInterval(3600));
    }
    connect
}

pub(crate) fn will(topic: &str, payload: &str, qos: QoS) -> Will<'static> {
    Will {
        qos,
        retain: false,
        topic: TopicName::new(topic.to_owned()).unwrap(),
        payload: payload.as_bytes().to_vec().into(),
        properties: Properties::new(),
    }
}

pub(crate) fn publish(topic: &str, payload: &str, qos: QoS) -> Publish<'static> {
    let mut publish = Publish::new(TopicName::new(topic.to_owned()).unwrap(), payload.as_bytes().to_vec());
    publish.delivery = match qos {
        QoS::AtMostOnce => Delivery::AtMostOnce,
        QoS::AtLeastOnce => Delivery::AtLeastOnce(id(77)),
        QoS::ExactlyOnce => Delivery::ExactlyOnce(id(78)),
    };
    publish
}

pub(crate) fn options(qos: QoS) -> SubscriptionOptions {
    SubscriptionOptions {
        qos,
        no_local: false,
        retain_as_published: false,
        retain_handling: RetainHandling::SendAtSubscribe,
    }
}

pub(crate) fn subscribe(
    filter: &str,
    options: SubscriptionOptions,
    identifier: Option<u32>,
) -> Subscribe<'static> {
    let mut properties = Properties::new();
    if let Some(identifier) = identifier {
        properties.push(Property::SubscriptionIdentifier(identifier));
    }
    let filter = TopicFilter::new(filter.to_owned()).unwrap();
    Subscribe { packet_id: id(500), properties, subscriptions: vec![Subscription { filter, options }] }
}
