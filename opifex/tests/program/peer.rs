//! A client that does what a test says and nothing else, over a blocking socket: one call, one packet.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use opifex_packet::{
    Connack, Connect, DecodeOptions, Decoded, Packet, PacketId, Publish, QoS, ReasonCode, Role, Subscribe,
    Subscription, TopicFilter, TopicName, Version, decode,
};

const VERSION: Version = Version::V5_0;

/// One client.
pub(crate) struct Peer {
    stream: TcpStream,
    received: Vec<u8>,
}

impl Peer {
    /// Opens a connection, and sends nothing.
    pub(crate) fn open(address: SocketAddr) -> Peer {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        Peer { stream, received: Vec::new() }
    }

    /// Connects as a client of MQTT 5.0, and expects to be let in.
    pub(crate) fn connect(address: SocketAddr, client_id: &str) -> Peer {
        let mut peer = Peer::open(address);
        let connack = peer.log_in(Connect::new(VERSION, client_id));
        assert!(!connack.reason.is_error(), "{connack:?}");
        peer
    }

    /// Sends a CONNECT and answers the CONNACK.
    pub(crate) fn log_in(&mut self, connect: Connect<'_>) -> Connack<'static> {
        self.send(connect);
        match self.receive() {
            Some(Packet::Connack(connack)) => connack,
            other => panic!("expected CONNACK, not {other:?}"),
        }
    }

    pub(crate) fn subscribe(&mut self, filter: &str) {
        assert_eq!(self.try_subscribe(filter), ReasonCode::Success);
    }

    /// Subscribes and answers what SUBACK says.
    pub(crate) fn try_subscribe(&mut self, filter: &str) -> ReasonCode {
        let subscription = Subscription::new(TopicFilter::new(filter).unwrap(), QoS::AtMostOnce);
        self.send(Subscribe::new(PacketId::new(1).unwrap(), vec![subscription]));
        match self.receive() {
            Some(Packet::Suback(suback)) => suback.reasons[0],
            other => panic!("expected SUBACK, not {other:?}"),
        }
    }

    pub(crate) fn publish(&mut self, topic: &str, payload: &[u8]) {
        self.send(Publish::new(TopicName::new(topic).unwrap(), payload));
    }

    pub(crate) fn send<'p>(&mut self, packet: impl Into<Packet<'p>>) {
        let mut bytes = Vec::new();
        packet.into().encode(VERSION, &mut bytes);
        self.send_raw(&bytes);
    }

    pub(crate) fn send_raw(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    /// The payload of the next packet, which has to be a PUBLISH.
    pub(crate) fn expect_message(&mut self) -> Vec<u8> {
        match self.receive() {
            Some(Packet::Publish(publish)) => publish.payload.into_owned(),
            other => panic!("expected PUBLISH, not {other:?}"),
        }
    }

    /// The next packet; `None` at the end of the connection.
    pub(crate) fn receive(&mut self) -> Option<Packet<'static>> {
        loop {
            match decode(&self.received, &DecodeOptions::new(VERSION, Role::Client)).unwrap() {
                Decoded::Packet { packet, len } => {
                    let packet = packet.into_owned();
                    self.received.drain(..len);
                    return Some(packet);
                }
                Decoded::Incomplete { .. } => {}
            }
            let mut chunk = [0; 4096];
            match self.stream.read(&mut chunk) {
                Ok(0) => return None,
                Ok(len) => self.received.extend_from_slice(&chunk[..len]),
                // Closed with bytes of ours unread.
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return None,
                Err(error) => panic!("{error}"),
            }
        }
    }
}
