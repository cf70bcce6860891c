//! Properties of the codec over generated packets of every type and version, and over any bytes.

use opifex_packet::*;
use proptest::prelude::*;

fn encoded(packet: &Packet<'_>, version: Version) -> Vec<u8> {
    let mut bytes = Vec::new();
    packet.encode(version, &mut bytes);
    bytes
}

/// All packets of a stream that arrives in pieces of those lengths.
fn decode_in_pieces(stream: &[u8], pieces: &[usize], options: &DecodeOptions) -> Vec<Packet<'static>> {
    let mut packets = Vec::new();
    let mut buffer = Vec::new();
    let mut arrived = 0;
    let mut pieces = pieces.iter().cycle();
    while arrived < stream.len() {
        let piece = pieces.next().map_or(1, |&piece| piece.max(1)).min(stream.len() - arrived);
        buffer.extend_from_slice(&stream[arrived..arrived + piece]);
        arrived += piece;
        while let Decoded::Packet { packet, len } = decode(&buffer, options).expect("the packets are valid") {
            packets.push(packet.into_owned());
            buffer.drain(..len);
        }
    }
    assert!(buffer.is_empty(), "{} bytes are left", buffer.len());
    packets
}

/// Whatever bytes decode to is encoded in a form that decodes to the same and does not change again.
fn check_canonical(bytes: &[u8], options: &DecodeOptions) -> Result<(), TestCaseError> {
    let Ok(Decoded::Packet { packet, len }) = decode(bytes, options) else { return Ok(()) };
    prop_assert!(len <= bytes.len());
    let canonical = encoded(&packet, options.version);
    prop_assert!(canonical.len() <= len);
    let Ok(Decoded::Packet { packet: again, len }) = decode(&canonical, options) else {
        return Err(TestCaseError::fail(format!("{packet:?} is encoded as {canonical:?}, which is refused")));
    };
    prop_assert_eq!(len, canonical.len());
    prop_assert_eq!(&again, &packet);
    prop_assert_eq!(encoded(&again, options.version), canonical);
    Ok(())
}

/// A way to break bytes.
#[derive(Clone, Debug)]
enum Mutation {
    Replace(prop::sample::Index, u8),
    Flip(prop::sample::Index, u8),
    Insert(prop::sample::Index, u8),
    Remove(prop::sample::Index),
    /// Changes a length of one byte, and takes care that the packet has it.
    Lengthen(u8),
}

fn mutation() -> impl Strategy<Value = Mutation> {
    let at = any::<prop::sample::Index>;
    prop_oneof![
        (at(), any::<u8>()).prop_map(|(at, byte)| Mutation::Replace(at, byte)),
        (at(), 0..8u8).prop_map(|(at, bit)| Mutation::Flip(at, bit)),
        (at(), any::<u8>()).prop_map(|(at, byte)| Mutation::Insert(at, byte)),
        at().prop_map(Mutation::Remove),
        any::<u8>().prop_map(Mutation::Lengthen),
    ]
}

fn mutate(bytes: &mut Vec<u8>, mutation: &Mutation) {
    match mutation {
        Mutation::Replace(at, byte) if !bytes.is_empty() => {
            let at = at.index(bytes.len());
            bytes[at] = *byte;
        }
        Mutation::Flip(at, bit) if !bytes.is_empty() => {
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
        }
        Mutation::Insert(at, byte) => bytes.insert(at.index(bytes.len() + 1), *byte),
        Mutation::Remove(at) if !bytes.is_empty() => {
            bytes.remove(at.index(bytes.len()));
        }
        Mutation::Lengthen(byte) if bytes.len() > 1 && bytes[1] < 0x7f => {
            bytes[1] += 1;
            bytes.push(*byte);
        }
        _ => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, ..ProptestConfig::default() })]

    #[test]
    fn what_is_encoded_decodes_to_the_same((version, role, packet) in strategies::any_packet()) {
        let bytes = encoded(&packet, version);
        prop_assert_eq!(bytes.len(), packet.encoded_len(version));
        let decoded = decode(&bytes, &DecodeOptions::new(version, role));
        prop_assert_eq!(decoded, Ok(Decoded::Packet { packet: packet.clone(), len: bytes.len() }));

        // Bytes behind the packet do not matter.
        let mut more = bytes.clone();
        more.push(0);
        let decoded = decode(&more, &DecodeOptions::new(version, role));
        prop_assert_eq!(decoded, Ok(Decoded::Packet { packet, len: bytes.len() }));
    }

    #[test]
    fn every_proper_prefix_asks_for_more_but_not_too_much((version, role, packet) in strategies::any_packet()) {
        let bytes = encoded(&packet, version);
        let options = DecodeOptions::new(version, role);
        for len in (0..bytes.len()).filter(|&len| len < 600 || len % 97 == 0 || len + 3 > bytes.len()) {
            match decode(&bytes[..len], &options) {
                Ok(Decoded::Incomplete { needed }) => {
                    prop_assert!(len < needed && needed <= bytes.len(), "{len} < {needed} <= {}", bytes.len());
                }
                other => prop_assert!(false, "{len} of {} bytes give {other:?}", bytes.len()),
            }
        }
    }

    #[test]
    fn a_packet_is_refused_for_its_size_exactly_when_it_is_above_the_limit(
        (version, role, packet) in strategies::any_packet(),
    ) {
        let bytes = encoded(&packet, version);
        let at_limit = DecodeOptions { max_packet_size: bytes.len(), ..DecodeOptions::new(version, role) };
        prop_assert!(decode(&bytes, &at_limit).is_ok());
        let below = DecodeOptions { max_packet_size: bytes.len() - 1, ..at_limit };
        for len in 0..=bytes.len().min(6) {
            match decode(&bytes[..len], &below) {
                Err(error) => prop_assert!(error.is_too_large() && error.reason() == ReasonCode::PacketTooLarge),
                Ok(decoded) => {
                    // Only a fixed header that is not whole yet hides the size.
                    prop_assert_eq!(packet_len(&bytes[..len]), Ok(None));
                    prop_assert!(matches!(decoded, Decoded::Incomplete { .. }), "{decoded:?}");
                }
            }
        }
    }

    #[test]
    fn a_stream_split_anywhere_gives_the_same_packets(
        (version, role, packets) in (strategies::version(), strategies::role()).prop_flat_map(|(version, role)| {
            (Just(version), Just(role), prop::collection::vec(strategies::packet(version, role), 1..6))
        }),
        pieces in prop::collection::vec(1..40usize, 1..8),
    ) {
        let stream: Vec<u8> = packets.iter().flat_map(|packet| encoded(packet, version)).collect();
        let options = DecodeOptions::new(version, role);
        prop_assert_eq!(decode_in_pieces(&stream, &pieces, &options), packets);
    }

    #[test]
    fn any_bytes_are_a_packet_or_refused_or_incomplete(
        bytes in prop::collection::vec(any::<u8>(), 0..80),
        version in strategies::version(),
        role in strategies::role(),
    ) {
        check_canonical(&bytes, &DecodeOptions::new(version, role))?;
    }

    #[test]
    fn broken_packets_are_refused_or_have_a_canonical_form(
        (version, role, packet) in strategies::any_packet(),
        mutations in prop::collection::vec(mutation(), 1..4),
    ) {
        let mut bytes = encoded(&packet, version);
        for mutation in &mutations {
            mutate(&mut bytes, mutation);
            check_canonical(&bytes, &DecodeOptions::new(version, role))?;
        }
    }

    #[test]
    fn the_owned_form_is_equal_and_borrows_nothing((version, _, packet) in strategies::any_packet()) {
        let bytes = encoded(&packet, version);
        prop_assert_eq!(&packet.clone().into_owned(), &packet);
        prop_assert_eq!(encoded(&packet.into_owned(), version), bytes);
    }

    #[test]
    fn every_property_of_a_block_is_found_by_its_getter(
        context in prop::sample::select(&PropertyContext::ALL[..]),
        properties in prop::sample::select(&PropertyContext::ALL[..])
            .prop_flat_map(|context| strategies::properties(context, Version::V5_0)),
    ) {
        // In another place a block is refused for the first that may not stand there, or not a second time (of those
        // that repeat, PUBLISH alone may hold several subscription identifiers), and then for what misses its method.
        let mut identifiers = 0;
        let fault = properties.iter().find_map(|property| {
            identifiers += usize::from(property.id() == 0x0b);
            if !context.allows(property.id()) {
                Some((ReasonCode::MalformedPacket, "MQTT5 2.2.2.2"))
            } else if property.id() == 0x0b && identifiers == 2 && context != PropertyContext::Publish {
                Some((ReasonCode::ProtocolError, "MQTT5 3.8.2.1.2"))
            } else {
                None
            }
        });
        let orphaned = context == PropertyContext::Connect && properties.contains(0x16) && !properties.contains(0x15);
        let fault = fault.or(orphaned.then_some((ReasonCode::ProtocolError, "MQTT5 3.1.2.11.10")));
        let verdict = Properties::from_bytes(context, properties.as_bytes());
        prop_assert_eq!(verdict.map(|_| ()).map_err(|error| (error.reason(), error.statement())), fault.map_or(Ok(()), Err));
        let again: Properties<'_> = properties.iter().collect();
        prop_assert_eq!(&again, &properties);
        prop_assert_eq!(properties.retain(|_| true), properties.borrow());
        prop_assert_eq!(properties.retain(|_| false), Properties::new());
        for property in properties.iter() {
            prop_assert!(properties.contains(property.id()));
        }
        let users: Vec<_> = properties.iter().filter(|property| property.id() == 0x26).collect();
        let found: Vec<_> = properties.user_properties().map(|(n, v)| Property::UserProperty(n, v)).collect();
        prop_assert_eq!(found, users);
        let ids: Vec<_> = properties.iter().filter(|property| property.id() == 0x0b).collect();
        let found: Vec<_> = properties.subscription_identifiers().map(Property::SubscriptionIdentifier).collect();
        prop_assert_eq!(found, ids);
    }
}
