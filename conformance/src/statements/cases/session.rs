//! 4.1 session state and 4.5 message receipt: what a session holds, for how long, and what is put into it.

use std::time::Duration;

use opifex_packet::{Property, QoS};

use crate::statements::Scene;
use crate::statements::case::{Outcome, chapter};
use crate::statements::stop::ensure;

chapter! { "session", "4.1 session state, 4.5 message receipt";
    an_offline_session_gets_its_messages: v4 ["MQTT-3.1.2-5", "MQTT-4.5.0-1"], v5 ["MQTT-4.5.0-1", "MQTT-3.1.2-23"];
    every_matching_session_gets_the_message: v4 ["MQTT-4.5.0-1"], v5 ["MQTT-4.5.0-1"];
    a_session_lasts_as_long_as_its_connection: v4 ["MQTT-4.1.0-1", "MQTT-4.1.0-2"], v5 ["MQTT-4.1.0-1"];
    a_session_is_resumed_time_after_time: v4 ["MQTT-4.1.0-1", "MQTT-3.1.2-4"], v5 ["MQTT-3.1.2-5", "MQTT-3.1.2-23"];
    a_session_ends_when_it_expires: v5 ["MQTT-4.1.0-2"];
    an_expiry_of_for_ever_does_not_end: v5 ["U5-3", "MQTT-3.1.2-23"];
    without_an_expiry_a_session_ends_with_its_connection: v5 ["MQTT-4.1.0-2", "U5-3"];
    a_takeover_keeps_the_session: v4 ["MQTT-3.1.4-2", "MQTT-3.1.2-4"], v5 ["MQTT-3.1.4-3", "MQTT-3.1.2-5"];
}

async fn an_offline_session_gets_its_messages(s: &Scene) -> Outcome {
    let mut wire = s.connected_durable("a").await?;
    wire.subscribe(&s.topic("t"), QoS::ExactlyOnce).await?;
    wire.disconnect().await?;
    let mut publisher = s.connected("p").await?;
    let messages = [("1", QoS::AtLeastOnce), ("2", QoS::ExactlyOnce), ("3", QoS::AtLeastOnce)];
    for (payload, qos) in messages {
        publisher.publish(&s.topic("t"), payload, qos).await?;
    }
    let mut wire = s.connected_durable("a").await?;
    // There is an order for each QoS, and none between them.
    let mut came = Vec::new();
    for _ in messages {
        let publish = wire.expect_publish().await?;
        wire.acknowledge(&publish).await?;
        came.push((String::from_utf8_lossy(&publish.payload).into_owned(), publish.qos()));
    }
    came.sort_by(|a, b| a.0.cmp(&b.0));
    let expected = messages.map(|(payload, qos)| (payload.to_owned(), qos));
    ensure!(came == expected, "expected {expected:?}, and there came {came:?}");
    wire.expect_silence().await
}

async fn every_matching_session_gets_the_message(s: &Scene) -> Outcome {
    let mut wires = Vec::new();
    for (who, filter) in [("a", "t/x"), ("b", "t/+"), ("c", "#")] {
        let mut wire = s.connected_durable(who).await?;
        wire.subscribe(&s.topic(filter), QoS::AtLeastOnce).await?;
        wires.push(wire);
    }
    let mut other = s.subscriber("d", "t/y", QoS::AtLeastOnce).await?;
    let mut publisher = s.connected("p").await?;
    publisher.publish(&s.topic("t/x"), "for three", QoS::AtLeastOnce).await?;
    for wire in &mut wires {
        wire.expect_message(&s.topic("t/x"), "for three").await?;
        wire.expect_silence().await?;
    }
    other.expect_silence().await
}

async fn a_session_lasts_as_long_as_its_connection(s: &Scene) -> Outcome {
    // A clean one, without an expiry.
    let mut wire = s.subscriber("a", "t", QoS::AtLeastOnce).await?;
    let mut publisher = s.connected("p").await?;
    for pause in [0, 1, 3] {
        s.pass(Duration::from_secs(pause)).await;
        publisher.publish(&s.topic("t"), "still subscribed", QoS::AtLeastOnce).await?;
        wire.expect_message(&s.topic("t"), "still subscribed").await?;
    }
    Ok(())
}

async fn a_session_is_resumed_time_after_time(s: &Scene) -> Outcome {
    let mut wire = s.connected_durable("a").await?;
    wire.subscribe(&s.topic("t"), QoS::AtLeastOnce).await?;
    let mut publisher = s.connected("p").await?;
    for round in 0..4 {
        if round % 2 == 0 {
            wire.disconnect().await?
        } else {
            wire.vanish()
        }
        let payload = round.to_string();
        publisher.publish(&s.topic("t"), &payload, QoS::AtLeastOnce).await?;
        let connack;
        (wire, connack) = s.join(s.connect_durable("a")).await?;
        ensure!(connack.session_present, "the session is gone after {round} reconnects");
        wire.expect_message(&s.topic("t"), &payload).await?;
        // The acknowledgement is to be in before the connection goes.
        wire.expect_silence().await?;
    }
    Ok(())
}

async fn a_session_ends_when_it_expires(s: &Scene) -> Outcome {
    let mut connect = s.connect("a");
    connect.clean_start = false;
    connect.properties.push(Property::SessionExpiryInterval(1));
    let (mut wire, _) = s.join(connect.clone()).await?;
    wire.subscribe(&s.topic("t"), QoS::AtLeastOnce).await?;
    // While the connection is open, nothing expires.
    s.pass(Duration::from_millis(2_500)).await;
    wire.expect_alive().await?;
    wire.disconnect().await?;
    s.pass(Duration::from_secs(4)).await;
    let (mut wire, connack) = s.join(connect).await?;
    ensure!(!connack.session_present, "a session that expires after 1 s is there after 4");
    let mut publisher = s.connected("p").await?;
    publisher.publish(&s.topic("t"), "x", QoS::AtLeastOnce).await?;
    wire.expect_silence().await
}

async fn an_expiry_of_for_ever_does_not_end(s: &Scene) -> Outcome {
    let mut connect = s.connect("a");
    connect.clean_start = false;
    connect.properties.push(Property::SessionExpiryInterval(u32::MAX));
    s.join(connect.clone()).await?.0.disconnect().await?;
    s.pass(Duration::from_secs(2)).await;
    let (_, connack) = s.join(connect).await?;
    ensure!(connack.session_present, "the session is gone");
    Ok(())
}

async fn without_an_expiry_a_session_ends_with_its_connection(s: &Scene) -> Outcome {
    for expiry in [None, Some(0)] {
        let mut connect = s.connect("a");
        connect.clean_start = false;
        if let Some(expiry) = expiry {
            connect.properties.push(Property::SessionExpiryInterval(expiry));
        }
        let (mut wire, connack) = s.join(connect).await?;
        ensure!(!connack.session_present, "a session with the expiry {expiry:?} was there");
        wire.subscribe(&s.topic("t"), QoS::AtLeastOnce).await?;
        wire.disconnect().await?;
        let (mut wire, connack) = s.join(s.connect_durable("a")).await?;
        ensure!(!connack.session_present, "a session with the expiry {expiry:?} outlived its connection");
        wire.expect_alive().await?;
        wire.disconnect().await?;
        s.connected("a").await?.disconnect().await?;
    }
    Ok(())
}

async fn a_takeover_keeps_the_session(s: &Scene) -> Outcome {
    let mut first = s.connected_durable("a").await?;
    first.subscribe(&s.topic("t"), QoS::AtLeastOnce).await?;
    let (mut second, connack) = s.join(s.connect_durable("a")).await?;
    ensure!(connack.session_present, "the session is gone");
    let mut publisher = s.connected("p").await?;
    publisher.publish(&s.topic("t"), "for the second", QoS::AtLeastOnce).await?;
    second.expect_message(&s.topic("t"), "for the second").await?;
    Ok(())
}
