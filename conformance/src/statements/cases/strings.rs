//! 1.5: strings, and the integers that packets are made of.

use opifex_packet::raw::{RawPacket, RemainingLength};
use opifex_packet::{QoS, ReasonCode};

use crate::statements::Scene;
use crate::statements::case::{Outcome, chapter};
use crate::statements::stop::ensure;

chapter! { "strings", "1.5 data representation";
    text_that_is_no_utf_8_is_refused: v4 ["MQTT-1.5.3-1"], v5 ["MQTT-1.5.4-1"];
    the_null_character_is_refused: v4 ["MQTT-1.5.3-2", "MQTT-4.7.3-2"], v5 ["MQTT-1.5.4-2", "MQTT-4.7.3-2"];
    the_mark_of_a_byte_order_is_a_character: v4 ["MQTT-1.5.3-3"], v5 ["MQTT-1.5.4-3"];
    a_string_pair_is_two_strings: v5 ["MQTT-1.5.7-1"];
    a_length_in_more_bytes_than_it_needs_is_refused: v5 ["MQTT-1.5.5-1"];
    a_length_of_five_bytes_is_refused: v4 ["MQTT-4.8.0-1"], v5 ["U5-1"];
    every_character_but_null_passes: v4 ["MQTT-1.5.3-1"], v5 ["MQTT-1.5.4-1"];
    the_longest_topic_is_taken: v4 ["MQTT-4.7.3-3"], v5 ["MQTT-4.7.3-3"];
}

const BAD: &[ReasonCode] = &[
    ReasonCode::MalformedPacket,
    ReasonCode::ProtocolError,
    ReasonCode::TopicNameInvalid,
    ReasonCode::TopicFilterInvalid,
    ReasonCode::ClientIdentifierNotValid,
    ReasonCode::BadUserNameOrPassword,
];

/// What stands for no properties.
fn no_properties(s: &Scene) -> &'static [u8] {
    if s.is_v5() { &[0] } else { &[] }
}

/// These bytes as a topic, a filter to subscribe to and one to unsubscribe from: each is refused.
async fn refused_in_every_topic(s: &Scene, text: &[u8]) -> Outcome {
    let none = no_properties(s);
    let packets = [
        RawPacket::new(0x30).binary(text).bytes(none).bytes("x"),
        RawPacket::new(0x82).u16(1).bytes(none).binary(text).u8(0),
        RawPacket::new(0xa2).u16(1).bytes(none).binary(text),
    ];
    for packet in packets {
        let mut wire = s.connected("a").await?;
        wire.send_raw(&packet).await?;
        wire.expect_refused(BAD).await?;
    }
    Ok(())
}

/// These bytes as client id, will topic and user name: each is refused.
async fn refused_in_every_field_of_connect(s: &Scene, text: &[u8]) -> Outcome {
    let none = no_properties(s);
    let head = |flags: u8| {
        RawPacket::new(0x10).string("MQTT").u8(s.version.level()).u8(0x02 | flags).u16(60).bytes(none)
    };
    let id = s.client_id("a");
    let packets = [
        head(0).binary(text),
        head(0x04).string(&id).bytes(none).binary(text).string("payload"),
        head(0xc0).string(&id).binary(text).string("password"),
    ];
    for packet in packets {
        let mut wire = s.open("a").await?;
        wire.send_raw(&packet).await?;
        wire.expect_refused(BAD).await?;
    }
    Ok(())
}

async fn text_that_is_no_utf_8_is_refused(s: &Scene) -> Outcome {
    // A stray continuation, an overlong slash, half a surrogate pair, what is above U+10FFFF, and one cut off.
    let texts: [&[u8]; 5] =
        [&[0x61, 0x80], &[0xc0, 0xaf], &[0xed, 0xa0, 0x80], &[0xf4, 0x90, 0x80, 0x80], &[0x61, 0xe2, 0x98]];
    for text in texts {
        refused_in_every_topic(s, text).await?;
        refused_in_every_field_of_connect(s, text).await?;
    }
    Ok(())
}

async fn the_null_character_is_refused(s: &Scene) -> Outcome {
    refused_in_every_topic(s, b"a\0b").await?;
    refused_in_every_field_of_connect(s, b"a\0b").await
}

async fn the_mark_of_a_byte_order_is_a_character(s: &Scene) -> Outcome {
    let with = s.topic("\u{feff}t");
    let mut plain = s.subscriber("a", "t", QoS::AtMostOnce).await?;
    let mut marked = s.connected("b").await?;
    marked.subscribe(&with, QoS::AtMostOnce).await?;
    let mut publisher = s.connected("p").await?;
    publisher.publish(&with, "marked", QoS::AtMostOnce).await?;
    publisher.publish(&s.topic("t"), "plain", QoS::AtMostOnce).await?;
    marked.expect_message(&with, "marked").await?;
    marked.expect_silence().await?;
    plain.expect_message(&s.topic("t"), "plain").await?;
    plain.expect_silence().await?;

    // In front of everything, too.
    let first = format!("\u{feff}{}", s.topic("t"));
    let mut marked = s.connected("c").await?;
    marked.subscribe(&first, QoS::AtMostOnce).await?;
    publisher.publish(&s.topic("t"), "plain", QoS::AtMostOnce).await?;
    publisher.publish(&first, "first", QoS::AtMostOnce).await?;
    marked.expect_message(&first, "first").await?;
    Ok(())
}

async fn a_string_pair_is_two_strings(s: &Scene) -> Outcome {
    let pairs: [&[u8]; 3] =
        [&[0x26, 0, 1, 0xff, 0, 1, b'x'], &[0x26, 0, 1, b'x', 0, 1, 0xff], &[0x26, 0, 1, b'x', 0, 1, 0]];
    for block in pairs {
        let mut wire = s.connected("a").await?;
        wire.send_raw(&RawPacket::new(0x30).string(&s.topic("t")).properties(block).bytes("x")).await?;
        wire.expect_refused(BAD).await?;
    }
    Ok(())
}

async fn a_length_in_more_bytes_than_it_needs_is_refused(s: &Scene) -> Outcome {
    let mut wire = s.connected("a").await?;
    let body = RawPacket::new(0x30).string(&s.topic("t")).u8(0).bytes("x");
    let long = vec![body.body.len() as u8 | 0x80, 0];
    wire.send_raw(&body.remaining_length(RemainingLength::Bytes(long))).await?;
    wire.expect_refused(BAD).await?;
    // The length of the properties is one, too.
    let mut wire = s.connected("a").await?;
    wire.send_raw(&RawPacket::new(0x30).string(&s.topic("t")).bytes([0x80, 0]).bytes("x")).await?;
    wire.expect_refused(BAD).await
}

async fn a_length_of_five_bytes_is_refused(s: &Scene) -> Outcome {
    let mut wire = s.connected("a").await?;
    wire.send_bytes(&[0x30, 0xff, 0xff, 0xff, 0xff, 0x01]).await?;
    wire.expect_refused(&[BAD, &[ReasonCode::PacketTooLarge]].concat()).await
}

async fn every_character_but_null_passes(s: &Scene) -> Outcome {
    // The ends of what one, two, three and four bytes can say. What servers may refuse is left out.
    let topic = s.topic("~\u{a1}\u{7ff}\u{800}\u{d7ff}\u{e000}\u{fffc}\u{10000}\u{10fffd}");
    let mut wire = s.connected("a").await?;
    wire.subscribe(&topic, QoS::AtMostOnce).await?;
    wire.publish(&topic, "x", QoS::AtMostOnce).await?;
    wire.expect_message(&topic, "x").await?;
    Ok(())
}

/// A longer one cannot be written: its length has two bytes.
async fn the_longest_topic_is_taken(s: &Scene) -> Outcome {
    let mut topic = s.topic("");
    topic.push_str(&"x".repeat(usize::from(u16::MAX) - topic.len()));
    let mut wire = s.connected("a").await?;
    let packet = wire.subscription(&topic, QoS::AtMostOnce.into(), None);
    wire.send(packet).await?;
    let suback = wire.expect_suback().await?;
    // A server may have a limit of its own.
    s.needs(!suback.reasons[0].is_error(), "topics of 65535 bytes")?;
    wire.publish(&topic, "x", QoS::AtMostOnce).await?;
    let publish = wire.expect_publish().await?;
    let len = publish.topic.as_ref().map_or(0, |name| name.as_str().len());
    ensure!(len == usize::from(u16::MAX), "a topic of 65535 bytes came with {len}");
    Ok(())
}
