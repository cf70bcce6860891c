//! What opens a WebSocket for MQTT, and what everything else is told.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

use opifex_websocket::{HandshakeError, LONGEST_HEAD, Origins, accept, connect};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

/// The key and its answer of RFC 6455, section 1.3.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPTED: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

fn talk(conversation: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
    // Time is paused: it passes when nothing else can happen, and then nothing ever will.
    let limited = async { tokio::time::timeout(std::time::Duration::from_secs(60), conversation).await };
    runtime.unwrap().block_on(limited).expect("the conversation came to its end");
}

/// A request that is right, with one line of it replaced.
fn request(replaced: &str, by: &str) -> String {
    let right = format!(
        "GET /mqtt HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n\
         Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n"
    );
    assert!(right.contains(replaced));
    right.replacen(replaced, by, 1)
}

/// What the server answers, and how it judges.
async fn answered(request: &[u8], at_once: usize) -> (String, Result<(), HandshakeError>) {
    let (mut client, server) = duplex(1 << 16);
    let say = async move {
        for piece in request.chunks(at_once) {
            if client.write_all(piece).await.is_err() {
                break;
            }
            tokio::task::yield_now().await;
        }
        let mut answer = String::new();
        client.shutdown().await.unwrap();
        client.read_to_string(&mut answer).await.unwrap();
        answer
    };
    let (answer, judged) = tokio::join!(say, async { accept(server, &Origins::default()).await.map(drop) });
    (answer, judged)
}

#[test]
fn the_subprotocol_mqtt_is_picked_and_the_key_answered() {
    talk(async {
        let path = "GET /mqtt HTTP";
        let offers = "Sec-WebSocket-Protocol: mqtt";
        for (replaced, by, subprotocol) in [
            ("", "", "mqtt"),
            (path, "GET / HTTP", "mqtt"),
            (path, "GET /mqtt?token=1 HTTP", "mqtt"),
            (offers, "sec-websocket-protocol: chat,mqttv3.1 , mqtt", "mqtt"),
            (offers, "Sec-WebSocket-Protocol: chat\r\nSec-WebSocket-Protocol: mqtt", "mqtt"),
            (offers, "Sec-WebSocket-Protocol: mqttv3.1", "mqttv3.1"),
            ("websocket", "WebSocket", "mqtt"),
            ("Host: h", "Host: h:8083\r\nOrigin: https://h", "mqtt"),
        ] {
            let request = request(replaced, by);
            for at_once in [1, request.len()] {
                let (answer, judged) = answered(request.as_bytes(), at_once).await;
                judged.unwrap();
                assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
                assert!(answer.contains(&format!("\r\nSec-WebSocket-Accept: {ACCEPTED}\r\n")), "{answer}");
                assert!(
                    answer.ends_with(&format!("\r\nSec-WebSocket-Protocol: {subprotocol}\r\n\r\n")),
                    "{answer}"
                );
            }
        }
    });
}

#[test]
fn whatever_else_is_asked_for_is_refused_in_http() {
    talk(async {
        for (replaced, by, expected) in [
            ("GET /mqtt", "GET /else", 404),
            ("GET", "POST", 400),
            ("HTTP/1.1", "HTTP/1.0", 400),
            ("Upgrade: websocket", "Upgrade: h2c", 426),
            ("keep-alive, Upgrade", "keep-alive", 426),
            ("Version: 13", "Version: 8", 426),
            ("Host: h\r\n", "", 400),
            ("Host: h", "Host: h\r\nHost: g", 400),
            ("Host: h", "Host: h\r\nOrigin: https://evil.example", 403),
            ("Host: h", "Origin: https://h\r\nHost: h\r\nOrigin: https://evil.example", 403),
            ("Host: h", "Host: h\r\nOrigin: null", 403),
            (KEY, "c2hvcnQ=", 400),
            (KEY, "no base64", 400),
            ("Sec-WebSocket-Key", "X-Key", 400),
            ("Sec-WebSocket-Protocol: mqtt", "Sec-WebSocket-Protocol: chat", 400),
            ("Sec-WebSocket-Protocol: mqtt", "Sec-WebSocket-Protocol: MQTT", 400),
            ("Sec-WebSocket-Protocol: mqtt\r\n", "", 400),
        ] {
            let (answer, judged) = answered(request(replaced, by).as_bytes(), 1_000).await;
            assert!(answer.starts_with(&format!("HTTP/1.1 {expected} ")), "{by}: {answer}");
            let Err(HandshakeError::Refused { status, reason }) = judged else { panic!("{by}: {judged:?}") };
            assert_eq!(status, expected);
            assert!(answer.ends_with(&format!("\r\n\r\n{reason}\n")), "{answer}");
        }
    });
}

#[test]
fn what_is_no_request_is_refused_as_soon_as_that_shows() {
    talk(async {
        let connect = [0x10, 12, 0, 4, b'M', b'Q', b'T', b'T', 4, 2, 0, 0, 0, 0];
        let endless = [b"GET / HTTP/1.1\r\nX: ".to_vec(), vec![b'x'; 2 * LONGEST_HEAD]].concat();
        let headers = format!("GET / HTTP/1.1\r\n{}\r\n", "X: y\r\n".repeat(100));
        for (wrong, what) in [
            (&connect[..], "MQTT itself"),
            (&endless, "a head without end"),
            (headers.as_bytes(), "many headers"),
        ] {
            let (answer, judged) = answered(wrong, 1_000).await;
            assert!(matches!(judged, Err(HandshakeError::Head)), "{what}: {judged:?}");
            assert!(answer.starts_with("HTTP/1.1 400 "), "{what}: {answer}");
        }
    });
}

#[test]
fn who_leaves_in_the_middle_is_told_from_who_says_something_else() {
    let ended = |judged: Result<(), HandshakeError>| matches!(judged, Err(HandshakeError::Io(error)) if error.kind() == std::io::ErrorKind::UnexpectedEof);
    talk(async {
        for said in [&b""[..], b"GET / HT"] {
            let (answer, judged) = answered(said, 1_000).await;
            assert!(ended(judged) && answer.is_empty(), "{answer}");
        }
        let (client, mut server) = duplex(1 << 16);
        server.write_all(b"HTTP/1.1 101").await.unwrap();
        server.shutdown().await.unwrap();
        assert!(ended(connect(client, "h", "/mqtt").await.map(drop)));
    });
}

#[test]
fn who_says_too_much_is_listened_to_and_hears_the_answer() {
    talk(async {
        let (mut client, server) = duplex(1_024);
        let judge = tokio::spawn(async move { accept(server, &Origins::default()).await.map(drop) });
        let long = [b"GET / HTTP/1.1\r\nX: ".to_vec(), vec![b'x'; 4 * LONGEST_HEAD]].concat();
        // To a connection that is dropped before, the system says that all is lost.
        client.write_all(&long).await.unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
        drop(client);
        assert!(matches!(judge.await.unwrap(), Err(HandshakeError::Head)));
    });
}

#[test]
fn who_is_refused_and_goes_on_for_ever_is_left() {
    talk(async {
        let (mut client, server) = duplex(1_024);
        let judge = tokio::spawn(async move { accept(server, &Origins::default()).await.map(drop) });
        let mut taken = 0;
        while client.write_all(&[b'x'; 1_024]).await.is_ok() {
            taken += 1;
            assert!(taken < 100, "it has no end");
        }
        assert!(matches!(judge.await.unwrap(), Err(HandshakeError::Head)));
    });
}

#[test]
fn what_comes_with_the_request_is_read_first() {
    talk(async {
        let (mut client, server) = duplex(1 << 16);
        let mut bytes = request("", "").into_bytes();
        bytes.extend_from_slice(&[0x82, 0x82, 0, 0, 0, 0, b'a', b'b']);
        client.write_all(&bytes).await.unwrap();
        let mut server = accept(server, &Origins::default()).await.unwrap();
        let mut came = [0; 1];
        for expected in [b"a", b"b"] {
            server.read_exact(&mut came).await.unwrap();
            assert_eq!(&came, expected);
        }
        client.write_all(&[0x82, 0x81, 1, 0, 0, 0, b'b']).await.unwrap();
        server.read_exact(&mut came).await.unwrap();
        assert_eq!(&came, b"c");
    });
}

#[test]
fn a_client_takes_no_other_answer() {
    talk(async {
        for (answer, expected) in [
            ("HTTP/1.1 400 Bad Request\r\n\r\n", "400 Bad Request"),
            ("HTTP/1.1 101 S\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n", "something else"),
            (
                "HTTP/1.1 101 S\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: x\r\n\r\n",
                "the key",
            ),
        ] {
            let (client, mut server) = duplex(1 << 16);
            server.write_all(answer.as_bytes()).await.unwrap();
            let error = connect(client, "h", "/mqtt").await.unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
        for (host, path) in [("h\r\nX: y", "/"), ("h", "mqtt"), ("h", "/a b")] {
            assert!(connect(duplex(64).0, host, path).await.is_err(), "{host:?} {path:?}");
        }
    });
}

/// A server that has read the key, and picks this subprotocol.
async fn picks(subprotocol: &str) -> Result<(), HandshakeError> {
    use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
    let (client, server) = duplex(1 << 16);
    #[allow(clippy::result_large_err, reason = "tungstenite's signature")]
    let callback = |_: &Request, mut response: Response| {
        if !subprotocol.is_empty() {
            response.headers_mut().insert("Sec-WebSocket-Protocol", subprotocol.parse().unwrap());
        }
        Ok(response)
    };
    let server = tokio_tungstenite::accept_hdr_async(server, callback);
    let (opened, _server) = tokio::join!(connect(client, "h", "/mqtt"), server);
    opened.map(drop)
}

#[test]
fn a_client_is_served_under_mqtt_alone() {
    talk(async {
        picks("mqtt").await.unwrap();
        for other in ["", "chat", "mqttv3.1"] {
            let error = picks(other).await.unwrap_err().to_string();
            assert!(error.contains("its subprotocol is"), "{error}");
        }
    });
}
