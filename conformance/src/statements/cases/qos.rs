//! 4.3 and 4.4: the handshakes of QoS 1 and 2 on both sides, and what is sent again. 2.2.1: packet ids.

use opifex_packet::{Packet, PacketId, Puback, Pubcomp, Pubrec, Pubrel, QoS, ReasonCode};

use crate::statements::case::{Outcome, chapter};
use crate::statements::stop::{Stop, ensure};
use crate::statements::{Event, Scene, Wire};

chapter! { "qos", "4.3 QoS, 4.4 delivery retry";
    a_qos_1_message_waits_for_puback:
        v4 ["MQTT-4.3.2-1"], v5 ["MQTT-4.3.2-2", "MQTT-4.3.2-3"];
    a_qos_1_message_is_answered_with_its_id:
        v4 ["MQTT-4.3.2-2", "MQTT-2.3.1-6"], v5 ["MQTT-4.3.2-4", "MQTT-2.2.1-5", "MQTT-3.4.2-1"];
    after_puback_the_same_id_is_a_new_message: v4 ["MQTT-4.3.2-2"], v5 ["MQTT-4.3.2-5"];
    a_qos_2_message_waits_for_pubrec: v4 ["MQTT-4.3.3-1"], v5 ["MQTT-4.3.3-2", "MQTT-4.3.3-3"];
    pubrec_is_answered_by_pubrel: v4 ["MQTT-4.3.3-1"], v5 ["MQTT-4.3.3-4", "MQTT-3.6.2-1"];
    pubrel_waits_for_pubcomp_and_publish_does_not_come_again:
        v4 ["MQTT-4.3.3-1", "MQTT-4.4.0-1"], v5 ["MQTT-4.3.3-5", "MQTT-4.3.3-6", "MQTT-4.4.0-1"];
    a_qos_2_message_is_answered_with_its_id:
        v4 ["MQTT-4.3.3-2", "MQTT-2.3.1-6"],
        v5 ["MQTT-4.3.3-8", "MQTT-4.3.3-11", "MQTT-2.2.1-5", "MQTT-3.5.2-1", "MQTT-3.7.2-1"];
    a_qos_2_message_is_not_delivered_twice: v4 ["MQTT-4.3.3-2"], v5 ["MQTT-4.3.3-10"];
    after_pubcomp_the_same_id_is_a_new_message: v4 ["MQTT-4.3.3-2"], v5 ["MQTT-4.3.3-12"];
    a_handshake_goes_on_after_a_reconnect: v4 ["MQTT-4.3.3-2", "MQTT-4.4.0-1"], v5 ["MQTT-4.3.3-10", "MQTT-4.4.0-1"];
    what_is_unacknowledged_is_sent_again_with_its_id: v4 ["MQTT-4.4.0-1"], v5 ["MQTT-4.4.0-1"];
    nothing_is_sent_again_on_an_open_connection: v5 ["MQTT-4.4.0-1"];
    what_was_refused_is_not_sent_again: v5 ["MQTT-4.4.0-2"];
    a_refused_qos_2_message_leaves_its_id_free: v5 ["MQTT-4.3.3-9"];
    a_begun_qos_2_delivery_does_not_expire: v5 ["MQTT-4.3.3-7"];
    a_qos_2_message_that_expired_is_acknowledged_to_its_end: v5 ["MQTT-4.3.3-13"];
    packet_ids_in_use_differ:
        v4 ["MQTT-2.3.1-4", "MQTT-4.3.2-1", "MQTT-4.3.3-1"], v5 ["MQTT-2.2.1-4", "MQTT-4.3.2-1", "MQTT-4.3.3-1"];
    acknowledgements_without_code_are_a_success: v5 ["U5-26"];
    an_unknown_packet_id_closes_nothing: v5 ["U5-28", "MQTT-3.6.2-1", "MQTT-3.7.2-1"];
}

/// What not every server does.
const SEVERAL: &str = "a server that sends a message before the last is acknowledged";

async fn a_qos_1_message_waits_for_puback(s: &Scene) -> Outcome {
    let mut wire = s.connected_durable("a").await?;
    wire.subscribe(&s.topic("t"), QoS::AtLeastOnce).await?;
    let mut publisher = s.connected("p").await?;
    publisher.publish(&s.topic("t"), "x", QoS::AtLeastOnce).await?;
    let first = wire.expect_unacknowledged(&s.topic("t"), "x").await?;
    ensure!(first.qos() == QoS::AtLeastOnce && !first.dup, "expected QoS 1 and DUP 0, got {first:?}");
    wire.vanish();
    // It is unacknowledged, and so it is there.
    let mut wire = s.connected_durable("a").await?;
    wire.expect_message(&s.topic("t"), "x").await?;
    wire.expect_silence().await?;
    wire.disconnect().await?;
    // Now it is not.
    s.connected_durable("a").await?.expect_silence().await
}

async fn a_qos_1_message_is_answered_with_its_id(s: &Scene) -> Outcome {
    let mut wire = s.subscriber("a", "t", QoS::AtLeastOnce).await?;
    let mut publisher = s.connected("p").await?;
    for id in [1, 77, 65_535] {
        let mut publish = publisher.message(&s.topic("t"), "x", QoS::AtLeastOnce);
        publish.delivery = opifex_packet::Delivery::new(QoS::AtLeastOnce, packet_id(id));
        publisher.publish_packet(publish).await?;
        wire.expect_message(&s.topic("t"), "x").await?;
    }
    Ok(())
}

fn packet_id(id: u16) -> PacketId {
    PacketId::new(id).expect("cases use ids above 0")
}

async fn after_puback_the_same_id_is_a_new_message(s: &Scene) -> Outcome {
    let mut wire = s.subscriber("a", "t", QoS::AtLeastOnce).await?;
    let mut publisher = s.connected("p").await?;
    let mut publish = publisher.message(&s.topic("t"), "first", QoS::AtLeastOnce);
    publisher.publish_packet(publish.clone()).await?;
    publish.dup = true;
    publish.payload = b"second".as_slice().into();
    publisher.publish_packet(publish).await?;
    wire.expect_message(&s.topic("t"), "first").await?;
    wire.expect_message(&s.topic("t"), "second").await?;
    Ok(())
}

async fn a_qos_2_message_waits_for_pubrec(s: &Scene) -> Outcome {
    let mut wire = s.connected_durable("a").await?;
    wire.subscribe(&s.topic("t"), QoS::ExactlyOnce).await?;
    let mut publisher = s.connected("p").await?;
    publisher.publish(&s.topic("t"), "x", QoS::ExactlyOnce).await?;
    let first = wire.expect_unacknowledged(&s.topic("t"), "x").await?;
    ensure!(first.qos() == QoS::ExactlyOnce && !first.dup, "expected QoS 2 and DUP 0, got {first:?}");
    wire.vanish();
    let mut wire = s.connected_durable("a").await?;
    let again = wire.expect_message(&s.topic("t"), "x").await?;
    ensure!(again.delivery == first.delivery, "it comes again with another packet id or QoS: {again:?}");
    wire.expect_silence().await
}

async fn pubrec_is_answered_by_pubrel(s: &Scene) -> Outcome {
    let mut wire = s.subscriber("a", "t", QoS::ExactlyOnce).await?;
    let mut publisher = s.connected("p").await?;
    publisher.publish(&s.topic("t"), "x", QoS::ExactlyOnce).await?;
    let publish = wire.expect_unacknowledged(&s.topic("t"), "x").await?;
    let id = publish.delivery.packet_id().ok_or_else(|| wire.unexpected("QoS 2", &Event::Nothing))?;
    wire.send(Pubrec::new(id)).await?;
    let pubrel = wire.expect_pubrel().await?;
    ensure!(pubrel.packet_id == id && !pubrel.reason.is_error(), "PUBREC {id:?} is answered by {pubrel:?}");
    wire.send(Pubcomp::new(id)).await?;
    wire.expect_silence().await
}

async fn pubrel_waits_for_pubcomp_and_publish_does_not_come_again(s: &Scene) -> Outcome {
    let mut wire = s.connected_durable("a").await?;
    wire.subscribe(&s.topic("t"), QoS::ExactlyOnce).await?;
    let mut publisher = s.connected("p").await?;
    publisher.publish(&s.topic("t"), "x", QoS::ExactlyOnce).await?;
    let publish = wire.expect_unacknowledged(&s.topic("t"), "x").await?;
    let id = publish.delivery.packet_id().ok_or_else(|| wire.unexpected("QoS 2", &Event::Nothing))?;
    wire.send(Pubrec::new(id)).await?;
    wire.expect_pubrel().await?;
    wire.vanish();
    let mut wire = s.connected_durable("a").await?;
    let pubrel = wire.expect_pubrel().await?;
    ensure!(pubrel.packet_id == id, "PUBREL comes again with another packet id");
    wire.send(Pubcomp::new(id)).await?;
    wire.expect_silence().await?;
    wire.disconnect().await?;
    s.connected_durable("a").await?.expect_silence().await
}

async fn a_qos_2_message_is_answered_with_its_id(s: &Scene) -> Outcome {
    let mut wire = s.subscriber("a", "t", QoS::ExactlyOnce).await?;
    let mut publisher = s.connected("p").await?;
    for id in [1, 77, 65_535] {
        let mut publish = publisher.message(&s.topic("t"), "x", QoS::ExactlyOnce);
        publish.delivery = opifex_packet::Delivery::new(QoS::ExactlyOnce, packet_id(id));
        publisher.publish_packet(publish).await?;
        wire.expect_message(&s.topic("t"), "x").await?;
    }
    Ok(())
}

async fn a_qos_2_message_is_not_delivered_twice(s: &Scene) -> Outcome {
    let mut wire = s.subscriber("a", "t", QoS::ExactlyOnce).await?;
    let mut publisher = s.connected_durable("p").await?;
    let mut publish = publisher.message(&s.topic("t"), "once", QoS::ExactlyOnce);
    let Some(id) = publish.delivery.packet_id() else { return Ok(()) };
    for dup in [false, true, true] {
        if dup {
            // 5.0 allows a repeat on a new connection alone (MQTT-4.4.0-1).
            publisher.vanish();
            publisher = s.connected_durable("p").await?;
        }
        publish.dup = dup;
        publisher.send(publish.clone()).await?;
        let pubrec = publisher.expect_pubrec().await?;
        ensure!(pubrec.packet_id == id, "a repeat is answered with another id: {pubrec:?}");
    }
    publisher.send(Pubrel::new(id)).await?;
    publisher.expect_pubcomp().await?;
    publisher.publish(&s.topic("t"), "next", QoS::ExactlyOnce).await?;
    wire.expect_message(&s.topic("t"), "once").await?;
    wire.expect_message(&s.topic("t"), "next").await?;
    Ok(())
}

async fn after_pubcomp_the_same_id_is_a_new_message(s: &Scene) -> Outcome {
    let mut wire = s.subscriber("a", "t", QoS::ExactlyOnce).await?;
    let mut publisher = s.connected("p").await?;
    let mut publish = publisher.message(&s.topic("t"), "first", QoS::ExactlyOnce);
    publisher.publish_packet(publish.clone()).await?;
    publish.payload = b"second".as_slice().into();
    publish.dup = true;
    publisher.publish_packet(publish).await?;
    wire.expect_message(&s.topic("t"), "first").await?;
    wire.expect_message(&s.topic("t"), "second").await?;
    Ok(())
}

async fn a_handshake_goes_on_after_a_reconnect(s: &Scene) -> Outcome {
    let mut wire = s.subscriber("a", "t", QoS::ExactlyOnce).await?;
    let mut publisher = s.connected_durable("p").await?;
    let mut publish = publisher.message(&s.topic("t"), "once", QoS::ExactlyOnce);
    publisher.send(publish.clone()).await?;
    publisher.expect_pubrec().await?;
    publisher.vanish();
    let mut publisher = s.connected_durable("p").await?;
    publish.dup = true;
    publisher.publish_packet(publish).await?;
    let next = publisher.message(&s.topic("t"), "next", QoS::AtLeastOnce);
    publisher.publish_packet(next).await?;
    wire.expect_message(&s.topic("t"), "once").await?;
    wire.expect_message(&s.topic("t"), "next").await?;
    Ok(())
}

async fn what_is_unacknowledged_is_sent_again_with_its_id(s: &Scene) -> Outcome {
    let mut wire = s.connected_durable("a").await?;
    wire.subscribe(&s.topic("t"), QoS::ExactlyOnce).await?;
    let mut publisher = s.connected("p").await?;
    let mut sent = Vec::new();
    for (payload, qos) in [("1", QoS::AtLeastOnce), ("2", QoS::ExactlyOnce), ("3", QoS::AtLeastOnce)] {
        publisher.publish(&s.topic("t"), payload, qos).await?;
        match wire.next().await? {
            Event::Packet(Packet::Publish(publish)) => sent.push((payload, publish.delivery)),
            // A server need not have several under way.
            Event::Nothing if !sent.is_empty() => return Err(Stop::needs(SEVERAL)),
            came => return Err(wire.unexpected("PUBLISH", &came)),
        }
    }
    wire.vanish();
    let mut wire = s.connected_durable("a").await?;
    // There is an order for each QoS, and none between them.
    for _ in &sent {
        let again = wire.expect_publish().await?;
        wire.acknowledge(&again).await?;
        let before = sent.iter().find(|(payload, _)| *again.payload == *payload.as_bytes());
        ensure!(
            before.is_some_and(|(_, delivery)| again.delivery == *delivery),
            "these were sent: {sent:?}, and this is sent again: {again:?}"
        );
        ensure!(again.dup, "it is sent again without DUP: {again:?}");
    }
    wire.expect_silence().await
}

async fn nothing_is_sent_again_on_an_open_connection(s: &Scene) -> Outcome {
    let mut wire = s.subscriber("a", "t", QoS::AtLeastOnce).await?;
    let mut publisher = s.connected("p").await?;
    publisher.publish(&s.topic("t"), "x", QoS::AtLeastOnce).await?;
    wire.expect_unacknowledged(&s.topic("t"), "x").await?;
    wire.expect_nothing(std::time::Duration::from_secs(25)).await?;
    wire.expect_alive().await
}

async fn what_was_refused_is_not_sent_again(s: &Scene) -> Outcome {
    let mut wire = s.connected_durable("a").await?;
    wire.subscribe(&s.topic("t"), QoS::ExactlyOnce).await?;
    let mut publisher = s.connected("p").await?;
    for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
        publisher.publish(&s.topic("t"), "x", qos).await?;
        let publish = wire.expect_unacknowledged(&s.topic("t"), "x").await?;
        let id =
            publish.delivery.packet_id().ok_or_else(|| wire.unexpected("a packet id", &Event::Nothing))?;
        if qos == QoS::AtLeastOnce {
            let mut puback = Puback::new(id);
            puback.reason = ReasonCode::ImplementationSpecificError;
            wire.send(puback).await?;
        } else {
            let mut pubrec = Pubrec::new(id);
            pubrec.reason = ReasonCode::ImplementationSpecificError;
            wire.send(pubrec).await?;
        }
    }
    // No PUBREL, and nothing after a reconnect.
    wire.expect_silence().await?;
    wire.vanish();
    s.connected_durable("a").await?.expect_silence().await
}

async fn a_refused_qos_2_message_leaves_its_id_free(s: &Scene) -> Outcome {
    let forbidden = s.descriptor.forbidden_topic.clone();
    s.needs(forbidden.is_some(), "a topic that may not be published to (forbidden_topic)")?;
    let mut wire = s.subscriber("a", "t", QoS::ExactlyOnce).await?;
    let mut publisher = s.connected("p").await?;
    let publish = publisher.message(&forbidden.unwrap_or_default(), "x", QoS::ExactlyOnce);
    let delivery = publish.delivery;
    publisher.send(publish).await?;
    match publisher.next().await? {
        Event::Packet(Packet::Pubrec(pubrec)) if pubrec.reason.is_error() => {}
        // Where the connection closes instead, there is no id to use again.
        Event::Packet(Packet::Disconnect(_)) | Event::End => return s.needs(false, "a PUBREC that refuses"),
        came => return Err(publisher.unexpected("PUBREC that refuses", &came)),
    }
    let mut again = publisher.message(&s.topic("t"), "new", QoS::ExactlyOnce);
    again.delivery = delivery;
    publisher.publish_packet(again).await?;
    wire.expect_message(&s.topic("t"), "new").await?;
    Ok(())
}

/// A QoS 2 message that expires in a second.
fn expiring(publisher: &mut Wire, topic: &str) -> opifex_packet::Publish<'static> {
    let mut publish = publisher.message(topic, "x", QoS::ExactlyOnce);
    publish.properties.push(opifex_packet::Property::MessageExpiryInterval(1));
    publish
}

async fn a_begun_qos_2_delivery_does_not_expire(s: &Scene) -> Outcome {
    let mut wire = s.connected_durable("a").await?;
    wire.subscribe(&s.topic("t"), QoS::ExactlyOnce).await?;
    let mut publisher = s.connected("p").await?;
    let publish = expiring(&mut publisher, &s.topic("t"));
    publisher.publish_packet(publish).await?;
    wire.expect_unacknowledged(&s.topic("t"), "x").await?;
    wire.vanish();
    s.pass(std::time::Duration::from_millis(2_500)).await;
    let mut wire = s.connected_durable("a").await?;
    wire.expect_message(&s.topic("t"), "x").await?;
    Ok(())
}

async fn a_qos_2_message_that_expired_is_acknowledged_to_its_end(s: &Scene) -> Outcome {
    // It waits for somebody who is not there, and expires.
    let mut wire = s.connected_durable("a").await?;
    wire.subscribe(&s.topic("t"), QoS::ExactlyOnce).await?;
    wire.disconnect().await?;
    let mut publisher = s.connected("p").await?;
    let publish = expiring(&mut publisher, &s.topic("t"));
    let Some(id) = publish.delivery.packet_id() else { return Err(Stop::needs("QoS 2 messages")) };
    publisher.send(publish).await?;
    publisher.expect_pubrec().await?;
    s.pass(std::time::Duration::from_millis(2_500)).await;
    s.connected_durable("a").await?.expect_silence().await?;
    publisher.send(Pubrel::new(id)).await?;
    let pubcomp = publisher.expect_pubcomp().await?;
    ensure!(
        pubcomp.packet_id == id && pubcomp.reason == ReasonCode::Success,
        "expected PUBCOMP, got {pubcomp:?}"
    );
    Ok(())
}

async fn packet_ids_in_use_differ(s: &Scene) -> Outcome {
    let mut wire = s.subscriber("a", "t", QoS::ExactlyOnce).await?;
    let mut publisher = s.connected("p").await?;
    let mut ids = std::collections::BTreeSet::new();
    for number in 0..10 {
        let qos = if number % 2 == 0 { QoS::AtLeastOnce } else { QoS::ExactlyOnce };
        publisher.publish(&s.topic("t"), "x", qos).await?;
        let id = match wire.next().await? {
            Event::Packet(Packet::Publish(publish)) => publish.delivery.packet_id(),
            Event::Nothing if ids.len() == 1 => return Err(Stop::needs(SEVERAL)),
            Event::Nothing if ids.len() > 1 => break,
            came => return Err(wire.unexpected("PUBLISH", &came)),
        };
        ensure!(id.is_some_and(|id| ids.insert(id)), "{id:?} is given to two unacknowledged messages");
    }
    Ok(())
}

async fn acknowledgements_without_code_are_a_success(s: &Scene) -> Outcome {
    let mut wire = s.subscriber("a", "t", QoS::ExactlyOnce).await?;
    let mut publisher = s.connected("p").await?;
    // Two bytes; three, with the code; four, with the length of no properties.
    for form in [&[][..], &[0], &[0, 0]] {
        for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
            let publish = publisher.message(&s.topic("t"), "x", qos);
            publisher.publish_packet(publish).await?;
            let came = wire.expect_unacknowledged(&s.topic("t"), "x").await?;
            let id = came.delivery.packet_id().map_or(0, PacketId::get);
            let ack = |first_byte| opifex_packet::raw::RawPacket::new(first_byte).u16(id).bytes(form);
            if qos == QoS::AtLeastOnce {
                wire.send_raw(&ack(0x40)).await?;
            } else {
                wire.send_raw(&ack(0x50)).await?;
                wire.expect_pubrel().await?;
                wire.send_raw(&ack(0x70)).await?;
            }
        }
        wire.expect_silence().await?;
    }
    Ok(())
}

async fn an_unknown_packet_id_closes_nothing(s: &Scene) -> Outcome {
    let mut wire = s.connected("a").await?;
    // 0x92 is there to tell it, and nothing says that it must.
    let told = [ReasonCode::Success, ReasonCode::PacketIdentifierNotFound];
    wire.send(Pubrec::new(packet_id(1_234))).await?;
    let pubrel = wire.expect_pubrel().await?;
    ensure!(told.contains(&pubrel.reason) && pubrel.packet_id.get() == 1_234, "got {pubrel:?}");
    wire.send(Pubrel::new(packet_id(1_235))).await?;
    let pubcomp = wire.expect_pubcomp().await?;
    ensure!(told.contains(&pubcomp.reason) && pubcomp.packet_id.get() == 1_235, "got {pubcomp:?}");
    wire.expect_alive().await
}
