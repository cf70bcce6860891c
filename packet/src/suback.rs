//! SUBACK: one reason code for each filter of a SUBSCRIBE.

use crate::ack;
use crate::decode_error::DecodeError;
use crate::encode::Encode;
use crate::packet_id::PacketId;
use crate::properties::Properties;
use crate::property_context::PropertyContext;
use crate::reader::Reader;
use crate::reason_code::ReasonCode;
use crate::version::Version;
use crate::writer;

/// A SUBACK packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suback<'a> {
    /// The identifier of the SUBSCRIBE.
    pub packet_id: PacketId,
    /// 5.0.
    pub properties: Properties<'a>,
    /// The granted QoS or the failure, in the order of the filters. 3.1.1 has one failure, 0x80; 3.1
    /// has none at all and is told QoS 0.
    pub reasons: Vec<ReasonCode>,
}

impl<'a> Suback<'a> {
    /// The packet without properties.
    pub const fn new(packet_id: PacketId, reasons: Vec<ReasonCode>) -> Self {
        Suback { packet_id, properties: Properties::new(), reasons }
    }

    /// The same packet, owning all that it refers to.
    pub fn into_owned(self) -> Suback<'static> {
        Suback { packet_id: self.packet_id, properties: self.properties.into_owned(), reasons: self.reasons }
    }

    pub(crate) fn decode(mut reader: Reader<'a>) -> Result<Self, DecodeError> {
        let version = reader.version();
        let packet_id = reader.packet_id()?;
        let properties = reader.properties(PropertyContext::Suback)?;
        // [MQTT-3.9.3-2]
        let numbers = reader.rest();
        // [MQTT-3.8.4-6], 3.1.1 [MQTT-3.8.4-5]: one code a filter, and there was a filter.
        if numbers.is_empty() {
            let statement = version.statement("MQTT-3.8.4-5", "MQTT-3.8.4-6");
            return Err(DecodeError::protocol_error(statement, "SUBACK without a reason code"));
        }
        let reason =
            |&number: &u8| ack::reason_code(number, "MQTT-3.9.3-2", |reason| allows(reason, version));
        let reasons = numbers.iter().map(reason).collect::<Result<_, _>>()?;
        Ok(Suback { packet_id, properties, reasons })
    }
}

/// [MQTT-3.9.3-2]
pub(crate) fn allows(reason: ReasonCode, version: Version) -> bool {
    match reason {
        ReasonCode::Success | ReasonCode::GrantedQoS1 | ReasonCode::GrantedQoS2 => true,
        ReasonCode::UnspecifiedError => version != Version::V3_1,
        ReasonCode::ImplementationSpecificError
        | ReasonCode::NotAuthorized
        | ReasonCode::TopicFilterInvalid
        | ReasonCode::PacketIdentifierInUse
        | ReasonCode::QuotaExceeded
        | ReasonCode::SharedSubscriptionsNotSupported
        | ReasonCode::SubscriptionIdentifiersNotSupported
        | ReasonCode::WildcardSubscriptionsNotSupported => version.is_v5(),
        _ => false,
    }
}

fn number(reason: ReasonCode, version: Version) -> u8 {
    match version {
        Version::V3_1 if reason.is_error() => 0x00,
        Version::V3_1_1 if reason.is_error() => 0x80,
        _ => u8::from(reason),
    }
}

impl Encode for Suback<'_> {
    fn first_byte(&self) -> u8 {
        0x90
    }

    fn remaining_len(&self, version: Version) -> usize {
        2 + if version.is_v5() { self.properties.encoded_len() } else { 0 } + self.reasons.len()
    }

    fn encode_body(&self, version: Version, out: &mut Vec<u8>) {
        writer::u16(out, self.packet_id.get());
        if version.is_v5() {
            self.properties.encode(out);
        }
        out.extend(self.reasons.iter().map(|&reason| number(reason, version)));
    }
}
