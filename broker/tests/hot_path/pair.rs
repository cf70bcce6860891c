//! One publisher and one subscriber, neither with a durable session, over pipes in memory.

use opifex_broker::{Broker, Peer};
use opifex_packet::{
    Connect, Delivery, Packet, PacketId, Properties, Puback, Pubcomp, Publish, Pubrec, Pubrel, QoS,
    RetainHandling, Subscribe, Subscription, SubscriptionOptions, TopicFilter, TopicName, Version,
};
use opifex_storage::Persistence;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

/// Messages that a client sends in one write.
pub(crate) const BATCH: usize = 500;
const PAYLOAD: [u8; 64] = [7; 64];

/// One publisher and one subscriber over pipes in memory.
pub(crate) struct Pair {
    publisher: DuplexStream,
    subscriber: DuplexStream,
    buffer: Vec<u8>,
    acks: Vec<u8>,
    qos: QoS,
}

fn encoded<'a>(packet: impl Into<Packet<'a>>) -> Vec<u8> {
    let mut bytes = Vec::new();
    packet.into().encode(Version::V3_1_1, &mut bytes);
    bytes
}

async fn connect(broker: &Broker<impl Persistence>, client_id: &str) -> DuplexStream {
    let (mut ours, theirs) = tokio::io::duplex(1 << 20);
    let broker = broker.clone();
    tokio::spawn(async move { broker.serve(theirs, Peer::Local).await });
    let connect = Connect {
        version: Version::V3_1_1,
        clean_start: true,
        keep_alive_secs: 0,
        client_id: client_id.into(),
        will: None,
        user_name: None,
        password: None,
        properties: Properties::new(),
    };
    ours.write_all(&encoded(connect)).await.unwrap();
    let mut connack = [0; 4];
    ours.read_exact(&mut connack).await.unwrap();
    ours
}

impl Pair {
    pub(crate) async fn new(broker: &Broker<impl Persistence>, qos: QoS) -> Pair {
        let publisher = connect(broker, "publisher").await;
        let mut subscriber = connect(broker, "subscriber").await;
        let options = SubscriptionOptions {
            qos,
            no_local: false,
            retain_as_published: false,
            // Retained messages are the store's: asking for them would be a call.
            retain_handling: RetainHandling::SendAtSubscribe,
        };
        let filter = TopicFilter::new("a/topic").unwrap();
        let subscribe = Subscribe {
            packet_id: PacketId::MIN,
            properties: Properties::new(),
            subscriptions: vec![Subscription { filter, options }],
        };
        subscriber.write_all(&encoded(subscribe)).await.unwrap();
        let mut suback = [0; 5];
        subscriber.read_exact(&mut suback).await.unwrap();
        Pair { publisher, subscriber, buffer: vec![0; 1 << 20], acks: Vec::with_capacity(1 << 16), qos }
    }

    /// The messages of a round, as they are written.
    pub(crate) fn batch(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for n in 1..=BATCH as u16 {
            let mut publish = Publish::new(TopicName::new("a/topic").unwrap(), &PAYLOAD[..]);
            publish.delivery = Delivery::new(self.qos, PacketId::new(n).unwrap());
            bytes.extend(encoded(publish));
        }
        bytes
    }

    /// Sends a batch, takes it at the other end, acknowledges what is to be acknowledged on both sides.
    pub(crate) async fn round(&mut self, batch: &[u8]) {
        self.publisher.write_all(batch).await.unwrap();
        // A message comes out as long as it went in.
        self.subscriber.read_exact(&mut self.buffer[..batch.len()]).await.unwrap();
        if self.qos == QoS::AtMostOnce {
            return;
        }
        let exactly_once = self.qos == QoS::ExactlyOnce;
        let len = batch.len() / BATCH;
        let id_of = |message: &[u8]| {
            let id_at = len - PAYLOAD.len() - 2;
            PacketId::new(u16::from_be_bytes([message[id_at], message[id_at + 1]])).unwrap()
        };
        self.acks.clear();
        for message in self.buffer[..batch.len()].chunks_exact(len) {
            let ack: Packet<'_> = match exactly_once {
                true => Pubrec::new(id_of(message)).into(),
                false => Puback::new(id_of(message)).into(),
            };
            ack.encode(Version::V3_1_1, &mut self.acks);
        }
        self.subscriber.write_all(&self.acks).await.unwrap();
        self.publisher.read_exact(&mut self.buffer[..4 * BATCH]).await.unwrap();
        if exactly_once {
            self.complete().await;
        }
    }

    /// The second half of the handshakes.
    async fn complete(&mut self) {
        let mut pubrels = Vec::new();
        for n in 1..=BATCH as u16 {
            pubrels.extend(encoded(Pubrel::new(PacketId::new(n).unwrap())));
        }
        self.publisher.write_all(&pubrels).await.unwrap();
        self.publisher.read_exact(&mut self.buffer[..4 * BATCH]).await.unwrap();
        self.subscriber.read_exact(&mut self.buffer[..4 * BATCH]).await.unwrap();
        self.acks.clear();
        for pubrel in self.buffer[..4 * BATCH].chunks_exact(4) {
            let id = PacketId::new(u16::from_be_bytes([pubrel[2], pubrel[3]])).unwrap();
            self.acks.extend(encoded(Pubcomp::new(id)));
        }
        self.subscriber.write_all(&self.acks).await.unwrap();
    }
}
