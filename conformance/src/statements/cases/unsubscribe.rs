//! 3.10 UNSUBSCRIBE and 3.11 UNSUBACK.

use opifex_packet::{PacketId, Pubcomp, Pubrec, QoS, ReasonCode};

use super::subscribe::{raw, refused};
use crate::statements::case::{Outcome, chapter};
use crate::statements::stop::ensure;
use crate::statements::{Event, Scene};

chapter! { "unsubscribe", "3.10 UNSUBSCRIBE, 3.11 UNSUBACK";
    the_flags_of_unsubscribe_are_checked: v4 ["MQTT-3.10.1-1", "MQTT-2.2.2-2"], v5 ["MQTT-3.10.1-1", "MQTT-2.1.3-1"];
    a_filter_that_is_no_text_is_refused: v4 ["MQTT-3.10.3-1"], v5 ["MQTT-3.10.3-1"];
    an_unsubscribe_without_filter_is_refused: v4 ["MQTT-3.10.3-2"], v5 ["MQTT-3.10.3-2"];
    filters_are_compared_character_by_character: v4 ["MQTT-3.10.4-1"], v5 ["MQTT-3.10.4-1"];
    after_unsubscribe_nothing_new_comes: v4 ["MQTT-3.10.4-2"], v5 ["MQTT-3.10.4-2"];
    a_qos_1_delivery_that_has_begun_is_finished: v4 ["MQTT-3.10.4-3"], v5 ["MQTT-3.10.4-3"];
    a_qos_2_delivery_that_has_begun_is_finished: v4 ["MQTT-3.10.4-3"], v5 ["MQTT-3.10.4-3"];
    unsubscribe_is_answered_with_its_id:
        v4 ["MQTT-3.10.4-4", "MQTT-2.3.1-7"], v5 ["MQTT-3.10.4-4", "MQTT-3.10.4-5", "MQTT-2.2.1-6"];
    unsubscribe_is_answered_even_if_nothing_was_removed: v4 ["MQTT-3.10.4-5"], v5 ["MQTT-3.10.4-5"];
    many_filters_get_one_unsuback: v4 ["MQTT-3.10.4-6"], v5 ["MQTT-3.10.4-6"];
    the_codes_follow_the_filters: v5 ["MQTT-3.11.3-1", "MQTT-3.11.3-2"];
}

async fn the_flags_of_unsubscribe_are_checked(s: &Scene) -> Outcome {
    for first_byte in [0xa0, 0xa1, 0xa3, 0xa6, 0xaa] {
        refused(s, raw(s, first_byte).string(&s.topic("t"))).await?;
    }
    Ok(())
}

async fn a_filter_that_is_no_text_is_refused(s: &Scene) -> Outcome {
    refused(s, raw(s, 0xa2).binary(&[0x61, 0xff])).await
}

async fn an_unsubscribe_without_filter_is_refused(s: &Scene) -> Outcome {
    refused(s, raw(s, 0xa2)).await
}

async fn filters_are_compared_character_by_character(s: &Scene) -> Outcome {
    let mut wire = s.connected("a").await?;
    wire.subscribe(&s.topic("t/x"), QoS::AtMostOnce).await?;
    let mut publisher = s.connected("p").await?;
    // What matches it, or looks like it, is not it.
    for other in ["t/+", "t/#", "T/x", "t/x/", "t", "#"] {
        wire.unsubscribe(&s.topic(other)).await?;
        publisher.publish(&s.topic("t/x"), other, QoS::AtMostOnce).await?;
        wire.expect_message(&s.topic("t/x"), other).await?;
    }
    wire.unsubscribe(&s.topic("t/x")).await?;
    publisher.publish(&s.topic("t/x"), "gone", QoS::AtMostOnce).await?;
    publisher.expect_alive().await?;
    wire.expect_silence().await
}

async fn after_unsubscribe_nothing_new_comes(s: &Scene) -> Outcome {
    for qos in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
        let mut wire = s.connected_durable("a").await?;
        wire.subscribe(&s.topic("t"), qos).await?;
        wire.subscribe(&s.topic("other"), qos).await?;
        wire.unsubscribe(&s.topic("t")).await?;
        let mut publisher = s.connected("p").await?;
        publisher.publish(&s.topic("t"), "x", qos).await?;
        publisher.publish(&s.topic("other"), "y", qos).await?;
        wire.expect_message(&s.topic("other"), "y").await?;
        wire.disconnect().await?;
        publisher.publish(&s.topic("t"), "x", qos).await?;
        let mut wire = s.connected_durable("a").await?;
        wire.expect_silence().await?;
        wire.disconnect().await?;
    }
    Ok(())
}

async fn a_qos_1_delivery_that_has_begun_is_finished(s: &Scene) -> Outcome {
    let mut wire = s.connected_durable("a").await?;
    wire.subscribe(&s.topic("t"), QoS::AtLeastOnce).await?;
    s.connected("p").await?.publish(&s.topic("t"), "begun", QoS::AtLeastOnce).await?;
    wire.expect_unacknowledged(&s.topic("t"), "begun").await?;
    wire.unsubscribe(&s.topic("t")).await?;
    wire.vanish();
    let mut wire = s.connected_durable("a").await?;
    wire.expect_message(&s.topic("t"), "begun").await?;
    wire.expect_silence().await
}

async fn a_qos_2_delivery_that_has_begun_is_finished(s: &Scene) -> Outcome {
    let mut wire = s.connected_durable("a").await?;
    wire.subscribe(&s.topic("t"), QoS::ExactlyOnce).await?;
    s.connected("p").await?.publish(&s.topic("t"), "begun", QoS::ExactlyOnce).await?;
    let publish = wire.expect_unacknowledged(&s.topic("t"), "begun").await?;
    wire.unsubscribe(&s.topic("t")).await?;
    let id = publish.delivery.packet_id().ok_or_else(|| wire.unexpected("QoS 2", &Event::Nothing))?;
    wire.send(Pubrec::new(id)).await?;
    wire.expect_pubrel().await?;
    wire.vanish();
    let mut wire = s.connected_durable("a").await?;
    let pubrel = wire.expect_pubrel().await?;
    ensure!(pubrel.packet_id == id, "PUBREL comes again for another message: {pubrel:?}");
    wire.send(Pubcomp::new(id)).await?;
    wire.expect_silence().await
}

async fn unsubscribe_is_answered_with_its_id(s: &Scene) -> Outcome {
    let mut wire = s.connected("a").await?;
    for id in [1, 77, 65_535] {
        wire.subscribe(&s.topic("t"), QoS::AtMostOnce).await?;
        let mut packet = wire.unsubscription(&[&s.topic("t")]);
        packet.packet_id = PacketId::new(id).expect("not 0");
        wire.send(packet).await?;
        let unsuback = wire.expect_unsuback().await?;
        ensure!(unsuback.packet_id.get() == id, "UNSUBSCRIBE {id} is answered by {unsuback:?}");
    }
    Ok(())
}

async fn unsubscribe_is_answered_even_if_nothing_was_removed(s: &Scene) -> Outcome {
    let mut wire = s.connected("a").await?;
    wire.unsubscribe(&s.topic("never")).await?;
    wire.expect_alive().await
}

async fn many_filters_get_one_unsuback(s: &Scene) -> Outcome {
    let mut wire = s.connected("a").await?;
    let names = [s.topic("a"), s.topic("b"), s.topic("c")];
    for name in &names {
        wire.subscribe(name, QoS::AtMostOnce).await?;
    }
    let packet = wire.unsubscription(&[&names[0], &names[2]]);
    wire.send(packet).await?;
    wire.expect_unsuback().await?;
    let mut publisher = s.connected("p").await?;
    for name in &names {
        publisher.publish(name, "x", QoS::AtMostOnce).await?;
    }
    wire.expect_message(&names[1], "x").await?;
    wire.expect_silence().await
}

async fn the_codes_follow_the_filters(s: &Scene) -> Outcome {
    let mut wire = s.connected("a").await?;
    wire.subscribe(&s.topic("a"), QoS::AtMostOnce).await?;
    wire.subscribe(&s.topic("c"), QoS::AtMostOnce).await?;
    let packet = wire.unsubscription(&[&s.topic("a"), &s.topic("b"), &s.topic("c")]);
    wire.send(packet).await?;
    let unsuback = wire.expect_unsuback().await?;
    let expected = [ReasonCode::Success, ReasonCode::NoSubscriptionExisted, ReasonCode::Success];
    ensure!(unsuback.reasons == expected, "expected the codes {expected:?}, got {:?}", unsuback.reasons);
    Ok(())
}
