//! Proptest strategies for every packet in every version: what one side may send and the other has
//! to understand. Only valid packets, in the form that decoding gives them; broken ones are made of
//! these by mutation, or with [`raw`](crate::raw).

mod acks;
mod connecting;
mod fields;
mod properties;
mod subscribing;

use proptest::prelude::*;

use crate::delivery::Delivery;
use crate::{Packet, PacketType, Property, PropertyContext, Publish, Role, Version};

pub use acks::{auth, disconnect, puback, pubcomp, pubrec, pubrel, suback, unsuback};
pub use connecting::{connack, connect, will};
pub use fields::{binary, packet_id, payload, qos, text, topic_filter, topic_name};
pub use properties::properties;
pub use subscribing::{subscribe, subscription_options, unsubscribe};

/// Any version.
pub fn version() -> impl Strategy<Value = Version> {
    prop::sample::select(&Version::ALL[..])
}

/// Either side.
pub fn role() -> impl Strategy<Value = Role> {
    prop::sample::select(&[Role::Server, Role::Client][..])
}

/// Any packet that a reader of that role may get in that version.
pub fn packet(version: Version, reader: Role) -> BoxedStrategy<Packet<'static>> {
    let types: Vec<PacketType> =
        PacketType::ALL.into_iter().filter(|packet_type| packet_type.reaches(reader, version)).collect();
    prop::sample::select(types)
        .prop_flat_map(move |packet_type| packet_of(packet_type, version, reader))
        .boxed()
}

/// Any packet of that type. The type has to [reach](PacketType::reaches) the reader.
pub fn packet_of(packet_type: PacketType, version: Version, reader: Role) -> BoxedStrategy<Packet<'static>> {
    match packet_type {
        PacketType::Connect => connect(version).prop_map(Packet::from).boxed(),
        PacketType::Connack => connack(version).prop_map(Packet::from).boxed(),
        PacketType::Publish => publish(version, reader).prop_map(Packet::from).boxed(),
        PacketType::Puback => puback(version, reader).prop_map(Packet::from).boxed(),
        PacketType::Pubrec => pubrec(version, reader).prop_map(Packet::from).boxed(),
        PacketType::Pubrel => pubrel(version, reader).prop_map(Packet::from).boxed(),
        PacketType::Pubcomp => pubcomp(version, reader).prop_map(Packet::from).boxed(),
        PacketType::Subscribe => subscribe(version).prop_map(Packet::from).boxed(),
        PacketType::Suback => suback(version).prop_map(Packet::from).boxed(),
        PacketType::Unsubscribe => unsubscribe(version).prop_map(Packet::from).boxed(),
        PacketType::Unsuback => unsuback(version).prop_map(Packet::from).boxed(),
        PacketType::Pingreq => Just(Packet::Pingreq).boxed(),
        PacketType::Pingresp => Just(Packet::Pingresp).boxed(),
        PacketType::Disconnect => disconnect(version, reader).prop_map(Packet::from).boxed(),
        PacketType::Auth => auth(reader).prop_map(Packet::from).boxed(),
    }
}

/// A version, a reader, and a packet for it.
pub fn any_packet() -> impl Strategy<Value = (Version, Role, Packet<'static>)> {
    (version(), role())
        .prop_flat_map(|(version, reader)| (Just(version), Just(reader), packet(version, reader)))
}

/// PUBLISH.
pub fn publish(version: Version, reader: Role) -> impl Strategy<Value = Publish<'static>> {
    let topic = if version.is_v5() {
        prop::option::weighted(0.8, topic_name()).boxed()
    } else {
        topic_name().prop_map(Some).boxed()
    };
    (any::<(bool, bool)>(), delivery(), topic, properties(PropertyContext::Publish, version), payload())
        .prop_map(move |((dup, retain), delivery, topic, properties, payload)| {
            // [MQTT-3.3.4-6]
            let mut properties = properties.retain(|property| {
                reader == Role::Client || !matches!(property, Property::SubscriptionIdentifier(_))
            });
            if topic.is_none() && properties.topic_alias().is_none() {
                properties.push(Property::TopicAlias(1));
            }
            // [MQTT-3.3.1-2]
            let dup = dup && delivery != Delivery::AtMostOnce;
            Publish { dup, retain, delivery, topic, properties, payload: payload.into() }
        })
}

fn delivery() -> impl Strategy<Value = Delivery> {
    (qos(), packet_id()).prop_map(|(qos, id)| Delivery::new(qos, id))
}
