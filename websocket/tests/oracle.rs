//! Both roles beside tungstenite, which nobody here wrote: what one side writes in whatever pieces, the other side reads.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

use futures_util::{SinkExt as _, StreamExt as _};
use opifex_websocket::{Origins, Violation, WebSocket, accept, connect};
use proptest::prelude::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
use tokio_tungstenite::{WebSocketStream, accept_hdr_async, client_async};

type Theirs = WebSocketStream<DuplexStream>;

fn talk(conversation: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
    // Time is paused: it passes when nothing else can happen, and then nothing ever will.
    let limited = async { tokio::time::timeout(std::time::Duration::from_secs(60), conversation).await };
    runtime.unwrap().block_on(limited).expect("the conversation came to its end");
}

/// Our server and their client, over a pipe of so many bytes.
async fn served(pipe: usize) -> (WebSocket<DuplexStream>, Theirs) {
    let (ours, theirs) = duplex(pipe);
    let mut request = "ws://broker.example/mqtt".into_client_request().unwrap();
    request.headers_mut().insert("Sec-WebSocket-Protocol", "chat, mqtt".parse().unwrap());
    let origins = Origins::default();
    let (ours, theirs) = tokio::join!(accept(ours, &origins), client_async(request, theirs));
    let (theirs, response) = theirs.unwrap();
    assert_eq!(response.headers()["Sec-WebSocket-Protocol"], "mqtt");
    (ours.unwrap(), theirs)
}

/// Our client and their server.
async fn asked(pipe: usize) -> (WebSocket<DuplexStream>, Theirs) {
    let (ours, theirs) = duplex(pipe);
    #[allow(clippy::result_large_err, reason = "tungstenite's signature")]
    let picks = |request: &Request, mut response: Response| {
        assert_eq!(request.uri().path(), "/mqtt");
        assert_eq!(request.headers()["Host"], "broker.example:8083");
        let offered = request.headers()["Sec-WebSocket-Protocol"].clone();
        response.headers_mut().insert("Sec-WebSocket-Protocol", offered);
        Ok(response)
    };
    let (ours, theirs) =
        tokio::join!(connect(ours, "broker.example:8083", "/mqtt"), accept_hdr_async(theirs, picks));
    (ours.unwrap(), theirs.unwrap())
}

/// What we write comes out there, and what is written there in frames comes out here; both at once.
async fn exchanged(ours: WebSocket<DuplexStream>, theirs: Theirs, writes: &[Vec<u8>], frames: &[Vec<u8>]) {
    let (mut reader, mut writer) = tokio::io::split(ours);
    let (mut sink, mut stream) = theirs.split();
    let to_them: Vec<u8> = writes.concat();
    let to_us: Vec<u8> = frames.concat();
    let write = async {
        for bytes in writes {
            writer.write_all(bytes).await.unwrap();
            writer.flush().await.unwrap();
        }
    };
    let send = async {
        for frame in frames {
            sink.send(Message::Ping(frame[..frame.len().min(100)].to_vec().into())).await.unwrap();
            sink.send(Message::binary(frame.clone())).await.unwrap();
        }
    };
    let read = async {
        let mut came = vec![0; to_us.len()];
        reader.read_exact(&mut came).await.unwrap();
        came
    };
    let mut received = Vec::new();
    let mut receive = async || match stream.next().await.unwrap().unwrap() {
        Message::Binary(bytes) => received.extend_from_slice(&bytes),
        other => assert!(other.is_pong()),
    };
    // They read as long as we have something to say, be it a Pong.
    let ((), (), read) = tokio::select! {
        ended = async { tokio::join!(write, send, read) } => ended,
        () = async { loop { receive().await } } => unreachable!(),
    };
    while received.len() < to_them.len() {
        if let Message::Binary(bytes) = stream.next().await.unwrap().unwrap() {
            received.extend_from_slice(&bytes);
        }
    }
    assert!(read == to_us, "what they sent");
    assert!(received == to_them, "what we sent");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn bytes_go_both_ways_whatever_frames_and_pieces_they_are_in(
        // Tungstenite takes a handshake in more than 64 pieces for an attack.
        pipe in prop_oneof![8_usize..300, Just(70_000)],
        writes in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..3_000), 0..8),
        frames in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..3_000), 0..8),
        client in any::<bool>(),
    ) {
        talk(async {
            let (ours, theirs) = if client { asked(pipe).await } else { served(pipe).await };
            exchanged(ours, theirs, &writes, &frames).await;
        });
    }
}

#[test]
fn a_long_write_goes_out_in_frames_that_any_reader_takes() {
    talk(async {
        for client in [false, true] {
            let (ours, mut theirs) = if client { asked(1_000).await } else { served(1_000).await };
            let long: Vec<u8> = (0..300_000_u32).map(|number| number as u8).collect();
            let (_reader, mut writer) = tokio::io::split(ours);
            let write = async {
                writer.write_all(&long).await.unwrap();
                writer.flush().await.unwrap();
            };
            let receive = async {
                let mut came = Vec::new();
                while came.len() < long.len() {
                    let Message::Binary(bytes) = theirs.next().await.unwrap().unwrap() else { panic!() };
                    assert!(bytes.len() <= 65_535, "{}", bytes.len());
                    came.extend_from_slice(&bytes);
                }
                came
            };
            let ((), came) = tokio::join!(write, receive);
            assert!(came == long);
        }
    });
}

#[test]
fn a_ping_is_answered_by_who_reads() {
    talk(async {
        let (mut ours, mut theirs) = served(1_000).await;
        theirs.send(Message::Ping(b"there?".to_vec().into())).await.unwrap();
        theirs.send(Message::binary(b"x".to_vec())).await.unwrap();
        assert_eq!(ours.read_u8().await.unwrap(), b'x');
        let read = tokio::spawn(async move { ours.read_u8().await });
        assert_eq!(theirs.next().await.unwrap().unwrap(), Message::Pong(b"there?".to_vec().into()));
        read.abort();
    });
}

#[test]
fn a_text_frame_ends_it_and_is_told_of() {
    talk(async {
        let (mut ours, mut theirs) = served(1_000).await;
        theirs.send(Message::binary(b"x".to_vec())).await.unwrap();
        theirs.send(Message::text("y")).await.unwrap();
        let mut came = Vec::new();
        let error = ours.read_to_end(&mut came).await.unwrap_err();
        assert_eq!(came, b"x");
        let violation = error.get_ref().and_then(|error| error.downcast_ref::<Violation>());
        assert_eq!(violation, Some(&Violation::Text));
        let Message::Close(Some(close)) = theirs.next().await.unwrap().unwrap() else { panic!() };
        assert_eq!(u16::from(close.code), 1003);
        let error = ours.write_all(b"more").await.expect_err("nothing follows a Close");
        assert_eq!(error.kind(), std::io::ErrorKind::InvalidData, "and the reason is the same");
    });
}

#[test]
fn either_side_may_close() {
    talk(async {
        let (mut ours, mut theirs) = served(1_000).await;
        ours.shutdown().await.unwrap();
        assert!(
            matches!(theirs.next().await.unwrap().unwrap(), Message::Close(Some(close)) if u16::from(close.code) == 1000)
        );

        let (mut ours, mut theirs) = asked(1_000).await;
        let mut nothing = Vec::new();
        let (read, closed) = tokio::join!(ours.read_to_end(&mut nothing), theirs.close(None));
        assert_eq!(read.unwrap(), 0);
        closed.unwrap();
    });
}
