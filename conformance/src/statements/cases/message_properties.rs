//! 3.3.2.3: the properties of a message on its way from publisher to subscriber.

use std::time::Duration;

use opifex_packet::raw::RawPacket;
use opifex_packet::{Property, QoS, ReasonCode};

use crate::statements::Scene;
use crate::statements::case::{Outcome, chapter};
use crate::statements::stop::ensure;

chapter! { "message_properties", "3.3.2 PUBLISH properties";
    properties_are_forwarded_as_they_came: v5 [
        "MQTT-3.3.2-4", "MQTT-3.3.2-15", "MQTT-3.3.2-16", "MQTT-3.3.2-17", "MQTT-3.3.2-18", "MQTT-3.3.2-20",
    ];
    no_properties_are_a_length_of_0: v5 ["MQTT-2.2.2-1"];
    an_expired_message_is_not_delivered: v5 ["MQTT-3.3.2-5"];
    the_expiry_that_is_left_is_forwarded: v5 ["MQTT-3.3.2-6"];
    a_response_topic_that_is_no_topic_is_refused: v5 ["MQTT-3.3.2-13", "MQTT-3.3.2-14"];
    a_content_type_that_is_no_text_is_refused: v5 ["MQTT-3.3.2-19"];
    properties_that_stand_twice_are_refused: v5 ["U5-23"];
    a_topic_alias_that_stands_twice_is_refused: v5 ["U5-23"];
    properties_of_other_packets_are_refused: v5 ["U5-2"];
}

async fn properties_are_forwarded_as_they_came(s: &Scene) -> Outcome {
    let mut wire = s.subscriber("a", "t", QoS::AtLeastOnce).await?;
    let mut publisher = s.connected("p").await?;
    for indicator in [true, false] {
        let mut publish = publisher.message(&s.topic("t"), "x", QoS::AtLeastOnce);
        let pairs = [("b", "1"), ("a", "2"), ("b", "1"), ("", ""), ("ü", "☃")];
        publish.properties.push(Property::PayloadFormatIndicator(indicator));
        publish.properties.push(Property::ResponseTopic("answers/here"));
        publish.properties.push(Property::CorrelationData(&[0, 1, 0xff]));
        publish.properties.push(Property::ContentType("text/plain; ☃"));
        for (name, value) in pairs {
            publish.properties.push(Property::UserProperty(name, value));
        }
        publisher.publish_packet(publish).await?;
        let came = wire.expect_message(&s.topic("t"), "x").await?.properties;
        // Absent says the same as 0.
        let format = came.payload_format_indicator();
        ensure!(format == Some(indicator), "Payload Format Indicator {indicator} came as {format:?}");
        ensure!(came.response_topic() == Some("answers/here"), "Response Topic: {came:?}");
        ensure!(came.correlation_data() == Some(&[0, 1, 0xff]), "Correlation Data: {came:?}");
        ensure!(came.content_type() == Some("text/plain; ☃"), "Content Type: {came:?}");
        let user: Vec<_> = came.user_properties().collect();
        ensure!(user == pairs, "expected the user properties {pairs:?}, got {user:?}");
    }
    Ok(())
}

async fn no_properties_are_a_length_of_0(s: &Scene) -> Outcome {
    let mut wire = s.subscriber("a", "t", QoS::AtMostOnce).await?;
    let mut publisher = s.connected("p").await?;
    publisher.publish(&s.topic("t"), "", QoS::AtMostOnce).await?;
    wire.expect_message(&s.topic("t"), "").await?;
    let bytes = wire.last_bytes();
    let end = 2 + 2 + s.topic("t").len();
    ensure!(bytes[end..] == [0], "expected a property length of 0 behind the topic: {bytes:02x?}");
    Ok(())
}

async fn an_expired_message_is_not_delivered(s: &Scene) -> Outcome {
    let mut wire = s.connected_durable("a").await?;
    wire.subscribe(&s.topic("t"), QoS::AtLeastOnce).await?;
    wire.disconnect().await?;
    let mut publisher = s.connected("p").await?;
    let mut publish = publisher.message(&s.topic("t"), "short-lived", QoS::AtLeastOnce);
    publish.properties.push(Property::MessageExpiryInterval(1));
    publisher.publish_packet(publish).await?;
    publisher.publish(&s.topic("t"), "for ever", QoS::AtLeastOnce).await?;
    s.pass(Duration::from_millis(2_500)).await;
    let mut wire = s.connected_durable("a").await?;
    wire.expect_message(&s.topic("t"), "for ever").await?;
    wire.expect_silence().await
}

async fn the_expiry_that_is_left_is_forwarded(s: &Scene) -> Outcome {
    let mut wire = s.connected_durable("a").await?;
    wire.subscribe(&s.topic("t"), QoS::AtLeastOnce).await?;
    wire.disconnect().await?;
    let mut publisher = s.connected("p").await?;
    let mut publish = publisher.message(&s.topic("t"), "x", QoS::AtLeastOnce);
    publish.properties.push(Property::MessageExpiryInterval(1_000));
    publisher.publish_packet(publish).await?;
    s.pass(Duration::from_secs(3)).await;
    let mut wire = s.connected_durable("a").await?;
    let left = wire.expect_message(&s.topic("t"), "x").await?.properties.message_expiry_interval();
    ensure!(
        left.is_some_and(|left| (900..=998).contains(&left)),
        "1000 s less some 3 s of waiting are forwarded as {left:?}"
    );
    Ok(())
}

/// PUBLISH at QoS 0 with this property block.
fn with_properties(s: &Scene, block: &[u8]) -> RawPacket {
    RawPacket::new(0x30).string(&s.topic("t")).properties(block).bytes("x")
}

async fn refused(s: &Scene, block: &[u8], codes: &[ReasonCode]) -> Outcome {
    let mut wire = s.connected("a").await?;
    wire.send_raw(&with_properties(s, block)).await?;
    wire.expect_refused(codes).await
}

const BROKEN: &[ReasonCode] = &[ReasonCode::MalformedPacket, ReasonCode::ProtocolError];

async fn a_response_topic_that_is_no_topic_is_refused(s: &Scene) -> Outcome {
    let codes = [BROKEN, &[ReasonCode::TopicNameInvalid]].concat();
    refused(s, &[0x08, 0, 1, 0xff], &codes).await?;
    refused(s, b"\x08\x00\x03a/+", &codes).await?;
    refused(s, b"\x08\x00\x03a/#", &codes).await
}

async fn a_content_type_that_is_no_text_is_refused(s: &Scene) -> Outcome {
    refused(s, &[0x03, 0, 2, 0xc3, 0x28], BROKEN).await
}

async fn properties_that_stand_twice_are_refused(s: &Scene) -> Outcome {
    let blocks: [&[u8]; 5] = [
        &[0x01, 0, 0x01, 0],
        &[0x02, 0, 0, 0, 9, 0x02, 0, 0, 0, 9],
        &[0x03, 0, 1, b'x', 0x03, 0, 1, b'x'],
        &[0x08, 0, 1, b'x', 0x08, 0, 1, b'x'],
        &[0x09, 0, 1, b'x', 0x09, 0, 1, b'x'],
    ];
    for block in blocks {
        refused(s, block, BROKEN).await?;
    }
    Ok(())
}

async fn a_topic_alias_that_stands_twice_is_refused(s: &Scene) -> Outcome {
    s.needs(s.offers.topic_alias_maximum > 0, "topic aliases")?;
    refused(s, &[0x23, 0, 1, 0x23, 0, 1], BROKEN).await
}

async fn properties_of_other_packets_are_refused(s: &Scene) -> Outcome {
    // Session Expiry Interval, Server Keep Alive, Reason String; one that there is not; one that is cut off.
    let blocks: [&[u8]; 5] =
        [&[0x11, 0, 0, 0, 1], &[0x13, 0, 1], &[0x1f, 0, 1, b'x'], &[0x7f, 0], &[0x02, 0, 0]];
    for block in blocks {
        refused(s, block, BROKEN).await?;
    }
    Ok(())
}
