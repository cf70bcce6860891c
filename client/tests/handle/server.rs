//! The scripted server: a test says what it receives and sends. What a network would do is done to its pipe.

use std::fmt::Debug;
use std::time::Duration;

use opifex_client::{Builder, Client, Connector, Message, Options};
use opifex_connection::Connection;
use opifex_packet::{
    Connack, Connect, DecodeOptions, Delivery, Packet, PacketId, Publish, QoS, ReasonCode, Role, TopicName,
    Version,
};
use tokio::io::DuplexStream;
use tokio::sync::mpsc;

/// The server's end of one connection.
pub(crate) struct Peer {
    pub(crate) connection: Connection<DuplexStream>,
}

/// Where a client's connections arrive.
pub(crate) struct Server {
    arriving: mpsc::UnboundedReceiver<DuplexStream>,
}

/// A server, and a connector that leads to it through pipes of that many bytes.
pub(crate) fn server_behind(bytes: usize) -> (Server, impl Connector) {
    let (sender, arriving) = mpsc::unbounded_channel();
    let connector = move || {
        let (ours, theirs) = tokio::io::duplex(bytes);
        let sent = sender.send(theirs);
        async move { sent.map(|()| ours).map_err(|_| std::io::ErrorKind::ConnectionRefused.into()) }
    };
    (Server { arriving }, connector)
}

pub(crate) fn server() -> (Server, impl Connector) {
    server_behind(64 * 1024)
}

impl Server {
    /// The next connection; nothing was read from it.
    pub(crate) async fn arrives(&mut self) -> Peer {
        self.arrives_or_not().await.expect("the client goes on")
    }

    /// The next connection, or `None` when there is none for an hour.
    pub(crate) async fn arrives_or_not(&mut self) -> Option<Peer> {
        let stream = tokio::time::timeout(Duration::from_secs(3600), self.arriving.recv()).await.ok()??;
        Some(Peer { connection: Connection::new(stream, DecodeOptions::new(Version::V5_0, Role::Server)) })
    }

    /// The next connection, accepted with that.
    pub(crate) async fn accepts_with(&mut self, connack: Connack<'_>) -> (Peer, Connect<'static>) {
        let mut peer = self.arrives().await;
        let Packet::Connect(connect) = peer.receive().await else { panic!("no CONNECT") };
        peer.send(connack).await;
        (peer, *connect)
    }

    pub(crate) async fn accepts(&mut self) -> Peer {
        self.accepts_with(Connack::new(ReasonCode::Success)).await.0
    }
}

impl Peer {
    pub(crate) async fn receive(&mut self) -> Packet<'static> {
        soon(self.connection.receive()).await.unwrap().expect("the client goes on")
    }

    pub(crate) async fn expect<'a>(&mut self, packet: impl Into<Packet<'a>>) {
        assert_eq!(self.receive().await, packet.into());
    }

    pub(crate) async fn send<'a>(&mut self, packet: impl Into<Packet<'a>>) {
        self.connection.send(&packet.into()).await.unwrap();
    }

    pub(crate) async fn closed(&mut self) {
        assert_eq!(soon(self.connection.receive()).await.unwrap(), None);
    }

    /// A PUBLISH, and its packet id.
    pub(crate) async fn publish(&mut self) -> (Publish<'static>, Option<PacketId>) {
        let Packet::Publish(publish) = self.receive().await else { panic!("no PUBLISH") };
        let id = publish.delivery.packet_id();
        (publish, id)
    }
}

/// Nothing here takes a minute; with the clock stopped, that is no time.
pub(crate) async fn soon<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(Duration::from_secs(3600), future).await.expect("it comes to its end")
}

pub(crate) fn options() -> Options {
    Options::new(Version::V5_0, "c").resuming(3600)
}

/// A client and its server, connected.
pub(crate) async fn connected_as(builder: Builder) -> (Client, Peer, Server) {
    let (mut server, connector) = server();
    let (client, peer) = tokio::join!(builder.connect(connector), server.accepts());
    (client.unwrap(), peer, server)
}

pub(crate) async fn connected() -> (Client, Peer, Server) {
    connected_as(Client::builder(options())).await
}

pub(crate) fn message(qos: QoS, payload: impl Debug) -> Message {
    Message::new(TopicName::new("t").unwrap(), format!("{payload:?}")).with_qos(qos)
}

pub(crate) fn publish(qos: QoS, id: u16, topic: &str, payload: impl Debug) -> Publish<'static> {
    let topic = TopicName::new(topic.to_owned()).unwrap();
    let delivery = Delivery::new(qos, PacketId::new(id).unwrap());
    Publish { delivery, ..Publish::new(topic, format!("{payload:?}").into_bytes()) }
}
