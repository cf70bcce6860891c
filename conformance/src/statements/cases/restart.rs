//! 4.1 session state over a restart of the broker: what it has acknowledged and what it keeps for others is there again, what
//! had ended is not, and clocks go on. These cases run on brokers that say that they keep their state, and by which command
//! they are restarted.

use std::time::Duration;

use opifex_packet::{
    Connect, Packet, Property, Pubcomp, Pubrec, Pubrel, QoS, ReasonCode, RetainHandling, SubscriptionOptions,
};

use crate::statements::case::{Outcome, chapter};
use crate::statements::stop::ensure;
use crate::statements::{Event, Scene, Stop, Wire};

chapter! { "restart", "4.1 session state over a restart", restarts;
    a_session_comes_back_with_its_queue_in_order:
        v4 ["MQTT-3.1.2-4", "MQTT-3.1.2-5", "MQTT-3.2.2-2", "MQTT-4.1.0-1", "MQTT-4.6.0-6"],
        v5 ["MQTT-3.1.2-5", "MQTT-3.1.2-23", "MQTT-3.2.2-3", "MQTT-4.5.0-1", "MQTT-4.6.0-5"];
    subscriptions_come_back_and_those_that_ended_do_not: v4 ["MQTT-3.1.2-4", "MQTT-4.1.0-1"], v5 ["MQTT-3.1.2-23"];
    subscriptions_come_back_with_their_options:
        v5 ["MQTT-3.1.2-23", "MQTT-3.3.1-13", "MQTT-3.3.4-3", "MQTT-3.8.3-3"];
    a_retained_message_comes_back: v4 ["MQTT-3.3.1-5", "MQTT-3.3.1-6"], v5 ["MQTT-3.3.1-5"];
    a_message_without_its_puback_comes_again: v4 ["MQTT-4.3.2-1"], v5 ["MQTT-4.3.2-3"];
    a_message_without_its_pubrec_comes_again_with_its_id:
        v4 ["MQTT-4.3.3-1", "MQTT-4.4.0-1", "MQTT-3.3.1-1"], v5 ["MQTT-4.3.3-3", "MQTT-4.4.0-1", "MQTT-3.3.1-1"];
    a_pubrel_without_its_pubcomp_comes_again_with_its_id:
        v4 ["MQTT-4.3.3-1", "MQTT-4.4.0-1"], v5 ["MQTT-4.3.3-5", "MQTT-4.3.3-6", "MQTT-4.4.0-1"];
    a_message_that_was_received_is_not_delivered_twice: v4 ["MQTT-4.3.3-2"], v5 ["MQTT-4.3.3-10"];
    a_pubrel_for_a_message_of_before_is_answered: v4 ["MQTT-4.3.3-2"], v5 ["MQTT-4.3.3-11"];
    a_session_that_ended_with_its_connection_stays_away: v4 ["MQTT-3.1.2-6"], v5 ["MQTT-4.1.0-2"];
    a_session_expires_though_the_broker_restarts: v5 ["MQTT-4.1.0-2"];
    a_delayed_will_is_published_once: v5 ["MQTT-3.1.2-7", "MQTT-3.1.2-8"];
    the_will_of_a_client_that_was_connected_is_published_once: v5 ["MQTT-3.1.2-7", "MQTT-3.1.2-8"];
    a_will_that_was_taken_back_stays_away: v5 ["MQTT-3.1.2-10"];
}

/// The case's client `who` is back, and its session is there.
async fn back(s: &Scene, who: &str) -> Result<Wire, Stop> {
    let (wire, connack) = s.join(s.connect_durable(who)).await?;
    ensure!(connack.session_present, "after the restart the session of {who} is gone");
    Ok(wire)
}

async fn a_session_comes_back_with_its_queue_in_order(s: &Scene) -> Outcome {
    let mut wire = s.connected_durable("a").await?;
    wire.subscribe(&s.topic("q/+"), QoS::ExactlyOnce).await?;
    wire.disconnect().await?;
    let mut publisher = s.connected("p").await?;
    // There is an order for each topic and QoS, and none between them.
    for n in 0..10 {
        publisher.publish(&s.topic("q/1"), &n.to_string(), QoS::AtLeastOnce).await?;
        publisher.publish(&s.topic("q/2"), &n.to_string(), QoS::ExactlyOnce).await?;
    }
    s.restart().await;
    let mut wire = back(s, "a").await?;
    let mut came = [Vec::new(), Vec::new()];
    for _ in 0..20 {
        let publish = wire.expect_publish().await?;
        wire.acknowledge(&publish).await?;
        came[usize::from(publish.qos() == QoS::ExactlyOnce)].push(publish.payload.to_vec());
    }
    let expected: Vec<_> = (0..10).map(|n| n.to_string().into_bytes()).collect();
    for came in came {
        ensure!(came == expected, "expected 0 to 9 in order, and there came {came:?}");
    }
    wire.expect_silence().await
}

async fn subscriptions_come_back_and_those_that_ended_do_not(s: &Scene) -> Outcome {
    let mut wire = s.connected_durable("a").await?;
    for filter in ["stays", "ends", "t/+"] {
        wire.subscribe(&s.topic(filter), QoS::AtLeastOnce).await?;
    }
    wire.unsubscribe(&s.topic("ends")).await?;
    s.restart().await;
    let mut wire = back(s, "a").await?;
    let mut publisher = s.connected("p").await?;
    for name in ["ends", "stays", "t/x"] {
        publisher.publish(&s.topic(name), name, QoS::AtLeastOnce).await?;
    }
    // They are in no order: their topics differ.
    let mut came = Vec::new();
    for _ in 0..2 {
        let publish = wire.expect_publish().await?;
        wire.acknowledge(&publish).await?;
        came.push(String::from_utf8_lossy(&publish.payload).into_owned());
    }
    came.sort();
    ensure!(came == ["stays", "t/x"], "expected one message for each subscription, and there came {came:?}");
    wire.expect_silence().await
}

async fn subscriptions_come_back_with_their_options(s: &Scene) -> Outcome {
    let mut wire = s.connected_durable("a").await?;
    let options = SubscriptionOptions {
        no_local: true,
        retain_as_published: true,
        retain_handling: RetainHandling::DoNotSend,
        ..SubscriptionOptions::new(QoS::AtLeastOnce)
    };
    wire.subscribe_with(&s.topic("t"), options, Some(77)).await?;
    s.restart().await;
    let mut wire = back(s, "a").await?;
    wire.publish(&s.topic("t"), "from itself", QoS::AtLeastOnce).await?;
    let mut publisher = s.connected("p").await?;
    publisher.publish_retained(&s.topic("t"), "x", QoS::AtLeastOnce).await?;
    let publish = wire.expect_message(&s.topic("t"), "x").await?;
    ensure!(publish.retain, "Retain As Published is lost: {publish:?}");
    let identifiers: Vec<_> = publish
        .properties
        .iter()
        .filter(|property| matches!(property, Property::SubscriptionIdentifier(_)))
        .collect();
    let expected = [Property::SubscriptionIdentifier(77)];
    ensure!(identifiers == expected, "expected the Subscription Identifier 77, and there came {publish:?}");
    Ok(())
}

async fn a_retained_message_comes_back(s: &Scene) -> Outcome {
    let mut keeper = s.connected("k").await?;
    keeper.publish_retained(&s.topic("old"), "replaced", QoS::AtLeastOnce).await?;
    keeper.publish_retained(&s.topic("old"), "last", QoS::AtLeastOnce).await?;
    keeper.publish_retained(&s.topic("gone"), "cleared", QoS::AtLeastOnce).await?;
    keeper.publish_retained(&s.topic("gone"), "", QoS::AtLeastOnce).await?;
    s.restart().await;
    let mut wire = s.connected("a").await?;
    for name in ["gone", "old"] {
        wire.subscribe(&s.topic(name), QoS::AtLeastOnce).await?;
    }
    let kept = wire.expect_message_at(&s.topic("old"), "last", QoS::AtLeastOnce).await?;
    ensure!(kept.retain, "expected RETAIN 1, got {kept:?}");
    wire.expect_silence().await
}

/// A subscriber that got a message at this QoS, which nobody has acknowledged.
async fn unacknowledged(s: &Scene, qos: QoS) -> Result<(Wire, opifex_packet::Publish<'static>), Stop> {
    let mut wire = s.connected_durable("a").await?;
    wire.subscribe(&s.topic("t"), qos).await?;
    s.connected("p").await?.publish(&s.topic("t"), "x", qos).await?;
    let publish = wire.expect_unacknowledged(&s.topic("t"), "x").await?;
    ensure!(publish.qos() == qos, "expected {qos:?}, got {publish:?}");
    Ok((wire, publish))
}

/// Whether it has its old packet id is left open: the receiver cannot take it for another, and may see it twice anyway.
async fn a_message_without_its_puback_comes_again(s: &Scene) -> Outcome {
    unacknowledged(s, QoS::AtLeastOnce).await?;
    s.restart().await;
    let mut wire = back(s, "a").await?;
    wire.expect_message(&s.topic("t"), "x").await?;
    wire.expect_silence().await
}

async fn a_message_without_its_pubrec_comes_again_with_its_id(s: &Scene) -> Outcome {
    let (_, first) = unacknowledged(s, QoS::ExactlyOnce).await?;
    s.restart().await;
    let mut wire = back(s, "a").await?;
    let again = wire.expect_message(&s.topic("t"), "x").await?;
    ensure!(
        again.delivery == first.delivery,
        "it came as {:?}, and comes again as {again:?}",
        first.delivery
    );
    ensure!(again.dup, "it comes again without DUP");
    wire.expect_silence().await
}

async fn a_pubrel_without_its_pubcomp_comes_again_with_its_id(s: &Scene) -> Outcome {
    let (mut wire, publish) = unacknowledged(s, QoS::ExactlyOnce).await?;
    let Some(id) = publish.delivery.packet_id() else {
        return Err(Stop::failed("QoS 2 without a packet id"));
    };
    wire.send(Pubrec::new(id)).await?;
    let first = wire.expect_pubrel().await?;
    ensure!(first.packet_id == id, "expected PUBREL {}, got {first:?}", id.get());
    s.restart().await;
    let mut wire = back(s, "a").await?;
    let again = wire.expect_pubrel().await?;
    ensure!(again.packet_id == id, "expected PUBREL {} again, got {again:?}", id.get());
    wire.send(Pubcomp::new(id)).await?;
    wire.expect_silence().await
}

/// A subscriber whose session lasts, and a publisher that has PUBREC for a message.
async fn half_received(s: &Scene) -> Result<opifex_packet::Publish<'static>, Stop> {
    let mut wire = s.connected_durable("a").await?;
    wire.subscribe(&s.topic("t"), QoS::ExactlyOnce).await?;
    wire.disconnect().await?;
    let mut publisher = s.connected_durable("p").await?;
    let publish = publisher.message(&s.topic("t"), "once", QoS::ExactlyOnce);
    publisher.send(publish.clone()).await?;
    let pubrec = publisher.expect_pubrec().await?;
    ensure!(Some(pubrec.packet_id) == publish.delivery.packet_id(), "expected its PUBREC, got {pubrec:?}");
    Ok(publish)
}

/// The subscriber gets it once, and what comes after it.
async fn expect_once(s: &Scene, mut publisher: Wire) -> Outcome {
    publisher.publish(&s.topic("t"), "next", QoS::ExactlyOnce).await?;
    let mut wire = back(s, "a").await?;
    wire.expect_message(&s.topic("t"), "once").await?;
    wire.expect_message(&s.topic("t"), "next").await?;
    wire.expect_silence().await
}

async fn a_message_that_was_received_is_not_delivered_twice(s: &Scene) -> Outcome {
    let mut publish = half_received(s).await?;
    s.restart().await;
    let mut publisher = back(s, "p").await?;
    publish.dup = true;
    publisher.publish_packet(publish).await?;
    expect_once(s, publisher).await
}

async fn a_pubrel_for_a_message_of_before_is_answered(s: &Scene) -> Outcome {
    let publish = half_received(s).await?;
    s.restart().await;
    let mut publisher = back(s, "p").await?;
    let id = publish.delivery.packet_id().ok_or_else(|| Stop::failed("QoS 2 without a packet id"))?;
    publisher.send(Pubrel::new(id)).await?;
    let pubcomp = publisher.expect_pubcomp().await?;
    let known = pubcomp.packet_id == id && pubcomp.reason == ReasonCode::Success;
    ensure!(known, "expected PUBCOMP {}, got {pubcomp:?}", id.get());
    expect_once(s, publisher).await
}

async fn a_session_that_ended_with_its_connection_stays_away(s: &Scene) -> Outcome {
    let mut wire = s.connected("a").await?;
    wire.subscribe(&s.topic("t"), QoS::AtLeastOnce).await?;
    s.restart().await;
    drop(wire);
    let (mut wire, connack) = s.join(s.connect_durable("a")).await?;
    ensure!(!connack.session_present, "a session that was to end with its connection is there");
    s.connected("p").await?.publish(&s.topic("t"), "x", QoS::AtLeastOnce).await?;
    wire.expect_silence().await
}

async fn a_session_expires_though_the_broker_restarts(s: &Scene) -> Outcome {
    let connect = |who: &str, expiry_secs: u32| {
        let mut connect = s.connect(who);
        connect.clean_start = false;
        connect.properties.push(Property::SessionExpiryInterval(expiry_secs));
        connect
    };
    // One that goes before the restart, and one that is connected when it comes.
    s.join(connect("a", 2)).await?.0.disconnect().await?;
    let (open, _) = s.join(connect("b", 2)).await?;
    s.join(connect("c", 3_600)).await?.0.disconnect().await?;
    s.restart().await;
    drop(open);
    s.pass(Duration::from_secs(4)).await;
    for (who, expiry_secs, there) in [("a", 2, false), ("b", 2, false), ("c", 3_600, true)] {
        let (_, connack) = s.join(connect(who, expiry_secs)).await?;
        let present = connack.session_present;
        ensure!(present == there, "4 s after it, a session that lasts {expiry_secs} s: {present}");
    }
    Ok(())
}

/// Longer than any restart takes.
const LONG_SECS: u32 = 3_600;

/// This case's client "a" in a session that lasts, with a will that waits as long.
fn mortal(s: &Scene) -> Connect<'static> {
    let mut connect = s.connect("a");
    connect.properties.push(Property::SessionExpiryInterval(LONG_SECS));
    let mut will = s.will("will", "gone", QoS::AtLeastOnce);
    will.properties.push(Property::WillDelayInterval(LONG_SECS));
    connect.will = Some(will);
    connect
}

/// A session that hears of the will.
async fn mourner(s: &Scene) -> Outcome {
    let mut mourner = s.connected_durable("m").await?;
    mourner.subscribe(&s.topic("will"), QoS::AtLeastOnce).await?;
    mourner.disconnect().await
}

/// The will is published, once: when a clean start ends its session, or with the restart, which 3.1.2.5 leaves to the broker.
async fn expect_will(s: &Scene) -> Outcome {
    let mut mourner = back(s, "m").await?;
    let early = match mourner.next_within(s.descriptor.silence()).await? {
        Event::Nothing => false,
        Event::Packet(Packet::Publish(publish)) if *publish.payload == *b"gone" => {
            mourner.acknowledge(&publish).await?;
            true
        }
        came => return Err(mourner.unexpected("the will, or nothing yet", &came)),
    };
    let clean = s.connected("a").await?;
    if !early {
        mourner.expect_message(&s.topic("will"), "gone").await?;
    }
    mourner.expect_silence().await?;
    clean.disconnect().await
}

async fn a_delayed_will_is_published_once(s: &Scene) -> Outcome {
    mourner(s).await?;
    s.join(mortal(s)).await?.0.vanish();
    s.pass(s.descriptor.silence()).await;
    s.restart().await;
    expect_will(s).await
}

async fn the_will_of_a_client_that_was_connected_is_published_once(s: &Scene) -> Outcome {
    mourner(s).await?;
    let open = s.join(mortal(s)).await?.0;
    s.restart().await;
    drop(open);
    expect_will(s).await
}

async fn a_will_that_was_taken_back_stays_away(s: &Scene) -> Outcome {
    mourner(s).await?;
    s.join(mortal(s)).await?.0.disconnect().await?;
    s.restart().await;
    let mut mourner = back(s, "m").await?;
    // The session's end would bring it.
    s.connected("a").await?.disconnect().await?;
    match mourner.next_within(s.descriptor.silence()).await? {
        Event::Nothing => mourner.expect_silence().await,
        Event::Packet(Packet::Publish(_)) => {
            Err(Stop::failed("a will that DISCONNECT took back is published"))
        }
        came => Err(mourner.unexpected("nothing", &came)),
    }
}
