//! Texts and packet identifiers, wherever they stand.

use ReasonCode::MalformedPacket;
use opifex_packet::raw::RawPacket;
use opifex_packet::*;

use super::*;

#[test]
fn ill_formed_utf_8_is_refused_in_every_text() {
    let surrogate: &[u8] = b"\xed\xa0\x80";
    for bytes in [surrogate, b"\xff", b"a\xc3", b"\xc0\xaf", b"\xf4\x90\x80\x80"] {
        for version in Version::ALL {
            let statement = if version.is_v5() { "MQTT-1.5.4-1" } else { "MQTT-1.5.3-1" };
            for packet in [
                connect(version, 0).binary(bytes),
                connect(version, 0x80).string("c").binary(bytes),
                RawPacket::new(0x30).binary(bytes),
                subscribe(version).binary(bytes).u8(0),
                unsubscribe(version).binary(bytes),
            ] {
                refused(packet, version, Role::Server, statement, MalformedPacket);
            }
        }
        for property in [0x1f, 0x26] {
            let value = RawPacket::new(property).binary(bytes).string("v");
            let value = [
                &[property][..],
                &value.body[..if property == 0x26 { value.body.len() } else { 2 + bytes.len() }],
            ]
            .concat();
            let packet = RawPacket::new(0x40).u16(1).u8(0).properties(value);
            refused(packet, Version::V5_0, Role::Server, "MQTT-1.5.4-1", MalformedPacket);
        }
    }
}

#[test]
fn u_0000_is_refused_in_every_text() {
    for version in Version::ALL {
        let statement = if version.is_v5() { "MQTT-1.5.4-2" } else { "MQTT-1.5.3-2" };
        for packet in [
            connect(version, 0).string("a\0b"),
            connect(version, 0x80).string("c").string("\0"),
            subscribe(version).string("a\0").u8(0),
            unsubscribe(version).string("a\0"),
        ] {
            refused(packet, version, Role::Server, statement, MalformedPacket);
        }
        refused(RawPacket::new(0x30).string("a\0"), version, Role::Server, "MQTT-4.7.3-2", MalformedPacket);
    }
    let properties = block([Property::UserProperty("n", "\0")]);
    refused(publish_with(properties), Version::V5_0, Role::Server, "MQTT-1.5.4-2", MalformedPacket);
}

#[test]
fn a_byte_order_mark_is_kept() {
    // [MQTT-1.5.4-3]
    let packet = accepted(RawPacket::new(0x30).string("\u{feff}t"), Version::V3_1_1, Role::Server);
    let Packet::Publish(Publish { topic: Some(topic), .. }) = packet else { panic!("{packet:?}") };
    assert_eq!(topic.as_str(), "\u{feff}t");
}

#[test]
fn packet_identifier_0_is_refused_in_every_packet_that_has_one() {
    for version in Version::ALL {
        let statement = if version.is_v5() { "MQTT-2.2.1-3" } else { "MQTT-2.3.1-1" };
        for (role, packet) in [
            (Role::Server, RawPacket::new(0x32).string("t").u16(0).properties([])),
            (Role::Client, RawPacket::new(0x34).string("t").u16(0).properties([])),
            (Role::Server, RawPacket::new(0x40).u16(0)),
            (Role::Server, RawPacket::new(0x50).u16(0)),
            (Role::Server, RawPacket::new(0x62).u16(0)),
            (Role::Server, RawPacket::new(0x70).u16(0)),
            (Role::Server, RawPacket::new(0x82).u16(0).string("f").u8(0)),
            (Role::Client, RawPacket::new(0x90).u16(0).u8(0)),
            (Role::Server, RawPacket::new(0xa2).u16(0).string("f")),
            (Role::Client, RawPacket::new(0xb0).u16(0)),
        ] {
            refused(packet, version, role, statement, MalformedPacket);
        }
    }
}
