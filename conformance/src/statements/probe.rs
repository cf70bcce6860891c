//! The first word with a broker: whether anybody is there, whether it speaks MQTT, which versions, and what it announces.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use opifex_packet::{Connect, DecodeOptions, Decoded, Disconnect, Packet, ReasonCode, Role, Version, decode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::descriptor::Descriptor;
use super::offers::Offers;
use super::target::Target;
use super::transcript::{describe, hex};

/// Why no case can be asked of this target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unusable {
    /// No connection comes about.
    Unreachable(String),
    /// It takes a CONNECT and neither answers nor closes.
    Hangs(Duration),
    /// It answers with something that is no CONNACK.
    NotMqtt(String),
    /// It accepts none of the versions that were asked for.
    Refuses(String),
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unusable::Unreachable(error) => write!(f, "nothing listens there: {error}"),
            Unusable::Hangs(patience) => {
                write!(f, "it hangs: a CONNECT was neither answered nor refused in {patience:?}")
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
    Refused(String),
}

/// Asks for a connection in this version.
pub(crate) async fn probe(
    target: &Arc<dyn Target>,
    descriptor: &Descriptor,
    version: Version,
    client_id: &str,
) -> Result<Found, Unusable> {
    let patience = descriptor.patience();
    let mut stream = match timeout(patience, target.connect()).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return Err(Unusable::Unreachable(error.to_string())),
        Err(_) => return Err(Unusable::Unreachable(format!("no connection in {patience:?}"))),
    };
    let mut connect = Connect::new(version, client_id);
    if let Some(user) = &descriptor.user {
        connect.user_name = Some(user.name.as_str().into());
        connect.password = Some(user.password.as_bytes().into());
    }
    let mut bytes = Vec::new();
    Packet::from(connect).encode(version, &mut bytes);
    // One that closes at once is judged by what it said.
    let _ = timeout(patience, stream.write_all(&bytes)).await;

    let mut received = BytesMut::new();
    loop {
        match timeout(patience, stream.read_buf(&mut received)).await {
            Err(_) if received.is_empty() => return Err(Unusable::Hangs(patience)),
            Err(_) => return Err(not_mqtt(&received)),
            Ok(Ok(len)) if len > 0 => {}
            Ok(_) if received.is_empty() => {
                return Ok(Found::Refused("it closes without an answer".to_owned()));
            }
            Ok(_) => return Err(not_mqtt(&received)),
        }
        // One that does not speak the version answers in the form of another.
        for version in [version, Version::V3_1_1] {
            match decode(&received, &DecodeOptions::new(version, Role::Client)) {
                Ok(Decoded::Packet { packet: Packet::Connack(connack), .. }) => {
                    if connack.reason != ReasonCode::Success {
                        return Ok(Found::Refused(format!("CONNACK {:#04x}", connack.reason as u8)));
                    }
                    let offers = Offers::of(&connack);
                    let mut bye = Vec::new();
                    Packet::from(Disconnect::new(ReasonCode::Success)).encode(version, &mut bye);
                    let _ = timeout(patience, stream.write_all(&bye)).await;
                    return Ok(Found::Accepted(offers));
                }
                Ok(Decoded::Packet { packet, .. }) => {
                    return Err(Unusable::NotMqtt(format!("CONNECT is answered by {}", describe(&packet))));
                }
                Ok(Decoded::Incomplete { .. }) => break,
                Err(_) if version == Version::V3_1_1 => return Err(not_mqtt(&received)),
                Err(_) => {}
            }
        }
    }
}

fn not_mqtt(bytes: &[u8]) -> Unusable {
    let shown = &bytes[..bytes.len().min(60)];
    let text = String::from_utf8_lossy(shown);
    let printable = shown.iter().all(|byte| byte.is_ascii_graphic() || byte.is_ascii_whitespace());
    Unusable::NotMqtt(if printable {
        format!("CONNECT is answered by {:?}", text)
    } else {
        format!("CONNECT is answered by {}", hex(bytes))
    })
}
