//! One property of MQTT 5.0: its identifier, its type and its value. Where it may stand is said in
//! `property_context.rs`, how a block of them is kept in `properties.rs`.

use crate::decode_error::DecodeError;
use crate::reader;
use crate::topic_name::TopicName;
use crate::varint::{self, MAX_REMAINING_LENGTH, Varint};
use crate::version::Version;
use crate::writer;

/// A property, borrowed from the packet that carries it.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub enum Property<'a> {
    /// Whether the payload is UTF-8 text.
    PayloadFormatIndicator(bool),
    /// Seconds until the message expires.
    MessageExpiryInterval(u32),
    /// What the payload is, in words of the application.
    ContentType(&'a str),
    /// Where a response is to be published: a topic name.
    ResponseTopic(&'a str),
    /// What a response carries to be recognised.
    CorrelationData(&'a [u8]),
    /// The subscriber's number for a subscription, 1 to 268435455.
    SubscriptionIdentifier(u32),
    /// Seconds that a session outlives its connection; 0xFFFFFFFF is for ever.
    SessionExpiryInterval(u32),
    /// The client id that the server made up.
    AssignedClientIdentifier(&'a str),
    /// The keep-alive in seconds that the server asks for.
    ServerKeepAlive(u16),
    /// The name of the extended authentication method.
    AuthenticationMethod(&'a str),
    /// What the authentication method exchanges.
    AuthenticationData(&'a [u8]),
    /// Whether reason strings and user properties may come with any packet.
    RequestProblemInformation(bool),
    /// Seconds between the end of a connection and its will.
    WillDelayInterval(u32),
    /// Whether the server is asked for response information.
    RequestResponseInformation(bool),
    /// The basis for response topics.
    ResponseInformation(&'a str),
    /// Another server to use.
    ServerReference(&'a str),
    /// The reason in words, for diagnosis.
    ReasonString(&'a str),
    /// How many QoS 1 and 2 messages may be under way at once, not 0.
    ReceiveMaximum(u16),
    /// The highest topic alias that is accepted.
    TopicAliasMaximum(u16),
    /// A number that stands for the topic, not 0.
    TopicAlias(u16),
    /// The highest QoS that the server supports, 0 or 1.
    MaximumQoS(u8),
    /// Whether the server keeps retained messages.
    RetainAvailable(bool),
    /// A name and a value of the application's own.
    UserProperty(&'a str, &'a str),
    /// The longest packet in bytes that is accepted, not 0.
    MaximumPacketSize(u32),
    /// Whether the server supports wildcards in subscriptions.
    WildcardSubscriptionAvailable(bool),
    /// Whether the server supports subscription identifiers.
    SubscriptionIdentifierAvailable(bool),
    /// Whether the server supports shared subscriptions.
    SharedSubscriptionAvailable(bool),
}

/// How the value of a property is written.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Kind {
    Byte,
    TwoBytes,
    FourBytes,
    Varint,
    Text,
    Binary,
    TextPair,
}

const fn kind(id: u8) -> Option<Kind> {
    Some(match id {
        0x01 | 0x17 | 0x19 | 0x24 | 0x25 | 0x28 | 0x29 | 0x2a => Kind::Byte,
        0x02 | 0x11 | 0x18 | 0x27 => Kind::FourBytes,
        0x03 | 0x08 | 0x12 | 0x15 | 0x1a | 0x1c | 0x1f => Kind::Text,
        0x09 | 0x16 => Kind::Binary,
        0x0b => Kind::Varint,
        0x13 | 0x21 | 0x22 | 0x23 => Kind::TwoBytes,
        0x26 => Kind::TextPair,
        _ => return None,
    })
}

/// A property as it stands in a block: the identifier and the bytes of the value.
pub(crate) struct RawProperty<'a> {
    pub(crate) id: u8,
    value: &'a [u8],
}

impl<'a> RawProperty<'a> {
    /// Takes the property at the front of `block`. `None` when no known property stands there as a
    /// whole. The value is not looked at.
    #[inline]
    pub(crate) fn take(block: &mut &'a [u8]) -> Option<RawProperty<'a>> {
        let (&id, rest) = block.split_first()?;
        let len = match kind(id)? {
            Kind::Byte => 1,
            Kind::TwoBytes => 2,
            Kind::FourBytes => 4,
            Kind::Varint => match varint::read(rest) {
                Varint::Whole { len, .. } => len,
                Varint::Incomplete | Varint::TooLong => return None,
            },
            Kind::Text | Kind::Binary => field_len(rest)?,
            Kind::TextPair => {
                let name = field_len(rest)?;
                name + field_len(rest.get(name..)?)?
            }
        };
        let (value, rest) = rest.split_at_checked(len)?;
        *block = rest;
        Some(RawProperty { id, value })
    }

    /// The property, when the value is one: texts are UTF-8 and flags are 0 or 1. Rules about what a
    /// value may be are [`Property::check`]'s.
    pub(crate) fn parse(&self) -> Result<Property<'a>, DecodeError> {
        let value = self.value;
        Ok(match self.id {
            0x01 => Property::PayloadFormatIndicator(flag(value)?),
            0x02 => Property::MessageExpiryInterval(four_bytes(value)),
            0x03 => Property::ContentType(text(value)?),
            0x08 => Property::ResponseTopic(text(value)?),
            0x09 => Property::CorrelationData(&value[2..]),
            0x0b => Property::SubscriptionIdentifier(variable(value)?),
            0x11 => Property::SessionExpiryInterval(four_bytes(value)),
            0x12 => Property::AssignedClientIdentifier(text(value)?),
            0x13 => Property::ServerKeepAlive(two_bytes(value)),
            0x15 => Property::AuthenticationMethod(text(value)?),
            0x16 => Property::AuthenticationData(&value[2..]),
            0x17 => Property::RequestProblemInformation(flag(value)?),
            0x18 => Property::WillDelayInterval(four_bytes(value)),
            0x19 => Property::RequestResponseInformation(flag(value)?),
            0x1a => Property::ResponseInformation(text(value)?),
            0x1c => Property::ServerReference(text(value)?),
            0x1f => Property::ReasonString(text(value)?),
            0x21 => Property::ReceiveMaximum(two_bytes(value)),
            0x22 => Property::TopicAliasMaximum(two_bytes(value)),
            0x23 => Property::TopicAlias(two_bytes(value)),
            0x24 => Property::MaximumQoS(value[0]),
            0x25 => Property::RetainAvailable(flag(value)?),
            0x27 => Property::MaximumPacketSize(four_bytes(value)),
            0x28 => Property::WildcardSubscriptionAvailable(flag(value)?),
            0x29 => Property::SubscriptionIdentifierAvailable(flag(value)?),
            0x2a => Property::SharedSubscriptionAvailable(flag(value)?),
            _ => {
                // [MQTT-1.5.7-1]
                let (name, value) = value.split_at(2 + usize::from(two_bytes(value)));
                Property::UserProperty(text(name)?, text(value)?)
            }
        })
    }
}

#[inline]
fn field_len(bytes: &[u8]) -> Option<usize> {
    Some(2 + usize::from(u16::from_be_bytes(*bytes.first_chunk()?)))
}

// The lengths below were checked when the raw property was cut out of its block.

fn two_bytes(value: &[u8]) -> u16 {
    u16::from_be_bytes([value[0], value[1]])
}

fn four_bytes(value: &[u8]) -> u32 {
    u32::from_be_bytes([value[0], value[1], value[2], value[3]])
}

fn text(value: &[u8]) -> Result<&str, DecodeError> {
    reader::string(&value[2..], Version::V5_0)
}

fn flag(value: &[u8]) -> Result<bool, DecodeError> {
    match value[0] {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(DecodeError::protocol_error("MQTT5 2.2.2.2", "property is neither 0 nor 1")),
    }
}

fn variable(bytes: &[u8]) -> Result<u32, DecodeError> {
    match varint::read(bytes) {
        Varint::Whole { value, len } if len == varint::len(value) => Ok(value),
        // [MQTT-1.5.5-1]
        _ => Err(DecodeError::malformed("MQTT-1.5.5-1", "variable byte integer is longer than need be")),
    }
}

impl<'a> Property<'a> {
    /// The property's identifier.
    pub const fn id(&self) -> u8 {
        match self {
            Property::PayloadFormatIndicator(..) => 0x01,
            Property::MessageExpiryInterval(..) => 0x02,
            Property::ContentType(..) => 0x03,
            Property::ResponseTopic(..) => 0x08,
            Property::CorrelationData(..) => 0x09,
            Property::SubscriptionIdentifier(..) => 0x0b,
            Property::SessionExpiryInterval(..) => 0x11,
            Property::AssignedClientIdentifier(..) => 0x12,
            Property::ServerKeepAlive(..) => 0x13,
            Property::AuthenticationMethod(..) => 0x15,
            Property::AuthenticationData(..) => 0x16,
            Property::RequestProblemInformation(..) => 0x17,
            Property::WillDelayInterval(..) => 0x18,
            Property::RequestResponseInformation(..) => 0x19,
            Property::ResponseInformation(..) => 0x1a,
            Property::ServerReference(..) => 0x1c,
            Property::ReasonString(..) => 0x1f,
            Property::ReceiveMaximum(..) => 0x21,
            Property::TopicAliasMaximum(..) => 0x22,
            Property::TopicAlias(..) => 0x23,
            Property::MaximumQoS(..) => 0x24,
            Property::RetainAvailable(..) => 0x25,
            Property::UserProperty(..) => 0x26,
            Property::MaximumPacketSize(..) => 0x27,
            Property::WildcardSubscriptionAvailable(..) => 0x28,
            Property::SubscriptionIdentifierAvailable(..) => 0x29,
            Property::SharedSubscriptionAvailable(..) => 0x2a,
        }
    }

    /// The bytes that the property takes in a block, with its identifier.
    pub fn encoded_len(&self) -> usize {
        1 + match *self {
            Property::PayloadFormatIndicator(_)
            | Property::RequestProblemInformation(_)
            | Property::RequestResponseInformation(_)
            | Property::MaximumQoS(_)
            | Property::RetainAvailable(_)
            | Property::WildcardSubscriptionAvailable(_)
            | Property::SubscriptionIdentifierAvailable(_)
            | Property::SharedSubscriptionAvailable(_) => 1,
            Property::ServerKeepAlive(_)
            | Property::ReceiveMaximum(_)
            | Property::TopicAliasMaximum(_)
            | Property::TopicAlias(_) => 2,
            Property::MessageExpiryInterval(_)
            | Property::SessionExpiryInterval(_)
            | Property::WillDelayInterval(_)
            | Property::MaximumPacketSize(_) => 4,
            Property::SubscriptionIdentifier(value) => varint::len(value.min(MAX_REMAINING_LENGTH)),
            Property::ContentType(text)
            | Property::ResponseTopic(text)
            | Property::AssignedClientIdentifier(text)
            | Property::AuthenticationMethod(text)
            | Property::ResponseInformation(text)
            | Property::ServerReference(text)
            | Property::ReasonString(text) => writer::string_len(text),
            Property::CorrelationData(data) | Property::AuthenticationData(data) => writer::binary_len(data),
            Property::UserProperty(name, value) => writer::string_len(name) + writer::string_len(value),
        }
    }

    /// Appends the property as it stands in a block.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.push(self.id());
        match *self {
            Property::PayloadFormatIndicator(flag)
            | Property::RequestProblemInformation(flag)
            | Property::RequestResponseInformation(flag)
            | Property::RetainAvailable(flag)
            | Property::WildcardSubscriptionAvailable(flag)
            | Property::SubscriptionIdentifierAvailable(flag)
            | Property::SharedSubscriptionAvailable(flag) => out.push(u8::from(flag)),
            Property::MaximumQoS(byte) => out.push(byte),
            Property::ServerKeepAlive(value)
            | Property::ReceiveMaximum(value)
            | Property::TopicAliasMaximum(value)
            | Property::TopicAlias(value) => writer::u16(out, value),
            Property::MessageExpiryInterval(value)
            | Property::SessionExpiryInterval(value)
            | Property::WillDelayInterval(value)
            | Property::MaximumPacketSize(value) => writer::u32(out, value),
            Property::SubscriptionIdentifier(value) => varint::write(out, value.min(MAX_REMAINING_LENGTH)),
            Property::ContentType(text)
            | Property::ResponseTopic(text)
            | Property::AssignedClientIdentifier(text)
            | Property::AuthenticationMethod(text)
            | Property::ResponseInformation(text)
            | Property::ServerReference(text)
            | Property::ReasonString(text) => writer::string(out, text),
            Property::CorrelationData(data) | Property::AuthenticationData(data) => writer::binary(out, data),
            Property::UserProperty(name, value) => {
                writer::string(out, name);
                writer::string(out, value);
            }
        }
    }

    /// What the standard says of single values, wherever the property stands. `section` describes
    /// the property there.
    pub(crate) fn check(&self, section: &'static str) -> Result<(), DecodeError> {
        match *self {
            Property::ReceiveMaximum(0) => Err(DecodeError::protocol_error(section, "receive maximum is 0")),
            Property::MaximumPacketSize(0) => {
                Err(DecodeError::protocol_error(section, "maximum packet size is 0"))
            }
            // [MQTT-3.3.2-8]
            Property::TopicAlias(0) => Err(DecodeError::because(
                crate::ReasonCode::TopicAliasInvalid,
                "MQTT-3.3.2-8",
                "topic alias is 0",
            )),
            Property::SubscriptionIdentifier(0) => {
                Err(DecodeError::protocol_error(section, "subscription identifier is 0"))
            }
            Property::MaximumQoS(2..) => {
                Err(DecodeError::protocol_error(section, "maximum QoS is neither 0 nor 1"))
            }
            // [MQTT-3.3.2-14]
            Property::ResponseTopic(topic) => match TopicName::new(topic) {
                Ok(_) => Ok(()),
                Err(crate::TopicError::Wildcard) => {
                    Err(DecodeError::protocol_error("MQTT-3.3.2-14", "response topic contains a wildcard"))
                }
                Err(error) => Err(DecodeError::topic(error, Version::V5_0)),
            },
            _ => Ok(()),
        }
    }
}
