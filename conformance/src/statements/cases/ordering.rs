//! 4.6 message ordering: for one topic and one QoS, subscribers get what one client published in the order in which it did.
//! What is in which order between topics, QoS or publishers is nobody's business.

use opifex_packet::{Connect, Delivery, Packet, Property, Pubcomp, Publish, Pubrec, Pubrel, QoS};

use crate::statements::Scene;
use crate::statements::case::{Outcome, chapter};
use crate::statements::stop::{Stop, ensure};
use crate::statements::wire::{Event, Wire};

chapter! { "ordering", "4.6 message ordering";
    messages_come_in_the_order_in_which_they_were_published:
        v4 ["MQTT-4.6.0-5", "MQTT-4.6.0-6"], v5 ["MQTT-4.6.0-5", "MQTT-4.6.0-6"];
    messages_published_at_once_come_in_their_order:
        v4 ["MQTT-4.6.0-5", "MQTT-4.6.0-6"], v5 ["MQTT-4.6.0-5", "MQTT-4.6.0-6"];
    each_publisher_keeps_its_order: v4 ["MQTT-4.6.0-6"], v5 ["MQTT-4.6.0-5"];
    messages_that_waited_come_in_their_order: v4 ["MQTT-4.6.0-6"], v5 ["MQTT-4.6.0-5"];
    messages_that_waited_come_before_those_that_come_live: v4 ["MQTT-4.6.0-6"], v5 ["MQTT-4.6.0-5"];
    messages_are_sent_again_in_their_order: v4 ["MQTT-4.6.0-6"], v5 ["MQTT-4.6.0-5"];
    releases_come_in_the_order_of_what_they_answer: v4 ["MQTT-4.6.0-6"];
    a_narrow_window_keeps_the_order: v5 ["MQTT-4.6.0-5"];
}

const COUNT: usize = 20;
const QOS: [QoS; 3] = [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce];

/// The QoS that this broker takes.
fn offered(s: &Scene) -> impl Iterator<Item = QoS> {
    let maximum = s.offers.maximum_qos;
    QOS.into_iter().filter(move |qos| *qos <= maximum)
}

/// This case's topic for that QoS.
fn topic(s: &Scene, qos: QoS) -> String {
    s.topic(&format!("q{}", qos as u8))
}

/// The numbers from `from` up to `until` come, in their order.
async fn expect_numbers(wire: &mut Wire, topic: &str, from: usize, until: usize) -> Outcome {
    for n in from..until {
        wire.expect_message(topic, &n.to_string()).await?;
    }
    Ok(())
}

async fn publish_numbers(wire: &mut Wire, topic: &str, qos: QoS, from: usize, until: usize) -> Outcome {
    for n in from..until {
        wire.publish(topic, &n.to_string(), qos).await?;
    }
    Ok(())
}

async fn messages_come_in_the_order_in_which_they_were_published(s: &Scene) -> Outcome {
    for qos in offered(s) {
        let topic = topic(s, qos);
        let mut subscriber = s.connected("a").await?;
        subscriber.subscribe(&topic, qos).await?;
        publish_numbers(&mut s.connected("p").await?, &topic, qos, 0, COUNT).await?;
        expect_numbers(&mut subscriber, &topic, 0, COUNT).await?;
        subscriber.expect_silence().await?;
    }
    Ok(())
}

/// No acknowledgement is waited for before the next message goes out. A broker may hand on a QoS 2 message at its PUBREL.
async fn messages_published_at_once_come_in_their_order(s: &Scene) -> Outcome {
    let count = COUNT.min(s.offers.receive_maximum.into());
    for qos in offered(s) {
        let topic = topic(s, qos);
        let mut subscriber = s.connected("a").await?;
        subscriber.subscribe(&topic, qos).await?;
        let mut publisher = s.connected("p").await?;
        let messages: Vec<_> = (0..count).map(|n| publisher.message(&topic, &n.to_string(), qos)).collect();
        let ids: Vec<_> = messages.iter().filter_map(|message| message.delivery.packet_id()).collect();
        publisher.send_together(&messages.into_iter().map(Packet::from).collect::<Vec<_>>()).await?;
        if qos == QoS::ExactlyOnce {
            for _ in &ids {
                publisher.expect_pubrec().await?;
            }
            let releases: Vec<_> = ids.iter().map(|id| Packet::from(Pubrel::new(*id))).collect();
            publisher.send_together(&releases).await?;
        }
        expect_numbers(&mut subscriber, &topic, 0, count).await?;
        subscriber.expect_silence().await?;
    }
    Ok(())
}

async fn each_publisher_keeps_its_order(s: &Scene) -> Outcome {
    let qos = QoS::AtLeastOnce;
    let mut subscriber = s.subscriber("a", "t", qos).await?;
    let mut one = s.connected("p").await?;
    let mut other = s.connected("q").await?;
    for n in 0..COUNT {
        let (left, right) = (
            one.message(&s.topic("t"), &format!("p {n}"), qos),
            other.message(&s.topic("t"), &format!("q {n}"), qos),
        );
        one.send(left).await?;
        other.send(right).await?;
        one.expect_puback().await?;
        other.expect_puback().await?;
    }
    let mut next = [0, 0];
    for _ in 0..2 * COUNT {
        let publish = subscriber.expect_publish().await?;
        subscriber.acknowledge(&publish).await?;
        let text = String::from_utf8_lossy(&publish.payload).into_owned();
        let publisher = usize::from(text.starts_with('q'));
        let expected = format!("{} {}", ["p", "q"][publisher], next[publisher]);
        ensure!(text == expected, "expected {expected:?} of that publisher, and there came {text:?}");
        next[publisher] += 1;
    }
    subscriber.expect_silence().await
}

/// The QoS above 0: messages at QoS 0 need not wait for anybody.
fn lasting(s: &Scene) -> Result<impl Iterator<Item = QoS>, Stop> {
    s.needs(s.offers.maximum_qos > QoS::AtMostOnce, "QoS 1 messages")?;
    Ok(offered(s).filter(|qos| *qos > QoS::AtMostOnce))
}

/// A session that is subscribed and away, for which the first numbers wait.
async fn away(s: &Scene, qos: QoS) -> Outcome {
    s.connected("a").await?.disconnect().await?;
    let mut subscriber = s.connected_durable("a").await?;
    subscriber.subscribe(&topic(s, qos), qos).await?;
    subscriber.disconnect().await?;
    publish_numbers(&mut s.connected("p").await?, &topic(s, qos), qos, 0, COUNT).await
}

async fn messages_that_waited_come_in_their_order(s: &Scene) -> Outcome {
    for qos in lasting(s)? {
        away(s, qos).await?;
        let mut subscriber = s.connected_durable("a").await?;
        expect_numbers(&mut subscriber, &topic(s, qos), 0, COUNT).await?;
        subscriber.expect_silence().await?;
    }
    Ok(())
}

async fn messages_that_waited_come_before_those_that_come_live(s: &Scene) -> Outcome {
    for qos in lasting(s)? {
        away(s, qos).await?;
        let mut subscriber = s.connected_durable("a").await?;
        publish_numbers(&mut s.connected("p").await?, &topic(s, qos), qos, COUNT, 2 * COUNT).await?;
        expect_numbers(&mut subscriber, &topic(s, qos), 0, 2 * COUNT).await?;
        subscriber.expect_silence().await?;
    }
    Ok(())
}

/// Takes messages without an acknowledgement, as many as come up to `count`.
async fn take(wire: &mut Wire, s: &Scene, count: usize) -> Result<Vec<Publish<'static>>, Stop> {
    let mut taken = vec![wire.expect_publish().await?];
    while taken.len() < count {
        match wire.next_within(s.descriptor.silence()).await? {
            Event::Packet(Packet::Publish(publish)) => taken.push(publish),
            Event::Nothing => break,
            came => return Err(wire.unexpected("PUBLISH", &came)),
        }
    }
    Ok(taken)
}

async fn messages_are_sent_again_in_their_order(s: &Scene) -> Outcome {
    for qos in lasting(s)? {
        away(s, qos).await?;
        let mut subscriber = s.connected_durable("a").await?;
        let first = take(&mut subscriber, s, 10).await?;
        subscriber.vanish();
        let mut subscriber = s.connected_durable("a").await?;
        for sent in &first {
            let again = subscriber.expect_publish().await?;
            ensure!(
                again.payload == sent.payload && again.delivery == sent.delivery,
                "{:?} was sent before, and {:?} is sent again in its place",
                sent,
                again
            );
            subscriber.acknowledge(&again).await?;
        }
        expect_numbers(&mut subscriber, &topic(s, qos), first.len(), COUNT).await?;
        subscriber.expect_silence().await?;
    }
    Ok(())
}

/// 3.1.1 holds a server that delivers to the rules for clients, too.
async fn releases_come_in_the_order_of_what_they_answer(s: &Scene) -> Outcome {
    s.needs(s.offers.maximum_qos == QoS::ExactlyOnce, "QoS 2 messages")?;
    away(s, QoS::ExactlyOnce).await?;
    let mut subscriber = s.connected_durable("a").await?;
    let sent = take(&mut subscriber, s, 10).await?;
    for publish in &sent {
        let Delivery::ExactlyOnce(id) = publish.delivery else {
            return Err(Stop::failed(format!("a QoS 2 message came as {publish:?}")));
        };
        subscriber.send(Pubrec::new(id)).await?;
    }
    for publish in &sent {
        // Messages for which there is room again may come between.
        let pubrel = loop {
            match subscriber.next().await? {
                Event::Packet(Packet::Pubrel(pubrel)) => break pubrel,
                Event::Packet(Packet::Publish(_)) => {}
                came => return Err(subscriber.unexpected("PUBREL", &came)),
            }
        };
        ensure!(
            publish.delivery.packet_id() == Some(pubrel.packet_id),
            "expected PUBREL for {:?}, and there came {pubrel:?}",
            publish.delivery
        );
    }
    for id in sent.iter().filter_map(|publish| publish.delivery.packet_id()) {
        subscriber.send(Pubcomp::new(id)).await?;
    }
    Ok(())
}

async fn a_narrow_window_keeps_the_order(s: &Scene) -> Outcome {
    let narrow = |mut connect: Connect<'static>| {
        connect.properties.push(Property::ReceiveMaximum(2));
        connect
    };
    for qos in lasting(s)? {
        away(s, qos).await?;
        let (mut subscriber, _) = s.join(narrow(s.connect_durable("a"))).await?;
        publish_numbers(&mut s.connected("p").await?, &topic(s, qos), qos, COUNT, 2 * COUNT).await?;
        expect_numbers(&mut subscriber, &topic(s, qos), 0, 2 * COUNT).await?;
        subscriber.expect_silence().await?;
    }
    Ok(())
}
