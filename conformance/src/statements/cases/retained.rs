//! 3.3.1.3 RETAIN: what is kept, what replaces and what clears it, and to whom it is sent.

use std::time::Duration;

use opifex_packet::{Property, QoS, ReasonCode, RetainHandling, SubscriptionOptions};

use crate::statements::case::{Outcome, chapter};
use crate::statements::stop::ensure;
use crate::statements::{Scene, Wire};

chapter! { "retained", "3.3.1 RETAIN";
    a_retained_message_waits_for_subscribers: v4 ["MQTT-3.3.1-5", "MQTT-3.3.1-6"], v5 ["MQTT-3.3.1-5", "MQTT-3.3.1-9"];
    all_matching_retained_messages_are_sent: v4 ["MQTT-3.3.1-6"], v5 ["MQTT-3.3.1-9"];
    a_retained_message_has_its_qos: v4 ["MQTT-3.3.1-5"], v5 ["MQTT-3.3.1-5"];
    the_last_retained_message_counts: v4 ["MQTT-3.3.1-5", "MQTT-3.3.1-6"], v5 ["MQTT-3.3.1-5"];
    a_retained_message_of_qos_0_replaces_the_old_one: v4 ["MQTT-3.3.1-7"], v5 ["MQTT-3.3.1-5"];
    an_answer_to_subscribe_has_retain_set: v4 ["MQTT-3.3.1-8"], v5 ["MQTT-3.3.1-9"];
    a_live_message_has_retain_cleared: v4 ["MQTT-3.3.1-9"], v5 ["MQTT-3.3.1-12"];
    an_empty_message_clears_and_is_delivered: v4 ["MQTT-3.3.1-10"], v5 ["MQTT-3.3.1-6"];
    an_empty_message_is_not_kept: v4 ["MQTT-3.3.1-11"], v5 ["MQTT-3.3.1-7"];
    a_message_without_retain_changes_nothing: v4 ["MQTT-3.3.1-12"], v5 ["MQTT-3.3.1-8"];
    a_retained_message_outlives_its_session: v4 ["MQTT-3.1.2-7"], v5 ["MQTT-3.3.1-5"];
    subscribing_again_brings_it_again: v4 ["MQTT-3.8.4-3"], v5 ["MQTT-3.3.1-9", "MQTT-3.8.4-4"];
    retain_handling_1_sends_to_new_subscriptions_only: v5 ["MQTT-3.3.1-10"];
    retain_handling_2_sends_nothing: v5 ["MQTT-3.3.1-11"];
    retain_as_published_keeps_the_flag: v5 ["MQTT-3.3.1-13"];
    without_retain_as_published_the_flag_is_cleared: v5 ["MQTT-3.3.1-12"];
    an_expired_message_is_not_there: v5 ["U5-45"];
    retain_is_refused_where_nothing_is_retained: v5 ["U5-20"];
}

/// A publisher that has a retained message on the case's topic "t".
async fn keeper(s: &Scene, payload: &str, qos: QoS) -> Result<Wire, crate::statements::Stop> {
    let mut keeper = s.connected("k").await?;
    keeper.publish_retained(&s.topic("t"), payload, qos).await?;
    s.settle(&mut keeper).await?;
    Ok(keeper)
}

async fn a_retained_message_waits_for_subscribers(s: &Scene) -> Outcome {
    keeper(s, "kept", QoS::AtMostOnce).await?;
    for who in ["a", "b"] {
        let mut wire = s.subscriber(who, "t", QoS::AtMostOnce).await?;
        wire.expect_message(&s.topic("t"), "kept").await?;
    }
    let mut wire = s.connected("c").await?;
    wire.subscribe(&s.topic("+"), QoS::AtMostOnce).await?;
    wire.expect_message(&s.topic("t"), "kept").await?;
    Ok(())
}

async fn all_matching_retained_messages_are_sent(s: &Scene) -> Outcome {
    let mut keeper = s.connected("k").await?;
    let matching = ["t", "t/1", "t/1/2", "t//3"];
    for name in matching.iter().chain(&["T/1", "tt", "u/1"]) {
        keeper.publish_retained(&s.topic(name), "kept", QoS::AtLeastOnce).await?;
    }
    s.settle(&mut keeper).await?;
    let mut wire = s.subscriber("a", "t/#", QoS::AtLeastOnce).await?;
    let mut came = Vec::new();
    for _ in matching {
        let publish = wire.expect_publish().await?;
        wire.acknowledge(&publish).await?;
        came.extend(publish.topic.map(|name| name.as_str().to_owned()));
    }
    came.sort_unstable();
    let mut expected = matching.map(|name| s.topic(name));
    expected.sort_unstable();
    ensure!(came == expected, "expected what is retained of {expected:?}, and there came {came:?}");
    wire.expect_silence().await
}

async fn a_retained_message_has_its_qos(s: &Scene) -> Outcome {
    keeper(s, "kept", QoS::AtLeastOnce).await?;
    for (qos, expected) in [
        (QoS::AtMostOnce, QoS::AtMostOnce),
        (QoS::AtLeastOnce, QoS::AtLeastOnce),
        (QoS::ExactlyOnce, QoS::AtLeastOnce),
    ] {
        let mut wire = s.subscriber("a", "t", qos).await?;
        wire.expect_message_at(&s.topic("t"), "kept", expected).await?;
        wire.disconnect().await?;
    }
    Ok(())
}

async fn the_last_retained_message_counts(s: &Scene) -> Outcome {
    let mut keeper = keeper(s, "first", QoS::AtLeastOnce).await?;
    keeper.publish_retained(&s.topic("t"), "second", QoS::AtLeastOnce).await?;
    let mut wire = s.subscriber("a", "t", QoS::AtLeastOnce).await?;
    wire.expect_message(&s.topic("t"), "second").await?;
    wire.expect_silence().await
}

/// That the new one is kept is advised; that the old one is gone is required.
async fn a_retained_message_of_qos_0_replaces_the_old_one(s: &Scene) -> Outcome {
    let mut keeper = keeper(s, "old", QoS::AtLeastOnce).await?;
    keeper.publish_retained(&s.topic("t"), "new", QoS::AtMostOnce).await?;
    s.settle(&mut keeper).await?;
    let mut wire = s.subscriber("a", "t", QoS::AtLeastOnce).await?;
    match wire.next_within(s.descriptor.silence()).await? {
        crate::statements::Event::Nothing => Ok(()),
        crate::statements::Event::Packet(opifex_packet::Packet::Publish(publish))
            if &*publish.payload == b"new" =>
        {
            Ok(())
        }
        came => Err(wire.unexpected("the new retained message or none", &came)),
    }
}

async fn an_answer_to_subscribe_has_retain_set(s: &Scene) -> Outcome {
    keeper(s, "kept", QoS::AtMostOnce).await?;
    let mut wire = s.subscriber("a", "t", QoS::AtMostOnce).await?;
    let publish = wire.expect_message(&s.topic("t"), "kept").await?;
    ensure!(publish.retain, "a retained message that answers SUBSCRIBE comes without RETAIN");
    Ok(())
}

async fn a_live_message_has_retain_cleared(s: &Scene) -> Outcome {
    let mut wire = s.subscriber("a", "t", QoS::AtLeastOnce).await?;
    // What is retained may be looked up after SUBACK: that has to be over.
    s.settle(&mut wire).await?;
    keeper(s, "live", QoS::AtLeastOnce).await?;
    let publish = wire.expect_message(&s.topic("t"), "live").await?;
    ensure!(!publish.retain, "a message for a subscription that was there comes with RETAIN");
    Ok(())
}

async fn an_empty_message_clears_and_is_delivered(s: &Scene) -> Outcome {
    let mut keeper = keeper(s, "kept", QoS::AtLeastOnce).await?;
    let mut wire = s.subscriber("a", "t", QoS::AtLeastOnce).await?;
    wire.expect_message(&s.topic("t"), "kept").await?;
    s.settle(&mut wire).await?;
    keeper.publish_retained(&s.topic("t"), "", QoS::AtLeastOnce).await?;
    wire.expect_message(&s.topic("t"), "").await?;
    s.subscriber("b", "t", QoS::AtLeastOnce).await?.expect_silence().await
}

async fn an_empty_message_is_not_kept(s: &Scene) -> Outcome {
    keeper(s, "", QoS::AtLeastOnce).await?;
    s.subscriber("a", "t", QoS::AtLeastOnce).await?.expect_silence().await
}

async fn a_message_without_retain_changes_nothing(s: &Scene) -> Outcome {
    let mut keeper = keeper(s, "kept", QoS::AtLeastOnce).await?;
    keeper.publish(&s.topic("t"), "passing", QoS::AtLeastOnce).await?;
    keeper.publish(&s.topic("t"), "", QoS::AtLeastOnce).await?;
    keeper.publish(&s.topic("other"), "passing", QoS::AtLeastOnce).await?;
    let mut wire = s.subscriber("a", "t", QoS::AtLeastOnce).await?;
    wire.expect_message(&s.topic("t"), "kept").await?;
    wire.subscribe(&s.topic("other"), QoS::AtLeastOnce).await?;
    wire.expect_silence().await
}

async fn a_retained_message_outlives_its_session(s: &Scene) -> Outcome {
    let mut keeper = s.connected_durable("k").await?;
    keeper.publish_retained(&s.topic("t"), "kept", QoS::AtLeastOnce).await?;
    keeper.disconnect().await?;
    // A clean session ends it.
    s.connected("k").await?.disconnect().await?;
    let mut wire = s.subscriber("a", "t", QoS::AtLeastOnce).await?;
    wire.expect_message(&s.topic("t"), "kept").await?;
    Ok(())
}

async fn subscribing_again_brings_it_again(s: &Scene) -> Outcome {
    keeper(s, "kept", QoS::AtLeastOnce).await?;
    let mut wire = s.subscriber("a", "t", QoS::AtLeastOnce).await?;
    wire.expect_message(&s.topic("t"), "kept").await?;
    wire.subscribe(&s.topic("t"), QoS::AtLeastOnce).await?;
    wire.expect_message(&s.topic("t"), "kept").await?;
    Ok(())
}

fn handling(retain_handling: RetainHandling) -> SubscriptionOptions {
    SubscriptionOptions { retain_handling, ..SubscriptionOptions::new(QoS::AtLeastOnce) }
}

async fn retain_handling_1_sends_to_new_subscriptions_only(s: &Scene) -> Outcome {
    keeper(s, "kept", QoS::AtLeastOnce).await?;
    let mut wire = s.connected("a").await?;
    wire.subscribe_with(&s.topic("t"), handling(RetainHandling::SendIfNew), None).await?;
    wire.expect_message(&s.topic("t"), "kept").await?;
    wire.subscribe_with(&s.topic("t"), handling(RetainHandling::SendIfNew), None).await?;
    wire.expect_silence().await?;
    wire.unsubscribe(&s.topic("t")).await?;
    wire.subscribe_with(&s.topic("t"), handling(RetainHandling::SendIfNew), None).await?;
    wire.expect_message(&s.topic("t"), "kept").await?;
    Ok(())
}

async fn retain_handling_2_sends_nothing(s: &Scene) -> Outcome {
    let mut keeper = keeper(s, "kept", QoS::AtLeastOnce).await?;
    let mut wire = s.connected("a").await?;
    wire.subscribe_with(&s.topic("t"), handling(RetainHandling::DoNotSend), None).await?;
    wire.expect_silence().await?;
    keeper.publish_retained(&s.topic("t"), "live", QoS::AtLeastOnce).await?;
    wire.expect_message(&s.topic("t"), "live").await?;
    Ok(())
}

async fn flags_that_come(s: &Scene, retain_as_published: bool) -> Result<[bool; 2], crate::statements::Stop> {
    let mut wire = s.connected("a").await?;
    let options = SubscriptionOptions { retain_as_published, ..SubscriptionOptions::new(QoS::AtLeastOnce) };
    wire.subscribe_with(&s.topic("t"), options, None).await?;
    s.settle(&mut wire).await?;
    let mut keeper = keeper(s, "with", QoS::AtLeastOnce).await?;
    let with = wire.expect_message(&s.topic("t"), "with").await?;
    keeper.publish(&s.topic("t"), "without", QoS::AtLeastOnce).await?;
    let without = wire.expect_message(&s.topic("t"), "without").await?;
    Ok([with.retain, without.retain])
}

async fn retain_as_published_keeps_the_flag(s: &Scene) -> Outcome {
    let flags = flags_that_come(s, true).await?;
    ensure!(flags == [true, false], "RETAIN was published as 1 and 0, and came as {flags:?}");
    Ok(())
}

async fn without_retain_as_published_the_flag_is_cleared(s: &Scene) -> Outcome {
    let flags = flags_that_come(s, false).await?;
    ensure!(flags == [false, false], "expected RETAIN 0 twice, and there came {flags:?}");
    Ok(())
}

async fn an_expired_message_is_not_there(s: &Scene) -> Outcome {
    let mut keeper = s.connected("k").await?;
    let mut publish = keeper.message(&s.topic("t"), "short-lived", QoS::AtLeastOnce);
    publish.retain = true;
    publish.properties.push(Property::MessageExpiryInterval(1));
    keeper.publish_packet(publish).await?;
    s.subscriber("a", "t", QoS::AtLeastOnce).await?.expect_message(&s.topic("t"), "short-lived").await?;
    s.pass(Duration::from_millis(2_500)).await;
    s.subscriber("b", "t", QoS::AtLeastOnce).await?.expect_silence().await
}

async fn retain_is_refused_where_nothing_is_retained(s: &Scene) -> Outcome {
    s.needs(!s.offers.retain, "a broker without retained messages")?;
    let mut wire = s.connected("a").await?;
    let mut publish = wire.message(&s.topic("t"), "x", QoS::AtMostOnce);
    publish.retain = true;
    wire.send_whatever(publish).await?;
    wire.expect_refused(&[ReasonCode::RetainNotSupported]).await
}
