//! Somebody in between: reads the packets of both sides and passes them on, changed by a lie. What is no packet goes on as
//! the bytes that it is, unless the broker that it plays endures it.

use std::io;
use std::sync::Arc;

use bytes::{Buf, BytesMut};
use opifex_conformance::statements::{BoxFuture, Stream, Target};
use opifex_packet::{DecodeOptions, Decoded, Packet, Role, Version, connect_version, decode};
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};

use super::{Lie, Way};

const PIPE_BYTES: usize = 1 << 20;

/// What becomes of what a broker must not take.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Wrongs {
    /// The broker gets it, and its refusal is passed on.
    Refused,
    /// What is no packet is passed over, and the connection served on.
    Swallowed,
    /// The broker gets it, and the client never hears of the end of the connection.
    Endured,
}

/// A target in front of another.
pub(crate) struct Between {
    target: Arc<dyn Target>,
    lie: fn() -> Lie,
    wrongs: Wrongs,
}

impl Between {
    pub(crate) fn new(target: Arc<dyn Target>, lie: fn() -> Lie) -> Between {
        Between { target, lie, wrongs: Wrongs::Refused }
    }

    /// One who says the truth, but for what becomes of wrongs.
    pub(crate) fn lenient(target: Arc<dyn Target>, wrongs: Wrongs) -> Between {
        Between { target, lie: || super::each(|_, _| {}), wrongs }
    }
}

impl Target for Between {
    fn connect(&self) -> BoxFuture<'_, io::Result<Box<dyn Stream>>> {
        Box::pin(async move {
            let broker = self.target.connect().await?;
            let (ours, theirs) = tokio::io::duplex(PIPE_BYTES);
            tokio::spawn(pass_on(Box::new(theirs), broker, (self.lie)(), self.wrongs));
            Ok(Box::new(ours) as Box<dyn Stream>)
        })
    }
}

/// One side's bytes as they come, and the packets in them.
struct Side {
    reader: ReadHalf<Box<dyn Stream>>,
    writer: WriteHalf<Box<dyn Stream>>,
    received: BytesMut,
    /// Who reads the packets of this side.
    role: Role,
    ended: bool,
    /// From bytes that are no packet on, nothing is looked at any more.
    opaque: bool,
    /// What is no packet is passed over.
    swallows: bool,
}

/// Something to pass on.
enum Piece {
    Packet(Packet<'static>),
    Bytes(Vec<u8>),
}

impl Side {
    fn new(stream: Box<dyn Stream>, role: Role) -> Side {
        let (reader, writer) = tokio::io::split(stream);
        Side { reader, writer, received: BytesMut::new(), role, ended: false, opaque: false, swallows: false }
    }

    /// Cancel safe.
    async fn read(&mut self) {
        let read = self.reader.read_buf(&mut self.received).await;
        self.ended = !read.is_ok_and(|len| len > 0);
    }

    fn take(&mut self, version: &mut Version) -> Option<Piece> {
        if self.received.is_empty() {
            return None;
        }
        if !self.opaque {
            if self.role == Role::Server
                && let Some(spoken) = connect_version(&self.received)
            {
                *version = spoken;
            }
            match decode(&self.received, &DecodeOptions::new(*version, self.role)) {
                Ok(Decoded::Packet { packet, len }) => {
                    let packet = packet.into_owned();
                    // One that would not be the same bytes again is passed on as it is.
                    let mut again = Vec::new();
                    packet.encode(*version, &mut again);
                    let same = again == self.received[..len];
                    let bytes = self.received[..len].to_vec();
                    self.received.advance(len);
                    return Some(if same { Piece::Packet(packet) } else { Piece::Bytes(bytes) });
                }
                Ok(Decoded::Incomplete { .. }) if !self.ended => return None,
                Err(_) if self.swallows => {
                    let len = frame_len(&self.received);
                    self.received.advance(len);
                    return self.take(version);
                }
                Ok(Decoded::Incomplete { .. }) | Err(_) => self.opaque = true,
            }
        }
        Some(Piece::Bytes(self.received.split().to_vec()))
    }
}

/// As long as its fixed header says that a packet is, or all that there is.
fn frame_len(bytes: &[u8]) -> usize {
    let mut len = 0;
    for (place, byte) in bytes.iter().skip(1).take(4).enumerate() {
        len |= usize::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            return (2 + place + len).min(bytes.len());
        }
    }
    bytes.len()
}

async fn pass_on(client: Box<dyn Stream>, broker: Box<dyn Stream>, mut lie: Lie, wrongs: Wrongs) {
    let mut client = Side::new(client, Role::Server);
    client.swallows = wrongs == Wrongs::Swallowed;
    let mut broker = Side::new(broker, Role::Client);
    let mut version = Version::V3_1_1;
    loop {
        tokio::select! {
            () = client.read(), if !client.ended => {}
            () = broker.read(), if !broker.ended => {}
        }
        while let Some(piece) = client.take(&mut version) {
            send(&mut broker.writer, piece, version, |packet| lie(Way::In, packet)).await;
        }
        while let Some(piece) = broker.take(&mut version) {
            if matches!(piece, Piece::Packet(Packet::Disconnect(_))) && wrongs == Wrongs::Endured {
                continue;
            }
            send(&mut client.writer, piece, version, |packet| lie(Way::Out, packet)).await;
        }
        if broker.ended && wrongs == Wrongs::Endured {
            // The client goes on alone until it has had enough.
            while !client.ended {
                client.read().await;
                client.received.clear();
            }
            return;
        }
        if broker.ended {
            // The case reads what is there, and the end.
            let _ = client.writer.shutdown().await;
            return;
        }
        if client.ended {
            let _ = broker.writer.shutdown().await;
        }
    }
}

async fn send(
    writer: &mut WriteHalf<Box<dyn Stream>>,
    piece: Piece,
    version: Version,
    lie: impl FnOnce(Packet<'static>) -> Vec<Packet<'static>>,
) {
    let mut bytes = Vec::new();
    match piece {
        Piece::Bytes(same) => bytes = same,
        Piece::Packet(packet) => lie(packet).iter().for_each(|packet| packet.encode(version, &mut bytes)),
    }
    // A side that is gone is noticed where it is read.
    let _ = writer.write_all(&bytes).await;
}
