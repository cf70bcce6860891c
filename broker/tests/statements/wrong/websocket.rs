//! Brokers that are wrong about WebSocket: somebody between the listener and the case, who changes heads of HTTP and frames.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;

use opifex_conformance::statements::{BoxFuture, Options, Stream, Target, run};
use opifex_packet::{DecodeOptions, Decoded, Role, Version, decode};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use super::Way;
use crate::backend::Backend;
use crate::house::House;
use crate::pipe::Pipe;

/// What goes either way.
enum Piece {
    /// A request, or a response.
    Head(String),
    /// The first byte of a frame, and its payload.
    Frame(u8, Vec<u8>),
}

const CONTINUATION: u8 = 0x80;
const TEXT: u8 = 0x81;
const BINARY: u8 = 0x82;

type Lie = fn(Way, Piece) -> Option<Piece>;

/// A broker with a liar before its WebSocket listener.
struct Wrong {
    broker: Pipe,
    lie: Lie,
}

impl Target for Wrong {
    fn connect(&self) -> BoxFuture<'_, io::Result<Box<dyn Stream>>> {
        self.broker.connect()
    }

    fn websocket(&self) -> Option<BoxFuture<'_, io::Result<Box<dyn Stream>>>> {
        Some(Box::pin(async {
            let (from_broker, to_broker) = tokio::io::split(self.broker.websocket().unwrap().await?);
            let (ours, theirs) = tokio::io::duplex(1 << 16);
            let (from_client, to_client) = tokio::io::split(theirs);
            tokio::spawn(pass_on(Way::In, from_client, to_broker, self.lie));
            tokio::spawn(pass_on(Way::Out, from_broker, to_client, self.lie));
            Ok(Box::new(ours) as Box<dyn Stream>)
        }))
    }
}

/// Until either side ends, which the other hears of.
async fn pass_on(
    way: Way,
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    lie: Lie,
) -> io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(from.read_u8().await?);
    }
    let head = String::from_utf8(head).unwrap();
    let opens = way == Way::In || head.starts_with("HTTP/1.1 101");
    if let Some(Piece::Head(head)) = lie(way, Piece::Head(head)) {
        to.write_all(head.as_bytes()).await?;
    }
    while opens && let Ok(first) = from.read_u8().await {
        let second = from.read_u8().await?;
        let masked = second & 0x80 != 0;
        let len = match second & 0x7f {
            126 => from.read_u16().await?,
            len => len.into(),
        };
        let mut mask = [0; 4];
        if masked {
            from.read_exact(&mut mask).await?;
        }
        let mut payload = vec![0; len.into()];
        from.read_exact(&mut payload).await?;
        payload.iter_mut().zip(mask.iter().cycle()).for_each(|(byte, mask)| *byte ^= mask);
        if let Some(Piece::Frame(first, payload)) = lie(way, Piece::Frame(first, payload)) {
            let mut bytes = vec![first, (second & 0x80) | 126];
            bytes.extend_from_slice(&(payload.len() as u16).to_be_bytes());
            if payload.len() < 126 {
                bytes.truncate(1);
                bytes.push((second & 0x80) | payload.len() as u8);
            }
            bytes.extend_from_slice(if masked { &[0; 4] } else { &[] });
            bytes.extend_from_slice(&payload);
            to.write_all(&bytes).await?;
        }
    }
    to.shutdown().await
}

/// The cases that fail with this lie, in both versions.
fn is_caught(lie: Lie, by: &[&str]) {
    Backend::Memory.talk(|| async {
        let options = Options { only: Some("websocket::".to_owned()), ..Options::default() };
        let target = Arc::new(Wrong { broker: Pipe::open(House::Plain).await, lie });
        let report = run(target, House::Plain.descriptor(), options, |_| {}).await.unwrap();
        let failed: Vec<_> = report.failures().map(|case| case.id.as_str()).collect();
        let names: BTreeSet<_> = failed.iter().map(|id| id.trim_start_matches("websocket::")).collect();
        let report: String = report.failures().map(|case| report.failure(case)).collect();
        assert_eq!(names, BTreeSet::from_iter(by.iter().copied()), "{report}");
        assert_eq!(failed.len(), 2 * by.len(), "in both versions");
    });
}

#[test]
fn somebody_who_does_not_lie_is_not_noticed() {
    is_caught(|_, piece| Some(piece), &[]);
}

#[test]
fn it_takes_text_for_packets() {
    let lie = |way, piece| {
        Some(match (way, piece) {
            (Way::In, Piece::Frame(TEXT, payload)) => Piece::Frame(BINARY, payload),
            (_, piece) => piece,
        })
    };
    is_caught(lie, &["a_text_frame_closes_the_connection"]);
}

#[test]
fn it_passes_over_text() {
    let lie = |way, piece| match (way, piece) {
        (Way::In, Piece::Frame(TEXT, _)) => None,
        (_, piece) => Some(piece),
    };
    is_caught(lie, &["a_text_frame_closes_the_connection"]);
}

const WHOEVER_IS_SERVED: [&str; 6] = [
    "the_server_picks_the_subprotocol_mqtt",
    "a_server_sends_binary_frames",
    "a_text_frame_closes_the_connection",
    "packets_may_share_a_frame",
    "packets_may_span_frames",
    "packets_may_span_the_frames_of_a_message",
];

#[test]
fn it_sends_text() {
    let lie = |way, piece| {
        Some(match (way, piece) {
            (Way::Out, Piece::Frame(BINARY, payload)) => Piece::Frame(TEXT, payload),
            (_, piece) => piece,
        })
    };
    is_caught(lie, &WHOEVER_IS_SERVED);
}

/// How many bytes the first packet has; `None`: it is not whole.
fn first_packet(bytes: &[u8]) -> Option<usize> {
    match decode(bytes, &DecodeOptions::new(Version::V5_0, Role::Server)) {
        Ok(Decoded::Packet { len, .. }) => Some(len),
        // Of another version, but whole.
        Err(_) => Some(bytes.len()),
        Ok(Decoded::Incomplete { .. }) => None,
    }
}

#[test]
fn it_takes_only_the_first_packet_of_a_frame() {
    let lie = |way, piece| {
        Some(match (way, piece) {
            (Way::In, Piece::Frame(BINARY, payload)) => {
                // CONNECT is as long as its second byte says.
                let len = if payload.first() == Some(&0x10) && payload.len() > 1 {
                    2 + usize::from(payload[1])
                } else {
                    payload.len()
                };
                Piece::Frame(BINARY, payload[..len.min(payload.len())].to_vec())
            }
            (_, piece) => piece,
        })
    };
    is_caught(lie, &["packets_may_share_a_frame"]);
}

#[test]
fn it_takes_only_whole_packets() {
    let lie = |way, piece| match (way, piece) {
        (Way::In, Piece::Frame(BINARY, payload)) if first_packet(&payload).is_none() => None,
        (_, piece) => Some(piece),
    };
    is_caught(lie, &["packets_may_span_frames"]);
}

#[test]
fn it_takes_only_messages_of_one_frame() {
    let lie = |way, piece| match (way, piece) {
        (Way::In, Piece::Frame(first, _)) if first & 0x80 == 0 || first == CONTINUATION => None,
        (_, piece) => Some(piece),
    };
    is_caught(lie, &["packets_may_span_the_frames_of_a_message"]);
}

/// The answer picks this.
fn picks(way: Way, piece: Piece, subprotocol: &str) -> Option<Piece> {
    Some(match (way, piece) {
        (Way::Out, Piece::Head(head)) => {
            Piece::Head(head.replace("Sec-WebSocket-Protocol: mqtt\r\n", subprotocol))
        }
        (_, piece) => piece,
    })
}

#[test]
fn it_picks_another_subprotocol_or_none() {
    let by = ["the_server_picks_the_subprotocol_mqtt"];
    is_caught(|way, piece| picks(way, piece, "Sec-WebSocket-Protocol: chat\r\n"), &by);
    is_caught(|way, piece| picks(way, piece, ""), &by);
}

/// The listener hears that everybody offers `mqtt`.
fn all_offer(way: Way, piece: Piece) -> Option<Piece> {
    let Piece::Head(head) = piece else { return Some(piece) };
    if way == Way::Out {
        return Some(Piece::Head(head));
    }
    let others: String = head.split_inclusive("\r\n").filter(|line| !line.contains("-Protocol:")).collect();
    Some(Piece::Head(format!("{}Sec-WebSocket-Protocol: mqtt\r\n\r\n", &others[..others.len() - 2])))
}

#[test]
fn it_says_mqtt_to_who_did_not_offer_it() {
    is_caught(all_offer, &["mqtt_is_not_served_under_another_subprotocol"]);
}

#[test]
fn it_serves_mqtt_without_a_subprotocol() {
    let lie = |way, piece| picks(way, all_offer(way, piece)?, "");
    is_caught(
        lie,
        &["mqtt_is_not_served_under_another_subprotocol", "the_server_picks_the_subprotocol_mqtt"],
    );
}
