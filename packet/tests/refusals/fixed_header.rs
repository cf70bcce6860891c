//! The fixed header, and the end that it announces.

use ReasonCode::{MalformedPacket, ProtocolError};
use opifex_packet::raw::{RawPacket, RemainingLength};
use opifex_packet::*;

use super::*;

#[test]
fn reserved_packet_types_are_refused_from_their_first_byte() {
    for version in Version::ALL {
        for role in [Role::Server, Role::Client] {
            let error = read(&[0x00], version, role).unwrap_err();
            assert_eq!(error.reason(), MalformedPacket);
        }
    }
    for version in V3 {
        let error = read(&[0xf0], version, Role::Server).unwrap_err();
        assert_eq!((error.statement(), error.reason()), ("MQTT311 2.2.1", MalformedPacket));
    }
}

#[test]
fn packets_that_go_the_wrong_way_are_refused_from_their_first_byte() {
    for version in Version::ALL {
        for (role, first_bytes) in
            [(Role::Server, [0x20, 0x90, 0xb0, 0xd0]), (Role::Client, [0x10, 0x82, 0xa2, 0xc0])]
        {
            for first_byte in first_bytes {
                assert_eq!(read(&[first_byte], version, role).unwrap_err().reason(), ProtocolError);
            }
        }
    }
    for version in V3 {
        assert_eq!(read(&[0xe0], version, Role::Client).unwrap_err().reason(), ProtocolError);
    }
    assert_eq!(read(&[0xe0], Version::V5_0, Role::Client), Ok(Decoded::Incomplete { needed: 2 }));
}

#[test]
fn reserved_flags_are_refused_from_the_first_byte() {
    for version in Version::ALL {
        for packet_type in PacketType::ALL {
            let nibble = (packet_type as u8) << 4;
            let role = if packet_type.reaches(Role::Server, version) { Role::Server } else { Role::Client };
            if packet_type == PacketType::Publish || !packet_type.reaches(role, version) {
                continue;
            }
            let (right, statement) = match packet_type {
                PacketType::Pubrel => (2, "MQTT-3.6.1-1"),
                PacketType::Subscribe => (2, "MQTT-3.8.1-1"),
                PacketType::Unsubscribe => (2, "MQTT-3.10.1-1"),
                PacketType::Disconnect => (0, "MQTT-3.14.1-1"),
                PacketType::Auth => (0, "MQTT-3.15.1-1"),
                _ if version.is_v5() => (0, "MQTT-2.1.3-1"),
                _ => (0, "MQTT-2.2.2-2"),
            };
            for flags in 0..16 {
                let first_byte = [nibble | flags];
                let decoded = read(&first_byte, version, role);
                let again_in_3_1 = version == Version::V3_1 && right == 2 && flags == 0b1010;
                if flags == right || again_in_3_1 {
                    assert_eq!(decoded, Ok(Decoded::Incomplete { needed: 2 }));
                } else {
                    let error = decoded.unwrap_err();
                    assert_eq!((error.statement(), error.reason()), (statement, MalformedPacket));
                }
            }
        }
    }
}

#[test]
fn publish_flags_are_refused_from_the_first_byte() {
    for version in Version::ALL {
        for role in [Role::Server, Role::Client] {
            for first_byte in [0x36, 0x37, 0x3e, 0x3f] {
                let error = read(&[first_byte], version, role).unwrap_err();
                assert_eq!((error.statement(), error.reason()), ("MQTT-3.3.1-4", MalformedPacket));
            }
            let decoded = read(&[0x38], version, role);
            if version == Version::V3_1 {
                assert_eq!(decoded, Ok(Decoded::Incomplete { needed: 2 }));
            } else {
                assert_eq!(decoded.unwrap_err().statement(), "MQTT-3.3.1-2");
            }
        }
    }
}

#[test]
fn dup_on_a_qos_0_message_is_dropped_in_3_1() {
    let packet = accepted(RawPacket::new(0x38).string("t"), Version::V3_1, Role::Server);
    assert!(matches!(packet, Packet::Publish(Publish { dup: false, .. })));
}

#[test]
fn a_remaining_length_of_five_bytes_is_refused_before_the_fifth() {
    for (version, section) in [(Version::V3_1_1, "MQTT311 2.2.3"), (Version::V5_0, "MQTT5 1.5.5")] {
        let packet = RawPacket::new(0xc0).remaining_length(RemainingLength::Bytes(vec![0x80; 4]));
        refused(packet, version, Role::Server, section, MalformedPacket);
    }
}

#[test]
fn a_remaining_length_that_is_too_long_is_refused_in_5_0_alone() {
    let long = |packet: RawPacket| {
        let len = packet.body.len() as u8;
        packet.remaining_length(RemainingLength::Bytes(vec![len | 0x80, 0x80, 0x00]))
    };
    refused(long(RawPacket::new(0xc0)), Version::V5_0, Role::Server, "MQTT-1.5.5-1", MalformedPacket);
    let connect_5 = long(connect(Version::V5_0, 0).string("c"));
    for before_connect in Version::ALL {
        refused(connect_5.clone(), before_connect, Role::Server, "MQTT-1.5.5-1", MalformedPacket);
    }
    for version in V3 {
        accepted(long(RawPacket::new(0xc0)), version, Role::Server);
        accepted(long(connect(version, 0).string("c")), Version::V5_0, Role::Server);
    }
}

#[test]
fn a_packet_above_the_maximum_size_is_refused_from_its_fixed_header() {
    for (version, role, statement) in [
        (Version::V5_0, Role::Server, "MQTT-3.2.2-15"),
        (Version::V5_0, Role::Client, "MQTT-3.1.2-24"),
        (Version::V3_1_1, Role::Server, "MQTT311 2.2.3"),
    ] {
        let options = DecodeOptions { max_packet_size: 1000, ..DecodeOptions::new(version, role) };
        let error = decode(&[0x30, 0xe6, 0x07], &options).unwrap_err();
        assert!(error.is_too_large());
        assert_eq!((error.statement(), error.reason()), (statement, ReasonCode::PacketTooLarge));
        assert_eq!(decode(&[0x30, 0xe5, 0x07], &options), Ok(Decoded::Incomplete { needed: 1000 }));
    }
}

#[test]
fn a_packet_has_no_bytes_behind_its_last_field() {
    for version in Version::ALL {
        let section = if version.is_v5() { "MQTT5 2.1.4" } else { "MQTT311 2.2.3" };
        let properties = |packet: RawPacket| if version.is_v5() { packet.properties([]) } else { packet };
        let reason = |packet: RawPacket| if version.is_v5() { packet.u8(0) } else { packet };
        for (role, packet) in [
            (Role::Server, connect(version, 0).string("c")),
            (Role::Client, properties(RawPacket::new(0x20).u8(0).u8(0))),
            (Role::Server, properties(reason(RawPacket::new(0x40).u16(1)))),
            (Role::Server, properties(reason(RawPacket::new(0x50).u16(1)))),
            (Role::Server, properties(reason(RawPacket::new(0x62).u16(1)))),
            (Role::Server, properties(reason(RawPacket::new(0x70).u16(1)))),
            (Role::Server, RawPacket::new(0xc0)),
            (Role::Client, RawPacket::new(0xd0)),
            (Role::Server, properties(reason(RawPacket::new(0xe0)))),
        ] {
            accepted(packet.clone(), version, role);
            refused(packet.u8(0), version, role, section, MalformedPacket);
        }
    }
    for version in V3 {
        let unsuback = RawPacket::new(0xb0).u16(1);
        accepted(unsuback.clone(), version, Role::Client);
        refused(unsuback.u8(0), version, Role::Client, "MQTT311 2.2.3", MalformedPacket);
    }
    let auth = RawPacket::new(0xf0).u8(0x18).properties(block([Property::AuthenticationMethod("m")]));
    accepted(auth.clone(), Version::V5_0, Role::Server);
    refused(auth.u8(0), Version::V5_0, Role::Server, "MQTT5 2.1.4", MalformedPacket);
}

#[test]
fn a_packet_does_not_end_inside_a_field() {
    for version in Version::ALL {
        let section = if version.is_v5() { "MQTT5 2.1.4" } else { "MQTT311 2.2.3" };
        for packet in [
            RawPacket::new(0x10).u8(0),
            RawPacket::new(0x10).u16(6).bytes("MQTT"),
            connect(version, 0),
            connect(version, 0x04).string("c").string("will"),
            RawPacket::new(0x30).u16(3).bytes("ab"),
            RawPacket::new(0x32).string("t").u8(0),
            RawPacket::new(0x40).u8(0),
            subscribe(version).string("filter"),
            subscribe(version).u16(9).bytes("filter"),
            unsubscribe(version).u16(9).bytes("filter"),
        ] {
            let options = DecodeOptions::new(version, Role::Server);
            let error = decode(&packet.to_bytes(), &options).unwrap_err();
            assert_eq!(error.reason(), MalformedPacket, "{version}: {packet:?}");
            // Of a CONNECT that ends early the version may not be known.
            assert!(
                error.statement() == section || packet.first_byte == 0x10,
                "{version}: {packet:?}: {error}"
            );
        }
    }
}
