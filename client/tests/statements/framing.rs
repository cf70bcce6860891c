//! 2.1, 2.2 (2.2, 2.3 of 3.1.1): the fixed header, lengths, and where there is a packet id.

use opifex_client::{Event, Message, Options};
use opifex_packet::{
    Connack, Properties, Property, Pubrec, Pubrel, QoS, ReasonCode, Subscription, TopicFilter, TopicName,
    Version,
};

use crate::peer::{Peer, ends, id, lasting, message, packet, publish, publishes, success};
use crate::statements;

statements! { "framing";
    reserved_flags_end_the_connection:
        v4 ["MQTT-2.2.2-2", "MQTT-3.6.1-1"],
        v5 ["MQTT-2.1.3-1", "MQTT-3.6.1-1", "MQTT-3.14.1-1", "MQTT-3.15.1-1"];
    every_packet_has_the_flags_of_the_table:
        v4 ["MQTT-2.2.2-1", "MQTT-3.6.1-1", "MQTT-3.8.1-1", "MQTT-3.10.1-1", "MQTT-7.0.0-2"],
        v5 ["MQTT-2.1.3-1", "MQTT-2.2.2-1", "MQTT-3.6.1-1", "MQTT-3.8.1-1", "MQTT-3.10.1-1", "MQTT-3.14.1-1",
            "MQTT-3.15.1-1"];
    flags_that_no_publish_has_end_the_connection:
        v4 ["MQTT-3.3.1-2", "MQTT-3.3.1-4"], v5 ["MQTT-3.3.1-2", "MQTT-3.3.1-4"];
    a_qos_0_message_has_its_topic_first_and_no_packet_id:
        v4 ["MQTT-2.3.1-5", "MQTT-3.3.1-2", "MQTT-3.3.2-1", "MQTT-4.3.1-1"],
        v5 ["MQTT-2.2.1-2", "MQTT-2.2.2-1", "MQTT-3.3.1-2", "MQTT-3.3.2-1", "MQTT-4.3.1-1"];
    a_packet_id_of_0_ends_the_connection: v4 ["MQTT-2.3.1-1"];
    a_length_in_more_bytes_than_it_needs_ends_the_connection: v5 ["MQTT-1.5.5-1", "U5-1"];
    lengths_are_sent_in_their_shortest_form: v5 ["MQTT-1.5.5-1"];
}

fn reserved_flags_end_the_connection(version: Version) {
    let body: &[u8] = &[0, 1];
    // CONNACK, PUBACK, PUBREC, PUBREL, PUBCOMP, SUBACK, UNSUBACK, PINGRESP, and of 5.0 DISCONNECT and AUTH.
    let mut right = vec![0x20, 0x40, 0x50, 0x62, 0x70, 0x90, 0xb0, 0xd0];
    if version.is_v5() {
        right.extend([0xe0, 0xf0]);
    }
    for right in right {
        let first_bytes = (right & 0xf0)..=(right | 0x0f);
        for wrong in first_bytes.filter(|first_byte| *first_byte != right) {
            let body = if matches!(right, 0xd0..) { &[] } else { body };
            ends(version, &packet(wrong, body), ReasonCode::MalformedPacket);
        }
    }
    // With the right ones PUBREL and PINGRESP end nothing.
    let mut peer = Peer::connected(version);
    assert_eq!(peer.arrives(&[0xd0, 0]), []);
    assert_eq!(peer.arrives(&[0x62, 2, 0, 1]).len(), 1);
    assert!(!peer.machine.is_closing());
}

fn every_packet_has_the_flags_of_the_table(version: Version) {
    let mut options = Options { keep_alive_secs: 10, ..lasting(version) };
    let mut properties = Properties::new();
    if version.is_v5() {
        properties = properties.with(Property::AuthenticationMethod("riddle"));
        options.properties = properties.clone();
    }
    let mut peer = Peer::accepted(options, Connack { properties, ..success() });
    let filter = || TopicFilter::new("f").unwrap();
    let mut sent = Vec::new();
    let mut takes = |peer: &mut Peer| sent.push(peer.sent_bytes());

    peer.machine.subscribe(vec![Subscription::new(filter(), QoS::AtMostOnce)], Properties::new()).unwrap();
    takes(&mut peer);
    peer.machine.unsubscribe(vec![filter()], Properties::new()).unwrap();
    takes(&mut peer);
    for packet in [publish(QoS::AtLeastOnce, 1), publish(QoS::ExactlyOnce, 2)] {
        peer.machine.received(packet.into(), std::time::Instant::now());
        takes(&mut peer);
    }
    peer.machine.received(Pubrel::new(id(2)).into(), std::time::Instant::now());
    takes(&mut peer);
    peer.publish("m", QoS::ExactlyOnce);
    let [(_, released, _)] = publishes(&peer.sent())[..] else { panic!() };
    peer.machine.received(Pubrec::new(id(released)).into(), std::time::Instant::now());
    takes(&mut peer);
    let mut first_bytes = vec![0x82, 0xa2, 0x40, 0x50, 0x70, 0x62];
    if version.is_v5() {
        peer.machine.authenticate(ReasonCode::ReAuthenticate, b"d").unwrap();
        takes(&mut peer);
        first_bytes.push(0xf0);
    }
    peer.machine.disconnect(ReasonCode::Success, Properties::new()).unwrap();
    takes(&mut peer);
    first_bytes.push(0xe0);
    assert_eq!(sent.iter().map(|bytes| bytes[0]).collect::<Vec<_>>(), first_bytes);
    // One packet each, with nothing behind it; no properties are a length of 0.
    assert!(sent.iter().all(|bytes| usize::from(bytes[1]) == bytes.len() - 2), "{sent:02x?}");
    if version.is_v5() {
        assert_eq!((sent[0][4], sent[1][4]), (0, 0), "{sent:02x?}");
    }
}

fn flags_that_no_publish_has_end_the_connection(version: Version) {
    let body: &[u8] = if version.is_v5() { b"\0\x01t\0\x07\0m" } else { b"\0\x01t\0\x07m" };
    // QoS 3, and DUP with QoS 0.
    for first_byte in [0x36, 0x37, 0x3e, 0x3f, 0x38, 0x39] {
        ends(version, &packet(first_byte, body), ReasonCode::MalformedPacket);
    }
    for (first_byte, answers) in [(0x32, 1), (0x34, 1)] {
        let mut peer = Peer::connected(version);
        assert_eq!(peer.arrives(&packet(first_byte, body)).len(), answers);
        assert_eq!(peer.messages(), 1);
    }
}

fn a_qos_0_message_has_its_topic_first_and_no_packet_id(version: Version) {
    let bytes: &[u8] = if version.is_v5() { b"\x30\x05\0\x01t\0m" } else { b"\x30\x04\0\x01tm" };
    let mut peer = Peer::connected(version);
    peer.events();
    peer.machine.publish(message("m", QoS::AtMostOnce)).unwrap();
    assert_eq!(peer.sent_bytes(), bytes);
    // It is not kept, and not sent again.
    assert_eq!(peer.reconnect(true), []);
    // One that arrives is read so, too, and is not answered.
    assert_eq!(peer.arrives(bytes), []);
    let events = peer.events();
    let [Event::Message { message, dup: false, .. }] = &events[..] else { panic!("{events:?}") };
    assert_eq!((message.topic.as_str(), &message.payload[..]), ("t", &b"m"[..]));
}

fn a_packet_id_of_0_ends_the_connection(version: Version) {
    for first_byte in [0x32, 0x34] {
        ends(version, &packet(first_byte, b"\0\x01t\0\0m"), ReasonCode::MalformedPacket);
    }
    for first_byte in [0x40, 0x50, 0x62, 0x70] {
        ends(version, &packet(first_byte, &[0, 0]), ReasonCode::MalformedPacket);
    }
}

fn a_length_in_more_bytes_than_it_needs_ends_the_connection(version: Version) {
    for bytes in [
        // The remaining length of PINGRESP, of PUBLISH; five bytes of it; the property length; a number in a property.
        &b"\xd0\x80\x00"[..],
        b"\x30\x85\x00\0\x01t\0m",
        b"\x30\x80\x80\x80\x80\x01",
        b"\x30\xff\xff\xff\xff\x7f",
        b"\x30\x06\0\x01t\x80\x00m",
        b"\x30\x09\0\x01t\x80\x80\x80\x80\x01m",
        b"\x30\x07\0\x01t\x03\x0b\x81\x00",
        b"\x30\x0a\0\x01t\x06\x0b\x80\x80\x80\x80\x01",
    ] {
        ends(version, bytes, ReasonCode::MalformedPacket);
    }
}

fn lengths_are_sent_in_their_shortest_form(version: Version) {
    let mut peer = Peer::connected(version);
    // Topic and property length have 4 bytes.
    for (remaining, expected) in [
        (127, &[0x7f][..]),
        (128, &[0x80, 0x01]),
        (16_383, &[0xff, 0x7f]),
        (16_384, &[0x80, 0x80, 0x01]),
        (2_097_151, &[0xff, 0xff, 0x7f]),
        (2_097_152, &[0x80, 0x80, 0x80, 0x01]),
    ] {
        let topic = TopicName::new("t").unwrap();
        peer.machine.publish(Message::new(topic, vec![b'm'; remaining - 4])).unwrap();
        let bytes = peer.sent_bytes();
        assert_eq!(bytes[1..=expected.len()], *expected);
        assert_eq!(bytes.len(), 1 + expected.len() + remaining);
    }
}
