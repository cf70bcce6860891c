//! 3.1.2.11.4 and 3.2.2.3.6: the longest packet that each side takes (5.0 only), fixed header and all.

use opifex_packet::{Connect, Packet, Property, QoS, ReasonCode, SubscriptionOptions};

use crate::statements::Scene;
use crate::statements::case::{Outcome, chapter};
use crate::statements::stop::{Stop, ensure};
use crate::statements::wire::{Event, Wire};

chapter! { "size_limits", "3.1.2 and 3.2.2 maximum packet size";
    a_message_that_is_too_long_is_not_sent: v5 ["MQTT-3.1.2-24", "MQTT-3.1.2-25", "U5-5"];
    a_message_that_is_too_long_counts_as_sent: v5 ["MQTT-3.1.2-25"];
    a_message_that_waited_and_is_too_long_is_not_sent: v5 ["MQTT-3.1.2-24", "MQTT-3.1.2-25"];
    a_retained_message_that_is_too_long_is_not_sent: v5 ["MQTT-3.1.2-24", "MQTT-3.1.2-25"];
    an_answer_that_is_too_long_is_not_sent: v5 ["MQTT-3.1.2-24"];
    a_connack_that_is_too_long_is_not_sent: v5 ["MQTT-3.1.2-24"];
    a_packet_longer_than_the_broker_takes_is_refused: v5 ["MQTT-3.2.2-15", "U5-5"];
}

/// What the client takes.
const MOST: u32 = 200;

/// A client that takes packets up to that length.
fn taking(connect: Connect<'static>, maximum_packet_size: u32) -> Connect<'static> {
    let mut connect = connect;
    connect.properties.push(Property::MaximumPacketSize(maximum_packet_size));
    connect
}

/// A message whose PUBLISH has that length as its publisher sends it.
async fn publish_of_len(wire: &mut Wire, s: &Scene, topic: &str, len: usize, qos: QoS) -> Outcome {
    let head = |payload: &str| {
        let mut probe = opifex_packet::Publish::new(
            opifex_packet::TopicName::new(topic.to_owned()).expect("cases write valid topics"),
            payload.as_bytes().to_vec(),
        );
        if qos != QoS::AtMostOnce {
            probe.delivery = opifex_packet::Delivery::new(qos, opifex_packet::PacketId::MIN);
        }
        probe.encoded_len(s.version)
    };
    let mut payload = "x".repeat(len - head(""));
    while head(&payload) > len {
        payload.pop();
    }
    wire.publish(topic, &payload, qos).await
}

/// The next PUBLISH is this short one, and nothing that came was too long.
async fn expect_short(wire: &mut Wire, topic: &str, payload: &str) -> Outcome {
    loop {
        let publish = wire.expect_publish().await?;
        let len = wire.last_bytes().len();
        ensure!(len <= MOST as usize, "a packet of {len} bytes came, and the client takes {MOST}");
        wire.acknowledge(&publish).await?;
        if *publish.payload == *payload.as_bytes() {
            ensure!(publish.topic.is_some_and(|name| name.as_str() == topic), "it came to another topic");
            return Ok(());
        }
    }
}

fn offered(s: &Scene) -> impl Iterator<Item = QoS> {
    let maximum = s.offers.maximum_qos;
    [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce].into_iter().filter(move |qos| *qos <= maximum)
}

async fn a_message_that_is_too_long_is_not_sent(s: &Scene) -> Outcome {
    let mut publisher = s.connected("p").await?;
    for qos in offered(s) {
        let (mut wire, _) = s.join(taking(s.connect("a"), MOST)).await?;
        wire.subscribe(&s.topic("t"), qos).await?;
        for len in [MOST - 1, MOST, MOST + 1, MOST + 2, 4 * MOST] {
            publish_of_len(&mut publisher, s, &s.topic("t"), len as usize, qos).await?;
        }
        publisher.publish(&s.topic("t"), "short", qos).await?;
        expect_short(&mut wire, &s.topic("t"), "short").await?;
        wire.expect_silence().await?;
    }
    Ok(())
}

/// It takes no place in the window, and is not sent to a client that would take it later.
async fn a_message_that_is_too_long_counts_as_sent(s: &Scene) -> Outcome {
    let mut publisher = s.connected("p").await?;
    for qos in offered(s).skip(1) {
        s.connected("a").await?.disconnect().await?;
        let mut connect = taking(s.connect_durable("a"), MOST);
        connect.properties.push(Property::ReceiveMaximum(1));
        let (mut wire, _) = s.join(connect).await?;
        wire.subscribe(&s.topic("t"), qos).await?;
        for n in 0..3 {
            publish_of_len(&mut publisher, s, &s.topic("t"), 2 * MOST as usize, qos).await?;
            publisher.publish(&s.topic("t"), &n.to_string(), qos).await?;
        }
        for n in 0..3 {
            expect_short(&mut wire, &s.topic("t"), &n.to_string()).await?;
        }
        wire.expect_silence().await?;
        wire.disconnect().await?;
        let mut wire = s.connected_durable("a").await?;
        wire.expect_silence().await?;
    }
    s.needs(s.offers.maximum_qos > QoS::AtMostOnce, "QoS 1 messages")
}

async fn a_message_that_waited_and_is_too_long_is_not_sent(s: &Scene) -> Outcome {
    let qos = QoS::AtLeastOnce;
    let mut wire = s.connected_durable("a").await?;
    wire.subscribe(&s.topic("t"), qos).await?;
    wire.disconnect().await?;
    let mut publisher = s.connected("p").await?;
    publisher.publish(&s.topic("t"), "first", qos).await?;
    publish_of_len(&mut publisher, s, &s.topic("t"), 2 * MOST as usize, qos).await?;
    publisher.publish(&s.topic("t"), "last", qos).await?;
    let (mut wire, _) = s.join(taking(s.connect_durable("a"), MOST)).await?;
    expect_short(&mut wire, &s.topic("t"), "first").await?;
    expect_short(&mut wire, &s.topic("t"), "last").await?;
    wire.expect_silence().await?;
    wire.disconnect().await?;
    let mut wire = s.connected_durable("a").await?;
    wire.expect_silence().await
}

async fn a_retained_message_that_is_too_long_is_not_sent(s: &Scene) -> Outcome {
    s.needs(s.offers.retain, "retained messages")?;
    let mut publisher = s.connected("p").await?;
    let long = "x".repeat(2 * MOST as usize);
    publisher.publish_retained(&s.topic("t"), &long, QoS::AtMostOnce).await?;
    publisher.expect_alive().await?;
    let (mut wire, _) = s.join(taking(s.connect("a"), MOST)).await?;
    wire.subscribe(&s.topic("t"), QoS::AtMostOnce).await?;
    publisher.publish(&s.topic("t"), "short", QoS::AtMostOnce).await?;
    expect_short(&mut wire, &s.topic("t"), "short").await?;
    wire.expect_silence().await
}

/// Nothing longer than that comes; the end may.
async fn nothing_longer(wire: &mut Wire, maximum: usize) -> Outcome {
    loop {
        match wire.next().await? {
            Event::Packet(_) => {
                let len = wire.last_bytes().len();
                ensure!(len <= maximum, "a packet of {len} bytes came, and the client takes {maximum}");
            }
            Event::Nothing | Event::End => return Ok(()),
        }
    }
}

/// SUBACK has a code for each filter, and there is no other way to say it.
async fn an_answer_that_is_too_long_is_not_sent(s: &Scene) -> Outcome {
    let (mut wire, _) = s.join(taking(s.connect("a"), MOST)).await?;
    let filters: Vec<_> = (0..MOST).map(|n| s.topic(&n.to_string())).collect();
    let options = SubscriptionOptions::new(QoS::AtMostOnce);
    let filters: Vec<_> = filters.iter().map(|filter| (filter.as_str(), options)).collect();
    let subscribe = wire.subscriptions(&filters);
    wire.send(subscribe).await?;
    nothing_longer(&mut wire, MOST as usize).await
}

async fn a_connack_that_is_too_long_is_not_sent(s: &Scene) -> Outcome {
    let mut wire = s.open("a").await?;
    wire.send(taking(s.connect("a"), 2)).await?;
    nothing_longer(&mut wire, 2).await
}

async fn a_packet_longer_than_the_broker_takes_is_refused(s: &Scene) -> Outcome {
    let maximum = s.offers.maximum_packet_size.filter(|maximum| *maximum <= 2 << 20);
    let Some(maximum) = maximum else {
        return Err(Stop::needs("a broker that takes no packet of 2 MiB"));
    };
    let mut wire = s.connected("a").await?;
    let topic = s.topic("t");
    let publish = wire.message(&topic, &"x".repeat(maximum as usize - topic.len()), QoS::AtMostOnce);
    wire.send_whatever(Packet::from(publish)).await?;
    wire.expect_refused(&[ReasonCode::PacketTooLarge]).await?;
    // One that is just as long as it may be is none of that.
    let mut wire = s.connected("a").await?;
    publish_of_len(&mut wire, s, &topic, maximum as usize, QoS::AtMostOnce).await?;
    wire.expect_alive().await
}
