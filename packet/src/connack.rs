//! CONNACK: the server's answer to CONNECT.

use crate::ack;
use crate::decode_error::DecodeError;
use crate::encode::Encode;
use crate::properties::Properties;
use crate::property_context::PropertyContext;
use crate::reader::Reader;
use crate::reason_code::ReasonCode;
use crate::version::Version;

/// A CONNACK packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connack<'a> {
    /// Whether the server had a session for the client. Not in 3.1, and false with an error: not
    /// encoded there.
    pub session_present: bool,
    /// How it went. Before 5.0 it is encoded as the return code that says the same, or as 3 (server
    /// unavailable) when there is none; a server asks [`ReasonCode::connect_return_code`] first.
    pub reason: ReasonCode,
    /// 5.0.
    pub properties: Properties<'a>,
}

impl<'a> Connack<'a> {
    /// The packet without a session and without properties.
    pub const fn new(reason: ReasonCode) -> Self {
        Connack { session_present: false, reason, properties: Properties::new() }
    }

    /// The same packet, owning all that it refers to.
    pub fn into_owned(self) -> Connack<'static> {
        Connack {
            session_present: self.session_present,
            reason: self.reason,
            properties: self.properties.into_owned(),
        }
    }

    pub(crate) fn decode(mut reader: Reader<'a>) -> Result<Self, DecodeError> {
        let version = reader.version();
        let flags = reader.u8()?;
        // [MQTT-3.2.2-1]; in 3.1 the byte is reserved and not used.
        if flags & !1 != 0 && version != Version::V3_1 {
            let statement = version.statement("MQTT311 3.2.2.1", "MQTT-3.2.2-1");
            return Err(DecodeError::malformed(statement, "reserved flags of CONNACK are set"));
        }
        let session_present = flags & 1 != 0 && version != Version::V3_1;
        let number = reader.u8()?;
        let reason = if version.is_v5() {
            // [MQTT-3.2.2-8]
            ack::reason_code(number, "MQTT-3.2.2-8", allows)?
        } else {
            ReasonCode::from_connect_return_code(number).ok_or_else(|| {
                DecodeError::malformed("MQTT311 3.2.2.3", "return code of CONNACK is reserved")
            })?
        };
        // [MQTT-3.2.2-6], 3.1.1 [MQTT-3.2.2-4]
        if session_present && reason != ReasonCode::Success {
            let statement = version.statement("MQTT-3.2.2-4", "MQTT-3.2.2-6");
            return Err(DecodeError::protocol_error(statement, "session present in a refusal"));
        }
        let properties = reader.properties(PropertyContext::Connack)?;
        reader.finish()?;
        Ok(Connack { session_present, reason, properties })
    }
}

/// [MQTT-3.2.2-8]
pub(crate) fn allows(reason: ReasonCode) -> bool {
    matches!(
        reason,
        ReasonCode::Success
            | ReasonCode::UnspecifiedError
            | ReasonCode::MalformedPacket
            | ReasonCode::ProtocolError
            | ReasonCode::ImplementationSpecificError
            | ReasonCode::UnsupportedProtocolVersion
            | ReasonCode::ClientIdentifierNotValid
            | ReasonCode::BadUserNameOrPassword
            | ReasonCode::NotAuthorized
            | ReasonCode::ServerUnavailable
            | ReasonCode::ServerBusy
            | ReasonCode::Banned
            | ReasonCode::BadAuthenticationMethod
            | ReasonCode::TopicNameInvalid
            | ReasonCode::PacketTooLarge
            | ReasonCode::QuotaExceeded
            | ReasonCode::PayloadFormatInvalid
            | ReasonCode::RetainNotSupported
            | ReasonCode::QoSNotSupported
            | ReasonCode::UseAnotherServer
            | ReasonCode::ServerMoved
            | ReasonCode::ConnectionRateExceeded
    )
}

impl Encode for Connack<'_> {
    fn first_byte(&self) -> u8 {
        0x20
    }

    fn remaining_len(&self, version: Version) -> usize {
        2 + if version.is_v5() { self.properties.encoded_len() } else { 0 }
    }

    fn encode_body(&self, version: Version, out: &mut Vec<u8>) {
        let session_present =
            self.session_present && self.reason == ReasonCode::Success && version != Version::V3_1;
        out.push(u8::from(session_present));
        if version.is_v5() {
            out.push(u8::from(self.reason));
            self.properties.encode(out);
        } else {
            out.push(self.reason.connect_return_code().unwrap_or(3));
        }
    }
}
