//! What a case has to work with: a broker to connect to, names that no other case uses, and time.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use opifex_packet::{Connack, Connect, Property, Publish, QoS, TopicName, Version, Will};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::descriptor::Descriptor;
use super::offers::Offers;
use super::restart::Place;
use super::stop::Stop;
use super::target::{BoxFuture, Stream, Target};
use super::transcript::Transcript;
use super::websocket::{Answer, WebSocket};
use super::wire::Wire;

/// Sessions that a case leaves behind end after so many seconds where the version can say so.
const SESSION_EXPIRY_SECS: u32 = 300;

/// See the module's documentation.
pub struct Scene {
    /// The version that the case speaks.
    pub version: Version,
    /// What the broker is set up with.
    pub descriptor: Arc<Descriptor>,
    /// What the broker announces.
    pub offers: Arc<Offers>,
    target: Arc<dyn Target>,
    transcript: Arc<Transcript>,
    /// Letters and digits that no other case of this or another run has.
    name: String,
    /// In a case that restarts the broker.
    restart: Option<Place>,
}

impl Scene {
    pub(crate) fn new(
        version: Version,
        target: Arc<dyn Target>,
        descriptor: Arc<Descriptor>,
        offers: Arc<Offers>,
        name: String,
        restart: Option<Place>,
    ) -> Scene {
        Scene { version, descriptor, offers, target, transcript: Arc::new(Transcript::new()), name, restart }
    }

    pub(crate) fn transcript(&self) -> &Transcript {
        &self.transcript
    }

    /// Whether the case speaks 5.0.
    pub fn is_v5(&self) -> bool {
        self.version.is_v5()
    }

    /// The client id of this case's client `who`: at most 23 letters and digits when `who` has up to 8.
    pub fn client_id(&self, who: &str) -> String {
        format!("{}{who}", self.name)
    }

    /// This case's topic of that name.
    pub fn topic(&self, name: &str) -> String {
        format!("{}/{name}", self.name)
    }

    /// A clean CONNECT of this case's client `who`, as the user that the descriptor names.
    pub fn connect(&self, who: &str) -> Connect<'static> {
        let mut connect = Connect::new(self.version, self.client_id(who));
        if let Some(user) = &self.descriptor.user {
            connect.user_name = Some(user.name.clone().into());
            connect.password = Some(user.password.clone().into_bytes().into());
        }
        connect
    }

    /// The same for a session that outlives its connection.
    pub fn connect_durable(&self, who: &str) -> Connect<'static> {
        let mut connect = self.connect(who);
        connect.clean_start = false;
        if self.is_v5() {
            connect.properties.push(Property::SessionExpiryInterval(SESSION_EXPIRY_SECS));
        }
        connect
    }

    /// A connection on which nothing has been said; `name` stands in the transcript.
    pub async fn open(&self, name: &str) -> Result<Wire, Stop> {
        let patience = self.descriptor.patience();
        let stream = match timeout(patience, self.target.connect()).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return Err(Stop::failed(format!("{name}: no connection: {error}"))),
            Err(_) => return Err(Stop::failed(format!("{name}: no connection in {patience:?}"))),
        };
        let transcript = self.transcript.clone();
        let offers = self.offers.clone();
        Ok(Wire::new(name, stream, self.version, transcript, &self.descriptor, offers))
    }

    /// A connection to the broker's WebSocket listener, and what it answers to a handshake with these subprotocols to pick
    /// from. A broker without one ends the case as not applicable.
    pub async fn websocket(&self, name: &str, offers: &[&str]) -> Result<(WebSocket, Answer), Stop> {
        let url = self.descriptor.websocket.as_ref();
        let connect: BoxFuture<'_, io::Result<Box<dyn Stream>>> = match (self.target.websocket(), url) {
            (Some(connect), _) => connect,
            (None, Some(url)) => Box::pin(async move {
                let stream = TcpStream::connect(&url.address).await?;
                stream.set_nodelay(true)?;
                Ok(Box::new(stream) as Box<dyn Stream>)
            }),
            (None, None) => return Err(Stop::needs("a WebSocket listener (websocket)")),
        };
        let patience = self.descriptor.patience();
        let stream = match timeout(patience, connect).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return Err(Stop::failed(format!("{name}: no connection: {error}"))),
            Err(_) => return Err(Stop::failed(format!("{name}: no connection in {patience:?}"))),
        };
        self.transcript.note(name, "connection opened, to the WebSocket listener");
        let transcript = self.transcript.clone();
        let mut socket = WebSocket::new(name, stream, self.version, transcript, &self.descriptor);
        let (host, path) = url.map_or(("broker", "/mqtt"), |url| (url.address.as_str(), url.path.as_str()));
        let answer = socket.ask(host, path, offers).await?;
        Ok((socket, answer))
    }

    /// A connection whose CONNECT was accepted; named after the end of the client id.
    pub async fn join(&self, connect: Connect<'_>) -> Result<(Wire, Connack<'static>), Stop> {
        let name = connect.client_id.strip_prefix(&self.name).unwrap_or(&connect.client_id).to_owned();
        let mut wire = self.open(&name).await?;
        let connack = wire.introduce(connect).await?;
        Ok((wire, connack))
    }

    /// This case's client `who` with a clean session.
    pub async fn connected(&self, who: &str) -> Result<Wire, Stop> {
        Ok(self.join(self.connect(who)).await?.0)
    }

    /// This case's client `who` with a session that outlives its connection.
    pub async fn connected_durable(&self, who: &str) -> Result<Wire, Stop> {
        Ok(self.join(self.connect_durable(who)).await?.0)
    }

    /// A client that is subscribed to this case's topic `name`.
    pub async fn subscriber(&self, who: &str, name: &str, qos: QoS) -> Result<Wire, Stop> {
        let mut wire = self.connected(who).await?;
        wire.subscribe(&self.topic(name), qos).await?;
        Ok(wire)
    }

    /// A will for this case's topic `name`.
    pub fn will(&self, name: &str, payload: &str, qos: QoS) -> Will<'static> {
        let topic = TopicName::new(self.topic(name)).expect("cases write valid topics");
        let mut will = Will::new(topic, payload.as_bytes().to_vec());
        will.qos = qos;
        will
    }

    /// Waits until the broker has done what this client has asked for without an acknowledgement: an answer on the same
    /// connection, and a while, since the answer promises nothing about other connections.
    pub async fn settle(&self, wire: &mut Wire) -> Result<(), Stop> {
        wire.expect_alive().await?;
        self.pass(self.descriptor.silence()).await;
        Ok(())
    }

    /// Lets time pass.
    pub async fn pass(&self, time: Duration) {
        self.transcript.note("--", &format!("{:.1} s pass", time.as_secs_f64()));
        tokio::time::sleep(time).await;
    }

    /// The broker ends and is started again, and every connection ends with it. Only for cases of a chapter that says so.
    pub async fn restart(&self) {
        let place = self.restart.as_ref().expect("a chapter whose cases restart the broker says so");
        place.restart().await;
        self.transcript.note("--", "the broker was restarted");
    }

    /// Ends the case unless the condition holds; `what` completes "it needs".
    pub fn needs(&self, condition: bool, what: &str) -> Result<(), Stop> {
        if condition { Ok(()) } else { Err(Stop::needs(what)) }
    }

    /// Clears away what the case may have left in the broker. What cannot be cleared is left: the verdict stands.
    pub(crate) async fn clear_away(&self) {
        let (sessions, retained) = self.transcript.left_behind();
        for client_id in sessions {
            let mut connect = self.connect("");
            connect.client_id = client_id.into();
            let Ok((wire, _)) = self.join(connect).await else { continue };
            let _ = wire.disconnect().await;
        }
        if retained.is_empty() || !self.offers.retain {
            return;
        }
        let Ok(mut wire) = self.connected("z").await else { return };
        for topic in retained {
            let Ok(topic) = TopicName::new(topic) else { continue };
            let mut publish = Publish::new(topic, Vec::new());
            publish.retain = true;
            let _ = wire.send(publish).await;
        }
        let _ = wire.expect_alive().await;
        let _ = wire.disconnect().await;
    }
}
