//! One connection of a case, driven packet by packet: it sends packets and broken bytes, and reads what comes with a deadline.
//! It answers nothing by itself.
//!
//! What a packet that came must be is in `wire/expect.rs`, what is said over and over in `wire/say.rs`.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use opifex_packet::raw::RawPacket;
use opifex_packet::{DecodeOptions, Decoded, Packet, ReasonCode, Role, Version, decode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::descriptor::Descriptor;
use super::offers::Offers;
use super::stop::Stop;
use super::target::Stream;
use super::transcript::{Transcript, describe, hex};

mod expect;
mod say;

/// See the module's documentation.
pub struct Wire {
    name: String,
    stream: Box<dyn Stream>,
    version: Version,
    transcript: Arc<Transcript>,
    patience: Duration,
    silence: Duration,
    offers: Arc<Offers>,
    /// Whether CONNECT was accepted.
    connected: bool,
    received: BytesMut,
    /// The bytes of the packet that came last.
    last: Vec<u8>,
    /// Packets that came before an answer that was waited for.
    early: VecDeque<(Packet<'static>, Vec<u8>)>,
    next_packet_id: u16,
}

/// What came.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// A packet.
    Packet(Packet<'static>),
    /// The end of the connection.
    End,
    /// Nothing, in the time that was given.
    Nothing,
}

impl Event {
    /// What came, in words.
    pub(crate) fn describe(&self) -> String {
        match self {
            Event::Packet(packet) => describe(packet),
            Event::End => "the end of the connection".to_owned(),
            Event::Nothing => "nothing".to_owned(),
        }
    }
}

impl Wire {
    pub(crate) fn new(
        name: &str,
        stream: Box<dyn Stream>,
        version: Version,
        transcript: Arc<Transcript>,
        descriptor: &Descriptor,
        offers: Arc<Offers>,
    ) -> Wire {
        transcript.note(name, "connection opened");
        Wire {
            name: name.to_owned(),
            stream,
            version,
            transcript,
            patience: descriptor.patience(),
            silence: descriptor.silence(),
            offers,
            connected: false,
            received: BytesMut::new(),
            last: Vec::new(),
            early: VecDeque::new(),
            next_packet_id: 1,
        }
    }

    /// The version that it speaks.
    pub fn version(&self) -> Version {
        self.version
    }

    /// The bytes of the packet that came last.
    pub fn last_bytes(&self) -> &[u8] {
        &self.last
    }

    /// Sends a packet. A broker that has closed shows in what is received.
    ///
    /// A packet that this broker does not offer to take ends the case as not applicable.
    pub async fn send<'a>(&mut self, packet: impl Into<Packet<'a>>) -> Result<(), Stop> {
        let packet = packet.into();
        self.offers.allow(&packet, self.version)?;
        self.send_whatever(packet).await
    }

    /// Sends a packet, whether the broker offers to take it or not.
    pub async fn send_whatever<'a>(&mut self, packet: impl Into<Packet<'a>>) -> Result<(), Stop> {
        let packet = packet.into();
        let mut bytes = Vec::new();
        packet.encode(self.version, &mut bytes);
        self.transcript.sent(&self.name, Some(&packet), self.version, &bytes);
        self.write(&bytes).await
    }

    /// Sends several packets in one write.
    pub async fn send_together(&mut self, packets: &[Packet<'_>]) -> Result<(), Stop> {
        let mut bytes = Vec::new();
        for packet in packets {
            self.offers.allow(packet, self.version)?;
            let start = bytes.len();
            packet.encode(self.version, &mut bytes);
            self.transcript.sent(&self.name, Some(packet), self.version, &bytes[start..]);
        }
        self.write(&bytes).await
    }

    /// Sends a packet that may be broken.
    pub async fn send_raw(&mut self, packet: &RawPacket) -> Result<(), Stop> {
        self.send_bytes(&packet.to_bytes()).await
    }

    /// Sends bytes.
    pub async fn send_bytes(&mut self, bytes: &[u8]) -> Result<(), Stop> {
        self.transcript.sent(&self.name, None, self.version, bytes);
        self.write(bytes).await
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), Stop> {
        let written = timeout(self.patience, async {
            self.stream.write_all(bytes).await?;
            self.stream.flush().await
        });
        match written.await {
            // A broker that closes early is judged by what it said before.
            Ok(_) => Ok(()),
            Err(_) => Err(Stop::failed(format!("{}: the broker takes no more bytes", self.name))),
        }
    }

    /// Says that nothing more comes, and goes on reading.
    pub async fn half_close(&mut self) {
        self.transcript.note(&self.name, "write side closed");
        // One that is closed already is as closed as can be.
        let _ = self.stream.shutdown().await;
    }

    /// Goes without a word.
    pub fn vanish(self) {
        self.transcript.note(&self.name, "connection dropped without DISCONNECT");
    }

    /// What comes next within the broker's patience.
    pub async fn next(&mut self) -> Result<Event, Stop> {
        self.next_within(self.patience).await
    }

    /// What comes next in that time.
    ///
    /// # Errors
    /// Bytes that are no packet of a server.
    pub async fn next_within(&mut self, time: Duration) -> Result<Event, Stop> {
        if let Some((packet, bytes)) = self.early.pop_front() {
            self.last = bytes;
            return Ok(Event::Packet(packet));
        }
        self.read_within(time).await
    }

    /// All bytes until the end of the connection, whatever they are: for answers in the form of a version that is not
    /// known.
    ///
    /// # Errors
    /// The connection stays open.
    pub async fn rest(&mut self) -> Result<Vec<u8>, Stop> {
        loop {
            match timeout(self.patience, self.stream.read_buf(&mut self.received)).await {
                Ok(Ok(len)) if len > 0 => {}
                Ok(_) => break,
                Err(_) => {
                    let bytes = hex(&self.received);
                    return Err(Stop::failed(format!(
                        "{}: expected the end of the connection; it is open, after these bytes: {bytes:?}",
                        self.name
                    )));
                }
            }
        }
        self.transcript.note(&self.name, &format!("<- {}, and the end", hex(&self.received)));
        Ok(self.received.split().to_vec())
    }

    /// The same past what came early.
    async fn read_within(&mut self, time: Duration) -> Result<Event, Stop> {
        match timeout(time, self.read()).await {
            Ok(event) => event,
            Err(_) => {
                self.transcript.note(&self.name, &format!("nothing came for {:.1} s", time.as_secs_f64()));
                Ok(Event::Nothing)
            }
        }
    }

    /// Cancel safe: what was read stays in the buffer.
    async fn read(&mut self) -> Result<Event, Stop> {
        let options = DecodeOptions::new(self.version, Role::Client);
        loop {
            let decoded = decode(&self.received, &options);
            match decoded {
                Ok(Decoded::Packet { packet, len }) => {
                    let packet = packet.into_owned();
                    self.last = self.received[..len].to_vec();
                    self.received.advance(len);
                    self.transcript.received(&self.name, &packet, self.version, &self.last);
                    if let Packet::Connack(connack) = &packet {
                        self.connected |= connack.reason == ReasonCode::Success;
                    }
                    return Ok(Event::Packet(packet));
                }
                Ok(Decoded::Incomplete { .. }) => {}
                Err(error) => {
                    let bytes = hex(&self.received);
                    self.transcript.note(&self.name, &format!("<- bytes that are no packet: {bytes}"));
                    return Err(Stop::failed(format!(
                        "{}: the broker sends bytes that are no packet of a server: {error}: {bytes}",
                        self.name
                    )));
                }
            }
            match self.stream.read_buf(&mut self.received).await {
                Ok(len) if len > 0 => {}
                // A reset is an end, too: the broker had more to read when it closed.
                Ok(_) | Err(_) => {
                    self.transcript.note(&self.name, "connection closed by the broker");
                    if !self.received.is_empty() {
                        let bytes = hex(&self.received);
                        return Err(Stop::failed(format!(
                            "{}: the broker closes in the middle of a packet: {bytes}",
                            self.name
                        )));
                    }
                    return Ok(Event::End);
                }
            }
        }
    }
}
