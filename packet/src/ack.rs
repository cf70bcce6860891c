//! What PUBACK, PUBREC, PUBREL and PUBCOMP have in common, which is all but the reason codes: each
//! has its own file and type, so that none is taken for another.

use crate::decode::Role;
use crate::decode_error::DecodeError;
use crate::packet_id::PacketId;
use crate::properties::Properties;
use crate::property_context::PropertyContext;
use crate::reader::Reader;
use crate::reason_code::ReasonCode;
use crate::version::Version;
use crate::writer;

/// An acknowledgement of a PUBLISH, or of an acknowledgement.
pub(crate) trait Ack<'a>: Sized {
    const FIRST_BYTE: u8;
    const CONTEXT: PropertyContext;
    /// The statement that the packet has a reason code from its table.
    const REASON_STATEMENT: &'static str;

    /// Whether the code is in the packet's table for that reader.
    fn allows(reason: ReasonCode, reader: Role) -> bool;

    fn from_parts(packet_id: PacketId, reason: ReasonCode, properties: Properties<'a>) -> Self;

    fn decode(mut reader: Reader<'a>, role: Role) -> Result<Self, DecodeError> {
        let packet_id = reader.packet_id()?;
        // 3.4.2.1: without a reason code it is 0x00. Before 5.0 there is never one.
        let reason = if reader.is_empty() || !reader.version().is_v5() {
            ReasonCode::Success
        } else {
            reason_code(reader.u8()?, Self::REASON_STATEMENT, |reason| Self::allows(reason, role))?
        };
        // 3.4.2.2.1: below a remaining length of 4 there is no property length.
        let properties =
            if reader.is_empty() { Properties::new() } else { reader.properties(Self::CONTEXT)? };
        reader.finish()?;
        Ok(Self::from_parts(packet_id, reason, properties))
    }
}

pub(crate) fn remaining_len(version: Version, reason: ReasonCode, properties: &Properties<'_>) -> usize {
    2 + reason_and_properties_len(version, reason, properties)
}

/// The bytes of a reason code and properties that are left out where they say nothing. Puts into
/// words what DISCONNECT does too.
pub(crate) fn reason_and_properties_len(
    version: Version,
    reason: ReasonCode,
    properties: &Properties<'_>,
) -> usize {
    match version {
        Version::V3_1 | Version::V3_1_1 => 0,
        Version::V5_0 if !properties.is_empty() => 1 + properties.encoded_len(),
        Version::V5_0 if reason != ReasonCode::Success => 1,
        Version::V5_0 => 0,
    }
}

pub(crate) fn encode_body(
    version: Version,
    packet_id: PacketId,
    reason: ReasonCode,
    properties: &Properties<'_>,
    out: &mut Vec<u8>,
) {
    writer::u16(out, packet_id.get());
    encode_reason_and_properties(version, reason, properties, out);
}

pub(crate) fn encode_reason_and_properties(
    version: Version,
    reason: ReasonCode,
    properties: &Properties<'_>,
    out: &mut Vec<u8>,
) {
    let len = reason_and_properties_len(version, reason, properties);
    if len > 0 {
        out.push(u8::from(reason));
    }
    if len > 1 {
        properties.encode(out);
    }
}

/// The reason code of that number, when the packet's table has it.
pub(crate) fn reason_code(
    number: u8,
    statement: &'static str,
    allows: impl Fn(ReasonCode) -> bool,
) -> Result<ReasonCode, DecodeError> {
    match ReasonCode::try_from(number) {
        Ok(reason) if allows(reason) => Ok(reason),
        _ => Err(DecodeError::protocol_error(statement, "reason code is not one of this packet's")),
    }
}

/// The type of one acknowledgement.
macro_rules! ack_packet {
    ($(#[$doc:meta])* $name:ident, first_byte: $first_byte:literal, statement: $statement:literal, allows: $allows:path) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct $name<'a> {
            /// The identifier of the PUBLISH.
            pub packet_id: crate::PacketId,
            /// How it went (5.0).
            pub reason: crate::ReasonCode,
            /// 5.0.
            pub properties: crate::Properties<'a>,
        }

        impl<'a> $name<'a> {
            /// The packet that reports success.
            pub const fn new(packet_id: crate::PacketId) -> Self {
                $name { packet_id, reason: crate::ReasonCode::Success, properties: crate::Properties::new() }
            }

            /// The same packet with that reason code.
            #[must_use]
            pub fn with_reason(mut self, reason: crate::ReasonCode) -> Self {
                self.reason = reason;
                self
            }

            /// The same packet, owning all that it refers to.
            pub fn into_owned(self) -> $name<'static> {
                $name { packet_id: self.packet_id, reason: self.reason, properties: self.properties.into_owned() }
            }
        }

        impl<'a> crate::ack::Ack<'a> for $name<'a> {
            const FIRST_BYTE: u8 = $first_byte;
            const CONTEXT: crate::PropertyContext = crate::PropertyContext::$name;
            const REASON_STATEMENT: &'static str = $statement;

            fn allows(reason: crate::ReasonCode, reader: crate::Role) -> bool {
                $allows(reason, reader)
            }

            fn from_parts(
                packet_id: crate::PacketId,
                reason: crate::ReasonCode,
                properties: crate::Properties<'a>,
            ) -> Self {
                $name { packet_id, reason, properties }
            }
        }

        impl crate::encode::Encode for $name<'_> {
            #[inline]
            fn first_byte(&self) -> u8 {
                <Self as crate::ack::Ack<'_>>::FIRST_BYTE
            }

            #[inline]
            fn remaining_len(&self, version: crate::Version) -> usize {
                crate::ack::remaining_len(version, self.reason, &self.properties)
            }

            #[inline]
            fn encode_body(&self, version: crate::Version, out: &mut Vec<u8>) {
                crate::ack::encode_body(version, self.packet_id, self.reason, &self.properties, out);
            }
        }
    };
}

pub(crate) use ack_packet;
