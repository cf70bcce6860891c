//! One client's end of a TCP connection: sends any bytes, reads packets, and knows how a connection may end.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use opifex_packet::raw::RawPacket;
use opifex_packet::{
    Connack, Connect, DecodeOptions, Decoded, Delivery, Packet, PacketId, Property, Puback, Pubcomp, Publish,
    Pubrec, QoS, ReasonCode, Role, Subscribe, Subscription, SubscriptionOptions, TopicFilter, TopicName,
    Version, decode,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

use crate::house::PATIENCE;

pub(crate) const ALL: [Version; 3] = Version::ALL;
pub(crate) const V3: [Version; 2] = [Version::V3_1, Version::V3_1_1];
pub(crate) const V5: [Version; 1] = [Version::V5_0];

/// Small: a client that does not read is noticed early.
pub(crate) const SOCKET_BUFFER_BYTES: u32 = 128 * 1024;

/// A broker that takes nothing for so long has stopped reading.
const STALL: Duration = Duration::from_millis(400);

/// See the module's documentation.
pub(crate) struct Peer {
    stream: TcpStream,
    version: Version,
    received: BytesMut,
}

impl Peer {
    pub(crate) async fn open(address: SocketAddr, version: Version) -> Peer {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(SOCKET_BUFFER_BYTES).unwrap();
        let stream = socket.connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Peer { stream, version, received: BytesMut::new() }
    }

    pub(crate) async fn connected(address: SocketAddr, version: Version, client_id: &str) -> Peer {
        Peer::connected_with(address, Connect::new(version, client_id)).await.0
    }

    pub(crate) async fn connected_with(
        address: SocketAddr,
        connect: Connect<'_>,
    ) -> (Peer, Connack<'static>) {
        let mut peer = Peer::open(address, connect.version).await;
        peer.send(connect).await;
        let connack = peer.receive_connack().await;
        assert_eq!(connack.reason, ReasonCode::Success);
        (peer, connack)
    }

    pub(crate) async fn send<'a>(&mut self, packet: impl Into<Packet<'a>>) {
        let bytes = encoded(packet, self.version);
        self.send_bytes(&bytes).await;
    }

    /// Sends bytes. The broker may have closed before it has read them all: that shows in what is read.
    pub(crate) async fn send_bytes(&mut self, bytes: &[u8]) {
        let sent = timeout(PATIENCE, self.stream.write_all(bytes)).await;
        let _ = sent.expect("the broker takes nothing and does not close");
    }

    /// Sends bytes; answers whether the connection still takes any.
    pub(crate) async fn try_send(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).await.is_ok()
    }

    /// Sends bytes while taking whatever comes meanwhile.
    pub(crate) async fn send_while_reading(&mut self, bytes: &[u8]) {
        let (mut reader, mut writer) = self.stream.split();
        let received = &mut self.received;
        let mut sending = std::pin::pin!(writer.write_all(bytes));
        loop {
            tokio::select! {
                sent = &mut sending => return sent.expect("the broker closed in the middle of a flood"),
                read = reader.read_buf(received) => assert!(read.is_ok_and(|len| len > 0), "the broker closed"),
            }
        }
    }

    /// Sends this packet over and over without reading, until the broker takes no more or `most` bytes went. Answers
    /// how many whole packets were sent; the last one is completed when the broker goes on.
    pub(crate) async fn flood_unread(&mut self, packet: &[u8], most: usize) -> (usize, Vec<u8>) {
        let chunk = packet.repeat((32 * 1024 / packet.len()).max(1));
        let mut sent = 0;
        while sent < most {
            match self.stream.try_write(&chunk[sent % packet.len()..]) {
                Ok(len) => sent += len,
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                    if timeout(STALL, self.stream.writable()).await.is_err() {
                        break;
                    }
                }
                Err(error) => panic!("the broker closed: {error}"),
            }
        }
        let rest = match sent % packet.len() {
            0 => Vec::new(),
            begun => packet[begun..].to_vec(),
        };
        (sent.div_ceil(packet.len()), rest)
    }

    /// One byte after the other, each in a segment of its own.
    pub(crate) async fn send_byte_by_byte(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.send_bytes(std::slice::from_ref(byte)).await;
            // The broker reads on the same thread.
            tokio::task::yield_now().await;
        }
    }

    /// Says that nothing more comes, and goes on reading.
    pub(crate) async fn half_close(&mut self) {
        let _ = self.stream.shutdown().await;
    }

    /// The next packet; `None`: the broker has closed.
    pub(crate) async fn next(&mut self) -> Option<Packet<'static>> {
        let options = DecodeOptions::new(self.version, Role::Client);
        loop {
            let decoded = decode(&self.received, &options).expect("the broker sends well-formed packets");
            if let Decoded::Packet { packet, len } = decoded {
                let packet = packet.into_owned();
                self.received.advance(len);
                return Some(packet);
            }
            let read = timeout(PATIENCE, self.stream.read_buf(&mut self.received)).await;
            match read.expect("the broker neither answers nor closes") {
                Ok(len) if len > 0 => {}
                // A reset is an end, too: the broker had more to read when it closed.
                Ok(_) | Err(_) => return None,
            }
        }
    }

    pub(crate) async fn receive(&mut self) -> Packet<'static> {
        self.next().await.expect("the broker has closed the connection")
    }

    pub(crate) async fn receive_connack(&mut self) -> Connack<'static> {
        match self.receive().await {
            Packet::Connack(connack) => connack,
            other => panic!("expected CONNACK, got {other:?}"),
        }
    }

    pub(crate) async fn receive_publish(&mut self) -> Publish<'static> {
        match self.receive().await {
            Packet::Publish(publish) => publish,
            other => panic!("expected PUBLISH, got {other:?}"),
        }
    }

    pub(crate) async fn receive_puback(&mut self) -> Puback<'static> {
        match self.receive().await {
            Packet::Puback(ack) => ack,
            other => panic!("expected PUBACK, got {other:?}"),
        }
    }

    pub(crate) async fn receive_suback(&mut self) -> Vec<ReasonCode> {
        match self.receive().await {
            Packet::Suback(suback) => suback.reasons,
            other => panic!("expected SUBACK, got {other:?}"),
        }
    }

    pub(crate) async fn expect<'a>(&mut self, packet: impl Into<Packet<'a>>) {
        assert_eq!(self.receive().await, packet.into());
    }

    /// Acknowledges to the end of the QoS 2 handshake, with nothing else coming in between.
    pub(crate) async fn acknowledge(&mut self, publish: &Publish<'_>) {
        match publish.delivery {
            Delivery::AtMostOnce => {}
            Delivery::AtLeastOnce(id) => self.send(Puback::new(id)).await,
            Delivery::ExactlyOnce(id) => {
                self.send(Pubrec::new(id)).await;
                assert!(matches!(self.receive().await, Packet::Pubrel(_)));
                self.send(Pubcomp::new(id)).await;
            }
        }
    }

    pub(crate) async fn subscribe(&mut self, filter: &str, qos: QoS) {
        self.send(subscribe(1, filter, qos)).await;
        assert!(!self.receive_suback().await[0].is_error());
    }

    /// The connection is open and served.
    pub(crate) async fn expect_alive(&mut self) {
        self.send(Packet::Pingreq).await;
        self.expect(Packet::Pingresp).await;
    }

    /// Nothing more comes but the end.
    pub(crate) async fn expect_closed(&mut self) {
        if let Some(packet) = self.next().await {
            panic!("expected the end, got {packet:?}");
        }
    }

    /// CONNACK with this reason (3.x: its return code), then the end.
    pub(crate) async fn expect_refused(&mut self, reason: ReasonCode) {
        assert_eq!(self.receive_connack().await.reason, reason);
        self.expect_closed().await;
    }

    /// The end; 5.0: with this reason first.
    pub(crate) async fn expect_disconnected(&mut self, reason: ReasonCode) {
        if self.version.is_v5() {
            match self.receive().await {
                Packet::Disconnect(disconnect) => assert_eq!(disconnect.reason, reason),
                other => panic!("expected DISCONNECT {reason}, got {other:?}"),
            }
        }
        self.expect_closed().await;
    }

    /// The end, whatever comes before; answers the packets.
    pub(crate) async fn drain(&mut self) -> Vec<Packet<'static>> {
        let mut packets = Vec::new();
        while let Some(packet) = self.next().await {
            packets.push(packet);
        }
        packets
    }
}

pub(crate) fn encoded<'a>(packet: impl Into<Packet<'a>>, version: Version) -> Vec<u8> {
    let mut bytes = Vec::new();
    packet.into().encode(version, &mut bytes);
    bytes
}

pub(crate) fn id(id: u16) -> PacketId {
    PacketId::new(id).unwrap()
}

/// A PUBLISH; with an acknowledgement its packet id is 7.
pub(crate) fn publish(topic: &str, payload: &str, qos: QoS) -> Publish<'static> {
    publish_as(7, topic, payload, qos)
}

pub(crate) fn publish_as(packet_id: u16, topic: &str, payload: &str, qos: QoS) -> Publish<'static> {
    let mut publish = Publish::new(TopicName::new(topic.to_owned()).unwrap(), payload.as_bytes().to_vec());
    publish.delivery = Delivery::new(qos, id(packet_id));
    publish
}

pub(crate) fn subscribe(packet_id: u16, filter: &str, qos: QoS) -> Subscribe<'static> {
    let filter = TopicFilter::new(filter.to_owned()).unwrap();
    Subscribe::new(id(packet_id), vec![Subscription::new(filter, SubscriptionOptions::new(qos))])
}

/// A CONNECT of a session that outlives its connection for an hour.
pub(crate) fn durable(version: Version, client_id: &str) -> Connect<'static> {
    let mut connect = Connect::new(version, client_id.to_owned());
    connect.clean_start = false;
    if version.is_v5() {
        connect.properties.push(Property::SessionExpiryInterval(3_600));
    }
    connect
}

/// The properties of a version that has them: an empty block, or nothing.
pub(crate) fn no_properties(packet: RawPacket, version: Version) -> RawPacket {
    if version.is_v5() { packet.u8(0) } else { packet }
}

/// A CONNECT up to its payload: flags as given, no keep-alive, no properties.
pub(crate) fn raw_connect(version: Version, flags: u8) -> RawPacket {
    let head = RawPacket::new(0x10).string(version.protocol_name()).u8(version.level()).u8(flags).u16(0);
    no_properties(head, version)
}

/// A QoS 0 PUBLISH with this topic, as bytes, and an empty payload.
pub(crate) fn raw_publish(version: Version, topic: &[u8]) -> RawPacket {
    no_properties(RawPacket::new(0x30).binary(topic), version)
}

/// A SUBSCRIBE up to its filters.
pub(crate) fn raw_subscribe(version: Version) -> RawPacket {
    no_properties(RawPacket::new(0x82).u16(3), version)
}

/// Text that no MQTT string may hold: bad UTF-8 of several kinds, surrogates, U+0000.
pub(crate) const BAD_TEXT: [&[u8]; 8] = [
    b"a\xff",
    b"a\xc3",
    b"\xc0\xafa",
    b"\xed\xa0\x80",
    b"\xed\xbf\xbf",
    b"\xf4\x90\x80\x80",
    b"a\0b",
    b"\x80",
];
