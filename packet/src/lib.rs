//! MQTT packets and their codec, for MQTT 3.1, 3.1.1 and 5.0.
//!
//! One codec serves every version of the protocol: a packet is one struct, what 5.0 adds is its
//! `properties` (empty before 5.0), and the version is an argument. Decoding borrows from the input,
//! is incremental, never panics and never allocates from an unchecked length; it refuses what the
//! standards refuse and names the statement that was broken. Encoding knows its length beforehand.
//!
//! There is no I/O, no clock and no runtime in here: bytes in, packets out.
//!
//! ```
//! use opifex_packet::{Decoded, DecodeOptions, Packet, Publish, Role, TopicName, Version, decode};
//!
//! let publish = Publish::new(TopicName::new("rooms/1/light")?, &b"on"[..]);
//! let mut bytes = Vec::new();
//! Packet::from(publish.clone()).encode(Version::V5_0, &mut bytes);
//!
//! let options = DecodeOptions::new(Version::V5_0, Role::Server);
//! assert_eq!(decode(&bytes[..5], &options)?, Decoded::Incomplete { needed: bytes.len() });
//! let Decoded::Packet { packet, len } = decode(&bytes, &options)? else { unreachable!() };
//! assert_eq!((packet, len), (Packet::Publish(publish), bytes.len()));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! In reading order: the words of the protocol ([`Version`], [`QoS`], [`PacketId`], [`ReasonCode`],
//! [`TopicName`], [`TopicFilter`], [`Properties`]), the packets, one file each, gathered in
//! [`Packet`], then [`decode()`] and [`Packet::encode`], and last [`raw`] for packets that are
//! broken on purpose. With the feature `proptest`, `strategies` generates valid packets.

mod version;

mod qos;

mod packet_id;

mod reason_code;

mod topic_error;
mod topic_filter;
mod topic_name;

mod properties;
mod property;
mod property_context;

mod ack;
mod auth;
mod connack;
mod connect;
mod delivery;
mod disconnect;
mod pingreq;
mod pingresp;
mod puback;
mod pubcomp;
mod publish;
mod pubrec;
mod pubrel;
mod suback;
mod subscribe;
mod subscription_options;
mod unsuback;
mod unsubscribe;
mod will;

mod packet;
mod packet_type;

mod decode;
mod decode_error;
mod encode;
mod frame;
mod reader;
mod varint;
mod writer;

pub mod raw;
#[cfg(feature = "proptest")]
pub mod strategies;

pub use auth::Auth;
pub use connack::Connack;
pub use connect::{Connect, connect_version};
pub use decode::{DecodeOptions, Decoded, Role, decode};
pub use decode_error::DecodeError;
pub use delivery::Delivery;
pub use disconnect::Disconnect;
pub use frame::{Frame, packet_len};
pub use packet::Packet;
pub use packet_id::PacketId;
pub use packet_type::PacketType;
pub use properties::Properties;
pub use property::Property;
pub use property_context::PropertyContext;
pub use puback::Puback;
pub use pubcomp::Pubcomp;
pub use publish::Publish;
pub use pubrec::Pubrec;
pub use pubrel::Pubrel;
pub use qos::{InvalidQoS, QoS};
pub use reason_code::{ReasonCode, UnknownReasonCode};
pub use suback::Suback;
pub use subscribe::{Subscribe, Subscription};
pub use subscription_options::{RetainHandling, SubscriptionOptions};
pub use topic_error::TopicError;
pub use topic_filter::{SharedFilter, TopicFilter, filter_matches};
pub use topic_name::TopicName;
pub use unsuback::Unsuback;
pub use unsubscribe::Unsubscribe;
pub use varint::MAX_REMAINING_LENGTH;
pub use version::Version;
pub use will::Will;
pub use writer::MAX_FIELD_LEN;
