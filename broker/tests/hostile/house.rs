//! A broker behind a TCP listener in the test's runtime, with the bystanders that every case is watched by.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use opifex_broker::{Broker, Builder, Limits, Peer as Origin, Stats};
use opifex_packet::raw::RawPacket;
use opifex_packet::{QoS, ReasonCode, Version};
use opifex_storage_memory::MemoryStore;
use parking_lot::Mutex;
use tokio::net::{TcpListener, TcpSocket};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;

use crate::peer::{Peer, SOCKET_BUFFER_BYTES, publish};

/// Nothing here takes that long on a machine that is not broken: what is awaited longer never comes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// The broker, its listener, and two clients who want to be left alone.
pub(crate) struct House {
    pub(crate) broker: Broker<MemoryStore>,
    pub(crate) address: SocketAddr,
    accepting: JoinHandle<()>,
    connections: Arc<Mutex<JoinSet<()>>>,
    publisher: Peer,
    subscriber: Peer,
    exchanged: u32,
}

impl House {
    pub(crate) async fn start() -> House {
        House::with(|builder| builder).await
    }

    pub(crate) async fn with_limits(limits: Limits) -> House {
        House::with(|builder| builder.limits(limits)).await
    }

    pub(crate) async fn with(settings: impl FnOnce(Builder<MemoryStore>) -> Builder<MemoryStore>) -> House {
        let broker = settings(Broker::builder(MemoryStore::new())).start().await.unwrap();
        let listener = listen();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(Mutex::new(JoinSet::new()));
        let accepting = tokio::spawn(accept(listener, broker.clone(), connections.clone()));
        let publisher = Peer::connected(address, Version::V3_1_1, "bystander-publisher").await;
        let mut subscriber = Peer::connected(address, Version::V5_0, "bystander-subscriber").await;
        subscriber.subscribe("bystander/#", QoS::AtLeastOnce).await;
        House { broker, address, accepting, connections, publisher, subscriber, exchanged: 0 }
    }

    /// A connection on which nothing was said.
    pub(crate) async fn open(&self, version: Version) -> Peer {
        Peer::open(self.address, version).await
    }

    /// A connection whose CONNECT was accepted.
    pub(crate) async fn connected(&self, version: Version, client_id: &str) -> Peer {
        Peer::connected(self.address, version, client_id).await
    }

    /// The bystanders exchange a message; answers how long it took.
    pub(crate) async fn bystanders_are_served(&mut self) -> Duration {
        let begun = std::time::Instant::now();
        self.exchanged += 1;
        let payload = self.exchanged.to_string();
        self.publisher.send(publish("bystander/topic", &payload, QoS::AtLeastOnce)).await;
        self.publisher.receive_puback().await;
        let received = self.subscriber.receive_publish().await;
        assert_eq!(received.payload, payload.as_bytes());
        self.subscriber.acknowledge(&received).await;
        begun.elapsed()
    }

    /// A connected client sends these bytes: it is told why (5.0) and closed.
    pub(crate) async fn closes(&mut self, version: Version, bytes: &[u8], reason: ReasonCode) {
        let mut peer = self.connected(version, "offender").await;
        peer.send_bytes(bytes).await;
        peer.expect_disconnected(reason).await;
        self.bystanders_are_served().await;
    }

    /// The same in each of these versions.
    pub(crate) async fn closes_in(
        &mut self,
        versions: &[Version],
        packet: impl Fn(Version) -> RawPacket,
        reason: ReasonCode,
    ) {
        for &version in versions {
            self.closes(version, &packet(version).to_bytes(), reason).await;
        }
    }

    /// A new connection sends these bytes as its first: it is closed, with this CONNACK or without a word.
    pub(crate) async fn turns_away(&mut self, version: Version, bytes: &[u8], reason: Option<ReasonCode>) {
        let mut peer = self.open(version).await;
        peer.send_bytes(bytes).await;
        match reason {
            Some(reason) => peer.expect_refused(reason).await,
            None => peer.expect_closed().await,
        }
        self.bystanders_are_served().await;
    }

    pub(crate) fn stats(&self) -> Stats {
        self.broker.stats()
    }

    /// Waits until all connections but the bystanders' have ended.
    pub(crate) async fn only_bystanders_are_left(&self) {
        wait_until("all but the bystanders are gone", || self.stats().connections == 2).await;
    }

    /// The end of a case: the bystanders are served, nobody else is left, nothing has panicked.
    pub(crate) async fn finish(mut self) {
        self.bystanders_are_served().await;
        self.only_bystanders_are_left().await;
        assert_eq!(self.stats().sessions, 2, "sessions of transient clients are left behind");
        self.shut_down().await;
    }

    /// The end of a case that leaves sessions or connections behind.
    pub(crate) async fn shut_down(self) {
        timeout(PATIENCE, self.broker.shutdown()).await.expect("the broker does not stop");
        self.accepting.abort();
        let mut connections = std::mem::take(&mut *self.connections.lock());
        while let Some(ended) = timeout(PATIENCE, connections.join_next()).await.expect("a connection stays")
        {
            ended.expect("a connection's task panicked");
        }
    }
}

fn listen() -> TcpListener {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_send_buffer_size(SOCKET_BUFFER_BYTES).unwrap();
    socket.set_recv_buffer_size(SOCKET_BUFFER_BYTES).unwrap();
    socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
    socket.listen(1024).unwrap()
}

async fn accept(listener: TcpListener, broker: Broker<MemoryStore>, connections: Arc<Mutex<JoinSet<()>>>) {
    while let Ok((stream, peer)) = listener.accept().await {
        stream.set_nodelay(true).unwrap();
        let (reader, writer) = stream.into_split();
        let mut connections = connections.lock();
        connections.spawn(broker.serve_halves(reader, writer, Origin::Network(peer)));
        while let Some(ended) = connections.try_join_next() {
            if let Err(error) = ended {
                // Kept for `shut_down`, which reports it.
                connections.spawn(async move { panic!("a connection's task failed: {error}") });
                return;
            }
        }
    }
}

/// Waits for something that the broker does in the background.
pub(crate) async fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let wait = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    assert!(timeout(PATIENCE, wait).await.is_ok(), "it never came true: {what}");
}
