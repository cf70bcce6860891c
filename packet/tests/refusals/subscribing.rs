//! SUBSCRIBE, UNSUBSCRIBE and their answers.

use ReasonCode::{MalformedPacket, ProtocolError};
use opifex_packet::raw::RawPacket;
use opifex_packet::*;

use super::*;

#[test]
fn subscribe_and_unsubscribe_name_a_filter() {
    for version in Version::ALL {
        let statement = if version.is_v5() { "MQTT-3.8.3-2" } else { "MQTT-3.8.3-3" };
        refused(subscribe(version), version, Role::Server, statement, ProtocolError);
        refused(unsubscribe(version), version, Role::Server, "MQTT-3.10.3-2", ProtocolError);
    }
}

#[test]
fn a_topic_filter_is_well_formed() {
    for (version, hash, plus) in
        [(Version::V3_1_1, "MQTT-4.7.1-2", "MQTT-4.7.1-3"), (Version::V5_0, "MQTT-4.7.1-1", "MQTT-4.7.1-2")]
    {
        for (filter, statement) in
            [("", "MQTT-4.7.3-1"), ("a#", hash), ("#/a", hash), ("a+", plus), ("+a/b", plus)]
        {
            let packet = subscribe(version).string("ok").u8(0).string(filter).u8(0);
            refused(packet, version, Role::Server, statement, MalformedPacket);
            refused(unsubscribe(version).string(filter), version, Role::Server, statement, MalformedPacket);
        }
    }
}

#[test]
fn a_shared_filter_is_well_formed() {
    for (filter, statement) in [
        ("$share/", "MQTT-4.8.2-1"),
        ("$share//f", "MQTT-4.8.2-1"),
        ("$share/+/f", "MQTT-4.8.2-2"),
        ("$share/g", "MQTT-4.8.2-2"),
        ("$share/g/", "MQTT-4.8.2-2"),
    ] {
        let version = Version::V5_0;
        refused(subscribe(version).string(filter).u8(0), version, Role::Server, statement, MalformedPacket);
        refused(unsubscribe(version).string(filter), version, Role::Server, statement, MalformedPacket);
    }
}

#[test]
fn before_5_0_an_ill_formed_shared_filter_is_an_ordinary_one() {
    for version in V3 {
        for filter in ["$share/", "$share//f", "$share/+/f", "$share/g", "$share/g/"] {
            let packet = accepted(subscribe(version).string(filter).u8(0), version, Role::Server);
            let Packet::Subscribe(subscribe) = packet else { panic!("{packet:?}") };
            assert_eq!(subscribe.subscriptions[0].filter.shared(), None);
        }
    }
}

#[test]
fn subscription_options_have_no_reserved_bits_and_no_value_3() {
    let packet = |version: Version, options| subscribe(version).string("f").u8(options);
    for version in V3 {
        for options in [3, 4, 0x10, 0x80] {
            refused(packet(version, options), version, Role::Server, "MQTT-3.8.3-4", MalformedPacket);
        }
    }
    let version = Version::V5_0;
    for options in [0x40, 0x80, 0xc1] {
        refused(packet(version, options), version, Role::Server, "MQTT-3.8.3-5", MalformedPacket);
    }
    for options in [0x03, 0x30] {
        refused(packet(version, options), version, Role::Server, "MQTT5 3.8.3.1", ProtocolError);
    }
}

#[test]
fn no_local_on_a_shared_subscription_is_refused() {
    let packet = |filter| subscribe(Version::V5_0).string(filter).u8(0x04);
    accepted(packet("f"), Version::V5_0, Role::Server);
    refused(packet("$share/g/f"), Version::V5_0, Role::Server, "MQTT-3.8.3-4", ProtocolError);
}

#[test]
fn suback_and_unsuback_of_5_0_have_a_reason_code() {
    let answer = |first_byte| RawPacket::new(first_byte).u16(1).properties([]);
    refused(answer(0x90), Version::V5_0, Role::Client, "MQTT-3.8.4-6", ProtocolError);
    refused(answer(0xb0), Version::V5_0, Role::Client, "MQTT-3.11.3-1", ProtocolError);
    refused(RawPacket::new(0x90).u16(1), Version::V3_1_1, Role::Client, "MQTT-3.8.4-5", ProtocolError);
}
