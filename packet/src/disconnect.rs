//! DISCONNECT: the last packet on a connection. Before 5.0 only a client sends it, and it says
//! nothing but that.

use crate::ack;
use crate::decode::Role;
use crate::decode_error::DecodeError;
use crate::encode::Encode;
use crate::properties::Properties;
use crate::property_context::PropertyContext;
use crate::reader::Reader;
use crate::reason_code::ReasonCode;
use crate::version::Version;

/// A DISCONNECT packet.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Disconnect<'a> {
    /// Why (5.0).
    pub reason: ReasonCode,
    /// 5.0.
    pub properties: Properties<'a>,
}

impl<'a> Disconnect<'a> {
    /// The packet with that reason code.
    pub const fn new(reason: ReasonCode) -> Self {
        Disconnect { reason, properties: Properties::new() }
    }

    /// Whether a reader of that role may be told this reason ([MQTT-3.14.2-1]): not every reason to close has a place
    /// in DISCONNECT.
    pub fn can_say(reason: ReasonCode, reader: Role) -> bool {
        allows(reason, reader)
    }

    /// The same packet, owning all that it refers to.
    pub fn into_owned(self) -> Disconnect<'static> {
        Disconnect { reason: self.reason, properties: self.properties.into_owned() }
    }

    pub(crate) fn decode(mut reader: Reader<'a>, role: Role) -> Result<Self, DecodeError> {
        if !reader.version().is_v5() {
            reader.finish()?;
            return Ok(Disconnect::default());
        }
        // 3.14.2.1: without a reason code it is 0x00.
        let number = if reader.is_empty() { 0 } else { reader.u8()? };
        let reason = ack::reason_code(number, "MQTT-3.14.2-1", |reason| allows(reason, role))?;
        // 3.14.2.2.1: below a remaining length of 2 there is no property length.
        let properties = if reader.is_empty() {
            Properties::new()
        } else {
            reader.properties(PropertyContext::Disconnect)?
        };
        reader.finish()?;
        // [MQTT-3.14.2-2]
        if role == Role::Client && properties.session_expiry_interval().is_some() {
            return Err(DecodeError::protocol_error(
                "MQTT-3.14.2-2",
                "session expiry interval from a server",
            ));
        }
        Ok(Disconnect { reason, properties })
    }
}

/// [MQTT-3.14.2-1]: table 3-10 says who sends what.
pub(crate) fn allows(reason: ReasonCode, reader: Role) -> bool {
    match reason {
        ReasonCode::DisconnectWithWill => reader == Role::Server,
        ReasonCode::Success
        | ReasonCode::UnspecifiedError
        | ReasonCode::MalformedPacket
        | ReasonCode::ProtocolError
        | ReasonCode::ImplementationSpecificError
        | ReasonCode::TopicNameInvalid
        | ReasonCode::ReceiveMaximumExceeded
        | ReasonCode::TopicAliasInvalid
        | ReasonCode::PacketTooLarge
        | ReasonCode::MessageRateTooHigh
        | ReasonCode::QuotaExceeded
        | ReasonCode::AdministrativeAction
        | ReasonCode::PayloadFormatInvalid => true,
        ReasonCode::NotAuthorized
        | ReasonCode::ServerBusy
        | ReasonCode::ServerShuttingDown
        | ReasonCode::KeepAliveTimeout
        | ReasonCode::SessionTakenOver
        | ReasonCode::TopicFilterInvalid
        | ReasonCode::RetainNotSupported
        | ReasonCode::QoSNotSupported
        | ReasonCode::UseAnotherServer
        | ReasonCode::ServerMoved
        | ReasonCode::SharedSubscriptionsNotSupported
        | ReasonCode::ConnectionRateExceeded
        | ReasonCode::MaximumConnectTime
        | ReasonCode::SubscriptionIdentifiersNotSupported
        | ReasonCode::WildcardSubscriptionsNotSupported => reader == Role::Client,
        _ => false,
    }
}

impl Encode for Disconnect<'_> {
    fn first_byte(&self) -> u8 {
        0xe0
    }

    fn remaining_len(&self, version: Version) -> usize {
        ack::reason_and_properties_len(version, self.reason, &self.properties)
    }

    fn encode_body(&self, version: Version, out: &mut Vec<u8>) {
        ack::encode_reason_and_properties(version, self.reason, &self.properties, out);
    }
}
