//! One packet of every type, written out by hand, to bytes that the standard prescribes and back.

use opifex_packet::*;

fn id(id: u16) -> PacketId {
    PacketId::new(id).expect("tests do not use 0")
}

fn filter(filter: &str) -> TopicFilter<'_> {
    TopicFilter::new(filter).expect("tests use valid filters")
}

#[track_caller]
fn both_ways(packet: impl Into<Packet<'static>>, version: Version, role: Role, bytes: &[u8]) {
    let packet = packet.into();
    let mut encoded = Vec::new();
    packet.encode(version, &mut encoded);
    assert_eq!(encoded, bytes);
    assert_eq!(packet.encoded_len(version), bytes.len());
    let decoded = decode(bytes, &DecodeOptions::new(version, role));
    assert_eq!(decoded, Ok(Decoded::Packet { packet, len: bytes.len() }));
}

#[test]
fn a_connect_with_everything_stands_in_the_order_of_the_standard() {
    let connect = Connect {
        clean_start: true,
        keep_alive_secs: 60,
        will: Some(Will {
            qos: QoS::AtLeastOnce,
            retain: true,
            properties: Properties::new().with(Property::WillDelayInterval(5)),
            ..Will::new(TopicName::new("w").unwrap(), &b"gone"[..])
        }),
        user_name: Some("u".into()),
        password: Some(b"p"[..].into()),
        properties: Properties::new().with(Property::ReceiveMaximum(10)),
        ..Connect::new(Version::V5_0, "c")
    };
    both_ways(
        connect.clone(),
        Version::V5_0,
        Role::Server,
        b"\x10\x26\0\x04MQTT\x05\xee\0\x3c\x03\x21\0\x0a\0\x01c\x05\x18\0\0\0\x05\0\x01w\0\x04gone\0\x01u\0\x01p",
    );

    let without_properties = |version| Connect {
        version,
        will: connect.will.clone().map(|will| Will { properties: Properties::new(), ..will }),
        properties: Properties::new(),
        ..connect.clone()
    };
    both_ways(
        without_properties(Version::V3_1_1),
        Version::V3_1_1,
        Role::Server,
        b"\x10\x1c\0\x04MQTT\x04\xee\0\x3c\0\x01c\0\x01w\0\x04gone\0\x01u\0\x01p",
    );
    both_ways(
        without_properties(Version::V3_1),
        Version::V3_1,
        Role::Server,
        b"\x10\x1e\0\x06MQIsdp\x03\xee\0\x3c\0\x01c\0\x01w\0\x04gone\0\x01u\0\x01p",
    );
}

#[test]
fn connack_has_return_codes_before_5_0() {
    let refused = Connack::new(ReasonCode::NotAuthorized);
    both_ways(refused.clone(), Version::V3_1, Role::Client, b"\x20\x02\0\x05");
    both_ways(refused.clone(), Version::V3_1_1, Role::Client, b"\x20\x02\0\x05");
    both_ways(refused, Version::V5_0, Role::Client, b"\x20\x03\0\x87\0");
    let resumed = Connack { session_present: true, ..Connack::new(ReasonCode::Success) };
    both_ways(resumed, Version::V3_1_1, Role::Client, b"\x20\x02\x01\0");
}

#[test]
fn publish_has_an_identifier_above_qos_0_and_properties_in_5_0() {
    let topic = TopicName::new("a/b").unwrap();
    both_ways(Publish::new(topic.clone(), &b"hi"[..]), Version::V3_1_1, Role::Server, b"\x30\x07\0\x03a/bhi");
    let publish = Publish {
        dup: true,
        retain: true,
        delivery: Delivery::ExactlyOnce(id(0x0102)),
        ..Publish::new(topic, &b"hi"[..])
    };
    both_ways(publish.clone(), Version::V3_1, Role::Client, b"\x3d\x09\0\x03a/b\x01\x02hi");
    both_ways(publish.clone(), Version::V5_0, Role::Client, b"\x3d\x0a\0\x03a/b\x01\x02\0hi");
    let aliased =
        Publish { topic: None, properties: Properties::new().with(Property::TopicAlias(7)), ..publish };
    both_ways(aliased, Version::V5_0, Role::Server, b"\x3d\x0a\0\0\x01\x02\x03\x23\0\x07hi");
}

#[test]
fn acknowledgements_leave_out_what_says_nothing() {
    for version in Version::ALL {
        both_ways(Puback::new(id(9)), version, Role::Server, b"\x40\x02\0\x09");
        both_ways(Pubrec::new(id(9)), version, Role::Server, b"\x50\x02\0\x09");
        both_ways(Pubrel::new(id(9)), version, Role::Server, b"\x62\x02\0\x09");
        both_ways(Pubcomp::new(id(9)), version, Role::Server, b"\x70\x02\0\x09");
    }
    let full = Puback::new(id(9)).with_reason(ReasonCode::QuotaExceeded);
    both_ways(full.clone(), Version::V5_0, Role::Client, b"\x40\x03\0\x09\x97");
    let explained = Puback { properties: Properties::new().with(Property::ReasonString("x")), ..full };
    both_ways(explained, Version::V5_0, Role::Client, b"\x40\x08\0\x09\x97\x04\x1f\0\x01x");
}

#[test]
fn subscribe_and_its_answers() {
    let options =
        SubscriptionOptions { retain_handling: RetainHandling::SendIfNew, ..QoS::AtLeastOnce.into() };
    let subscribe = Subscribe::new(id(1), vec![Subscription::new(filter("a/#"), options)]);
    both_ways(subscribe, Version::V5_0, Role::Server, b"\x82\x09\0\x01\0\0\x03a/#\x11");
    let subscribe = Subscribe::new(id(1), vec![Subscription::new(filter("+"), QoS::ExactlyOnce)]);
    both_ways(subscribe, Version::V3_1, Role::Server, b"\x82\x06\0\x01\0\x01+\x02");
    let suback = Suback::new(id(1), vec![ReasonCode::GrantedQoS1, ReasonCode::UnspecifiedError]);
    both_ways(suback.clone(), Version::V3_1_1, Role::Client, b"\x90\x04\0\x01\x01\x80");
    both_ways(suback, Version::V5_0, Role::Client, b"\x90\x05\0\x01\0\x01\x80");
    let unsubscribe = Unsubscribe::new(id(2), vec![filter("a"), filter("b")]);
    both_ways(unsubscribe.clone(), Version::V3_1_1, Role::Server, b"\xa2\x08\0\x02\0\x01a\0\x01b");
    both_ways(unsubscribe, Version::V5_0, Role::Server, b"\xa2\x09\0\x02\0\0\x01a\0\x01b");
    both_ways(Unsuback::new(id(2), vec![]), Version::V3_1_1, Role::Client, b"\xb0\x02\0\x02");
    let unsuback = Unsuback::new(id(2), vec![ReasonCode::NoSubscriptionExisted]);
    both_ways(unsuback, Version::V5_0, Role::Client, b"\xb0\x04\0\x02\0\x11");
}

#[test]
fn the_packets_without_contents() {
    for version in Version::ALL {
        both_ways(Packet::Pingreq, version, Role::Server, b"\xc0\0");
        both_ways(Packet::Pingresp, version, Role::Client, b"\xd0\0");
        both_ways(Disconnect::default(), version, Role::Server, b"\xe0\0");
    }
}

#[test]
fn disconnect_and_auth_of_5_0() {
    both_ways(Disconnect::new(ReasonCode::ServerShuttingDown), Version::V5_0, Role::Client, b"\xe0\x01\x8b");
    let method = Properties::new().with(Property::AuthenticationMethod("m"));
    let auth = Auth::new(ReasonCode::ContinueAuthentication, method);
    both_ways(auth, Version::V5_0, Role::Server, b"\xf0\x06\x18\x04\x15\0\x01m");
    both_ways(Auth::new(ReasonCode::Success, Properties::new()), Version::V5_0, Role::Client, b"\xf0\0");
}

#[test]
fn the_identifier_of_a_shared_encoding_is_where_it_says() {
    for (version, payload) in [(Version::V3_1_1, 1), (Version::V5_0, 200), (Version::V5_0, 20_000)] {
        let publish = Publish {
            delivery: Delivery::AtLeastOnce(id(0x0a0b)),
            ..Publish::new(TopicName::new("a/b").unwrap(), vec![0x55; payload])
        };
        let mut whole = Vec::new();
        publish.encode(version, &mut whole);

        let mut out = b"before".to_vec();
        let offset = publish.encode_with_id_offset(version, &mut out).unwrap();
        assert_eq!(out[6..], whole);
        assert_eq!(out[6 + offset..][..2], [0x0a, 0x0b]);

        let mut head = Vec::new();
        assert_eq!(publish.encode_head(version, payload, &mut head), Some(offset));
        head.extend_from_slice(&publish.payload);
        assert_eq!(head, whole);
    }
}

/// Table 3-10: the normal disconnection is "Client or Server", which other codecs reminded us of.
#[test]
fn a_server_may_disconnect_normally() {
    both_ways(Disconnect::default(), Version::V5_0, Role::Client, b"\xe0\0");
    let decoded = decode(b"\xe0\x02\0\0", &DecodeOptions::new(Version::V5_0, Role::Client));
    let packet = Packet::from(Disconnect::default());
    assert_eq!(decoded, Ok(Decoded::Packet { packet, len: 4 }));
}
