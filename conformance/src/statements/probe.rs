//! A word with a broker: whether anybody is there, whether it speaks MQTT, which versions, and what it announces. It is
//! asked before the first case, and again whenever a case fails: a broker that is gone fails every other one, too.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use opifex_packet::{Connect, DecodeOptions, Decoded, Disconnect, Packet, ReasonCode, Role, Version, decode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, sleep, timeout};

use super::descriptor::Descriptor;
use super::offers::Offers;
use super::target::{Stream, Target};
use super::transcript::{describe, hex};

/// No CONNACK is longer: what pours more out is no broker.
const LONGEST_CONNACK: usize = 256 * 1024;

/// Why no case can be asked of this target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unusable {
    /// Nobody listens at that address.
    NobodyListens(String),
    /// No connection comes about for another reason.
    Unreachable(String),
    /// It takes a CONNECT and neither answers nor closes.
    Hangs(Duration),
    /// It takes connections, and closes each without a word, whichever version is spoken.
    Closes,
    /// It answers with something that is no CONNACK.
    NotMqtt(String),
    /// It accepts none of the versions that were asked for.
    Refuses(String),
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unusable::NobodyListens(error) => write!(f, "nothing listens there: {error}"),
            Unusable::Unreachable(error) => write!(f, "no connection comes about: {error}"),
            Unusable::Hangs(patience) => {
                write!(f, "it hangs: a CONNECT was neither answered nor refused in {patience:?}")
            }
            Unusable::Closes => {
                write!(f, "it takes connections and closes them without an answer to CONNECT")
            }
            Unusable::NotMqtt(what) => write!(f, "it speaks no MQTT: {what}"),
            Unusable::Refuses(why) => write!(f, "it lets nobody in: {why}"),
        }
    }
}

impl std::error::Error for Unusable {}

/// What the probe found for one version.
#[derive(Clone, Debug)]
pub(crate) enum Found {
    Accepted(Offers),
    /// By CONNACK.
    Refused(String),
    /// The connection was closed without a word, as one may do that does not know the version.
    Closed,
}

impl Found {
    /// Why this version is not spoken.
    pub(crate) fn refusal(&self) -> Option<String> {
        match self {
            Found::Accepted(_) => None,
            Found::Refused(why) => Some(why.clone()),
            Found::Closed => Some("it closes without an answer".to_owned()),
        }
    }
}

/// Asks for a connection in this version. It ends within twice the broker's patience, whatever the other side does.
pub(crate) async fn probe(
    target: &Arc<dyn Target>,
    descriptor: &Descriptor,
    version: Version,
    client_id: &str,
) -> Result<Found, Unusable> {
    let patience = descriptor.patience();
    let mut stream = match timeout(patience, target.connect()).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => {
            return Err(Unusable::NobodyListens(error.to_string()));
        }
        Ok(Err(error)) => return Err(Unusable::Unreachable(error.to_string())),
        Err(_) => return Err(Unusable::Unreachable(format!("none in {patience:?}"))),
    };
    let mut connect = Connect::new(version, client_id);
    if let Some(user) = &descriptor.user {
        connect.user_name = Some(user.name.as_str().into());
        connect.password = Some(user.password.as_bytes().into());
    }
    let mut bytes = Vec::new();
    Packet::from(connect).encode(version, &mut bytes);
    let mut received = BytesMut::new();
    match timeout(patience, introduce(&mut stream, version, &bytes, &mut received)).await {
        Ok(found) => found,
        Err(_) if received.is_empty() => Err(Unusable::Hangs(patience)),
        Err(_) => Err(not_mqtt(&received)),
    }
}

async fn introduce(
    stream: &mut Box<dyn Stream>,
    version: Version,
    connect: &[u8],
    received: &mut BytesMut,
) -> Result<Found, Unusable> {
    // One that closes at once is judged by what it said.
    let _ = stream.write_all(connect).await;
    loop {
        match stream.read_buf(received).await {
            Ok(len) if len > 0 && received.len() <= LONGEST_CONNACK => {}
            Ok(_) | Err(_) if received.is_empty() => return Ok(Found::Closed),
            Ok(_) | Err(_) => return Err(not_mqtt(received)),
        }
        // One that does not speak the version answers in the form of another.
        for version in [version, Version::V3_1_1] {
            match decode(received, &DecodeOptions::new(version, Role::Client)) {
                Ok(Decoded::Packet { packet: Packet::Connack(connack), .. }) => {
                    if connack.reason != ReasonCode::Success {
                        return Ok(Found::Refused(format!("CONNACK {:#04x}", connack.reason as u8)));
                    }
                    let offers = Offers::of(&connack);
                    let mut bye = Vec::new();
                    Packet::from(Disconnect::new(ReasonCode::Success)).encode(version, &mut bye);
                    let _ = stream.write_all(&bye).await;
                    return Ok(Found::Accepted(offers));
                }
                Ok(Decoded::Packet { packet, .. }) => {
                    return Err(Unusable::NotMqtt(format!("CONNECT is answered by {}", describe(&packet))));
                }
                Ok(Decoded::Incomplete { .. }) => break,
                Err(_) if version == Version::V3_1_1 => return Err(not_mqtt(received)),
                Err(_) => {}
            }
        }
    }
}

/// Whether it still answers a CONNECT. One that does not is asked for a while before that is believed.
pub(crate) async fn still_answers(
    target: &Arc<dyn Target>,
    descriptor: &Descriptor,
    version: Version,
    client_id: &str,
) -> Result<(), Unusable> {
    let patience = descriptor.patience();
    let enough = Instant::now() + patience * 2;
    loop {
        let silent = match probe(target, descriptor, version, client_id).await {
            Ok(Found::Accepted(_) | Found::Refused(_)) => return Ok(()),
            Ok(Found::Closed) => Unusable::Closes,
            Err(error) => error,
        };
        if Instant::now() >= enough {
            return Err(silent);
        }
        sleep(patience / 10).await;
    }
}

fn not_mqtt(bytes: &[u8]) -> Unusable {
    let shown = &bytes[..bytes.len().min(60)];
    let text = String::from_utf8_lossy(shown);
    let printable = shown.iter().all(|byte| byte.is_ascii_graphic() || byte.is_ascii_whitespace());
    Unusable::NotMqtt(if printable {
        format!("CONNECT is answered by {text:?}")
    } else {
        format!("CONNECT is answered by {}", hex(bytes))
    })
}
