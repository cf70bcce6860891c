//! Packets that are taken apart and put together, as they stand behind one another in a reader's buffer.

use std::hint::black_box;

use opifex_packet::{
    DecodeOptions, Decoded, Delivery, Packet, PacketId, Property, Puback, Publish, QoS, Role, Subscribe,
    Subscription, TopicFilter, TopicName, Version, decode,
};

/// Packets of a round.
pub(crate) const PACKETS: usize = 64;

fn id() -> PacketId {
    PacketId::new(77).expect("77 is not 0")
}

fn publish() -> Packet<'static> {
    let topic = TopicName::new("buildings/7/rooms/12/temperature").expect("no wildcards");
    Publish { delivery: Delivery::AtLeastOnce(id()), ..Publish::new(topic, vec![0x2a; 64]) }.into()
}

fn publish_5() -> Packet<'static> {
    let Packet::Publish(mut publish) = publish() else { unreachable!("it makes one") };
    publish.properties.push(Property::MessageExpiryInterval(60));
    publish.properties.push(Property::ContentType("application/json"));
    publish.properties.push(Property::UserProperty("unit", "kelvin"));
    publish.into()
}

fn puback() -> Packet<'static> {
    Puback::new(id()).into()
}

fn subscribe() -> Packet<'static> {
    let filters = ["buildings/+/rooms/+/temperature", "alarms/#"];
    let subscription =
        |filter| Subscription::new(TopicFilter::new(filter).expect("well-formed"), QoS::AtLeastOnce);
    Subscribe::new(id(), filters.map(subscription).to_vec()).into()
}

fn decode_all(packet: &Packet<'_>, version: Version, role: Role, rounds: usize) {
    let mut stream = Vec::new();
    (0..PACKETS).for_each(|_| packet.encode(version, &mut stream));
    let options = DecodeOptions::new(version, role);
    for _ in 0..rounds {
        let mut rest = black_box(&stream[..]);
        while let Ok(Decoded::Packet { packet, len }) = decode(rest, &options) {
            black_box(&packet);
            rest = &rest[len..];
        }
        assert!(rest.is_empty(), "what was encoded is decoded");
    }
}

fn encode_all(packet: &Packet<'_>, version: Version, rounds: usize) {
    let mut out = Vec::new();
    for _ in 0..rounds {
        out.clear();
        for _ in 0..PACKETS {
            black_box(packet).encode(version, &mut out);
        }
        black_box(&out);
    }
}

pub(crate) fn decode_publish(rounds: usize) {
    decode_all(&publish(), Version::V3_1_1, Role::Server, rounds);
}

pub(crate) fn decode_publish_5(rounds: usize) {
    decode_all(&publish_5(), Version::V5_0, Role::Server, rounds);
}

pub(crate) fn decode_puback(rounds: usize) {
    decode_all(&puback(), Version::V3_1_1, Role::Server, rounds);
}

pub(crate) fn decode_subscribe(rounds: usize) {
    decode_all(&subscribe(), Version::V3_1_1, Role::Server, rounds);
}

pub(crate) fn encode_publish(rounds: usize) {
    encode_all(&publish(), Version::V3_1_1, rounds);
}

pub(crate) fn encode_publish_5(rounds: usize) {
    encode_all(&publish_5(), Version::V5_0, rounds);
}

pub(crate) fn encode_puback(rounds: usize) {
    encode_all(&puback(), Version::V3_1_1, rounds);
}
