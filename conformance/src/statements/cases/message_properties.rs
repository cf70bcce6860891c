//! 3.3.2.3: the properties of a message on its way from publisher to subscriber.

use std::time::Duration;

use opifex_packet::raw::RawPacket;
use opifex_packet::{Properties, Property, QoS, ReasonCode};

use crate::statements::Scene;
use crate::statements::case::{Outcome, chapter};
use crate::statements::stop::{Stop, ensure};

chapter! { "message_properties", "3.3.2 PUBLISH properties";
    a_payload_format_indicator_is_forwarded: v5 ["MQTT-3.3.2-4"];
    a_response_topic_is_forwarded: v5 ["MQTT-3.3.2-15"];
    correlation_data_is_forwarded: v5 ["MQTT-3.3.2-16"];
    user_properties_are_forwarded: v5 ["MQTT-3.3.2-17"];
    the_order_of_user_properties_is_kept: v5 ["MQTT-3.3.2-18"];
    a_content_type_is_forwarded: v5 ["MQTT-3.3.2-20"];
    no_properties_are_a_length_of_0: v5 ["MQTT-2.2.2-1"];
    an_expired_message_is_not_delivered: v5 ["MQTT-3.3.2-5"];
    the_expiry_that_is_left_is_forwarded: v5 ["MQTT-3.3.2-6"];
    a_response_topic_that_is_no_topic_is_refused: v5 ["MQTT-3.3.2-13", "MQTT-3.3.2-14"];
    a_content_type_that_is_no_text_is_refused: v5 ["MQTT-3.3.2-19"];
    properties_that_stand_twice_are_refused: v5 ["U5-23"];
    a_topic_alias_that_stands_twice_is_refused: v5 ["U5-23"];
    properties_of_other_packets_are_refused: v5 ["U5-2"];
}

/// What a subscriber gets, live and of what was retained, of a message that was published with these properties; `name` is
/// that of a topic that nothing is retained of.
async fn forwarded(
    s: &Scene,
    name: &str,
    properties: &[Property<'_>],
) -> Result<Vec<Properties<'static>>, Stop> {
    let mut wire = s.subscriber("a", name, QoS::AtLeastOnce).await?;
    s.settle(&mut wire).await?;
    let mut publisher = s.connected("p").await?;
    let mut publish = publisher.message(&s.topic(name), "x", QoS::AtLeastOnce);
    for property in properties {
        publish.properties.push(*property);
    }
    publish.retain = s.offers.retain;
    publisher.publish_packet(publish).await?;
    let mut came = vec![wire.expect_message(&s.topic(name), "x").await?.properties];
    if s.offers.retain {
        s.settle(&mut publisher).await?;
        let mut late = s.subscriber("b", name, QoS::AtLeastOnce).await?;
        came.push(late.expect_message(&s.topic(name), "x").await?.properties);
    }
    Ok(came)
}

async fn a_payload_format_indicator_is_forwarded(s: &Scene) -> Outcome {
    for (name, indicator) in [("one", true), ("zero", false)] {
        for came in forwarded(s, name, &[Property::PayloadFormatIndicator(indicator)]).await? {
            let format = came.payload_format_indicator();
            ensure!(format == Some(indicator), "Payload Format Indicator {indicator} came as {format:?}");
        }
    }
    Ok(())
}

async fn a_response_topic_is_forwarded(s: &Scene) -> Outcome {
    for came in forwarded(s, "t", &[Property::ResponseTopic("answers/here")]).await? {
        ensure!(came.response_topic() == Some("answers/here"), "Response Topic: {came:?}");
    }
    Ok(())
}

async fn correlation_data_is_forwarded(s: &Scene) -> Outcome {
    for (name, data) in [("bytes", &[0, 1, 0xff][..]), ("none", &[])] {
        for came in forwarded(s, name, &[Property::CorrelationData(data)]).await? {
            ensure!(came.correlation_data() == Some(data), "Correlation Data {data:?}: {came:?}");
        }
    }
    Ok(())
}

async fn a_content_type_is_forwarded(s: &Scene) -> Outcome {
    for came in forwarded(s, "t", &[Property::ContentType("text/plain; ☃")]).await? {
        ensure!(came.content_type() == Some("text/plain; ☃"), "Content Type: {came:?}");
    }
    Ok(())
}

/// A name twice, a pair twice, nothing at all, and other letters.
const PAIRS: [(&str, &str); 5] = [("b", "1"), ("a", "2"), ("b", "1"), ("", ""), ("ü", "☃")];

async fn user_properties_are_forwarded(s: &Scene) -> Outcome {
    let mut expected = PAIRS.to_vec();
    expected.sort_unstable();
    for came in forwarded(s, "t", &PAIRS.map(|(name, value)| Property::UserProperty(name, value))).await? {
        let mut user: Vec<_> = came.user_properties().collect();
        user.sort_unstable();
        ensure!(user == expected, "expected the user properties {expected:?}, got {user:?}");
    }
    Ok(())
}

async fn the_order_of_user_properties_is_kept(s: &Scene) -> Outcome {
    for came in forwarded(s, "t", &PAIRS.map(|(name, value)| Property::UserProperty(name, value))).await? {
        let user: Vec<_> = came.user_properties().collect();
        ensure!(user == PAIRS, "expected the user properties {PAIRS:?}, got {user:?}");
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
