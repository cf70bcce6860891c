//! 3.1.2.5 wills: when they are published, as what, and when they are not.

use std::time::Duration;

use opifex_packet::raw::RawPacket;
use opifex_packet::{Connect, Disconnect, Packet, Property, QoS, ReasonCode};

use crate::statements::Scene;
use crate::statements::case::{Outcome, chapter};
use crate::statements::stop::ensure;

chapter! { "will", "3.1.2 will";
    a_will_is_published_when_the_client_vanishes: v4 ["MQTT-3.1.2-8"], v5 ["MQTT-3.1.2-7", "MQTT-3.1.2-8", "U5-12"];
    a_will_is_published_when_the_client_breaks_a_rule: v4 ["MQTT-3.1.2-8"], v5 ["MQTT-3.1.2-8", "U5-12"];
    a_will_is_published_when_the_connection_is_taken_over: v4 ["MQTT-3.1.2-8"], v5 ["MQTT-3.1.2-8", "U5-12"];
    a_will_is_not_published_after_disconnect:
        v4 ["MQTT-3.14.4-3", "MQTT-3.1.2-10"], v5 ["MQTT-3.14.4-3", "MQTT-3.1.2-8", "MQTT-3.1.2-10"];
    a_will_is_published_after_a_disconnect_that_asks_for_it: v5 ["MQTT-3.1.2-8", "U5-12"];
    a_will_is_published_once: v4 ["MQTT-3.1.2-10"], v5 ["MQTT-3.1.2-10"];
    without_a_will_nothing_is_published: v4 ["MQTT-3.1.2-12"], v5 ["MQTT-3.1.2-8"];
    a_will_has_its_qos: v4 ["MQTT-3.1.2-8", "MQTT-3.1.2-14"], v5 ["MQTT-3.1.2-8", "MQTT-3.1.2-12"];
    a_will_that_is_not_retained_is_not_kept: v4 ["MQTT-3.1.2-16"], v5 ["MQTT-3.1.2-14"];
    a_retained_will_is_kept: v4 ["MQTT-3.1.2-17"], v5 ["MQTT-3.1.2-15"];
    a_will_topic_that_is_no_text_is_refused: v4 ["MQTT-3.1.3-10"], v5 ["MQTT-3.1.3-11"];
    a_delayed_will_waits: v5 ["MQTT-3.1.2-8", "U5-10"];
    the_end_of_the_session_ends_the_delay: v5 ["MQTT-3.1.2-8"];
    a_client_that_is_back_in_time_has_no_will_published: v5 ["MQTT-3.1.3-9"];
    a_will_keeps_its_properties_and_their_order: v5 ["MQTT-3.1.3-10"];
    a_will_property_that_stands_twice_is_refused: v5 ["U5-10", "U5-11"];
    a_will_above_the_maximum_qos_is_refused: v5 ["MQTT-3.2.2-12"];
    a_retained_will_is_refused_where_nothing_is_retained: v5 ["MQTT-3.2.2-13"];
}

/// Seconds that a will is delayed: short, since the run waits for it.
const DELAY: u32 = 2;

/// This case's client "a" with a will "gone" on its topic "will".
fn mortal(s: &Scene) -> Connect<'static> {
    let mut connect = s.connect("a");
    connect.will = Some(s.will("will", "gone", QoS::AtLeastOnce));
    connect
}

/// The same with a delay, in a session that lives on for `expiry_secs`.
fn delayed(s: &Scene, delay_secs: u32, expiry_secs: u32) -> Connect<'static> {
    let mut connect = mortal(s);
    connect.properties.push(Property::SessionExpiryInterval(expiry_secs));
    if let Some(will) = &mut connect.will {
        will.properties.push(Property::WillDelayInterval(delay_secs));
    }
    connect
}

async fn a_will_is_published_when_the_client_vanishes(s: &Scene) -> Outcome {
    let mut mourner = s.subscriber("m", "will", QoS::AtLeastOnce).await?;
    let (wire, _) = s.join(mortal(s)).await?;
    mourner.expect_silence().await?;
    wire.vanish();
    mourner.expect_message(&s.topic("will"), "gone").await?;
    Ok(())
}

async fn a_will_is_published_when_the_client_breaks_a_rule(s: &Scene) -> Outcome {
    let mut mourner = s.subscriber("m", "will", QoS::AtLeastOnce).await?;
    let (mut wire, _) = s.join(mortal(s)).await?;
    wire.send(s.connect("a")).await?;
    wire.expect_refused(&[ReasonCode::ProtocolError]).await?;
    mourner.expect_message(&s.topic("will"), "gone").await?;
    Ok(())
}

/// The server closes the older connection, which has said no DISCONNECT.
async fn a_will_is_published_when_the_connection_is_taken_over(s: &Scene) -> Outcome {
    let mut mourner = s.subscriber("m", "will", QoS::AtLeastOnce).await?;
    let (mut first, _) = s.join(mortal(s)).await?;
    let mut second = s.connected("a").await?;
    first.expect_refused(&[ReasonCode::SessionTakenOver]).await?;
    mourner.expect_message(&s.topic("will"), "gone").await?;
    second.expect_alive().await
}

async fn a_will_is_not_published_after_disconnect(s: &Scene) -> Outcome {
    let mut mourner = s.subscriber("m", "will", QoS::AtLeastOnce).await?;
    s.join(mortal(s)).await?.0.disconnect().await?;
    s.pass(Duration::from_millis(500)).await;
    // Nor is it there when the client is gone without a word the next time, without one.
    s.connected("a").await?.vanish();
    mourner.expect_nothing(Duration::from_secs(1)).await?;
    mourner.expect_silence().await
}

async fn a_will_is_published_after_a_disconnect_that_asks_for_it(s: &Scene) -> Outcome {
    let mut mourner = s.subscriber("m", "will", QoS::AtLeastOnce).await?;
    let (wire, _) = s.join(mortal(s)).await?;
    wire.disconnect_with(Disconnect::new(ReasonCode::DisconnectWithWill)).await?;
    mourner.expect_message(&s.topic("will"), "gone").await?;
    Ok(())
}

async fn a_will_is_published_once(s: &Scene) -> Outcome {
    let mut mourner = s.subscriber("m", "will", QoS::AtLeastOnce).await?;
    let mut durable = s.connect_durable("a");
    durable.will = mortal(s).will;
    s.join(durable).await?.0.vanish();
    mourner.expect_message(&s.topic("will"), "gone").await?;
    // The session goes on, without the will.
    s.connected_durable("a").await?.vanish();
    mourner.expect_nothing(Duration::from_secs(1)).await?;
    mourner.expect_silence().await
}

async fn without_a_will_nothing_is_published(s: &Scene) -> Outcome {
    let mut mourner = s.connected("m").await?;
    mourner.subscribe(&s.topic("#"), QoS::AtLeastOnce).await?;
    s.connected("a").await?.vanish();
    mourner.expect_nothing(Duration::from_secs(1)).await?;
    mourner.expect_silence().await
}

async fn a_will_has_its_qos(s: &Scene) -> Outcome {
    for qos in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
        let topic = format!("will{}", qos as u8);
        let mut mourner = s.subscriber("m", &topic, QoS::ExactlyOnce).await?;
        let mut connect = s.connect("a");
        connect.will = Some(s.will(&topic, "gone", qos));
        s.join(connect).await?.0.vanish();
        mourner.expect_message_at(&s.topic(&topic), "gone", qos).await?;
    }
    Ok(())
}

async fn a_will_that_is_not_retained_is_not_kept(s: &Scene) -> Outcome {
    let mut mourner = s.subscriber("m", "will", QoS::AtLeastOnce).await?;
    s.join(mortal(s)).await?.0.vanish();
    let publish = mourner.expect_message(&s.topic("will"), "gone").await?;
    ensure!(!publish.retain, "the will has RETAIN set");
    s.settle(&mut mourner).await?;
    s.subscriber("n", "will", QoS::AtLeastOnce).await?.expect_silence().await
}

async fn a_retained_will_is_kept(s: &Scene) -> Outcome {
    let mut mourner = s.subscriber("m", "will", QoS::AtLeastOnce).await?;
    let mut connect = mortal(s);
    if let Some(will) = &mut connect.will {
        will.retain = true;
    }
    s.join(connect).await?.0.vanish();
    mourner.expect_message(&s.topic("will"), "gone").await?;
    s.settle(&mut mourner).await?;
    let mut late = s.subscriber("n", "will", QoS::AtLeastOnce).await?;
    let publish = late.expect_message(&s.topic("will"), "gone").await?;
    ensure!(publish.retain, "a retained message comes without RETAIN");
    Ok(())
}

async fn a_will_topic_that_is_no_text_is_refused(s: &Scene) -> Outcome {
    let mut wire = s.open("a").await?;
    let connect = Connect::new(s.version, s.client_id("a"));
    let mut packet = RawPacket::of(&connect.into(), s.version);
    packet.body[7] |= 0x04;
    let packet = if s.is_v5() { packet.u8(0) } else { packet };
    wire.send_raw(&packet.binary(&[0xed, 0xa0, 0x80]).string("payload")).await?;
    wire.expect_broken().await
}

async fn a_delayed_will_waits(s: &Scene) -> Outcome {
    let mut mourner = s.subscriber("m", "will", QoS::AtLeastOnce).await?;
    s.join(delayed(s, DELAY, 60)).await?.0.vanish();
    mourner.expect_nothing(Duration::from_millis(u64::from(DELAY) * 900)).await?;
    s.pass(Duration::from_secs(1)).await;
    mourner.expect_message(&s.topic("will"), "gone").await?;
    // Without the property there is no delay.
    s.join(mortal(s)).await?.0.vanish();
    mourner.expect_message(&s.topic("will"), "gone").await?;
    Ok(())
}

/// Whichever comes first: here the session ends long before the delay.
async fn the_end_of_the_session_ends_the_delay(s: &Scene) -> Outcome {
    let mut mourner = s.subscriber("m", "will", QoS::AtLeastOnce).await?;
    s.join(delayed(s, 3_600, 1)).await?.0.vanish();
    // Brokers look at their clocks now and then.
    s.pass(Duration::from_secs(2)).await;
    let came = mourner.next_within(Duration::from_secs(8) + s.descriptor.patience()).await?;
    let crate::statements::Event::Packet(Packet::Publish(publish)) = &came else {
        return Err(mourner.unexpected("the will at the end of the session", &came));
    };
    ensure!(&*publish.payload == b"gone", "expected the will, and there came {publish:?}");
    // A new session in its place ends it, too.
    mourner.acknowledge(publish).await?;
    s.join(delayed(s, 3_600, 3_600)).await?.0.vanish();
    s.pass(Duration::from_millis(300)).await;
    s.connected("a").await?.disconnect().await?;
    mourner.expect_message(&s.topic("will"), "gone").await?;
    Ok(())
}

async fn a_client_that_is_back_in_time_has_no_will_published(s: &Scene) -> Outcome {
    let mut mourner = s.subscriber("m", "will", QoS::AtLeastOnce).await?;
    s.join(delayed(s, DELAY, 60)).await?.0.vanish();
    s.pass(Duration::from_millis(500)).await;
    let mut back = s.connect_durable("a");
    back.will = None;
    let (mut wire, connack) = s.join(back).await?;
    ensure!(connack.session_present, "the session is gone");
    mourner.expect_nothing(Duration::from_secs(u64::from(DELAY) + 2)).await?;
    wire.expect_alive().await?;
    mourner.expect_silence().await
}

async fn a_will_keeps_its_properties_and_their_order(s: &Scene) -> Outcome {
    let mut mourner = s.subscriber("m", "will", QoS::AtLeastOnce).await?;
    let mut connect = mortal(s);
    let pairs = [("b", "1"), ("a", "2"), ("b", "1"), ("a", "1")];
    if let Some(will) = &mut connect.will {
        will.properties.push(Property::PayloadFormatIndicator(true));
        will.properties.push(Property::ContentType("text/plain"));
        will.properties.push(Property::ResponseTopic("answers"));
        will.properties.push(Property::CorrelationData(b"7"));
        for (name, value) in pairs {
            will.properties.push(Property::UserProperty(name, value));
        }
    }
    s.join(connect).await?.0.vanish();
    let publish = mourner.expect_message(&s.topic("will"), "gone").await?;
    let came: Vec<_> = publish.properties.user_properties().collect();
    ensure!(came == pairs, "expected the user properties {pairs:?}, and there came {came:?}");
    let properties = &publish.properties;
    ensure!(properties.payload_format_indicator() == Some(true), "Payload Format Indicator is lost");
    ensure!(properties.content_type() == Some("text/plain"), "Content Type is lost");
    ensure!(properties.response_topic() == Some("answers"), "Response Topic is lost");
    ensure!(properties.correlation_data() == Some(b"7"), "Correlation Data is lost");
    Ok(())
}

async fn a_will_property_that_stands_twice_is_refused(s: &Scene) -> Outcome {
    let twice = [
        Property::WillDelayInterval(1),
        Property::PayloadFormatIndicator(true),
        Property::MessageExpiryInterval(1),
        Property::ContentType("x"),
        Property::ResponseTopic("x"),
        Property::CorrelationData(b"x"),
    ];
    for property in twice {
        let mut connect = mortal(s);
        if let Some(will) = &mut connect.will {
            will.properties.push(property);
            will.properties.push(property);
        }
        let mut wire = s.open("a").await?;
        wire.send(connect).await?;
        wire.expect_broken().await?;
    }
    Ok(())
}

async fn a_will_above_the_maximum_qos_is_refused(s: &Scene) -> Outcome {
    s.needs(s.offers.maximum_qos < QoS::ExactlyOnce, "a broker without QoS 2")?;
    let mut connect = s.connect("a");
    connect.will = Some(s.will("will", "gone", QoS::ExactlyOnce));
    let mut wire = s.open("a").await?;
    wire.send_whatever(connect).await?;
    wire.expect_refused(&[ReasonCode::QoSNotSupported]).await
}

async fn a_retained_will_is_refused_where_nothing_is_retained(s: &Scene) -> Outcome {
    s.needs(!s.offers.retain, "a broker without retained messages")?;
    let mut connect = s.connect("a");
    let mut will = s.will("will", "gone", QoS::AtMostOnce);
    will.retain = true;
    connect.will = Some(will);
    let mut wire = s.open("a").await?;
    wire.send_whatever(connect).await?;
    wire.expect_refused(&[ReasonCode::RetainNotSupported]).await
}
