//! Reason codes, and the packets that are little more: DISCONNECT and AUTH.

use ReasonCode::{MalformedPacket, ProtocolError};
use opifex_packet::raw::RawPacket;
use opifex_packet::*;

use super::*;

/// The codes that a packet is read with, when `make` puts them into one.
fn codes(make: impl Fn(u8) -> RawPacket, version: Version, role: Role, statement: &str) -> Vec<u8> {
    let taken = |&code: &u8| match read(&make(code).to_bytes(), version, role) {
        Ok(Decoded::Packet { .. }) => true,
        Err(error) => {
            assert_eq!((error.statement(), error.reason()), (statement, ProtocolError));
            false
        }
        other => panic!("{other:?}"),
    };
    (0..=u8::MAX).filter(taken).collect()
}

#[test]
fn every_packet_takes_the_reason_codes_of_its_table_and_no_other() {
    let v5 = Version::V5_0;
    let ack = |first_byte| move |code| RawPacket::new(first_byte).u16(1).u8(code);
    let (server, client) = (Role::Server, Role::Client);

    let from_client = [0x00, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99];
    let from_server = [0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99];
    for (first_byte, statement) in [(0x40, "MQTT-3.4.2-1"), (0x50, "MQTT-3.5.2-1")] {
        assert_eq!(codes(ack(first_byte), v5, server, statement), from_client);
        assert_eq!(codes(ack(first_byte), v5, client, statement), from_server);
    }
    for (first_byte, statement) in [(0x62, "MQTT-3.6.2-1"), (0x70, "MQTT-3.7.2-1")] {
        for role in [server, client] {
            assert_eq!(codes(ack(first_byte), v5, role, statement), [0x00, 0x92]);
        }
    }

    let connack = |code| RawPacket::new(0x20).u8(0).u8(code).properties([]);
    let table = [
        0x00, 0x80, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8a, 0x8c, 0x90, 0x95, 0x97, 0x99,
        0x9a, 0x9b, 0x9c, 0x9d, 0x9f,
    ];
    assert_eq!(codes(connack, v5, client, "MQTT-3.2.2-8"), table);

    let suback = |code| RawPacket::new(0x90).u16(1).properties([]).u8(0).u8(code);
    let table = [0x00, 0x01, 0x02, 0x80, 0x83, 0x87, 0x8f, 0x91, 0x97, 0x9e, 0xa1, 0xa2];
    assert_eq!(codes(suback, v5, client, "MQTT-3.9.3-2"), table);
    let suback = |code| RawPacket::new(0x90).u16(1).u8(code);
    assert_eq!(codes(suback, Version::V3_1_1, client, "MQTT-3.9.3-2"), [0x00, 0x01, 0x02, 0x80]);
    assert_eq!(codes(suback, Version::V3_1, client, "MQTT-3.9.3-2"), [0x00, 0x01, 0x02]);

    let unsuback = |code| RawPacket::new(0xb0).u16(1).properties([]).u8(code);
    let table = [0x00, 0x11, 0x80, 0x83, 0x87, 0x8f, 0x91];
    assert_eq!(codes(unsuback, v5, client, "MQTT-3.11.3-2"), table);

    let disconnect = |code| RawPacket::new(0xe0).u8(code);
    let both = [0x80, 0x81, 0x82, 0x83, 0x90, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99];
    let from_client: Vec<u8> = [0x00, 0x04].into_iter().chain(both).collect();
    assert_eq!(codes(disconnect, v5, server, "MQTT-3.14.2-1"), from_client);
    let mut from_server = both.to_vec();
    from_server.extend([0x00, 0x87, 0x89, 0x8b, 0x8d, 0x8e, 0x8f]);
    from_server.extend(0x9a..=0xa2);
    from_server.sort_unstable();
    assert_eq!(codes(disconnect, v5, client, "MQTT-3.14.2-1"), from_server);

    let method = block([Property::AuthenticationMethod("m")]);
    let auth = |code| RawPacket::new(0xf0).u8(code).properties(&method);
    assert_eq!(codes(auth, v5, server, "MQTT-3.15.2-1"), [0x18, 0x19]);
    assert_eq!(codes(auth, v5, client, "MQTT-3.15.2-1"), [0x00, 0x18]);
}

#[test]
fn a_server_does_not_send_a_session_expiry_interval_in_disconnect() {
    let packet = RawPacket::new(0xe0).u8(0x80).properties(block([Property::SessionExpiryInterval(1)]));
    accepted(packet.clone(), Version::V5_0, Role::Server);
    refused(packet, Version::V5_0, Role::Client, "MQTT-3.14.2-2", ProtocolError);
}

#[test]
fn auth_names_its_method_unless_it_is_empty() {
    refused(
        RawPacket::new(0xf0).u8(0x18).properties([]),
        Version::V5_0,
        Role::Server,
        "MQTT5 3.15.2.2.2",
        ProtocolError,
    );
    // Without a property length it is cut off, unlike the other packets with a reason code.
    refused(RawPacket::new(0xf0).u8(0x18), Version::V5_0, Role::Server, "MQTT5 2.1.4", MalformedPacket);
    accepted(RawPacket::new(0xf0), Version::V5_0, Role::Client);
    refused(RawPacket::new(0xf0), Version::V5_0, Role::Server, "MQTT-3.15.2-1", ProtocolError);
}
