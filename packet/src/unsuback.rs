//! UNSUBACK: the answer to UNSUBSCRIBE; in 5.0 with one reason code for each filter.

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

/// An UNSUBACK packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsuback<'a> {
    /// The identifier of the UNSUBSCRIBE.
    pub packet_id: PacketId,
    /// 5.0.
    pub properties: Properties<'a>,
    /// In the order of the filters (5.0): not encoded before.
    pub reasons: Vec<ReasonCode>,
}

impl<'a> Unsuback<'a> {
    /// The packet without properties.
    pub const fn new(packet_id: PacketId, reasons: Vec<ReasonCode>) -> Self {
        Unsuback { packet_id, properties: Properties::new(), reasons }
    }

    /// The same packet, owning all that it refers to.
    pub fn into_owned(self) -> Unsuback<'static> {
        Unsuback {
            packet_id: self.packet_id,
            properties: self.properties.into_owned(),
            reasons: self.reasons,
        }
    }

    pub(crate) fn decode(mut reader: Reader<'a>) -> Result<Self, DecodeError> {
        let packet_id = reader.packet_id()?;
        if !reader.version().is_v5() {
            reader.finish()?;
            return Ok(Unsuback::new(packet_id, Vec::new()));
        }
        let properties = reader.properties(PropertyContext::Unsuback)?;
        let numbers = reader.rest();
        // 3.11.3: one code a filter, and there was a filter.
        if numbers.is_empty() {
            return Err(DecodeError::protocol_error("MQTT-3.11.3-1", "UNSUBACK without a reason code"));
        }
        // [MQTT-3.11.3-2]
        let reason = |&number: &u8| ack::reason_code(number, "MQTT-3.11.3-2", allows);
        let reasons = numbers.iter().map(reason).collect::<Result<_, _>>()?;
        Ok(Unsuback { packet_id, properties, reasons })
    }
}

/// [MQTT-3.11.3-2]
pub(crate) fn allows(reason: ReasonCode) -> bool {
    matches!(
        reason,
        ReasonCode::Success
            | ReasonCode::NoSubscriptionExisted
            | ReasonCode::UnspecifiedError
            | ReasonCode::ImplementationSpecificError
            | ReasonCode::NotAuthorized
            | ReasonCode::TopicFilterInvalid
            | ReasonCode::PacketIdentifierInUse
    )
}

impl Encode for Unsuback<'_> {
    fn first_byte(&self) -> u8 {
        0xb0
    }

    fn remaining_len(&self, version: Version) -> usize {
        2 + if version.is_v5() { self.properties.encoded_len() + self.reasons.len() } else { 0 }
    }

    fn encode_body(&self, version: Version, out: &mut Vec<u8>) {
        writer::u16(out, self.packet_id.get());
        if version.is_v5() {
            self.properties.encode(out);
            out.extend(self.reasons.iter().map(|&reason| u8::from(reason)));
        }
    }
}
