//! Property blocks, wherever they stand.

use ReasonCode::{MalformedPacket, ProtocolError};
use opifex_packet::raw::RawPacket;
use opifex_packet::*;

use super::*;

#[test]
fn a_property_stands_only_where_the_standard_lists_it() {
    // Table 2-4 of 5.0, by identifier; C connect, A connack, P publish, W will, a the four
    // acknowledgements, S subscribe, s suback, U unsubscribe, u unsuback, D disconnect, X auth.
    let table = [
        (0x01, "PW"),
        (0x02, "PW"),
        (0x03, "PW"),
        (0x08, "PW"),
        (0x09, "PW"),
        (0x0b, "PS"),
        (0x11, "CAD"),
        (0x12, "A"),
        (0x13, "A"),
        (0x15, "CAX"),
        (0x16, "CAX"),
        (0x17, "C"),
        (0x18, "W"),
        (0x19, "C"),
        (0x1a, "A"),
        (0x1c, "AD"),
        (0x1f, "AasuDX"),
        (0x21, "CA"),
        (0x22, "CA"),
        (0x23, "P"),
        (0x24, "A"),
        (0x25, "A"),
        (0x26, "CAPWaSsUuDX"),
        (0x27, "CA"),
        (0x28, "A"),
        (0x29, "A"),
        (0x2a, "A"),
    ];
    for context in PropertyContext::ALL {
        let letter = match context {
            PropertyContext::Connect => 'C',
            PropertyContext::Will => 'W',
            PropertyContext::Connack => 'A',
            PropertyContext::Publish => 'P',
            PropertyContext::Puback
            | PropertyContext::Pubrec
            | PropertyContext::Pubrel
            | PropertyContext::Pubcomp => 'a',
            PropertyContext::Subscribe => 'S',
            PropertyContext::Suback => 's',
            PropertyContext::Unsubscribe => 'U',
            PropertyContext::Unsuback => 'u',
            PropertyContext::Disconnect => 'D',
            PropertyContext::Auth => 'X',
        };
        for id in 0..=u8::MAX {
            let listed = table.iter().any(|&(one, places)| one == id && places.contains(letter));
            assert_eq!(context.allows(id), listed, "{id:#04x} in {context:?}");
            if !listed {
                // Enough zeros for a value of any type.
                let error = Properties::from_bytes(context, vec![id, 0, 0, 0, 0]).unwrap_err();
                assert_eq!((error.statement(), error.reason()), ("MQTT5 2.2.2.2", MalformedPacket));
            }
        }
    }
}

#[test]
fn a_property_stands_once_unless_it_is_a_user_property() {
    for (packet, section) in [
        (connect_with(block([Property::SessionExpiryInterval(1); 2])), "MQTT5 3.1.2.11.2"),
        (connect_with(block([Property::ReceiveMaximum(1); 2])), "MQTT5 3.1.2.11.3"),
        (connect_with(block([Property::MaximumPacketSize(1); 2])), "MQTT5 3.1.2.11.4"),
        (connect_with(block([Property::TopicAliasMaximum(1); 2])), "MQTT5 3.1.2.11.5"),
        (connect_with(block([Property::RequestResponseInformation(true); 2])), "MQTT5 3.1.2.11.6"),
        (connect_with(block([Property::RequestProblemInformation(true); 2])), "MQTT5 3.1.2.11.7"),
        (connect_with(block([Property::AuthenticationMethod("m"); 2])), "MQTT5 3.1.2.11.9"),
        (publish_with(block([Property::PayloadFormatIndicator(true); 2])), "MQTT5 3.3.2.3.2"),
        (publish_with(block([Property::MessageExpiryInterval(1); 2])), "MQTT5 3.3.2.3.3"),
        (publish_with(block([Property::TopicAlias(1); 2])), "MQTT5 3.3.2.3.4"),
        (publish_with(block([Property::ResponseTopic("r"); 2])), "MQTT5 3.3.2.3.5"),
        (publish_with(block([Property::CorrelationData(b"c"); 2])), "MQTT5 3.3.2.3.6"),
        (publish_with(block([Property::ContentType("c"); 2])), "MQTT5 3.3.2.3.9"),
        (
            RawPacket::new(0x82).u16(1).properties(block([Property::SubscriptionIdentifier(1); 2])),
            "MQTT5 3.8.2.1.2",
        ),
        (
            RawPacket::new(0x40).u16(1).u8(0).properties(block([Property::ReasonString("r"); 2])),
            "MQTT5 3.4.2.2.2",
        ),
    ] {
        refused(packet, Version::V5_0, Role::Server, section, ProtocolError);
    }
    accepted(publish_with(block([Property::UserProperty("n", "v"); 2])), Version::V5_0, Role::Server);
    // Whatever else stands twice is refused in every place.
    for context in PropertyContext::ALL {
        for id in (0..=u8::MAX).filter(|&id| context.allows(id)) {
            // A value of 1 that all types of that length take: texts and binary data are one byte long.
            let value: &[u8] = match id {
                0x01 | 0x0b | 0x17 | 0x19 | 0x24 | 0x25 | 0x28..=0x2a => &[1],
                0x13 | 0x21..=0x23 => &[0, 1],
                0x02 | 0x11 | 0x18 | 0x27 => &[0, 0, 0, 1],
                0x26 => &[0, 1, b'n', 0, 1, b'v'],
                _ => &[0, 1, b'x'],
            };
            let once = [&[id], value].concat();
            let method =
                if context == PropertyContext::Connect && id == 0x16 { &b"\x15\0\x01m"[..] } else { &[] };
            assert!(
                Properties::from_bytes(context, [method, &once].concat()).is_ok(),
                "{id:#04x} in {context:?}"
            );
            let twice = Properties::from_bytes(context, [method, &once, &once].concat());
            let may_repeat = id == 0x26 || (id == 0x0b && context == PropertyContext::Publish);
            assert_eq!(twice.map_err(|error| error.reason()).err(), (!may_repeat).then_some(ProtocolError));
        }
    }
}

#[test]
fn property_values_that_mean_nothing_are_refused() {
    for (packet, role, section) in [
        (connect_with(block([Property::ReceiveMaximum(0)])), Role::Server, "MQTT5 3.1.2.11.3"),
        (connect_with(block([Property::MaximumPacketSize(0)])), Role::Server, "MQTT5 3.1.2.11.4"),
        (connack_with(block([Property::ReceiveMaximum(0)])), Role::Client, "MQTT5 3.2.2.3.3"),
        (connack_with(block([Property::MaximumPacketSize(0)])), Role::Client, "MQTT5 3.2.2.3.6"),
        (connack_with(block([Property::MaximumQoS(2)])), Role::Client, "MQTT5 3.2.2.3.4"),
        (publish_with(block([Property::SubscriptionIdentifier(0)])), Role::Client, "MQTT5 3.3.2.3.8"),
        (
            RawPacket::new(0x82).u16(1).properties(block([Property::SubscriptionIdentifier(0)])),
            Role::Server,
            "MQTT5 3.8.2.1.2",
        ),
    ] {
        refused(packet, Version::V5_0, role, section, ProtocolError);
    }
    for (packet, role) in [
        (connect_with([0x17, 2]), Role::Server),
        (connect_with([0x19, 2]), Role::Server),
        (publish_with([0x01, 2]), Role::Server),
        (connack_with([0x25, 2]), Role::Client),
        (connack_with([0x28, 2]), Role::Client),
        (connack_with([0x29, 2]), Role::Client),
        (connack_with([0x2a, 2]), Role::Client),
    ] {
        let error = read(&packet.to_bytes(), Version::V5_0, role).unwrap_err();
        assert_eq!(error.reason(), ProtocolError, "{packet:?}");
    }
}

#[test]
fn authentication_data_needs_a_method() {
    let data = Property::AuthenticationData(b"d");
    refused(connect_with(block([data])), Version::V5_0, Role::Server, "MQTT5 3.1.2.11.10", ProtocolError);
    let method = Property::AuthenticationMethod("m");
    accepted(connect_with(block([data, method])), Version::V5_0, Role::Server);
}

#[test]
fn property_blocks_and_their_varints_are_well_formed() {
    // A block longer than the packet, and one that ends inside a property.
    refused(
        RawPacket::new(0x30).string("t").varint(5),
        Version::V5_0,
        Role::Server,
        "MQTT5 2.1.4",
        MalformedPacket,
    );
    for broken in [&[0x02, 0, 0][..], &[0x26, 0, 1, b'n'], &[0x03, 0, 9, b'x'], &[0x0b, 0x80], &[0x03]] {
        refused(publish_with(broken), Version::V5_0, Role::Client, "MQTT5 2.2.2.2", MalformedPacket);
    }
    // Variable byte integers in their shortest form.
    refused(publish_with([0x0b, 0x81, 0x00]), Version::V5_0, Role::Client, "MQTT-1.5.5-1", MalformedPacket);
    let packet = RawPacket::new(0x30).string("t").bytes([0x80, 0x00]);
    refused(packet, Version::V5_0, Role::Server, "MQTT-1.5.5-1", MalformedPacket);
    let packet = RawPacket::new(0x30).string("t").bytes([0xff, 0xff, 0xff, 0xff, 0x01]);
    refused(packet, Version::V5_0, Role::Server, "MQTT5 1.5.5", MalformedPacket);
}
