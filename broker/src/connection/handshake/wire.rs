//! The transport before there is a session: packets one by one, and the ways to say no.

use std::future::poll_fn;
use std::task::Poll;

use opifex_connection::{Flush, Inbox, Outlet, Read};
use opifex_packet::{
    Connack, DecodeOptions, Decoded, Packet, PacketType, Properties, ReasonCode, Version, connect_version,
    decode,
};
use tokio::io::AsyncRead;

use crate::reason::Told;

/// Why no connection came about.
pub(super) enum Refusal {
    /// The transport ended, or said nothing that could be answered.
    Silent,
    /// CONNACK says why.
    Connack { version: Version, reason: ReasonCode },
}

/// The transport before there is a session.
pub(super) struct Wire<R> {
    pub(super) reader: R,
    pub(super) inbox: Inbox,
    pub(super) outlet: Outlet,
    pub(super) options: DecodeOptions,
    /// The version that CONNECT agreed on, once it has come.
    pub(super) agreed: Option<Version>,
    /// The largest packet that the client takes, as far as it has said, in bytes.
    pub(super) client_max_packet_size: u32,
    /// Whether the client is told in words why it was refused, as far as it has said.
    pub(super) reasons: bool,
}

impl<R: AsyncRead + Unpin> Wire<R> {
    /// The next packet, owned.
    pub(super) async fn receive(&mut self) -> Result<Packet<'static>, Refusal> {
        loop {
            let (options, agreed) = (self.options, self.agreed);
            let waiting = self.inbox.take_waiting(|bytes| take_one(bytes, &options, agreed));
            let taken = match waiting {
                Some(Ok(None)) | None => {
                    let (inbox, reader) = (&mut self.inbox, &mut self.reader);
                    let read =
                        poll_fn(|cx| inbox.poll_read(cx, reader, |bytes| take_one(bytes, &options, agreed)))
                            .await;
                    match read {
                        Ok(Read::Taken { value, .. }) => value,
                        Ok(Read::Closed { .. }) | Err(_) => return Err(Refusal::Silent),
                    }
                }
                Some(taken) => taken,
            };
            if let Some(packet) = taken? {
                return Ok(packet);
            }
        }
    }

    /// The client's answer in an AUTH exchange: the data that it brings. What is no answer is refused by CONNACK: before
    /// it there is no DISCONNECT ([MQTT-3.14.0-1]).
    pub(super) async fn auth_answer(&mut self, method: Option<&str>) -> Result<Option<Vec<u8>>, Refusal> {
        match self.receive().await? {
            Packet::Auth(auth)
                // [MQTT-4.12.0-5]
                if auth.reason == ReasonCode::ContinueAuthentication
                    && auth.properties.authentication_method() == method =>
            {
                Ok(auth.properties.authentication_data().map(Vec::from))
            }
            Packet::Disconnect(_) => Err(Refusal::Silent),
            _ => Err(Refusal::Connack { version: self.options.version, reason: ReasonCode::ProtocolError }),
        }
    }

    /// Sends a packet that the client needs; one that is longer than it takes is a reason to refuse it
    /// ([MQTT-3.1.2-24] of 5.0).
    pub(super) async fn send(&mut self, packet: &Packet<'_>) -> Result<(), Refusal> {
        let version = self.options.version;
        if packet.encoded_len(version) > self.client_max_packet_size as usize {
            return Err(Refusal::Connack { version, reason: ReasonCode::PacketTooLarge });
        }
        self.outlet.append_with(|buffer| packet.encode(version, buffer));
        self.flush().await
    }

    async fn flush(&mut self) -> Result<(), Refusal> {
        poll_fn(|cx| match self.outlet.flush_as_owner(cx) {
            Flush::Drained => Poll::Ready(Ok(())),
            Flush::Blocked => Poll::Pending,
            Flush::Failed(_) => Poll::Ready(Err(Refusal::Silent)),
        })
        .await
    }

    /// Says why, and closes.
    pub(super) async fn refuse(&mut self, refusal: Refusal) {
        if let Refusal::Connack { version, reason } = refusal {
            let said = version.is_v5() || reason.connect_return_code().is_some();
            let reason = if said { reason } else { ReasonCode::ServerUnavailable };
            let connack = Connack { session_present: false, reason, properties: Properties::new() };
            let told = Told { version, max_packet_size: self.client_max_packet_size, reasons: self.reasons };
            self.outlet.append_with(|buffer| {
                told.append(connack.into(), reason, buffer);
            });
            if self.flush().await.is_err() {
                return;
            }
        }
        let _ = poll_fn(|cx| self.outlet.poll_shutdown(cx)).await;
    }
}

/// Takes the first packet, if it is whole.
fn take_one(
    bytes: &[u8],
    options: &DecodeOptions,
    agreed: Option<Version>,
) -> (usize, Result<Option<Packet<'static>>, Refusal>) {
    // [MQTT-3.1.0-1]: of anything but CONNECT the first byte is enough.
    if let (None, Some(&first_byte)) = (agreed, bytes.first())
        && PacketType::of(first_byte) != Some(PacketType::Connect)
    {
        return (bytes.len(), Err(Refusal::Silent));
    }
    match decode(bytes, options) {
        Ok(Decoded::Packet { packet, len }) => (len, Ok(Some(packet.into_owned()))),
        Ok(Decoded::Incomplete { .. }) => (0, Ok(None)),
        Err(error) => {
            tracing::debug!(%error, "malformed packet before CONNECT was accepted");
            let refusal = match (error.is_unsupported_version(), agreed.or_else(|| connect_version(bytes))) {
                // [MQTT-3.1.2-2]: a higher level than ours is told in the form of 5.0, a lower one in that of 3.x.
                (Some(level), _) => Refusal::Connack {
                    version: if level > Version::V5_0.level() { Version::V5_0 } else { Version::V3_1_1 },
                    reason: ReasonCode::UnsupportedProtocolVersion,
                },
                // [MQTT-3.1.4-1]: 3.x closes without a word, 5.0 may say why.
                (None, Some(Version::V5_0)) => {
                    Refusal::Connack { version: Version::V5_0, reason: error.reason() }
                }
                (None, _) => Refusal::Silent,
            };
            (bytes.len(), Err(refusal))
        }
    }
}
