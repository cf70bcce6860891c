//! The test peer: one client's end of an in-memory connection, driven packet by packet.

use crate::store::Store;
use std::time::Duration;

use opifex_broker::{Broker, Builder, Limits, Peer as Origin};
use opifex_connection::Connection;
use opifex_packet::{
    Connack, Connect, DecodeOptions, Delivery, Disconnect, Packet, Puback, Pubcomp, Publish, Pubrec, Pubrel,
    QoS, ReasonCode, Role, SubscriptionOptions, Version,
};
use opifex_storage::Persistence;
use tokio::io::DuplexStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;

pub(crate) use crate::packets::*;

/// Time is paused in these tests: this passes at once when nothing else can happen.
const SILENCE: Duration = Duration::from_millis(200);

/// A broker over a fresh memory store.
pub(crate) async fn broker() -> Broker<Store> {
    broker_with(|builder| builder).await
}

/// A broker with other limits.
pub(crate) async fn broker_with_limits(limits: Limits) -> Broker<Store> {
    broker_with(|builder| builder.limits(limits)).await
}

/// A broker with other settings.
pub(crate) async fn broker_with(settings: impl FnOnce(Builder<Store>) -> Builder<Store>) -> Broker<Store> {
    settings(Broker::builder(Store::new())).start().await.unwrap()
}

/// A broker over this store.
pub(crate) async fn broker_over<P: Persistence>(store: P) -> Broker<P> {
    Broker::builder(store).start().await.unwrap()
}

/// A client, packet by packet.
pub(crate) struct Peer {
    connection: Connection<DuplexStream>,
    version: Version,
    served: JoinHandle<()>,
}

impl Peer {
    /// A connection on which nothing has been said.
    pub(crate) fn open(broker: &Broker<impl Persistence>, version: Version) -> Peer {
        Peer::open_narrow(broker, version, 1 << 20)
    }

    /// The same over a pipe that holds so many bytes in each direction.
    pub(crate) fn open_narrow(
        broker: &Broker<impl Persistence>,
        version: Version,
        pipe_bytes: usize,
    ) -> Peer {
        let (ours, theirs) = tokio::io::duplex(pipe_bytes);
        let broker = broker.clone();
        let served = tokio::spawn(async move { broker.serve(theirs, Origin::Local).await });
        Peer { connection: Connection::new(ours, DecodeOptions::new(version, Role::Client)), version, served }
    }

    /// A connection whose CONNECT was accepted.
    pub(crate) async fn connect(
        broker: &Broker<impl Persistence>,
        connect: Connect<'_>,
    ) -> (Peer, Connack<'static>) {
        let mut peer = Peer::open(broker, connect.version);
        let connack = peer.introduce(connect).await;
        (peer, connack)
    }

    /// CONNECT, which is accepted.
    pub(crate) async fn introduce(&mut self, connect: Connect<'_>) -> Connack<'static> {
        self.send(connect).await;
        match self.receive().await {
            Packet::Connack(connack) => {
                assert_eq!(connack.reason, ReasonCode::Success, "CONNECT was refused");
                connack
            }
            other => panic!("expected CONNACK, got {other:?}"),
        }
    }

    /// A CONNECT that is refused with this reason; then the connection closes.
    pub(crate) async fn refused(broker: &Broker<impl Persistence>, connect: Connect<'_>, reason: ReasonCode) {
        let mut peer = Peer::open(broker, connect.version);
        peer.send(connect).await;
        peer.expect_refusal(reason).await;
    }

    /// CONNACK with this reason, and the end.
    pub(crate) async fn expect_refusal(&mut self, reason: ReasonCode) {
        match self.receive().await {
            Packet::Connack(connack) => {
                assert_eq!(connack.reason, reason);
                assert!(!connack.session_present, "[MQTT-3.2.2-6]");
            }
            other => panic!("expected CONNACK, got {other:?}"),
        }
        self.expect_closed().await;
    }

    /// A clean session of 3.1.1.
    pub(crate) async fn v4(broker: &Broker<impl Persistence>, client_id: &str) -> Peer {
        Peer::connect(broker, connect(Version::V3_1_1, client_id)).await.0
    }

    /// A clean session of 5.0.
    pub(crate) async fn v5(broker: &Broker<impl Persistence>, client_id: &str) -> Peer {
        Peer::connect(broker, connect(Version::V5_0, client_id)).await.0
    }

    pub(crate) async fn send<'a>(&mut self, packet: impl Into<Packet<'a>>) {
        self.connection.send(&packet.into()).await.unwrap();
    }

    pub(crate) async fn send_raw(&mut self, bytes: &[u8]) {
        self.connection.feed_raw(bytes);
        self.connection.flush().await.unwrap();
    }

    /// Puts a packet behind those that wait for `flush`: they leave in one write.
    pub(crate) fn feed<'a>(&mut self, packet: impl Into<Packet<'a>>) {
        self.connection.feed(&packet.into());
    }

    pub(crate) async fn flush(&mut self) {
        self.connection.flush().await.unwrap();
    }

    /// The next packet, if one comes in time.
    pub(crate) async fn receive_within_secs(&mut self, secs: u64) -> Option<Packet<'static>> {
        let received = timeout(Duration::from_secs(secs), self.connection.receive()).await;
        received.ok().and_then(|received| received.unwrap())
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

    /// The next packet, which is a PUBLISH, acknowledged to its end.
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

    /// The first acknowledgement of a PUBLISH.
    pub(crate) async fn acknowledge(&mut self, publish: &Publish<'_>) {
        match publish.delivery {
            Delivery::AtMostOnce => {}
            Delivery::AtLeastOnce(id) => self.send(Puback::new(id)).await,
            Delivery::ExactlyOnce(id) => self.send(Pubrec::new(id)).await,
        }
    }

    /// The next PUBLISH, acknowledged by its first acknowledgement; PUBRELs before it are answered.
    pub(crate) async fn receive_acknowledged_later(&mut self) -> Publish<'static> {
        loop {
            match self.receive().await {
                Packet::Publish(publish) => {
                    self.acknowledge(&publish).await;
                    return publish;
                }
                Packet::Pubrel(pubrel) => self.send(Pubcomp::new(pubrel.packet_id)).await,
                other => panic!("expected PUBLISH, got {other:?}"),
            }
        }
    }

    /// The same, as text.
    pub(crate) async fn receive_in_order(&mut self) -> String {
        text(&self.receive_acknowledged_later().await)
    }

    /// No PUBLISH comes; the handshakes that are under way are taken to their ends.
    pub(crate) async fn expect_no_more(&mut self) {
        loop {
            match timeout(SILENCE, self.connection.receive()).await {
                Err(_) => return,
                Ok(Ok(Some(Packet::Pubrel(pubrel)))) => self.send(Pubcomp::new(pubrel.packet_id)).await,
                Ok(received) => panic!("expected no more, got {received:?}"),
            }
        }
    }

    /// The next packet, if one is wanted.
    pub(crate) async fn receive_if(&mut self, wanted: bool) -> Option<Packet<'static>> {
        if wanted { Some(self.receive().await) } else { None }
    }

    /// The payload of the next packet, which is a PUBLISH; acknowledged to its end.
    pub(crate) async fn receive_text(&mut self) -> String {
        String::from_utf8(self.receive_acknowledged().await.payload.into_owned()).unwrap()
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
        self.send(unsubscribe(filter)).await;
        assert!(matches!(self.receive().await, Packet::Unsuback(_)));
    }

    /// Publishes and takes the acknowledgement to its end.
    pub(crate) async fn publish(&mut self, topic: &str, payload: &str, qos: QoS) {
        self.publish_packet(publish(topic, payload, qos)).await;
    }

    pub(crate) async fn publish_retained(&mut self, topic: &str, payload: &str, qos: QoS) {
        self.publish_packet(retained(topic, payload, qos)).await;
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

    /// The broker has taken everything that was sent: it answers PINGREQ.
    pub(crate) async fn settle(&mut self) {
        self.send(Packet::Pingreq).await;
        self.expect(Packet::Pingresp).await;
    }

    /// What was sent is durable, too: the store has a retained message removed that is not there.
    pub(crate) async fn settle_with_store(&mut self) {
        self.publish_retained("nobody/listens/here", "", QoS::AtLeastOnce).await;
    }

    /// The same as `settle`, while messages come that are left unacknowledged.
    pub(crate) async fn settle_after_publishes(&mut self) {
        self.send(Packet::Pingreq).await;
        loop {
            match self.receive().await {
                Packet::Pingresp => return,
                Packet::Publish(_) => {}
                other => panic!("unexpected {other:?}"),
            }
        }
    }

    /// The task that serves this connection is dropped, as by a program that aborts it.
    pub(crate) fn abort(&self) {
        self.served.abort();
    }

    /// Goes without a word.
    pub(crate) async fn vanish(self, broker: &Broker<impl Persistence>) {
        let before = broker.stats().connections;
        drop(self.connection);
        wait_until(|| broker.stats().connections < before).await;
    }

    /// DISCONNECT, and waits until the broker has noticed.
    pub(crate) async fn disconnect(self, broker: &Broker<impl Persistence>) {
        self.disconnect_with(broker, Disconnect::new(ReasonCode::Success)).await;
    }

    /// The same with a reason and properties.
    pub(crate) async fn disconnect_with(
        mut self,
        broker: &Broker<impl Persistence>,
        disconnect: Disconnect<'_>,
    ) {
        let before = broker.stats().connections;
        self.send(disconnect).await;
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

/// Lets time pass.
pub(crate) async fn pass_secs(secs: u64) {
    tokio::time::sleep(Duration::from_secs(secs)).await;
}
