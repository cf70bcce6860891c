//! The handshake: RFC 6455, section 4, with what section 6 of MQTT adds to it. A head is bounded, and so is what is kept
//! of it.

use std::io;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest as _, Sha1};
use tokio::io::{AsyncRead, AsyncReadExt as _};

use crate::error::HandshakeError;

mod client;
mod server;

pub use client::connect;
pub use server::accept;

/// The longest head of a request or of a response, in bytes. Browsers send cookies and much else.
pub const LONGEST_HEAD: usize = 8 * 1024;
/// The most headers.
const MOST_HEADERS: usize = 64;

/// [MQTT-6.0.0-3], [MQTT-6.0.0-4] The subprotocol.
const MQTT: &str = "mqtt";
/// What clients of 3.1 say.
const MQTT_3_1: &str = "mqttv3.1";

/// What the server says to show that it has read the key.
fn accepted(key: &str) -> String {
    let digest =
        Sha1::new().chain_update(key).chain_update("258EAFA5-E914-47DA-95CA-C5AB0DC85B11").finalize();
    STANDARD.encode(digest)
}

/// Reads a head, and what has come behind it. `parse` answers with how long it is, as soon as it is whole.
async fn read_head<S, T>(
    stream: &mut S,
    parse: impl Fn(&[u8]) -> httparse::Result<T>,
) -> Result<(T, Vec<u8>), HandshakeError>
where
    S: AsyncRead + Unpin,
    T: HeadLen,
{
    let mut came = Vec::with_capacity(1024);
    loop {
        let room = (LONGEST_HEAD - came.len()) as u64;
        if room == 0 {
            return Err(HandshakeError::Head);
        }
        if (&mut *stream).take(room).read_buf(&mut came).await? == 0 {
            return Err(HandshakeError::Io(io::ErrorKind::UnexpectedEof.into()));
        }
        match parse(&came) {
            Ok(httparse::Status::Complete(head)) => {
                let rest = came.split_off(head.head_len());
                return Ok((head, rest));
            }
            Ok(httparse::Status::Partial) => {}
            Err(_) => return Err(HandshakeError::Head),
        }
    }
}

/// A head that was parsed.
trait HeadLen {
    fn head_len(&self) -> usize;
}

/// What stands behind a name, each time.
fn raw_values<'a>(headers: &'a [httparse::Header<'a>], name: &'a str) -> impl Iterator<Item = &'a [u8]> {
    let same = headers.iter().filter(move |header| header.name.eq_ignore_ascii_case(name));
    same.map(|header| header.value.trim_ascii())
}

/// The values of a header that may stand several times, and have several values each time.
fn values<'a>(headers: &'a [httparse::Header<'a>], name: &'a str) -> impl Iterator<Item = &'a str> {
    raw_values(headers, name)
        .filter_map(|value| std::str::from_utf8(value).ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
}

/// Whether one of them is this, in whichever case.
fn says(headers: &[httparse::Header<'_>], name: &str, value: &str) -> bool {
    values(headers, name).any(|said| said.eq_ignore_ascii_case(value))
}
