//! The server's side: which requests open a WebSocket for MQTT, and what the others are told.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use super::{HeadLen, MOST_HEADERS, MQTT, MQTT_3_1, accepted, raw_values, read_head, says, values};
use crate::Role;
use crate::error::HandshakeError;
use crate::origins::Origins;
use crate::stream::WebSocket;

/// Where MQTT is: everybody's choice, and none.
const PATHS: [&str; 2] = ["/mqtt", "/"];

/// What is read of one who was refused, in bytes.
const READ_ON: u64 = 64 * 1024;

/// What is looked at of a request.
struct Request {
    len: usize,
    answer: Result<Opening, (u16, &'static str)>,
}

/// A request that opens a WebSocket for MQTT.
struct Opening {
    key: String,
    subprotocol: &'static str,
}

impl HeadLen for Request {
    fn head_len(&self) -> usize {
        self.len
    }
}

/// Waits for a client's handshake, and answers it: `/mqtt` and `/` open a WebSocket, if the client offers the subprotocol
/// `mqtt` (`mqttv3.1` of the older ones), and no browser says that it comes from a page of which [`Origins`] says no. Whatever
/// else comes is refused in HTTP, and the stream is shut down.
///
/// It has no time limit of its own.
///
/// # Errors
/// What came instead.
pub async fn accept<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: S,
    origins: &Origins,
) -> Result<WebSocket<S>, HandshakeError> {
    let (request, early) = match read_head(&mut stream, |bytes| parse(bytes, origins)).await {
        Ok(read) => read,
        Err(error) => {
            if matches!(error, HandshakeError::Head) {
                refuse(&mut stream, 400, "expected an HTTP request of at most 8 KiB").await;
            }
            return Err(error);
        }
    };
    let opening = match request.answer {
        Ok(opening) => opening,
        Err((status, reason)) => {
            refuse(&mut stream, status, reason).await;
            return Err(HandshakeError::Refused { status, reason });
        }
    };
    // [MQTT-6.0.0-4]
    let response = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {}\r\nSec-WebSocket-Protocol: {}\r\n\r\n",
        accepted(&opening.key),
        opening.subprotocol,
    );
    stream.write_all(response.as_bytes()).await?;
    stream.flush().await?;
    Ok(WebSocket::new(stream, Role::Server, early))
}

fn parse(bytes: &[u8], origins: &Origins) -> httparse::Result<Request> {
    let mut headers = [httparse::EMPTY_HEADER; MOST_HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    Ok(match request.parse(bytes)? {
        httparse::Status::Complete(len) => {
            httparse::Status::Complete(Request { len, answer: judge(&request, origins) })
        }
        httparse::Status::Partial => httparse::Status::Partial,
    })
}

fn judge(request: &httparse::Request<'_, '_>, origins: &Origins) -> Result<Opening, (u16, &'static str)> {
    let headers = &request.headers[..];
    let path = request.path.unwrap_or_default();
    let path = path.split_once('?').map_or(path, |(path, _)| path);
    if !PATHS.contains(&path) {
        return Err((404, "MQTT is at /mqtt"));
    }
    if request.method != Some("GET") || request.version != Some(1) {
        return Err((400, "expected GET of HTTP/1.1"));
    }
    if !says(headers, "upgrade", "websocket") || !says(headers, "connection", "upgrade") {
        return Err((426, "expected Upgrade: websocket"));
    }
    if !says(headers, "sec-websocket-version", "13") {
        return Err((426, "expected Sec-WebSocket-Version: 13"));
    }
    let mut hosts = raw_values(headers, "host").map(std::str::from_utf8);
    let (Some(Ok(host)), None) = (hosts.next(), hosts.next()) else { return Err((400, "expected one Host")) };
    // One is what a browser says. Who says several means harm.
    if !raw_values(headers, "origin").all(|origin| origins.allow(origin, host)) {
        return Err((403, "a page of that Origin is not served here"));
    }
    let mut keys = values(headers, "sec-websocket-key");
    let key = match (keys.next(), keys.next()) {
        (Some(key), None) if STANDARD.decode(key).is_ok_and(|key| key.len() == 16) => key.to_owned(),
        _ => return Err((400, "expected one Sec-WebSocket-Key of 16 bytes")),
    };
    let offered = |name: &str| values(headers, "sec-websocket-protocol").any(|offered| offered == name);
    let subprotocol = [MQTT, MQTT_3_1].into_iter().find(|name| offered(name));
    match subprotocol {
        Some(subprotocol) => Ok(Opening { key, subprotocol }),
        None => Err((400, "expected Sec-WebSocket-Protocol: mqtt")),
    }
}

/// One who is gone hears nothing of it. Who goes on is listened to for a while: systems take back what was said in a connection
/// that is dropped with bytes in it that nobody read.
async fn refuse<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S, status: u16, reason: &str) {
    let name = match status {
        403 => "Forbidden",
        404 => "Not Found",
        426 => "Upgrade Required",
        _ => "Bad Request",
    };
    let upgrade = if status == 426 { "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n" } else { "" };
    let response = format!(
        "HTTP/1.1 {status} {name}\r\n{upgrade}Connection: close\r\nContent-Type: text/plain\r\n\
         Content-Length: {}\r\n\r\n{reason}\n",
        reason.len() + 1,
    );
    if stream.write_all(response.as_bytes()).await.is_ok() && stream.shutdown().await.is_ok() {
        let _ = tokio::io::copy(&mut stream.take(READ_ON), &mut tokio::io::sink()).await;
    }
}
