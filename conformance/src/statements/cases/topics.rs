//! 4.7: topic names, topic filters and their matching. 4.6: ordered topics.

use opifex_packet::raw::RawPacket;
use opifex_packet::{QoS, ReasonCode};

use crate::statements::case::{Outcome, chapter};
use crate::statements::stop::ensure;
use crate::statements::{Event, Scene};

chapter! { "topics", "4.6 message ordering, 4.7 topics";
    a_number_sign_stands_alone_and_last: v4 ["MQTT-4.7.1-2"], v5 ["MQTT-4.7.1-1"];
    a_plus_sign_fills_its_level: v4 ["MQTT-4.7.1-3"], v5 ["MQTT-4.7.1-2"];
    an_empty_filter_is_refused: v4 ["MQTT-4.7.3-1"], v5 ["MQTT-4.7.3-1"];
    wildcards_in_front_do_not_match_topics_of_the_server: v4 ["MQTT-4.7.2-1"], v5 ["MQTT-4.7.2-1"];
    topics_are_compared_as_they_are: v4 ["MQTT-4.7.3-4"], v5 ["MQTT-4.7.3-4"];
    filters_match_by_levels: v4 ["MQTT-4.7.1-2", "MQTT-4.7.1-3"], v5 ["MQTT-4.7.1-1", "MQTT-4.7.1-2"];
    messages_of_one_publisher_come_in_order: v4 ["MQTT-4.6.0-5", "MQTT-4.6.0-6"], v5 ["MQTT-4.6.0-5", "MQTT-4.6.0-6"];
    messages_sent_again_come_in_order: v4 ["MQTT-4.6.0-6"], v5 ["MQTT-4.6.0-5"];
}

async fn filter_is_refused(s: &Scene, filter: &str) -> Outcome {
    let none: &[u8] = if s.is_v5() { &[0] } else { &[] };
    for packet in [
        RawPacket::new(0x82).u16(1).bytes(none).string(filter).u8(0),
        RawPacket::new(0xa2).u16(1).bytes(none).string(filter),
    ] {
        let mut wire = s.connected("a").await?;
        let asks = packet.first_byte == 0x82;
        wire.send_raw(&packet).await?;
        match wire.next().await? {
            Event::End => {}
            // 5.0 has a code for a filter that is well-formed and not taken, and servers use it here.
            Event::Packet(opifex_packet::Packet::Suback(suback)) if asks && s.is_v5() => {
                ensure!(
                    suback.reasons == [ReasonCode::TopicFilterInvalid],
                    "the filter {filter:?} is granted: {suback:?}"
                );
            }
            Event::Packet(opifex_packet::Packet::Unsuback(unsuback)) if !asks && s.is_v5() => {
                ensure!(
                    unsuback.reasons == [ReasonCode::TopicFilterInvalid],
                    "the filter {filter:?} is taken: {unsuback:?}"
                );
            }
            Event::Packet(opifex_packet::Packet::Disconnect(disconnect)) if disconnect.reason.is_error() => {
                wire.expect_closed().await?;
            }
            came => return Err(wire.unexpected(&format!("a refusal of the filter {filter:?}"), &came)),
        }
    }
    Ok(())
}

async fn a_number_sign_stands_alone_and_last(s: &Scene) -> Outcome {
    for filter in ["a/b#", "#/a", "a/#/b", "##", "a/##"] {
        filter_is_refused(s, filter).await?;
    }
    Ok(())
}

async fn a_plus_sign_fills_its_level(s: &Scene) -> Outcome {
    for filter in ["a+", "+a", "a/b+/c", "++", "a/+b"] {
        filter_is_refused(s, filter).await?;
    }
    Ok(())
}

async fn an_empty_filter_is_refused(s: &Scene) -> Outcome {
    filter_is_refused(s, "").await
}

async fn wildcards_in_front_do_not_match_topics_of_the_server(s: &Scene) -> Outcome {
    // Levels that no other case has, whatever stands in front of them.
    let own = s.topic("t").replace('/', "-");
    let (topic, plus) = (format!("${own}/{own}/x"), format!("+/{own}/x"));
    let mut publisher = s.connected("p").await?;
    let mut named = s.connected("n").await?;
    named.subscribe(&topic, QoS::AtMostOnce).await?;
    let mut wire = s.connected("a").await?;
    wire.subscribe(&plus, QoS::AtMostOnce).await?;
    // Whether clients may publish there is the server's to say.
    publisher.publish(&topic, "x", QoS::AtMostOnce).await?;
    let taken = named.next_within(s.descriptor.silence()).await?;
    wire.expect_silence().await?;
    wire.unsubscribe(&plus).await?;
    wire.subscribe("#", QoS::AtMostOnce).await?;
    let mut publisher = match publisher.next_within(s.descriptor.silence()).await? {
        Event::Nothing => publisher,
        _ => return s.needs(false, "topics that begin with $ and are for clients"),
    };
    publisher.publish(&topic, "x", QoS::AtMostOnce).await?;
    publisher.publish(&s.topic("end"), "end", QoS::AtMostOnce).await?;
    // `#` brings what other cases publish, too.
    loop {
        let publish = wire.expect_publish().await?;
        wire.acknowledge(&publish).await?;
        let name = publish.topic.as_ref().map_or("", |name| name.as_str());
        ensure!(!name.starts_with('$'), "`#` brings {name}");
        if name == s.topic("end") {
            break;
        }
    }
    s.needs(!matches!(taken, Event::Nothing), "topics that begin with $ and are for clients")
}

async fn topics_are_compared_as_they_are(s: &Scene) -> Outcome {
    let mut wire = s.subscriber("a", "Caf\u{e9}/x", QoS::AtMostOnce).await?;
    let mut publisher = s.connected("p").await?;
    // Other letters, the same letter in two characters, an empty level more, blanks.
    for other in [
        "café/x",
        "Cafe\u{301}/x",
        "Caf\u{e9}//x",
        "Caf\u{e9}/x/",
        "/Caf\u{e9}/x",
        "Caf\u{e9}/x ",
        "Caf\u{e9} /x",
    ] {
        publisher.publish(&s.topic(other), "other", QoS::AtMostOnce).await?;
    }
    publisher.publish(&s.topic("Caf\u{e9}/x"), "same", QoS::AtMostOnce).await?;
    wire.expect_message(&s.topic("Caf\u{e9}/x"), "same").await?;
    wire.expect_silence().await
}

/// The table of 4.7.1: which of these filters match which of these names.
async fn filters_match_by_levels(s: &Scene) -> Outcome {
    let names = ["sport", "sport/", "sport/a", "sport/a/b", "/sport", "other", "sport/a/c/d"];
    let matches: [(&str, &[&str]); 7] = [
        ("sport/#", &["sport", "sport/", "sport/a", "sport/a/b", "sport/a/c/d"]),
        ("sport/+", &["sport/", "sport/a"]),
        ("sport/+/b", &["sport/a/b"]),
        ("+", &["sport", "other"]),
        ("+/+", &["sport/", "sport/a", "/sport"]),
        ("/+", &["/sport"]),
        ("+/a/#", &["sport/a", "sport/a/b", "sport/a/c/d"]),
    ];
    let mut publisher = s.connected("p").await?;
    for (filter, expected) in matches {
        let mut wire = s.connected("a").await?;
        wire.subscribe(&s.topic(filter), QoS::AtMostOnce).await?;
        for name in names {
            publisher.publish(&s.topic(name), "x", QoS::AtMostOnce).await?;
        }
        // There is no order between topics.
        let mut came = Vec::new();
        for _ in expected {
            let publish = wire.expect_publish().await?;
            came.extend(publish.topic.map(|name| name.as_str().to_owned()));
        }
        came.sort_unstable();
        let mut expected: Vec<_> = expected.iter().map(|name| s.topic(name)).collect();
        expected.sort_unstable();
        ensure!(came == expected, "{filter} matches {expected:?}, and there came {came:?}");
        wire.expect_silence().await?;
        wire.disconnect().await?;
    }
    Ok(())
}

async fn messages_of_one_publisher_come_in_order(s: &Scene) -> Outcome {
    for qos in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
        let mut wire = s.subscriber("a", "t", qos).await?;
        let mut publisher = s.connected("p").await?;
        for number in 0..50 {
            publisher.publish(&s.topic("t"), &number.to_string(), qos).await?;
        }
        for number in 0..50 {
            wire.expect_message(&s.topic("t"), &number.to_string()).await?;
        }
        wire.disconnect().await?;
    }
    Ok(())
}

async fn messages_sent_again_come_in_order(s: &Scene) -> Outcome {
    for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
        let mut wire = s.connected_durable("a").await?;
        wire.subscribe(&s.topic("t"), qos).await?;
        let mut publisher = s.connected("p").await?;
        for number in 0..10 {
            publisher.publish(&s.topic("t"), &number.to_string(), qos).await?;
        }
        wire.expect_unacknowledged(&s.topic("t"), "0").await?;
        wire.vanish();
        let mut wire = s.connected_durable("a").await?;
        for number in 0..10 {
            wire.expect_message(&s.topic("t"), &number.to_string()).await?;
        }
        wire.expect_silence().await?;
        wire.disconnect().await?;
    }
    Ok(())
}
