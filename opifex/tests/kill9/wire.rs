//! One connection of a client: packets over TCP, each of which the journal knows. It waits for nothing by itself, and
//! keeps no rule of the protocol.

use std::net::SocketAddr;

use opifex_packet::{DecodeOptions, Decoded, Packet, Role, Version, decode};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::event::Client;
use crate::journal::Journal;

pub(crate) struct Wire {
    client: Client,
    version: Version,
    stream: TcpStream,
    received: Vec<u8>,
    journal: Journal,
    /// Writing has failed: there may still be something to read.
    broken: bool,
}

impl Wire {
    /// `None`: nobody listens there any more.
    pub(crate) async fn open(
        client: Client,
        version: Version,
        address: SocketAddr,
        journal: &Journal,
    ) -> Option<Wire> {
        let stream = TcpStream::connect(address).await.ok()?;
        stream.set_nodelay(true).ok()?;
        Some(Wire { client, version, stream, received: Vec::new(), journal: journal.clone(), broken: false })
    }

    pub(crate) async fn send<'p>(&mut self, packet: impl Into<Packet<'p>>) {
        let packet = packet.into();
        let mut bytes = Vec::new();
        packet.encode(self.version, &mut bytes);
        self.journal.leaves(self.client, &packet);
        self.broken = self.broken || self.stream.write_all(&bytes).await.is_err();
        self.journal.has_left(&packet);
    }

    /// The next packet; `None` at the end of the connection. May be dropped and called again.
    pub(crate) async fn receive(&mut self) -> Option<Packet<'static>> {
        loop {
            let options = DecodeOptions::new(self.version, Role::Client);
            let decoded = decode(&self.received, &options)
                .unwrap_or_else(|error| panic!("{} got what is no packet: {error}", self.client));
            if let Decoded::Packet { packet, len } = decoded {
                let packet = packet.into_owned();
                self.received.drain(..len);
                self.journal.comes(self.client, &packet);
                return Some(packet);
            }
            if !matches!(self.stream.read_buf(&mut self.received).await, Ok(1..)) {
                return None;
            }
        }
    }
}
