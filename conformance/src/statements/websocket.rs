//! A WebSocket of a case, written by hand: the handshake asks for what a case says, and each frame is what it says, so that
//! rules can be broken. What comes is taken apart as strictly as RFC 6455 is.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use opifex_packet::{DecodeOptions, Decoded, Packet, Role, Version, decode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::descriptor::Descriptor;
use super::stop::Stop;
use super::target::Stream;
use super::transcript::{Transcript, hex};
use super::wire::Event;

/// The key and its answer of RFC 6455, section 1.3.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPTED: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
/// No answer to a handshake is longer.
const LONGEST_ANSWER: usize = 64 * 1024;
const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// What a frame is.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Opcode {
    /// Goes on with a message.
    Continuation = 0x0,
    /// The kind that MQTT must not use.
    Text = 0x1,
    /// The kind that it uses.
    Binary = 0x2,
}

/// What a server answers to a handshake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// 101 opens the WebSocket; `None`: the connection ended without an answer.
    pub status: Option<u16>,
    /// The subprotocols that it picks.
    pub subprotocols: Vec<String>,
}

/// See the module's documentation.
pub struct WebSocket {
    name: String,
    stream: Box<dyn Stream>,
    version: Version,
    transcript: Arc<Transcript>,
    patience: Duration,
    received: BytesMut,
    /// Payload of binary frames.
    payload: BytesMut,
    /// Within a message of several frames.
    in_message: bool,
    ended: bool,
    early: VecDeque<Packet<'static>>,
}

impl WebSocket {
    /// A connection on which nothing has been said.
    pub(crate) fn new(
        name: &str,
        stream: Box<dyn Stream>,
        version: Version,
        transcript: Arc<Transcript>,
        descriptor: &Descriptor,
    ) -> WebSocket {
        WebSocket {
            name: name.to_owned(),
            stream,
            version,
            transcript,
            patience: descriptor.patience(),
            received: BytesMut::new(),
            payload: BytesMut::new(),
            in_message: false,
            ended: false,
            early: VecDeque::new(),
        }
    }

    /// Asks for a WebSocket at this path, with these subprotocols to pick from.
    pub(crate) async fn ask(&mut self, host: &str, path: &str, offers: &[&str]) -> Result<Answer, Stop> {
        let offered = match offers {
            [] => String::new(),
            some => format!("Sec-WebSocket-Protocol: {}\r\n", some.join(", ")),
        };
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n{offered}\r\n"
        );
        self.transcript.note(&self.name, &format!("-> {request:?}"));
        self.write(request.as_bytes()).await?;
        let head = loop {
            if let Some(end) = self.received.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                break self.received.split_to(end + 4);
            }
            match timeout(self.patience, self.stream.read_buf(&mut self.received)).await {
                Ok(Ok(len)) if len > 0 && self.received.len() <= LONGEST_ANSWER => {}
                Ok(_) if self.received.is_empty() => {
                    self.transcript.note(&self.name, "connection closed by the broker");
                    return Ok(Answer { status: None, subprotocols: Vec::new() });
                }
                Ok(_) => return Err(self.failed("the answer to the handshake has no end")),
                Err(_) if self.received.is_empty() => {
                    self.transcript.note(&self.name, "no answer to the handshake");
                    return Ok(Answer { status: None, subprotocols: Vec::new() });
                }
                Err(_) => return Err(self.failed("the answer to the handshake has no end")),
            }
        };
        let head = String::from_utf8_lossy(&head).into_owned();
        self.transcript.note(&self.name, &format!("<- {head:?}"));
        let status = head.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok());
        if status == Some(101) && !values(&head, "sec-websocket-accept").eq([ACCEPTED]) {
            return Err(self.failed("the answer to the handshake does not show that the key was read"));
        }
        let subprotocols = values(&head, "sec-websocket-protocol").map(str::to_owned).collect();
        Ok(Answer { status, subprotocols })
    }

    /// Sends bytes in a frame.
    pub async fn send_frame(&mut self, fin: bool, opcode: Opcode, payload: &[u8]) -> Result<(), Stop> {
        let what =
            format!("-> {opcode:?} frame, {}: {}", if fin { "last" } else { "more follow" }, hex(payload));
        self.transcript.note(&self.name, &what);
        let mut bytes = vec![if fin { 0x80 } else { 0 } | opcode as u8];
        match u16::try_from(payload.len()).expect("cases send short frames") {
            len @ 0..126 => bytes.push(0x80 | len as u8),
            len => {
                bytes.push(0x80 | 126);
                bytes.extend_from_slice(&len.to_be_bytes());
            }
        }
        bytes.extend_from_slice(&MASK);
        bytes.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        self.write(&bytes).await
    }

    /// Sends packets, each in a binary frame of its own.
    pub async fn send<'a>(&mut self, packet: impl Into<Packet<'a>>) -> Result<(), Stop> {
        let bytes = self.bytes_of(&[packet.into()]);
        self.send_frame(true, Opcode::Binary, &bytes).await
    }

    /// Packets as the bytes that they are.
    pub fn bytes_of(&self, packets: &[Packet<'_>]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for packet in packets {
            let start = bytes.len();
            packet.encode(self.version, &mut bytes);
            self.transcript.sent(&self.name, Some(packet), self.version, &bytes[start..]);
        }
        bytes
    }

    /// What comes next within the broker's patience.
    ///
    /// # Errors
    /// Frames that a server must not send, and bytes in them that are no packet.
    pub async fn next(&mut self) -> Result<Event, Stop> {
        match timeout(self.patience, self.read()).await {
            Ok(event) => event,
            Err(_) => {
                self.transcript.note(&self.name, "nothing came");
                Ok(Event::Nothing)
            }
        }
    }

    /// A packet that this is true of comes next.
    pub async fn expect<T>(
        &mut self,
        what: &str,
        of: impl FnOnce(Packet<'static>) -> Option<T>,
    ) -> Result<T, Stop> {
        let came = self.next().await?;
        let said = came.describe();
        let packet = match came {
            Event::Packet(packet) => of(packet),
            Event::End | Event::Nothing => None,
        };
        packet.ok_or_else(|| self.failed(&format!("expected {what}, and there came {said}")))
    }

    /// The connection ends. 5.0 may say DISCONNECT before it.
    pub async fn expect_closed(&mut self) -> Result<(), Stop> {
        loop {
            match self.next().await? {
                Event::End => return Ok(()),
                Event::Packet(Packet::Disconnect(_)) if self.version.is_v5() => {}
                came => {
                    let came = came.describe();
                    return Err(
                        self.failed(&format!("expected the end of the connection, and there came {came}"))
                    );
                }
            }
        }
    }

    fn failed(&self, what: &str) -> Stop {
        Stop::failed(format!("{}: {what}", self.name))
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), Stop> {
        let written = timeout(self.patience, async {
            self.stream.write_all(bytes).await?;
            self.stream.flush().await
        });
        // A broker that closes early is judged by what it said before.
        let result: Result<io::Result<()>, _> = written.await;
        result.map(drop).map_err(|_| self.failed("the broker takes no more bytes"))
    }

    /// Cancel safe: what was read stays in the buffers.
    async fn read(&mut self) -> Result<Event, Stop> {
        loop {
            if let Some(packet) = self.early.pop_front() {
                return Ok(Event::Packet(packet));
            }
            while !self.ended && self.take_frame()? {}
            while let Decoded::Packet { packet, len } =
                decode(&self.payload, &DecodeOptions::new(self.version, Role::Client)).map_err(|error| {
                    self.failed(&format!("the broker sends bytes that are no packet: {error}"))
                })?
            {
                let packet = packet.into_owned();
                self.transcript.received(&self.name, &packet, self.version, &self.payload[..len]);
                self.payload.advance(len);
                self.early.push_back(packet);
            }
            if !self.early.is_empty() {
                continue;
            }
            if self.ended {
                return Ok(Event::End);
            }
            match self.stream.read_buf(&mut self.received).await {
                Ok(len) if len > 0 => {}
                Ok(_) | Err(_) => {
                    self.transcript.note(&self.name, "connection closed by the broker");
                    self.ended = true;
                }
            }
        }
    }

    /// Takes one whole frame out of what was received; `false`: there is none.
    fn take_frame(&mut self) -> Result<bool, Stop> {
        let &[first, second, ..] = &self.received[..] else { return Ok(false) };
        if first & 0x70 != 0 || second & 0x80 != 0 {
            return Err(self.failed("the broker sends a frame with reserved bits or a mask"));
        }
        let long = match second {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        let Some(len) = self.received.get(2..2 + long) else { return Ok(false) };
        let len = match long {
            0 => usize::from(second),
            _ => len.iter().fold(0, |len: usize, byte| len.wrapping_shl(8) | usize::from(*byte)),
        };
        let head = 2 + long;
        if self.received.len() - head < len {
            return Ok(false);
        }
        self.received.advance(head);
        let payload = self.received.split_to(len);
        let (fin, opcode) = (first & 0x80 != 0, first & 0x0f);
        match opcode {
            0x0 | 0x2 if (opcode == 0) == self.in_message => {
                self.in_message = !fin;
                self.payload.extend_from_slice(&payload);
            }
            // An answer to its Ping would be polite, and no case lasts that long.
            0x9 | 0xa => {}
            0x8 => {
                self.transcript.note(&self.name, &format!("<- Close frame: {}", hex(&payload)));
                self.ended = true;
            }
            opcode => {
                let bytes = hex(&payload);
                return Err(self.failed(&format!("the broker sends a frame of opcode {opcode:#x}: {bytes}")));
            }
        }
        Ok(true)
    }
}

/// The values of a header.
fn values<'a>(head: &'a str, name: &'a str) -> impl Iterator<Item = &'a str> {
    let headers = head.lines().filter_map(|line| line.split_once(':'));
    headers.filter(move |(header, _)| header.trim().eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
}
