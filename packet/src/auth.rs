//! AUTH: a step of an extended authentication (5.0 only). What the steps mean is between the method
//! and the two ends.

use crate::ack;
use crate::decode::Role;
use crate::decode_error::DecodeError;
use crate::encode::Encode;
use crate::properties::Properties;
use crate::property_context::PropertyContext;
use crate::reader::Reader;
use crate::reason_code::ReasonCode;
use crate::version::Version;

/// An AUTH packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Auth<'a> {
    /// Success (from a server), continue, or re-authenticate (from a client).
    pub reason: ReasonCode,
    /// The method and its data.
    pub properties: Properties<'a>,
}

impl<'a> Auth<'a> {
    /// The packet with that reason code and those properties.
    pub const fn new(reason: ReasonCode, properties: Properties<'a>) -> Self {
        Auth { reason, properties }
    }

    /// The same packet, owning all that it refers to.
    pub fn into_owned(self) -> Auth<'static> {
        Auth { reason: self.reason, properties: self.properties.into_owned() }
    }

    fn says_nothing(&self) -> bool {
        self.reason == ReasonCode::Success && self.properties.is_empty()
    }

    pub(crate) fn decode(mut reader: Reader<'a>, role: Role) -> Result<Self, DecodeError> {
        // 3.15.2.1: without contents it is 0x00, and there are no properties.
        let empty = reader.is_empty();
        let number = if empty { 0 } else { reader.u8()? };
        // [MQTT-3.15.2-1]
        let reason = ack::reason_code(number, "MQTT-3.15.2-1", |reason| allows(reason, role))?;
        let properties = if empty { Properties::new() } else { reader.properties(PropertyContext::Auth)? };
        reader.finish()?;
        let auth = Auth { reason, properties };
        // 3.15.2.2.2: the method is there, unless nothing is.
        if auth.properties.authentication_method().is_none() && !auth.says_nothing() {
            return Err(DecodeError::protocol_error(
                "MQTT5 3.15.2.2.2",
                "AUTH without an authentication method",
            ));
        }
        Ok(auth)
    }
}

/// [MQTT-3.15.2-1]: table 3-11 says who sends what.
pub(crate) fn allows(reason: ReasonCode, reader: Role) -> bool {
    match reason {
        ReasonCode::Success => reader == Role::Client,
        ReasonCode::ContinueAuthentication => true,
        ReasonCode::ReAuthenticate => reader == Role::Server,
        _ => false,
    }
}

impl Encode for Auth<'_> {
    fn first_byte(&self) -> u8 {
        0xf0
    }

    fn remaining_len(&self, _version: Version) -> usize {
        if self.says_nothing() { 0 } else { 1 + self.properties.encoded_len() }
    }

    fn encode_body(&self, _version: Version, out: &mut Vec<u8>) {
        if !self.says_nothing() {
            out.push(u8::from(self.reason));
            self.properties.encode(out);
        }
    }
}
