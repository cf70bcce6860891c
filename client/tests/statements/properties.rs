//! 2.2.2 properties (5.0): which, how often, with which values; and what is meant where there are none.

use opifex_client::{Cause, Event, Machine, MemoryStore, Message, Options, Refusal};
use opifex_packet::{Connack, Packet, Properties, Property, QoS, ReasonCode, Version};

use crate::peer::{Peer, ends, field, lasting, message, packet, publish_bytes, success};
use crate::statements;

statements! { "properties";
    a_property_that_the_packet_does_not_have_ends_the_connection: v5 ["U5-2"];
    a_property_that_the_packet_does_not_have_is_not_sent: v5 ["U5-2"];
    a_property_that_stands_twice_ends_the_connection: v5 ["U5-23", "U5-27"];
    a_property_of_a_message_is_sent_once: v5 ["U5-23"];
    limits_of_connack_stand_once_and_are_not_0: v5 ["U5-4", "U5-5", "U5-6"];
    limits_of_its_own_are_not_0: v5 ["U5-4", "U5-5"];
    a_packet_is_measured_with_its_header: v5 ["U5-5"];
    an_acknowledgement_may_leave_out_reason_and_properties: v5 ["U5-26"];
    a_disconnect_may_leave_out_reason_and_properties: v5 ["U5-34"];
}

const REASON_STRING: &[u8] = b"\x1f\0\x01r";

/// An acknowledgement of packet 1, of a first byte and with properties.
fn ack(first_byte: u8, properties: &[u8]) -> Vec<u8> {
    let len = u8::try_from(properties.len()).unwrap();
    packet(first_byte, &[&[0, 1, 0, len], properties].concat())
}

/// A client with a QoS 1 message under packet id 1, as its first PUBLISH has it.
fn with_message(version: Version, qos: QoS) -> Peer {
    let mut peer = Peer::connected(version);
    peer.publish("m", qos);
    let sent = peer.sent();
    assert_eq!(crate::peer::publishes(&sent)[0].1, 1, "{sent:?}");
    peer
}

fn a_property_that_the_packet_does_not_have_ends_the_connection(version: Version) {
    // Session expiry, receive maximum, an id that nothing has; a value that is too short, and one that has none.
    for properties in [&b"\x11\0\0\0\x01"[..], b"\x21\0\x01", b"\x7f\x01", b"\x02\0\x01", b"\x23"] {
        ends(version, &publish_bytes(version, b"t", properties), ReasonCode::MalformedPacket);
    }
    for first_byte in [0x40, 0x50, 0x62, 0x70] {
        for properties in [&b"\x03\0\x01c"[..], b"\x23\0\x01"] {
            ends(version, &ack(first_byte, properties), ReasonCode::MalformedPacket);
        }
    }
    // A topic alias in DISCONNECT, and in AUTH.
    ends(version, &packet(0xe0, b"\0\x03\x23\0\x01"), ReasonCode::MalformedPacket);
    ends(version, &packet(0xf0, b"\x18\x03\x23\0\x01"), ReasonCode::MalformedPacket);
}

fn a_property_that_the_packet_does_not_have_is_not_sent(version: Version) {
    let wrong = || Properties::new().with(Property::ServerKeepAlive(1));
    let mut peer = Peer::connected(version);
    for qos in [QoS::AtMostOnce, QoS::AtLeastOnce] {
        let refused = peer.machine.publish(Message { properties: wrong(), ..message("m", qos) });
        assert!(matches!(refused, Err(Refusal::Forbidden { .. })), "{refused:?}");
    }
    let filter = || opifex_packet::TopicFilter::new("f").unwrap();
    let subscription = opifex_packet::Subscription::new(filter(), QoS::AtMostOnce);
    assert!(peer.machine.subscribe(vec![subscription], wrong()).is_err());
    assert!(peer.machine.unsubscribe(vec![filter()], wrong()).is_err());
    assert!(peer.machine.disconnect(ReasonCode::Success, wrong()).is_err());
    assert_eq!(peer.sent(), []);
    let options = Options { properties: wrong(), ..Options::new(version, "c") };
    assert!(Machine::new(options, MemoryStore::default()).is_err());
}

/// Each property that a PUBLISH has once.
fn single() -> [Vec<u8>; 6] {
    let text = field(b"x");
    [
        b"\x01\x01".to_vec(),
        b"\x02\0\0\0\x09".to_vec(),
        b"\x23\0\x01".to_vec(),
        [b"\x08", &text[..]].concat(),
        [b"\x09", &text[..]].concat(),
        [b"\x03", &text[..]].concat(),
    ]
}

fn a_property_that_stands_twice_ends_the_connection(version: Version) {
    for property in single() {
        ends(version, &publish_bytes(version, b"t", &property.repeat(2)), ReasonCode::ProtocolError);
        let mut peer = Peer::connected(version);
        peer.arrives(&publish_bytes(version, b"t", &property));
        assert_eq!(peer.messages(), 1, "{property:02x?}");
    }
    for first_byte in [0x40, 0x50, 0x62, 0x70] {
        ends(version, &ack(first_byte, &REASON_STRING.repeat(2)), ReasonCode::ProtocolError);
    }
    let mut peer = with_message(version, QoS::AtLeastOnce);
    assert_eq!(peer.arrives(&ack(0x40, REASON_STRING)), []);
    assert!(!peer.machine.is_closing());
}

fn a_property_of_a_message_is_sent_once(version: Version) {
    for property in [
        Property::PayloadFormatIndicator(true),
        Property::MessageExpiryInterval(1),
        Property::ResponseTopic("r"),
        Property::CorrelationData(b"c"),
        Property::ContentType("t"),
    ] {
        let once = Properties::new().with(property);
        for (properties, is_sent) in [(once.clone(), true), (once.with(property), false)] {
            let mut peer = Peer::connected(version);
            let answer = peer.machine.publish(Message { properties, ..message("m", QoS::AtMostOnce) });
            assert_eq!((answer.is_ok(), peer.sent().len()), (is_sent, usize::from(is_sent)), "{property:?}");
        }
    }
}

fn limits_of_connack_stand_once_and_are_not_0(version: Version) {
    let connack = |properties: &[u8]| packet(0x20, &[&[0, 0, properties.len() as u8], properties].concat());
    for (property, zero) in [
        (&b"\x21\0\x05"[..], Some(&b"\x21\0\0"[..])),
        (b"\x27\0\0\x01\0", Some(b"\x27\0\0\0\0")),
        (b"\x22\0\x05", None),
    ] {
        for wrong in [Some(&property.repeat(2)[..]), zero].into_iter().flatten() {
            let mut peer = Peer::new(lasting(version));
            peer.machine.connect(std::time::Instant::now()).unwrap();
            peer.sent();
            // In front of CONNACK there is nothing to say.
            assert_eq!(peer.arrives(&connack(wrong)), [], "{wrong:02x?}");
            let cause = peer.cause();
            assert!(
                matches!(&cause, Cause::Malformed(error) if error.reason() == ReasonCode::ProtocolError),
                "{wrong:02x?}: {cause}"
            );
        }
        let mut peer = Peer::new(lasting(version));
        peer.machine.connect(std::time::Instant::now()).unwrap();
        peer.sent();
        peer.arrives(&connack(property));
        assert!(peer.machine.is_connected(), "{property:02x?}");
    }
    // Where they are absent.
    let peer = Peer::accepted(Options { max_inflight: u16::MAX, ..lasting(version) }, success());
    assert_eq!(
        (peer.machine.limits().receive_maximum, peer.machine.limits().topic_alias_maximum),
        (65_535, 0)
    );
}

fn limits_of_its_own_are_not_0(version: Version) {
    let is_refused = |options: Options| Machine::new(options, MemoryStore::default()).is_err();
    let options = || Options::new(version, "c");
    assert!(!is_refused(options()));
    assert!(is_refused(Options { receive_maximum: 0, ..options() }));
    assert!(is_refused(Options { max_packet_size: Some(0), ..options() }));
    // None stands beside its field a second time.
    for property in
        [Property::ReceiveMaximum(1), Property::MaximumPacketSize(100), Property::TopicAliasMaximum(1)]
    {
        assert!(is_refused(Options { properties: Properties::new().with(property), ..options() }));
    }
}

fn a_packet_is_measured_with_its_header(version: Version) {
    let options = Options { max_packet_size: Some(12), ..lasting(version) };
    // 2 bytes of header, 4 of topic and property length, and the payload.
    let publish = |payload: &[u8]| packet(0x30, &[b"\0\x01t\0", payload].concat());
    let mut peer = Peer::accepted(options.clone(), success());
    peer.arrives(&publish(&[b'm'; 6]));
    assert_eq!(peer.messages(), 1);
    let mut peer = Peer::accepted(options, success());
    peer.is_ended_by(&publish(&[b'm'; 7]), ReasonCode::PacketTooLarge);
}

fn an_acknowledgement_may_leave_out_reason_and_properties(version: Version) {
    for body in [&[0, 1][..], &[0, 1, 0], &[0, 1, 0, 0]] {
        let mut peer = with_message(version, QoS::AtLeastOnce);
        assert_eq!(peer.arrives(&packet(0x40, body)), []);
        assert_eq!(done(&mut peer), Some(ReasonCode::Success), "{body:02x?}");

        let mut peer = with_message(version, QoS::ExactlyOnce);
        assert!(matches!(peer.arrives(&packet(0x50, body))[..], [Packet::Pubrel(_)]));
        assert_eq!(peer.arrives(&packet(0x70, body)), []);
        assert_eq!(done(&mut peer), Some(ReasonCode::Success), "{body:02x?}");

        peer.arrives(b"\x34\x07\0\x01t\0\x01\0m");
        assert!(matches!(&peer.arrives(&packet(0x62, body))[..],
            [Packet::Pubcomp(pubcomp)] if pubcomp.reason == ReasonCode::Success));
    }
    // A reason without properties is one, too.
    let mut peer = with_message(version, QoS::AtLeastOnce);
    peer.arrives(&packet(0x40, &[0, 1, 0x97]));
    assert_eq!(done(&mut peer), Some(ReasonCode::QuotaExceeded));
}

/// How the message that was under way ended.
fn done(peer: &mut Peer) -> Option<ReasonCode> {
    assert!(!peer.machine.is_closing());
    match peer.events().pop() {
        Some(Event::PublishDone { reason, .. }) => Some(reason),
        _ => None,
    }
}

fn a_disconnect_may_leave_out_reason_and_properties(version: Version) {
    for (body, expected) in [
        (&[][..], ReasonCode::Success),
        (&[0x8b], ReasonCode::ServerShuttingDown),
        (&[0x8b, 0], ReasonCode::ServerShuttingDown),
    ] {
        let mut peer = Peer::connected(version);
        assert_eq!(peer.arrives(&packet(0xe0, body)), []);
        let cause = peer.cause();
        assert!(
            matches!(&cause, Cause::Server { reason, properties } if *reason == expected && properties.is_empty()),
            "{cause}"
        );
    }
    // The client's own normal end says neither.
    let mut peer = Peer::accepted(lasting(version), Connack::new(ReasonCode::Success));
    peer.machine.disconnect(ReasonCode::Success, Properties::new()).unwrap();
    assert_eq!(peer.sent_bytes(), [0xe0, 0]);
}
