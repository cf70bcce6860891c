//! A block of properties, kept as the bytes that it is on the wire: order and duplicates survive,
//! decoding allocates nothing, and encoding is a copy. Only 5.0 has properties; in 3.x every block is
//! empty and is not written.

use std::borrow::Cow;
use std::fmt;

use crate::decode_error::DecodeError;
use crate::property::{Property, RawProperty};
use crate::property_context::PropertyContext;
use crate::varint;

/// A valid property block, without its length.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct Properties<'a>(Cow<'a, [u8]>);

impl<'a> Properties<'a> {
    /// No properties.
    pub const fn new() -> Properties<'a> {
        Properties(Cow::Borrowed(&[]))
    }

    /// The block of those bytes, when every property in it may stand in that context, as often as it
    /// does and with the value that it has.
    pub fn from_bytes(
        context: PropertyContext,
        bytes: impl Into<Cow<'a, [u8]>>,
    ) -> Result<Self, DecodeError> {
        let bytes = bytes.into();
        validate(context, &bytes)?;
        Ok(Properties(bytes))
    }

    /// Whether there are no properties.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The block, without its length.
    #[inline]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The properties in their order.
    pub fn iter(&self) -> impl Iterator<Item = Property<'_>> + Clone {
        self.raw().filter_map(|raw| raw.parse().ok())
    }

    /// Appends a property. Neither its place nor its value is checked; a text or binary value longer
    /// than [`MAX_FIELD_LEN`](crate::MAX_FIELD_LEN) is cut.
    pub fn push(&mut self, property: Property<'_>) {
        let block = self.0.to_mut();
        block.reserve(property.encoded_len());
        property.encode(block);
    }

    /// The same block with one more property.
    #[must_use]
    pub fn with(mut self, property: Property<'_>) -> Self {
        self.push(property);
        self
    }

    /// A copy with the properties that `keep` says yes to.
    pub fn retain(&self, mut keep: impl FnMut(&Property<'_>) -> bool) -> Properties<'static> {
        let mut kept = Vec::with_capacity(self.0.len());
        for property in self.iter().filter(|property| keep(property)) {
            property.encode(&mut kept);
        }
        Properties(Cow::Owned(kept))
    }

    /// The bytes that the block takes in a packet, with its length.
    #[inline]
    pub fn encoded_len(&self) -> usize {
        varint::len(self.0.len() as u32) + self.0.len()
    }

    /// Appends the block with its length.
    #[inline]
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        varint::write(out, self.0.len() as u32);
        out.extend_from_slice(&self.0);
    }

    /// The same block, owning its bytes.
    pub fn into_owned(self) -> Properties<'static> {
        Properties(Cow::Owned(self.0.into_owned()))
    }

    /// The same block, borrowing its bytes from this one.
    #[inline]
    pub fn borrow(&self) -> Properties<'_> {
        Properties(Cow::Borrowed(&self.0))
    }

    fn raw(&self) -> impl Iterator<Item = RawProperty<'_>> + Clone {
        let mut rest: &[u8] = &self.0;
        std::iter::from_fn(move || RawProperty::take(&mut rest))
    }

    #[inline]
    fn all(&self, id: u8) -> impl Iterator<Item = Property<'_>> + Clone {
        self.raw().filter(move |raw| raw.id == id).filter_map(|raw| raw.parse().ok())
    }

    fn first(&self, id: u8) -> Option<Property<'_>> {
        self.all(id).next()
    }

    /// Whether a property of that identifier is there.
    pub fn contains(&self, id: u8) -> bool {
        self.raw().any(|raw| raw.id == id)
    }
}

/// One getter a property: the first value of it in the block.
macro_rules! getters {
    ($($(#[$doc:meta])* $getter:ident -> $type:ty = $id:literal $variant:ident;)*) => {
        impl Properties<'_> {
            $(
                $(#[$doc])*
                pub fn $getter(&self) -> Option<$type> {
                    match self.first($id) {
                        Some(Property::$variant(value)) => Some(value),
                        _ => None,
                    }
                }
            )*
        }
    };
}

getters! {
    /// Whether the payload is UTF-8 text.
    payload_format_indicator -> bool = 0x01 PayloadFormatIndicator;
    /// Seconds until the message expires.
    message_expiry_interval -> u32 = 0x02 MessageExpiryInterval;
    /// What the payload is, in words of the application.
    content_type -> &str = 0x03 ContentType;
    /// Where a response is to be published: a topic name.
    response_topic -> &str = 0x08 ResponseTopic;
    /// What a response carries to be recognised.
    correlation_data -> &[u8] = 0x09 CorrelationData;
    /// The first of the subscriber's numbers for the subscription, 1 to 268435455.
    subscription_identifier -> u32 = 0x0b SubscriptionIdentifier;
    /// Seconds that a session outlives its connection; 0xFFFFFFFF is for ever.
    session_expiry_interval -> u32 = 0x11 SessionExpiryInterval;
    /// The client id that the server made up.
    assigned_client_identifier -> &str = 0x12 AssignedClientIdentifier;
    /// The keep-alive in seconds that the server asks for.
    server_keep_alive -> u16 = 0x13 ServerKeepAlive;
    /// The name of the extended authentication method.
    authentication_method -> &str = 0x15 AuthenticationMethod;
    /// What the authentication method exchanges.
    authentication_data -> &[u8] = 0x16 AuthenticationData;
    /// Whether reason strings and user properties may come with any packet.
    request_problem_information -> bool = 0x17 RequestProblemInformation;
    /// Seconds between the end of a connection and its will.
    will_delay_interval -> u32 = 0x18 WillDelayInterval;
    /// Whether the server is asked for response information.
    request_response_information -> bool = 0x19 RequestResponseInformation;
    /// The basis for response topics.
    response_information -> &str = 0x1a ResponseInformation;
    /// Another server to use.
    server_reference -> &str = 0x1c ServerReference;
    /// The reason in words, for diagnosis.
    reason_string -> &str = 0x1f ReasonString;
    /// How many QoS 1 and 2 messages may be under way at once, not 0.
    receive_maximum -> u16 = 0x21 ReceiveMaximum;
    /// The highest topic alias that is accepted.
    topic_alias_maximum -> u16 = 0x22 TopicAliasMaximum;
    /// A number that stands for the topic, not 0.
    topic_alias -> u16 = 0x23 TopicAlias;
    /// The highest QoS that the server supports, 0 or 1.
    maximum_qos -> u8 = 0x24 MaximumQoS;
    /// Whether the server keeps retained messages.
    retain_available -> bool = 0x25 RetainAvailable;
    /// The longest packet in bytes that is accepted, not 0.
    maximum_packet_size -> u32 = 0x27 MaximumPacketSize;
    /// Whether the server supports wildcards in subscriptions.
    wildcard_subscription_available -> bool = 0x28 WildcardSubscriptionAvailable;
    /// Whether the server supports subscription identifiers.
    subscription_identifier_available -> bool = 0x29 SubscriptionIdentifierAvailable;
    /// Whether the server supports shared subscriptions.
    shared_subscription_available -> bool = 0x2a SharedSubscriptionAvailable;
}

impl Properties<'_> {
    /// The names and values of the application's own, in their order.
    pub fn user_properties(&self) -> impl Iterator<Item = (&str, &str)> + Clone {
        self.all(0x26).filter_map(|property| match property {
            Property::UserProperty(name, value) => Some((name, value)),
            _ => None,
        })
    }

    /// The numbers of the subscriptions that a message matched, in their order.
    pub fn subscription_identifiers(&self) -> impl Iterator<Item = u32> + Clone {
        self.all(0x0b).filter_map(|property| match property {
            Property::SubscriptionIdentifier(id) => Some(id),
            _ => None,
        })
    }
}

fn validate(context: PropertyContext, block: &[u8]) -> Result<(), DecodeError> {
    let mut rest = block;
    let mut seen = 0u64;
    while let Some(&id) = rest.first() {
        // 2.2.2.2: an identifier that is not valid for the packet makes it malformed.
        let Some(section) = context.section(id) else {
            return Err(DecodeError::malformed(
                "MQTT5 2.2.2.2",
                "property is unknown or not allowed in this packet",
            ));
        };
        let Some(raw) = RawProperty::take(&mut rest) else {
            return Err(DecodeError::malformed("MQTT5 2.2.2.2", "property block ends inside a property"));
        };
        let property = raw.parse()?;
        property.check(section)?;

        // Identifiers that `section` knows are below 64.
        let bit = 1u64 << id;
        if seen & bit != 0 && !may_repeat(context, id) {
            return Err(DecodeError::protocol_error(section, "property stands twice"));
        }
        seen |= bit;
    }
    // 3.1.2.11.10: authentication data means nothing without a method.
    if context == PropertyContext::Connect && seen & (1 << 0x16) != 0 && seen & (1 << 0x15) == 0 {
        return Err(DecodeError::protocol_error("MQTT5 3.1.2.11.10", "authentication data without a method"));
    }
    Ok(())
}

fn may_repeat(context: PropertyContext, id: u8) -> bool {
    // 3.3.2.3.8: a PUBLISH carries the identifier of every subscription that it matched.
    id == 0x26 || (id == 0x0b && context == PropertyContext::Publish)
}

impl AsRef<[u8]> for Properties<'_> {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl<'a> Extend<Property<'a>> for Properties<'_> {
    fn extend<I: IntoIterator<Item = Property<'a>>>(&mut self, properties: I) {
        properties.into_iter().for_each(|property| self.push(property));
    }
}

impl<'a, 'b> FromIterator<Property<'a>> for Properties<'b> {
    fn from_iter<I: IntoIterator<Item = Property<'a>>>(properties: I) -> Self {
        let mut block = Properties::new();
        block.extend(properties);
        block
    }
}

impl fmt::Debug for Properties<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}
