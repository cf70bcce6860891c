//! 1.5.4 (5.0), 1.5.3 (3.1.1) and 4.7.3: text, in what arrives and in what is sent; topics in particular.

use opifex_client::{Event, Machine, MemoryStore, Message, Options, Refusal};
use opifex_packet::{
    Packet, Properties, Property, QoS, ReasonCode, Subscription, TopicFilter, TopicName, Version, Will,
};

use crate::peer::{Peer, ends, field, message, publish_bytes};
use crate::statements;

statements! { "text";
    what_is_no_text_ends_the_connection:
        v4 ["MQTT-1.5.3-1", "MQTT-1.5.3-2", "MQTT-3.3.2-1"],
        v5 ["MQTT-1.5.4-1", "MQTT-1.5.4-2", "MQTT-1.5.7-1", "MQTT-3.3.2-1", "MQTT-3.3.2-13", "MQTT-3.3.2-19"];
    a_topic_that_is_none_ends_the_connection:
        v4 ["MQTT-3.3.2-2", "MQTT-4.7.1-1", "MQTT-4.7.3-1", "MQTT-4.7.3-2"],
        v5 ["MQTT-3.3.2-2", "MQTT-3.3.2-14", "MQTT-4.7.0-1", "MQTT-4.7.3-2", "U5-21"];
    a_topic_or_filter_that_is_none_cannot_be_made:
        v4 ["MQTT-3.3.2-2", "MQTT-4.7.1-1", "MQTT-4.7.3-1", "MQTT-4.7.3-2", "MQTT-4.7.3-3"],
        v5 ["MQTT-3.3.2-2", "MQTT-4.7.0-1", "MQTT-4.7.3-1", "MQTT-4.7.3-2", "MQTT-4.7.3-3"];
    the_null_character_is_not_sent: v4 ["MQTT-1.5.3-2"], v5 ["MQTT-1.5.4-2", "MQTT-1.5.7-1"];
    a_message_with_a_response_topic_that_is_none_is_not_sent:
        v5 ["MQTT-3.3.2-13", "MQTT-3.3.2-14", "MQTT-3.3.2-19"];
    the_mark_of_a_byte_order_is_a_character: v4 ["MQTT-1.5.3-3"], v5 ["MQTT-1.5.4-3"];
}

/// Bytes that are no text of MQTT: bad UTF-8, half a character, a surrogate, U+0000.
const NO_TEXT: [&[u8]; 5] = [b"a\xff", b"a\xc3", b"\xed\xa0\x80", b"\xed\xbf\xbf", b"a\0b"];

/// The properties with text that a PUBLISH can have: name and value of a user property, response topic, content type.
fn text_properties(text: &[u8]) -> [Vec<u8>; 4] {
    let (text, good) = (field(text), field(b"x"));
    [
        [&[0x26], &text[..], &good].concat(),
        [&[0x26], &good[..], &text].concat(),
        [&[0x08], &text[..]].concat(),
        [&[0x03], &text[..]].concat(),
    ]
}

fn what_is_no_text_ends_the_connection(version: Version) {
    for text in NO_TEXT {
        ends(version, &publish_bytes(version, text, &[]), ReasonCode::MalformedPacket);
        if version.is_v5() {
            for properties in text_properties(text) {
                ends(version, &publish_bytes(version, b"t", &properties), ReasonCode::MalformedPacket);
            }
        }
    }
    // The same with text.
    for properties in text_properties("\u{10ffff}\u{e9}".as_bytes()) {
        let mut peer = Peer::connected(version);
        peer.arrives(&publish_bytes(version, "\u{d7ff}\u{e000}".as_bytes(), &properties));
        assert_eq!(peer.messages(), 1);
    }
}

fn a_topic_that_is_none_ends_the_connection(version: Version) {
    for topic in [&b"+"[..], b"#", b"a/+", b"a/#", b"a+b", b"a\0b"] {
        ends(version, &publish_bytes(version, topic, &[]), ReasonCode::MalformedPacket);
    }
    let nothing = if version.is_v5() { ReasonCode::ProtocolError } else { ReasonCode::MalformedPacket };
    ends(version, &publish_bytes(version, b"", &[]), nothing);
    if version.is_v5() {
        for topic in [&b"+"[..], b"a/#"] {
            let [_, _, response_topic, _] = text_properties(topic);
            ends(version, &publish_bytes(version, b"t", &response_topic), ReasonCode::ProtocolError);
        }
    }
}

fn a_topic_or_filter_that_is_none_cannot_be_made(version: Version) {
    let (longest, too_long) = ("t".repeat(65_535), "t".repeat(65_536));
    for wrong in ["", "a\0b", &too_long] {
        assert!(TopicName::new(wrong).is_err() && TopicFilter::new(wrong).is_err(), "{} bytes", wrong.len());
    }
    for wildcard in ["+", "#", "a/+", "a/#", "a+", "#a"] {
        assert!(TopicName::new(wildcard).is_err(), "{wildcard}");
    }
    // The longest are sent.
    let mut peer = Peer::connected(version);
    peer.machine.publish(Message::new(TopicName::new(longest.clone()).unwrap(), "m")).unwrap();
    let filter = TopicFilter::new(longest.clone()).unwrap();
    peer.machine.subscribe(vec![Subscription::new(filter, QoS::AtMostOnce)], Properties::new()).unwrap();
    let sent = peer.sent();
    let [Packet::Publish(publish), Packet::Subscribe(subscribe)] = &sent[..] else { panic!("{sent:?}") };
    assert_eq!(publish.topic.as_ref().unwrap().as_str(), longest);
    assert_eq!(subscribe.subscriptions[0].filter.as_str(), longest);
}

fn the_null_character_is_not_sent(version: Version) {
    let is_refused = |options: Options| Machine::new(options, MemoryStore::default()).is_err();
    assert!(is_refused(Options::new(version, "c\0d")));
    let named = |name: &str| Options { user_name: Some(name.to_owned()), ..Options::new(version, "c") };
    assert!(is_refused(named("u\0v")) && !is_refused(named("uv")));
    if !version.is_v5() {
        return;
    }
    for properties in [
        Properties::new().with(Property::UserProperty("n\0", "v")),
        Properties::new().with(Property::UserProperty("n", "\0v")),
        Properties::new().with(Property::ContentType("\0")),
        Properties::new().with(Property::ResponseTopic("t\0")),
    ] {
        let mut will = Will::new(TopicName::new("w").unwrap(), &b"gone"[..]);
        will.properties = properties.clone();
        assert!(is_refused(Options { will: Some(will), ..Options::new(version, "c") }), "{properties:?}");
        is_not_sent(version, properties);
    }
    let own = Properties::new().with(Property::UserProperty("n", "\0"));
    assert!(is_refused(Options { properties: own.clone(), ..Options::new(version, "c") }));
    let mut peer = Peer::connected(version);
    let filter = TopicFilter::new("f").unwrap();
    assert!(peer.machine.unsubscribe(vec![filter.clone()], own.clone()).is_err());
    assert!(peer.machine.subscribe(vec![Subscription::new(filter, QoS::AtMostOnce)], own.clone()).is_err());
    assert!(peer.machine.disconnect(ReasonCode::Success, own).is_err());
    assert_eq!(peer.sent(), []);
}

/// A message with these properties is refused.
fn is_not_sent(version: Version, properties: Properties<'static>) {
    for qos in [QoS::AtMostOnce, QoS::AtLeastOnce] {
        let mut peer = Peer::connected(version);
        let refused = peer.machine.publish(Message { properties: properties.clone(), ..message("m", qos) });
        assert!(matches!(refused, Err(Refusal::Forbidden { .. })), "{properties:?}: {refused:?}");
        assert_eq!(peer.sent(), []);
    }
}

fn a_message_with_a_response_topic_that_is_none_is_not_sent(version: Version) {
    for wrong in ["a/+", "#", ""] {
        is_not_sent(version, Properties::new().with(Property::ResponseTopic(wrong)));
    }
    // They are sent as text.
    let mut peer = Peer::connected(version);
    let properties =
        Properties::new().with(Property::ResponseTopic("r\u{e9}")).with(Property::ContentType("\u{e9}"));
    peer.machine.publish(Message { properties, ..message("m", QoS::AtMostOnce) }).unwrap();
    let bytes = peer.sent_bytes();
    assert!(bytes.windows(6).any(|window| window == b"\x08\0\x03r\xc3\xa9"), "{bytes:02x?}");
    assert!(bytes.windows(5).any(|window| window == b"\x03\0\x02\xc3\xa9"), "{bytes:02x?}");
}

fn the_mark_of_a_byte_order_is_a_character(version: Version) {
    let topic = "\u{feff}a\u{feff}";
    let mut peer = Peer::connected(version);
    peer.events();
    peer.arrives(&publish_bytes(version, topic.as_bytes(), &[]));
    let events = peer.events();
    assert!(
        matches!(&events[..], [Event::Message { message, .. }] if message.topic.as_str() == topic),
        "{events:?}"
    );
    peer.machine.publish(Message::new(TopicName::new(topic).unwrap(), "m")).unwrap();
    let bytes = peer.sent_bytes();
    assert!(bytes.windows(9).any(|window| window == b"\0\x07\xef\xbb\xbfa\xef\xbb\xbf"), "{bytes:02x?}");
}
