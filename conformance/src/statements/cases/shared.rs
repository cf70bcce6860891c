//! 4.8.2 shared subscriptions (5.0 only): how their filters look, and what one member may and may not take over from
//! another. Which member gets a message is the broker's choice.

use opifex_packet::raw::RawPacket;
use opifex_packet::{Packet, Puback, Pubcomp, Publish, Pubrec, QoS, ReasonCode};

use crate::statements::Scene;
use crate::statements::case::{Outcome, chapter};
use crate::statements::stop::{Stop, ensure};
use crate::statements::wire::{Event, Wire};

chapter! { "shared", "4.8 shared subscriptions";
    a_share_without_a_name_is_refused: v5 ["MQTT-4.8.2-1"];
    a_share_name_with_a_wildcard_is_refused: v5 ["MQTT-4.8.2-2"];
    a_share_without_a_filter_is_refused: v5 ["MQTT-4.8.2-2"];
    each_member_gets_messages_at_the_qos_that_it_was_granted: v5 ["MQTT-4.8.2-3"];
    one_member_gets_each_message_at_its_own_qos: v5 ["MQTT-4.8.2-3"];
    a_qos_2_message_is_finished_with_the_member_that_it_began_with: v5 ["MQTT-4.8.2-4"];
    a_qos_2_release_is_finished_with_the_member_that_it_began_with: v5 ["MQTT-4.8.2-4"];
    a_qos_2_message_of_a_session_that_ended_goes_to_nobody_else: v5 ["MQTT-4.8.2-5"];
    a_qos_1_message_that_a_member_refuses_goes_to_nobody_else: v5 ["MQTT-4.8.2-6"];
    a_qos_2_message_that_a_member_refuses_goes_to_nobody_else: v5 ["MQTT-4.8.2-6"];
    retained_messages_are_not_sent_for_a_share: v5 ["U5-37"];
    a_qos_1_message_that_a_member_left_arrives_after_all: v5 ["U5-38"];
}

/// A filter that is refused: by a code in SUBACK, or with the connection.
async fn refused(s: &Scene, filter: &str) -> Outcome {
    s.needs(s.offers.shared, "shared subscriptions")?;
    let mut wire = s.connected("a").await?;
    let id = wire.packet_id();
    let packet = RawPacket::new(0x82).u16(id.get()).properties(b"").string(filter).u8(0);
    wire.send_raw(&packet).await?;
    match wire.next().await? {
        Event::End => Ok(()),
        Event::Packet(Packet::Suback(suback)) if suback.packet_id == id => {
            ensure!(
                matches!(suback.reasons[..], [reason] if reason.is_error()),
                "{filter:?} is granted: {:?}",
                suback.reasons
            );
            Ok(())
        }
        Event::Packet(Packet::Disconnect(disconnect)) => {
            let codes =
                [ReasonCode::MalformedPacket, ReasonCode::ProtocolError, ReasonCode::TopicFilterInvalid];
            ensure!(codes.contains(&disconnect.reason), "{filter:?} is refused by {:?}", disconnect.reason);
            wire.expect_closed().await
        }
        came => Err(wire.unexpected(&format!("{filter:?} to be refused"), &came)),
    }
}

async fn a_share_without_a_name_is_refused(s: &Scene) -> Outcome {
    refused(s, &format!("$share//{}", s.topic("t"))).await
}

async fn a_share_name_with_a_wildcard_is_refused(s: &Scene) -> Outcome {
    for name in ["+", "#", "g+", "#g"] {
        refused(s, &format!("$share/{name}/{}", s.topic("t"))).await?;
    }
    Ok(())
}

async fn a_share_without_a_filter_is_refused(s: &Scene) -> Outcome {
    refused(s, "$share/g").await?;
    refused(s, "$share/g/").await
}

/// This case's topic, shared.
fn share(s: &Scene, group: &str) -> String {
    format!("$share/{group}/{}", s.topic("t"))
}

/// Takes what comes to any of them until there are so many; what each got, acknowledged.
async fn gather(
    s: &Scene,
    members: &mut [&mut Wire],
    count: usize,
) -> Result<Vec<Vec<Publish<'static>>>, Stop> {
    let mut taken: Vec<Vec<Publish<'static>>> = vec![Vec::new(); members.len()];
    let mut left = count;
    // As many looks at each as fit in the time that an answer may take.
    let looks = s.descriptor.patience_ms / s.descriptor.silence_ms.max(1) + 1;
    for _ in 0..looks {
        for (member, taken) in members.iter_mut().zip(&mut taken) {
            while left > 0 {
                match member.next_within(s.descriptor.silence()).await? {
                    Event::Packet(Packet::Publish(publish)) => {
                        member.acknowledge(&publish).await?;
                        taken.push(publish);
                        left -= 1;
                    }
                    Event::Nothing => break,
                    came => return Err(member.unexpected("PUBLISH", &came)),
                }
            }
        }
    }
    ensure!(left == 0, "of {count} messages to the share, {left} came to no member");
    Ok(taken)
}

async fn each_member_gets_messages_at_the_qos_that_it_was_granted(s: &Scene) -> Outcome {
    let mut wires = Vec::new();
    for (group, qos) in [("g0", QoS::AtMostOnce), ("g1", QoS::AtLeastOnce), ("g2", QoS::ExactlyOnce)] {
        let mut wire = s.connected(group).await?;
        wire.subscribe(&share(s, group), qos).await?;
        wires.push((wire, qos));
    }
    let mut publisher = s.connected("p").await?;
    for published in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
        publisher.publish(&s.topic("t"), "x", published).await?;
        for (wire, granted) in &mut wires {
            wire.expect_message_at(&s.topic("t"), "x", published.min(*granted)).await?;
        }
    }
    Ok(())
}

async fn one_member_gets_each_message_at_its_own_qos(s: &Scene) -> Outcome {
    const COUNT: usize = 12;
    let mut one = s.connected("a").await?;
    one.subscribe(&share(s, "g"), QoS::AtMostOnce).await?;
    let mut other = s.connected("b").await?;
    other.subscribe(&share(s, "g"), QoS::AtLeastOnce).await?;
    let mut publisher = s.connected("p").await?;
    for n in 0..COUNT {
        publisher.publish(&s.topic("t"), &n.to_string(), QoS::AtLeastOnce).await?;
    }
    let taken = gather(s, &mut [&mut one, &mut other], COUNT).await?;
    one.expect_silence().await?;
    other.expect_silence().await?;
    for (taken, granted) in taken.iter().zip([QoS::AtMostOnce, QoS::AtLeastOnce]) {
        for publish in taken {
            ensure!(publish.qos() == granted, "granted {granted:?}, and there came {:?}", publish.qos());
        }
    }
    let mut payloads: Vec<_> = taken.iter().flatten().map(|publish| publish.payload.to_vec()).collect();
    payloads.sort();
    payloads.dedup();
    ensure!(payloads.len() == COUNT, "a message came to both members, and another to none");
    Ok(())
}

/// A member with a durable session that has a QoS 2 message, and one that came when it had gone out.
async fn begun(s: &Scene) -> Result<(Wire, Publish<'static>, Wire), Stop> {
    let mut holder = s.connected_durable("a").await?;
    holder.subscribe(&share(s, "g"), QoS::ExactlyOnce).await?;
    s.connected("p").await?.publish(&s.topic("t"), "begun", QoS::ExactlyOnce).await?;
    let publish = holder.expect_unacknowledged(&s.topic("t"), "begun").await?;
    let mut other = s.connected("b").await?;
    other.subscribe(&share(s, "g"), QoS::ExactlyOnce).await?;
    Ok((holder, publish, other))
}

async fn a_qos_2_message_is_finished_with_the_member_that_it_began_with(s: &Scene) -> Outcome {
    let (holder, begun, mut other) = begun(s).await?;
    holder.vanish();
    other.expect_silence().await?;
    let mut holder = s.connected_durable("a").await?;
    let again = holder.expect_unacknowledged(&s.topic("t"), "begun").await?;
    ensure!(again.delivery == begun.delivery, "it is sent again as {:?}", again.delivery);
    holder.acknowledge(&again).await?;
    holder.expect_silence().await?;
    other.expect_silence().await
}

async fn a_qos_2_release_is_finished_with_the_member_that_it_began_with(s: &Scene) -> Outcome {
    let (mut holder, begun, mut other) = begun(s).await?;
    let Some(id) = begun.delivery.packet_id() else {
        return Err(Stop::failed("a QoS 2 message came with QoS 0"));
    };
    holder.send(Pubrec::new(id)).await?;
    holder.expect_pubrel().await?;
    holder.vanish();
    other.expect_silence().await?;
    let mut holder = s.connected_durable("a").await?;
    let pubrel = holder.expect_pubrel().await?;
    ensure!(pubrel.packet_id == id, "PUBREL comes again for another message");
    holder.send(Pubcomp::new(id)).await?;
    holder.expect_silence().await?;
    other.expect_silence().await
}

async fn a_qos_2_message_of_a_session_that_ended_goes_to_nobody_else(s: &Scene) -> Outcome {
    let (holder, _, mut other) = begun(s).await?;
    holder.vanish();
    let holder = s.connected("a").await?;
    // The session has ended; what would be handed on is handed on before this.
    s.connected("p").await?.publish(&s.topic("t"), "after", QoS::ExactlyOnce).await?;
    other.expect_message(&s.topic("t"), "after").await?;
    holder.disconnect().await?;
    other.expect_silence().await
}

async fn a_qos_1_message_that_a_member_refuses_goes_to_nobody_else(s: &Scene) -> Outcome {
    refused_by_a_member(s, QoS::AtLeastOnce).await
}

async fn a_qos_2_message_that_a_member_refuses_goes_to_nobody_else(s: &Scene) -> Outcome {
    refused_by_a_member(s, QoS::ExactlyOnce).await
}

async fn refused_by_a_member(s: &Scene, qos: QoS) -> Outcome {
    let mut member = s.connected_durable("a").await?;
    member.subscribe(&share(s, "g"), qos).await?;
    s.connected("p").await?.publish(&s.topic("t"), "refused", qos).await?;
    let publish = member.expect_unacknowledged(&s.topic("t"), "refused").await?;
    let mut other = s.connected("b").await?;
    other.subscribe(&share(s, "g"), qos).await?;
    let Some(id) = publish.delivery.packet_id() else {
        return Err(Stop::failed(format!("a message at {qos:?} came with QoS 0")));
    };
    let reason = ReasonCode::ImplementationSpecificError;
    match qos {
        QoS::AtLeastOnce => member.send(Puback::new(id).with_reason(reason)).await?,
        _ => member.send(Pubrec::new(id).with_reason(reason)).await?,
    }
    other.expect_silence().await?;
    member.expect_silence().await?;
    member.vanish();
    // Neither is there anything left when the sessions come and go.
    let mut member = s.connected_durable("a").await?;
    member.expect_silence().await?;
    member.disconnect().await?;
    s.connected("a").await?.disconnect().await?;
    s.connected("p").await?.publish(&s.topic("t"), "after", qos).await?;
    other.expect_message(&s.topic("t"), "after").await?;
    other.expect_silence().await
}

async fn retained_messages_are_not_sent_for_a_share(s: &Scene) -> Outcome {
    let mut publisher = s.connected("p").await?;
    publisher.publish_retained(&s.topic("t"), "retained", QoS::AtLeastOnce).await?;
    let mut member = s.connected("a").await?;
    member.subscribe(&share(s, "g"), QoS::AtLeastOnce).await?;
    publisher.publish(&s.topic("t"), "live", QoS::AtLeastOnce).await?;
    member.expect_message(&s.topic("t"), "live").await?;
    member.expect_silence().await
}

/// Who gets it is the broker's choice, and when, too; that somebody does, QoS 1 says.
async fn a_qos_1_message_that_a_member_left_arrives_after_all(s: &Scene) -> Outcome {
    let mut member = s.connected_durable("a").await?;
    member.subscribe(&share(s, "g"), QoS::AtLeastOnce).await?;
    s.connected("p").await?.publish(&s.topic("t"), "left", QoS::AtLeastOnce).await?;
    member.expect_unacknowledged(&s.topic("t"), "left").await?;
    let mut other = s.connected("b").await?;
    other.subscribe(&share(s, "g"), QoS::AtLeastOnce).await?;
    member.vanish();
    let mut member = s.connected_durable("a").await?;
    let taken = gather(s, &mut [&mut member, &mut other], 1).await?;
    let left = taken.iter().flatten().all(|publish| *publish.payload == *b"left");
    ensure!(left, "another message came than the one that was left");
    Ok(())
}
