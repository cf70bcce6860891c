//! 3.3 PUBLISH: its flags, its topic, and what a delivery is made of. RETAIN is in `retained.rs`, the handshakes in `qos.rs`.

use opifex_packet::raw::RawPacket;
use opifex_packet::{Packet, QoS, ReasonCode, SubscriptionOptions};

use crate::statements::case::{Outcome, chapter};
use crate::statements::stop::{Stop, ensure};
use crate::statements::{Event, Scene};

chapter! { "publish", "3.3 PUBLISH";
    a_message_sent_again_has_dup_set: v4 ["MQTT-3.3.1-1"], v5 ["MQTT-3.3.1-1"];
    qos_0_has_dup_0_and_no_packet_id:
        v4 ["MQTT-3.3.1-2", "MQTT-2.3.1-5", "MQTT-4.3.1-1"], v5 ["MQTT-3.3.1-2", "MQTT-2.2.1-2", "MQTT-4.3.1-1"];
    dup_with_qos_0_is_refused: v4 ["MQTT-3.3.1-2"], v5 ["MQTT-3.3.1-2"];
    dup_is_not_passed_on: v4 ["MQTT-3.3.1-3"], v5 ["MQTT-3.3.1-3"];
    qos_bits_11_are_refused: v4 ["MQTT-3.3.1-4"], v5 ["MQTT-3.3.1-4"];
    a_packet_id_of_0_is_refused: v4 ["MQTT-2.3.1-1"], v5 ["MQTT-2.2.1-3"];
    a_topic_that_is_no_text_is_refused: v4 ["MQTT-3.3.2-1"], v5 ["MQTT-3.3.2-1"];
    a_topic_with_wildcards_is_refused:
        v4 ["MQTT-3.3.2-2", "MQTT-4.7.1-1"], v5 ["MQTT-3.3.2-2", "MQTT-4.7.0-1"];
    an_empty_topic_is_refused: v4 ["MQTT-4.7.3-1"], v5 ["MQTT-4.7.3-1", "U5-21"];
    what_is_delivered_matches: v4 ["MQTT-3.3.2-3"], v5 ["MQTT-3.3.2-3"];
    each_qos_is_answered_as_it_says: v4 ["MQTT-3.3.4-1"], v5 ["MQTT-3.3.4-1", "MQTT-3.2.2-9"];
    overlapping_subscriptions_get_the_highest_qos: v4 ["MQTT-3.3.5-1"], v5 ["MQTT-3.3.4-2"];
    identifiers_of_overlapping_subscriptions_come_along: v5 ["MQTT-3.3.4-3"];
    a_single_copy_has_the_identifiers_of_all_subscriptions: v5 ["MQTT-3.3.4-4"];
    each_of_several_copies_has_its_own_identifier: v5 ["MQTT-3.3.4-5"];
    a_subscription_identifier_from_a_client_is_refused: v5 ["MQTT-3.3.4-6"];
    a_qos_above_the_maximum_is_refused: v5 ["U5-19", "MQTT-3.2.2-11"];
    a_publish_of_a_client_that_may_not_retain_is_refused: v5 ["MQTT-3.2.2-14"];
}

async fn a_message_sent_again_has_dup_set(s: &Scene) -> Outcome {
    for (qos, topic) in [(QoS::AtLeastOnce, "one"), (QoS::ExactlyOnce, "two")] {
        let mut wire = s.connected_durable("a").await?;
        wire.subscribe(&s.topic(topic), qos).await?;
        let mut publisher = s.connected("p").await?;
        publisher.publish(&s.topic(topic), "again", qos).await?;
        let first = wire.expect_unacknowledged(&s.topic(topic), "again").await?;
        ensure!(!first.dup, "the first send has DUP set");
        wire.vanish();
        let mut wire = s.connected_durable("a").await?;
        let second = wire.expect_message(&s.topic(topic), "again").await?;
        ensure!(second.dup, "a message that is sent again comes without DUP");
        ensure!(second.delivery == first.delivery, "it is sent again with another packet id");
        wire.disconnect().await?;
    }
    Ok(())
}

async fn qos_0_has_dup_0_and_no_packet_id(s: &Scene) -> Outcome {
    let mut wire = s.subscriber("a", "t", QoS::AtMostOnce).await?;
    let mut publisher = s.connected("p").await?;
    publisher.publish(&s.topic("t"), "x", QoS::AtMostOnce).await?;
    publisher.expect_silence().await?;
    wire.expect_message(&s.topic("t"), "x").await?;
    let topic = s.topic("t");
    let bytes = wire.last_bytes();
    ensure!(bytes[0] == 0x30, "expected the first byte 0x30, got {:#04x}", bytes[0]);
    // Topic and payload, and in 5.0 an empty property block.
    let expected = 2 + topic.len() + 1 + usize::from(s.is_v5());
    ensure!(bytes.len() == 2 + expected, "expected {expected} bytes behind the fixed header: {bytes:02x?}");
    Ok(())
}

async fn dup_with_qos_0_is_refused(s: &Scene) -> Outcome {
    let mut wire = s.connected("a").await?;
    let publish = wire.message(&s.topic("t"), "x", QoS::AtMostOnce);
    let mut packet = RawPacket::of(&publish.into(), s.version);
    packet.first_byte |= 0x08;
    wire.send_raw(&packet).await?;
    wire.expect_broken().await
}

async fn dup_is_not_passed_on(s: &Scene) -> Outcome {
    let mut wire = s.subscriber("a", "t", QoS::ExactlyOnce).await?;
    let mut publisher = s.connected("p").await?;
    for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
        let mut publish = publisher.message(&s.topic("t"), "x", qos);
        publish.dup = true;
        publisher.publish_packet(publish).await?;
        let came = wire.expect_message(&s.topic("t"), "x").await?;
        ensure!(!came.dup, "the publisher's DUP is passed on");
    }
    Ok(())
}

async fn qos_bits_11_are_refused(s: &Scene) -> Outcome {
    let mut wire = s.connected("a").await?;
    let publish = wire.message(&s.topic("t"), "x", QoS::AtMostOnce);
    let mut packet = RawPacket::of(&publish.into(), s.version);
    packet.first_byte |= 0x06;
    wire.send_raw(&packet).await?;
    wire.expect_broken().await
}

async fn a_packet_id_of_0_is_refused(s: &Scene) -> Outcome {
    let end = if s.is_v5() { &[0][..] } else { &[] };
    let filter = s.topic("t");
    // PUBLISH at QoS 1 and 2, SUBSCRIBE, UNSUBSCRIBE.
    let packets = [
        RawPacket::new(0x32).string(&filter).u16(0).bytes(end).bytes("x"),
        RawPacket::new(0x34).string(&filter).u16(0).bytes(end).bytes("x"),
        RawPacket::new(0x82).u16(0).bytes(end).string(&filter).u8(0),
        RawPacket::new(0xa2).u16(0).bytes(end).string(&filter),
    ];
    for packet in packets {
        let mut wire = s.connected("a").await?;
        wire.send_raw(&packet).await?;
        wire.expect_broken().await?;
    }
    Ok(())
}

/// PUBLISH at QoS 0 to these bytes.
fn raw_publish(s: &Scene, topic: &[u8]) -> RawPacket {
    let packet = RawPacket::new(0x30).binary(topic);
    if s.is_v5() { packet.u8(0).bytes("x") } else { packet.bytes("x") }
}

/// 5.0 has codes of its own for topics.
const BAD_TOPIC: &[ReasonCode] =
    &[ReasonCode::TopicNameInvalid, ReasonCode::MalformedPacket, ReasonCode::ProtocolError];

async fn a_topic_that_is_no_text_is_refused(s: &Scene) -> Outcome {
    for topic in [&[0xff][..], &[0x61, 0xc3], &[0xc0, 0x80]] {
        let mut wire = s.connected("a").await?;
        wire.send_raw(&raw_publish(s, topic)).await?;
        wire.expect_refused(BAD_TOPIC).await?;
    }
    Ok(())
}

async fn a_topic_with_wildcards_is_refused(s: &Scene) -> Outcome {
    for topic in ["+", "#", "a/+/b", "a/#", "a+", "a#b"] {
        let mut wire = s.connected("a").await?;
        wire.send_raw(&raw_publish(s, topic.as_bytes())).await?;
        wire.expect_refused(BAD_TOPIC).await?;
    }
    Ok(())
}

async fn an_empty_topic_is_refused(s: &Scene) -> Outcome {
    let mut wire = s.connected("a").await?;
    wire.send_raw(&raw_publish(s, b"")).await?;
    wire.expect_refused(BAD_TOPIC).await
}

async fn what_is_delivered_matches(s: &Scene) -> Outcome {
    let mut wire = s.connected("a").await?;
    wire.subscribe(&s.topic("+/x"), QoS::AtMostOnce).await?;
    let mut publisher = s.connected("p").await?;
    for name in ["x", "a/y", "a/x/x", "A/X", "a/x"] {
        publisher.publish(&s.topic(name), name, QoS::AtMostOnce).await?;
    }
    wire.expect_message(&s.topic("a/x"), "a/x").await?;
    wire.expect_silence().await
}

async fn each_qos_is_answered_as_it_says(s: &Scene) -> Outcome {
    let mut wire = s.connected("a").await?;
    wire.publish(&s.topic("t"), "0", QoS::AtMostOnce).await?;
    wire.expect_silence().await?;
    for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
        wire.publish(&s.topic("t"), "x", qos).await?;
        wire.expect_silence().await?;
    }
    Ok(())
}

/// One copy or one for each subscription: the highest has to be among them.
async fn overlapping_subscriptions_get_the_highest_qos(s: &Scene) -> Outcome {
    let mut wire = s.connected("a").await?;
    wire.subscribe(&s.topic("t"), QoS::AtMostOnce).await?;
    wire.subscribe(&s.topic("+"), QoS::ExactlyOnce).await?;
    wire.subscribe(&s.topic("#"), QoS::AtLeastOnce).await?;
    let mut publisher = s.connected("p").await?;
    publisher.publish(&s.topic("t"), "x", QoS::ExactlyOnce).await?;
    let mut highest = wire.expect_message(&s.topic("t"), "x").await?.qos();
    // Copies at other levels are in no order with it.
    while let Event::Packet(Packet::Publish(publish)) = wire.next_within(s.descriptor.silence()).await? {
        wire.acknowledge(&publish).await?;
        highest = highest.max(publish.qos());
    }
    ensure!(highest == QoS::ExactlyOnce, "three subscriptions match, and the best delivery was {highest:?}");
    Ok(())
}

/// The identifiers of each copy that comes of one message to three subscriptions, of which two have one.
async fn identifiers_of_copies(s: &Scene) -> Result<Vec<Vec<u32>>, Stop> {
    let mut wire = s.connected("a").await?;
    let options = SubscriptionOptions::new(QoS::AtLeastOnce);
    wire.subscribe_with(&s.topic("t"), options, Some(IDENTIFIERS[0])).await?;
    wire.subscribe_with(&s.topic("+"), options, Some(IDENTIFIERS[1])).await?;
    wire.subscribe(&s.topic("#"), QoS::AtLeastOnce).await?;
    s.connected("p").await?.publish(&s.topic("t"), "x", QoS::AtLeastOnce).await?;
    let first = wire.expect_message(&s.topic("t"), "x").await?;
    let mut copies = vec![first.properties.subscription_identifiers().collect()];
    while let Event::Packet(Packet::Publish(publish)) = wire.next_within(s.descriptor.silence()).await? {
        wire.acknowledge(&publish).await?;
        copies.push(publish.properties.subscription_identifiers().collect());
    }
    ensure!([1, 3].contains(&copies.len()), "three subscriptions match: one copy or three, not {copies:?}");
    Ok(copies)
}

/// The lowest of one byte and the highest of all.
const IDENTIFIERS: [u32; 2] = [7, 268_435_455];

async fn identifiers_of_overlapping_subscriptions_come_along(s: &Scene) -> Outcome {
    let mut came = identifiers_of_copies(s).await?.concat();
    came.sort_unstable();
    ensure!(came == IDENTIFIERS, "expected the identifiers of both subscriptions, and there came {came:?}");
    // A subscription without one brings none.
    let mut wire = s.subscriber("b", "none", QoS::AtLeastOnce).await?;
    s.connected("p").await?.publish(&s.topic("none"), "x", QoS::AtLeastOnce).await?;
    let none = wire.expect_message(&s.topic("none"), "x").await?;
    let none: Vec<_> = none.properties.subscription_identifiers().collect();
    ensure!(none.is_empty(), "a subscription without identifier brings {none:?}");
    Ok(())
}

async fn a_single_copy_has_the_identifiers_of_all_subscriptions(s: &Scene) -> Outcome {
    let mut copies = identifiers_of_copies(s).await?;
    s.needs(copies.len() == 1, "a server that sends one copy for overlapping subscriptions")?;
    copies[0].sort_unstable();
    ensure!(copies[0] == IDENTIFIERS, "the one copy has the identifiers {:?}", copies[0]);
    Ok(())
}

async fn each_of_several_copies_has_its_own_identifier(s: &Scene) -> Outcome {
    let mut copies = identifiers_of_copies(s).await?;
    s.needs(copies.len() > 1, "a server that sends a copy for each of overlapping subscriptions")?;
    copies.sort();
    let expected = [vec![], vec![IDENTIFIERS[0]], vec![IDENTIFIERS[1]]];
    ensure!(copies == expected, "the copies have the identifiers {copies:?}");
    Ok(())
}

async fn a_subscription_identifier_from_a_client_is_refused(s: &Scene) -> Outcome {
    let mut wire = s.connected("a").await?;
    wire.send_raw(&RawPacket::new(0x30).string(&s.topic("t")).properties([0x0b, 1]).bytes("x")).await?;
    wire.expect_broken().await
}

async fn a_qos_above_the_maximum_is_refused(s: &Scene) -> Outcome {
    s.needs(s.offers.maximum_qos < QoS::ExactlyOnce, "a broker without QoS 2")?;
    let mut wire = s.connected("a").await?;
    let publish = wire.message(&s.topic("t"), "x", QoS::ExactlyOnce);
    wire.send_whatever(publish).await?;
    wire.expect_refused(&[ReasonCode::QoSNotSupported]).await
}

async fn a_publish_of_a_client_that_may_not_retain_is_refused(s: &Scene) -> Outcome {
    s.needs(!s.offers.retain, "a broker without retained messages")?;
    let mut wire = s.connected("a").await?;
    let mut publish = wire.message(&s.topic("t"), "x", QoS::AtMostOnce);
    publish.retain = true;
    wire.send_whatever(publish).await?;
    wire.expect_refused(&[ReasonCode::RetainNotSupported]).await
}
