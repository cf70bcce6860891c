//! A client of a broker over a pipe in memory, that does as little as a client can.

use opifex_broker::{Broker, Peer as Origin};
use opifex_packet::{
    Connect, Disconnect, Packet, PacketId, QoS, ReasonCode, Subscribe, Subscription, TopicFilter, Version,
};
use opifex_storage_memory::MemoryStore;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};

pub(crate) const VERSION: Version = Version::V3_1_1;

/// More than any case has under way.
const PIPE_BYTES: usize = 1 << 20;

/// The client's end of the pipe.
pub(crate) struct Peer {
    stream: DuplexStream,
    buffer: Vec<u8>,
}

pub(crate) fn encoded<'a>(packet: impl Into<Packet<'a>>) -> Vec<u8> {
    let mut bytes = Vec::new();
    packet.into().encode(VERSION, &mut bytes);
    bytes
}

impl Peer {
    pub(crate) async fn connect(broker: &Broker<MemoryStore>, client_id: &str) -> Peer {
        let (stream, theirs) = tokio::io::duplex(PIPE_BYTES);
        let broker = broker.clone();
        tokio::spawn(async move { broker.serve(theirs, Origin::Local).await });
        let mut peer = Peer { stream, buffer: Vec::new() };
        let mut connect = Connect::new(VERSION, client_id);
        connect.keep_alive_secs = 0;
        peer.send(&encoded(connect)).await;
        // CONNACK.
        peer.receive(4).await;
        peer
    }

    pub(crate) async fn subscribe(&mut self, filter: &str, qos: QoS) {
        let filter = TopicFilter::new(filter).expect("spelled as a filter");
        self.send(&encoded(Subscribe::new(PacketId::MIN, vec![Subscription::new(filter, qos)]))).await;
        // SUBACK.
        self.receive(5).await;
    }

    /// Ends the connection and waits until the broker has, too.
    pub(crate) async fn disconnect(mut self) {
        self.send(&encoded(Disconnect::new(ReasonCode::NORMAL_DISCONNECTION))).await;
        let read = self.stream.read_to_end(&mut self.buffer).await;
        assert_eq!(read.ok(), Some(0), "nothing is left");
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.expect("the broker reads");
    }

    /// The next so many bytes.
    pub(crate) async fn receive(&mut self, len: usize) -> &[u8] {
        if self.buffer.len() < len {
            self.buffer.resize(len, 0);
        }
        self.stream.read_exact(&mut self.buffer[..len]).await.expect("the broker answers");
        &self.buffer[..len]
    }
}
