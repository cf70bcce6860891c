//! What was decoded can be written again, and reads the same then.

use opifex_packet::{DecodeOptions, Decoded, Packet, Properties, PropertyContext, Version, decode};

use crate::readings;

/// Decodes the packet at the front of the bytes in every version and role, encodes it and decodes
/// that.
///
/// # Panics
/// When the packet is another one then, or its encoding is not as long as it said, or the encoding is
/// longer than what was read (there is no shorter form than the canonical one), or not stable.
pub fn what_decodes_round_trips(bytes: &[u8]) {
    for (version, role) in readings() {
        let options = DecodeOptions::new(version, role);
        let Ok(Decoded::Packet { packet, len }) = decode(bytes, &options) else { continue };

        let mut encoded = Vec::new();
        packet.encode(version, &mut encoded);
        assert_eq!(encoded.len(), packet.encoded_len(version), "{packet:?}");
        assert!(encoded.len() <= len, "{packet:?}: {} bytes of {len}", encoded.len());

        let again = decode(&encoded, &options);
        assert_eq!(again, Ok(Decoded::Packet { packet: packet.clone(), len: encoded.len() }));
        assert_eq!(packet.clone().into_owned(), packet);
        the_parts_are_what_their_types_promise(&packet, version);
    }
}

fn the_parts_are_what_their_types_promise(packet: &Packet<'_>, version: Version) {
    match packet {
        Packet::Connect(packet) => {
            block(&packet.properties, PropertyContext::Connect, packet.version);
            if let Some(will) = &packet.will {
                block(&will.properties, PropertyContext::Will, packet.version);
            }
        }
        Packet::Connack(packet) => block(&packet.properties, PropertyContext::Connack, version),
        Packet::Publish(packet) => {
            block(&packet.properties, PropertyContext::Publish, version);
            let mut shared = Vec::new();
            let id_at = packet.encode_with_id_offset(version, &mut shared);
            let id = id_at.map(|at| u16::from_be_bytes([shared[at], shared[at + 1]]));
            assert_eq!(id, packet.delivery.packet_id().map(|id| id.get()));
        }
        Packet::Puback(packet) => block(&packet.properties, PropertyContext::Puback, version),
        Packet::Pubrec(packet) => block(&packet.properties, PropertyContext::Pubrec, version),
        Packet::Pubrel(packet) => block(&packet.properties, PropertyContext::Pubrel, version),
        Packet::Pubcomp(packet) => block(&packet.properties, PropertyContext::Pubcomp, version),
        Packet::Subscribe(packet) => {
            block(&packet.properties, PropertyContext::Subscribe, version);
            assert!(!packet.subscriptions.is_empty());
            for subscription in &packet.subscriptions {
                let shared = subscription.filter.shared();
                assert!(!version.is_v5() || shared.is_none_or(|shared| !shared.filter.is_empty()));
            }
        }
        Packet::Suback(packet) => block(&packet.properties, PropertyContext::Suback, version),
        Packet::Unsubscribe(packet) => {
            block(&packet.properties, PropertyContext::Unsubscribe, version);
            assert!(!packet.filters.is_empty());
        }
        Packet::Unsuback(packet) => block(&packet.properties, PropertyContext::Unsuback, version),
        Packet::Disconnect(packet) => block(&packet.properties, PropertyContext::Disconnect, version),
        Packet::Auth(packet) => block(&packet.properties, PropertyContext::Auth, version),
        Packet::Pingreq | Packet::Pingresp => {}
    }
}

/// A block that was validated once is valid still, and its properties make it up whole.
fn block(properties: &Properties<'_>, context: PropertyContext, version: Version) {
    assert!(properties.is_empty() || version.is_v5());
    assert_eq!(Properties::from_bytes(context, properties.as_bytes()).as_ref(), Ok(properties));
    assert!(properties.iter().all(|property| context.allows(property.id())));
    let rebuilt = properties.iter().fold(Properties::new(), Properties::with);
    assert_eq!(rebuilt, *properties);
}
