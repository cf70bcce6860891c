//! One connection of a benchmark: bytes in and out, and the handshake. It is leaner than a client: no session, no second
//! connection, no copy of what arrives.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::task::Poll;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use opifex_connection::{Inbox, Read};
use opifex_packet::{
    Connack, Connect, DecodeOptions, Decoded, Disconnect, Packet, PacketId, Property, QoS, ReasonCode, Role,
    Subscribe, Subscription, TopicFilter, Version, decode,
};
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::pings::{Pings, Turn};

/// How long a server may take for CONNACK and SUBACK.
const PATIENCE: Duration = Duration::from_secs(30);

/// Where the server is, and what CONNECT says.
#[derive(Clone, Debug)]
pub(super) struct Login {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) version: Version,
    pub(super) user_name: Option<String>,
    pub(super) password: Option<Vec<u8>>,
}

/// A connection that the server has accepted.
#[derive(Debug)]
pub(super) struct Wire {
    stream: TcpStream,
    version: Version,
    inbox: Inbox,
    /// What is to be written.
    pub(super) out: Vec<u8>,
    written: usize,
    /// What came with an answer that was waited for, or in front of it: messages for a session that goes on.
    early: Vec<u8>,
    /// QoS 1 and 2 messages that the server allows under way.
    pub(super) receive_maximum: u16,
    pings: Pings,
}

/// How long a session stays that is to be gone on with.
const SESSION_SECS: u32 = 3600;

/// The keep-alive of every connection, unless the server says another.
const KEEP_ALIVE: Duration = Duration::from_secs(60);

/// The server said no.
#[derive(Debug)]
pub(super) struct Refused {
    what: String,
    pub(super) reason: ReasonCode,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the server refused {}: {}", self.what, self.reason)
    }
}

impl std::error::Error for Refused {}

impl Wire {
    /// Connects under that client id, with a session that ends with the connection.
    pub(super) async fn connect(login: &Login, client_id: &str) -> anyhow::Result<Wire> {
        Wire::open(login, client_id, false).await
    }

    /// Goes on with the session of that client id, which stays behind when the connection ends.
    pub(super) async fn resume(login: &Login, client_id: &str) -> anyhow::Result<Wire> {
        Wire::open(login, client_id, true).await
    }

    async fn open(login: &Login, client_id: &str, keeps_session: bool) -> anyhow::Result<Wire> {
        let place = || format!("cannot connect to {}:{}", login.host, login.port);
        let attempt = TcpStream::connect((login.host.as_str(), login.port));
        let stream = timeout(PATIENCE, attempt).await.with_context(place)?.with_context(place)?;
        stream.set_nodelay(true)?;
        let version = login.version;
        let mut wire = Wire {
            stream,
            version,
            inbox: Inbox::new(),
            out: Vec::new(),
            written: 0,
            early: Vec::new(),
            receive_maximum: u16::MAX,
            pings: Pings::new(Duration::ZERO),
        };
        let mut connect = Connect::new(version, client_id);
        connect.keep_alive_secs = KEEP_ALIVE.as_secs() as u16;
        connect.clean_start = !keeps_session;
        if keeps_session && version.is_v5() {
            connect.properties.push(Property::SessionExpiryInterval(SESSION_SECS));
        }
        connect.user_name = login.user_name.as_deref().map(Into::into);
        connect.password = login.password.as_deref().map(Into::into);
        wire.send(connect);
        let connack: Connack<'static> = wire
            .answer("CONNACK", |packet| match packet {
                Packet::Connack(connack) => Some(connack.clone().into_owned()),
                _ => None,
            })
            .await?;
        if connack.reason != ReasonCode::Success {
            return Err(Refused { what: "the connection".into(), reason: connack.reason }.into());
        }
        // [MQTT-3.1.2-21]
        let said = connack.properties.server_keep_alive().map(|secs| Duration::from_secs(secs.into()));
        wire.pings = Pings::new(said.unwrap_or(KEEP_ALIVE));
        wire.receive_maximum = connack.properties.receive_maximum().unwrap_or(u16::MAX);
        Ok(wire)
    }

    /// Subscribes, a hundred filters at a time, and waits for each SUBACK.
    pub(super) async fn subscribe(&mut self, filters: &[String], qos: QoS) -> anyhow::Result<()> {
        for filters in filters.chunks(100) {
            self.subscribe_to(filters, qos).await?;
        }
        Ok(())
    }

    async fn subscribe_to(&mut self, filters: &[String], qos: QoS) -> anyhow::Result<()> {
        let mut subscriptions = Vec::new();
        for filter in filters {
            subscriptions.push(Subscription::new(TopicFilter::new(filter.as_str())?, qos));
        }
        self.send(Subscribe::new(PacketId::MIN, subscriptions));
        let reasons = self
            .answer("SUBACK", |packet| match packet {
                Packet::Suback(suback) => Some(suback.reasons.clone()),
                _ => None,
            })
            .await?;
        if reasons.len() != filters.len() {
            bail!("the server's SUBACK has {} reasons for {} filters", reasons.len(), filters.len());
        }
        for (filter, &reason) in filters.iter().zip(&reasons) {
            if reason.is_error() {
                return Err(Refused { what: format!("to subscribe to {filter}"), reason }.into());
            }
            if (reason as u8) < qos as u8 {
                bail!("the server grants QoS {} at most", reason as u8);
            }
        }
        Ok(())
    }

    /// Appends a packet to what is to be written.
    pub(super) fn send<'p>(&mut self, packet: impl Into<Packet<'p>>) {
        packet.into().encode(self.version, &mut self.out);
    }

    /// Whether all is written.
    pub(super) fn is_flushed(&self) -> bool {
        self.out.is_empty()
    }

    /// Writes as much as the socket takes now.
    pub(super) fn write(&mut self) -> anyhow::Result<()> {
        while self.written < self.out.len() {
            match self.stream.try_write(&self.out[self.written..]) {
                Ok(len) => self.written += len,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error).context("the connection broke"),
            }
        }
        self.out.clear();
        self.written = 0;
        Ok(())
    }

    /// Waits until something can be read or, if something is to be, written. A PINGREQ may be what is to be written.
    pub(super) async fn ready(&mut self) -> anyhow::Result<()> {
        if !self.early.is_empty() {
            return Ok(());
        }
        let interest =
            if self.is_flushed() { Interest::READABLE } else { Interest::READABLE | Interest::WRITABLE };
        tokio::select! {
            ready = self.stream.ready(interest) => {
                ready?;
            }
            turn = self.pings.next() => match turn {
                Turn::Ask => self.send(Packet::Pingreq),
                Turn::Unanswered => bail!("the server has sent neither PINGRESP nor anything else in time"),
            },
        }
        Ok(())
    }

    /// Reads what has come, once, and shows each packet to `take` together with where answers go.
    pub(super) async fn read(
        &mut self,
        mut take: impl FnMut(Packet<'_>, &mut Vec<u8>) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let options = DecodeOptions::new(self.version, Role::Client);
        let Wire { stream, inbox, out, pings, early, .. } = self;
        let mut take_all = |bytes: &[u8]| {
            let mut used = 0;
            let taken = loop {
                match decode(&bytes[used..], &options) {
                    Ok(Decoded::Incomplete { .. }) => break Ok(()),
                    Ok(Decoded::Packet { packet: Packet::Disconnect(disconnect), .. }) => {
                        break Err(anyhow!("the server disconnected: {}", disconnect.reason));
                    }
                    Ok(Decoded::Packet { packet, len }) => {
                        used += len;
                        pings.answered();
                        if packet == Packet::Pingresp {
                            continue;
                        }
                        if let Err(error) = take(packet, out) {
                            break Err(error);
                        }
                    }
                    Err(error) => break Err(anyhow!(error).context("the server sent what is no packet")),
                }
            };
            (used, taken)
        };
        if !early.is_empty() {
            return take_all(&std::mem::take(early)).1;
        }
        let read = poll_fn(|cx| match inbox.poll_read(cx, stream, &mut take_all) {
            Poll::Ready(read) => Poll::Ready(Some(read)),
            // Whoever waits does so for more than this.
            Poll::Pending => Poll::Ready(None),
        });
        match read.await.transpose().context("the connection broke")? {
            None => Ok(()),
            Some(Read::Taken { value, .. }) => value,
            Some(Read::Closed { .. }) => bail!("the server closed the connection"),
        }
    }

    /// Writes all that is to be written.
    pub(super) async fn flush(&mut self) -> anyhow::Result<()> {
        let flushed = async {
            loop {
                self.write()?;
                if self.is_flushed() {
                    return Ok(());
                }
                self.stream.writable().await?;
            }
        };
        timeout(PATIENCE, flushed).await.map_err(|_| anyhow!("the server takes nothing any more"))?
    }

    /// Ends the connection as a client does.
    pub(super) async fn close(mut self) {
        self.send(Disconnect::new(ReasonCode::NORMAL_DISCONNECTION));
        // A server that takes nothing any more does not hold up the end.
        let _ = timeout(Duration::from_secs(1), self.flush()).await;
    }

    /// Waits for the packet that `wanted` takes; what else comes is kept.
    async fn answer<T>(
        &mut self,
        name: &str,
        mut wanted: impl FnMut(&Packet<'_>) -> Option<T>,
    ) -> anyhow::Result<T> {
        let answered = async {
            let (mut answer, version) = (None, self.version);
            let mut early = Vec::new();
            loop {
                self.write()?;
                self.ready().await?;
                self.read(|packet, _| {
                    let wanted = if answer.is_none() { wanted(&packet) } else { None };
                    match wanted {
                        Some(wanted) => answer = Some(wanted),
                        None => packet.encode(version, &mut early),
                    }
                    Ok(())
                })
                .await?;
                if let Some(answer) = answer.take() {
                    self.early = early;
                    return Ok(answer);
                }
            }
        };
        timeout(PATIENCE, answered)
            .await
            .map_err(|_| anyhow!("no {name} came in {} seconds", PATIENCE.as_secs()))?
    }
}
