//! CONNECT and CONNACK.

use ReasonCode::{MalformedPacket, ProtocolError};
use opifex_packet::raw::RawPacket;
use opifex_packet::*;

use super::*;

#[test]
fn a_protocol_name_that_is_unknown_is_refused() {
    for name in ["mqtt", "MQTT2", "MQIsdpx", ""] {
        let packet = RawPacket::new(0x10).string(name).u8(4).u8(2).u16(0).string("c");
        let statement = "MQTT-3.1.2-1";
        refused(packet, Version::V3_1_1, Role::Server, statement, ReasonCode::UnsupportedProtocolVersion);
    }
}

#[test]
fn a_protocol_level_that_is_unknown_is_told_to_the_server() {
    for (name, level) in [("MQTT", 0), ("MQTT", 3), ("MQTT", 6), ("MQTT", 0x84), ("MQIsdp", 4), ("MQIsdp", 2)]
    {
        let packet = RawPacket::new(0x10).string(name).u8(level).u8(2).u16(0).string("c");
        let error = read(&packet.to_bytes(), Version::V5_0, Role::Server).unwrap_err();
        assert_eq!(error.is_unsupported_version(), Some(level));
        assert_eq!(error.statement(), "MQTT-3.1.2-2");
        assert_eq!(error.reason(), ReasonCode::UnsupportedProtocolVersion);
    }
}

#[test]
fn the_version_of_a_broken_connect_is_still_known() {
    for version in Version::ALL {
        let bytes = connect(version, 0x01).to_bytes();
        assert!(read(&bytes, Version::V5_0, Role::Server).is_err());
        assert_eq!(connect_version(&bytes), Some(version));
        assert_eq!(connect_version(&bytes[..6]), None);
    }
    assert_eq!(connect_version(&RawPacket::new(0xc0).to_bytes()), None);
}

#[test]
fn connect_flags_say_what_they_may() {
    for version in Version::ALL {
        let pick = |v3, v5| if version.is_v5() { v5 } else { v3 };
        let connect = |flags| connect(version, flags).string("c");
        refused(connect(0x03), version, Role::Server, "MQTT-3.1.2-3", MalformedPacket);

        let will = |flags: u8| {
            let packet = connect(flags);
            if version.is_v5() { packet.properties([]) } else { packet }.string("t").string("gone")
        };
        accepted(will(0x34), version, Role::Server);
        let statement = pick("MQTT-3.1.2-14", "MQTT-3.1.2-12");
        refused(will(0x1c), version, Role::Server, statement, MalformedPacket);

        if version == Version::V3_1 {
            // Without a will the two fields are disregarded.
            accepted(connect(0x3a), version, Role::Server);
        } else {
            for qos in [0x08, 0x10, 0x18] {
                let statement = pick("MQTT-3.1.2-13", "MQTT-3.1.2-11");
                refused(connect(qos), version, Role::Server, statement, MalformedPacket);
            }
            let statement = pick("MQTT-3.1.2-15", "MQTT-3.1.2-13");
            refused(connect(0x20), version, Role::Server, statement, MalformedPacket);
        }

        let password_alone = connect(0x42).binary(b"p");
        if version.is_v5() {
            accepted(password_alone, version, Role::Server);
        } else {
            refused(password_alone, version, Role::Server, "MQTT-3.1.2-22", MalformedPacket);
        }
    }
}

#[test]
fn what_no_connect_flag_announces_is_not_there() {
    for (version, section) in [(Version::V3_1_1, "MQTT311 2.2.3"), (Version::V5_0, "MQTT5 2.1.4")] {
        refused(
            connect(version, 0).string("c").string("user"),
            version,
            Role::Server,
            section,
            MalformedPacket,
        );
        // What a flag announces has to be.
        for flags in [0x04, 0x80, 0xc0] {
            refused(connect(version, flags).string("c"), version, Role::Server, section, MalformedPacket);
        }
    }
}

#[test]
fn in_3_1_the_length_takes_precedence_over_the_user_name_and_password_flags() {
    let packet = accepted(connect(Version::V3_1, 0xc2).string("c"), Version::V3_1, Role::Server);
    let Packet::Connect(packet) = packet else { panic!("a CONNECT") };
    assert_eq!((packet.user_name, packet.password), (None, None));
    let packet = accepted(connect(Version::V3_1, 0xc2).string("c").string("u"), Version::V3_1, Role::Server);
    let Packet::Connect(packet) = packet else { panic!("a CONNECT") };
    assert_eq!((packet.user_name.as_deref(), packet.password), (Some("u"), None));
}

#[test]
fn an_empty_client_id_is_for_the_server_to_refuse() {
    for version in Version::ALL {
        for flags in [0x00, 0x02] {
            accepted(connect(version, flags).string(""), version, Role::Server);
        }
    }
}

#[test]
fn the_topic_of_a_will_is_a_topic_name() {
    for (version, wildcard) in [(Version::V3_1_1, "MQTT-4.7.1-1"), (Version::V5_0, "MQTT-4.7.0-1")] {
        for (topic, statement) in [("", "MQTT-4.7.3-1"), ("a/#", wildcard), ("\0", "MQTT-4.7.3-2")] {
            let packet = connect(version, 0x04).string("c");
            let packet = if version.is_v5() { packet.properties([]) } else { packet };
            refused(packet.string(topic).string(""), version, Role::Server, statement, MalformedPacket);
        }
    }
}

#[test]
fn connack_has_one_flag_and_only_with_success() {
    refused(
        RawPacket::new(0x20).u8(2).u8(0),
        Version::V3_1_1,
        Role::Client,
        "MQTT311 3.2.2.1",
        MalformedPacket,
    );
    refused(RawPacket::new(0x20).u8(1).u8(5), Version::V3_1_1, Role::Client, "MQTT-3.2.2-4", ProtocolError);
    refused(
        RawPacket::new(0x20).u8(0).u8(6),
        Version::V3_1_1,
        Role::Client,
        "MQTT311 3.2.2.3",
        MalformedPacket,
    );
    let connack = |flags, reason| RawPacket::new(0x20).u8(flags).u8(reason).properties([]);
    refused(connack(0x80, 0), Version::V5_0, Role::Client, "MQTT-3.2.2-1", MalformedPacket);
    refused(connack(1, 0x87), Version::V5_0, Role::Client, "MQTT-3.2.2-6", ProtocolError);
    // 3.1 does not use the byte.
    let packet = accepted(RawPacket::new(0x20).u8(0xff).u8(0), Version::V3_1, Role::Client);
    assert_eq!(packet, Connack::new(ReasonCode::Success).into());
}
