//! The client's side: asks for a WebSocket for MQTT, and takes nothing else.

use std::hash::{BuildHasher as _, RandomState};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};

use super::{HeadLen, MOST_HEADERS, MQTT, accepted, read_head, says, values};
use crate::Role;
use crate::error::HandshakeError;
use crate::stream::WebSocket;

/// What is looked at of a response.
struct Response {
    len: usize,
    wrong: Option<String>,
}

impl HeadLen for Response {
    fn head_len(&self) -> usize {
        self.len
    }
}

/// Opens a WebSocket for MQTT over a stream to a server: `host` is its name, with the port if it is another than 80, and
/// `path` where MQTT is there, mostly `/mqtt`.
///
/// It has no time limit of its own.
///
/// # Errors
/// The server opens none; a host or a path that cannot stand in a request.
pub async fn connect<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: S,
    host: &str,
    path: &str,
) -> Result<WebSocket<S>, HandshakeError> {
    let fits = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic());
    if !path.starts_with('/') || !fits(path) || !fits(host) {
        return Err(HandshakeError::Answer(format!("{host:?} and {path:?} cannot stand in a request")));
    }
    let key = new_key();
    // [MQTT-6.0.0-3]
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: {MQTT}\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await?;
    stream.flush().await?;
    let (response, early) = read_head(&mut stream, |bytes| parse(bytes, &key)).await?;
    match response.wrong {
        None => Ok(WebSocket::new(stream, Role::Client, early)),
        Some(wrong) => Err(HandshakeError::Answer(wrong)),
    }
}

/// It has to be another one each time, and is no secret.
fn new_key() -> String {
    let random = RandomState::new();
    STANDARD.encode([random.hash_one(0).to_ne_bytes(), random.hash_one(1).to_ne_bytes()].concat())
}

fn parse(bytes: &[u8], key: &str) -> httparse::Result<Response> {
    let mut headers = [httparse::EMPTY_HEADER; MOST_HEADERS];
    let mut response = httparse::Response::new(&mut headers);
    Ok(match response.parse(bytes)? {
        httparse::Status::Complete(len) => {
            httparse::Status::Complete(Response { len, wrong: wrong(&response, key) })
        }
        httparse::Status::Partial => httparse::Status::Partial,
    })
}

/// What keeps the answer from being a WebSocket for MQTT.
fn wrong(response: &httparse::Response<'_, '_>, key: &str) -> Option<String> {
    let headers = &response.headers[..];
    let code = response.code.unwrap_or_default();
    if code != 101 {
        return Some(format!("{code} {}", response.reason.unwrap_or_default()));
    }
    if !says(headers, "upgrade", "websocket") || !says(headers, "connection", "upgrade") {
        return Some("it upgrades to something else".to_owned());
    }
    if !values(headers, "sec-websocket-accept").eq([accepted(key).as_str()]) {
        return Some("it has not read the key".to_owned());
    }
    let subprotocols: Vec<_> = values(headers, "sec-websocket-protocol").collect();
    if subprotocols != [MQTT] {
        return Some(format!("its subprotocol is {subprotocols:?}, not {MQTT}"));
    }
    if values(headers, "sec-websocket-extensions").next().is_some() {
        return Some("it uses extensions that nobody offered".to_owned());
    }
    None
}
