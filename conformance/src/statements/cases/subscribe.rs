//! 3.8 SUBSCRIBE and 3.9 SUBACK.

use opifex_packet::raw::RawPacket;
use opifex_packet::{Packet, QoS, ReasonCode, SubscriptionOptions};

use crate::statements::case::{Outcome, chapter};
use crate::statements::stop::{Stop, ensure};
use crate::statements::{Event, Scene};

chapter! { "subscribe", "3.8 SUBSCRIBE, 3.9 SUBACK";
    the_flags_of_subscribe_are_checked: v4 ["MQTT-3.8.1-1", "MQTT-2.2.2-2"], v5 ["MQTT-3.8.1-1", "MQTT-2.1.3-1"];
    a_filter_that_is_no_text_is_refused: v4 ["MQTT-3.8.3-1"], v5 ["MQTT-3.8.3-1"];
    a_subscribe_without_filter_is_refused: v4 ["MQTT-3.8.3-3"], v5 ["MQTT-3.8.3-2"];
    reserved_bits_of_the_options_are_refused: v4 ["MQTT-3.8.3-4"], v5 ["MQTT-3.8.3-5"];
    a_qos_of_3_is_refused: v4 ["MQTT-3.8.3-4"], v5 ["U5-30"];
    retain_handling_3_is_refused: v5 ["U5-30"];
    subscribe_is_answered_with_its_id:
        v4 ["MQTT-3.8.4-1", "MQTT-3.8.4-2", "MQTT-2.3.1-7"], v5 ["MQTT-3.8.4-1", "MQTT-3.8.4-2", "MQTT-2.2.1-6"];
    many_filters_get_one_suback_with_a_code_each:
        v4 ["MQTT-3.8.4-4", "MQTT-3.8.4-5", "MQTT-3.9.3-1", "MQTT-3.9.3-2"],
        v5 ["MQTT-3.8.4-5", "MQTT-3.8.4-6", "MQTT-3.8.4-7", "MQTT-3.9.3-1", "MQTT-3.9.3-2"];
    the_same_filter_again_replaces_the_subscription: v4 ["MQTT-3.8.4-3"], v5 ["MQTT-3.8.4-3"];
    replacing_a_subscription_loses_no_message: v4 ["MQTT-3.8.4-3"], v5 ["MQTT-3.8.4-4"];
    a_delivery_has_the_lower_qos: v4 ["MQTT-3.8.4-6"], v5 ["MQTT-3.8.4-8"];
    any_qos_may_be_asked_for: v5 ["MQTT-3.2.2-9", "MQTT-3.2.2-10"];
    a_broker_without_wildcards_refuses_them: v4 ["MQTT-3.8.3-2"], v5 ["U5-16"];
    a_broker_without_identifiers_refuses_them: v5 ["U5-17"];
    a_broker_without_shared_subscriptions_refuses_them: v5 ["U5-18"];
    no_local_keeps_a_clients_own_messages_away: v5 ["MQTT-3.8.3-3"];
    no_local_on_a_shared_subscription_is_refused: v5 ["MQTT-3.8.3-4"];
    a_subscription_identifier_stands_once_and_is_not_0: v5 ["U5-24", "U5-29"];
    replacing_a_subscription_replaces_its_identifier: v5 ["U5-31"];
    messages_and_suback_come_in_any_order: v5 ["U5-32"];
    what_may_not_be_subscribed_to_is_refused: v4 ["MQTT-3.8.4-5"], v5 ["MQTT-3.8.4-7", "MQTT-3.9.3-2"];
}

/// A raw SUBSCRIBE or UNSUBSCRIBE, up to its packet id and (5.0) property block.
pub(super) fn raw(s: &Scene, first_byte: u8) -> RawPacket {
    let packet = RawPacket::new(first_byte).u16(1);
    if s.is_v5() { packet.u8(0) } else { packet }
}

/// The packet closes the connection.
pub(super) async fn refused(s: &Scene, packet: RawPacket) -> Outcome {
    let mut wire = s.connected("a").await?;
    wire.send_raw(&packet).await?;
    wire.expect_refused(&[
        ReasonCode::MalformedPacket,
        ReasonCode::ProtocolError,
        ReasonCode::TopicFilterInvalid,
    ])
    .await
}

async fn the_flags_of_subscribe_are_checked(s: &Scene) -> Outcome {
    for first_byte in [0x80, 0x81, 0x83, 0x86, 0x8a] {
        refused(s, raw(s, first_byte).string(&s.topic("t")).u8(0)).await?;
    }
    Ok(())
}

async fn a_filter_that_is_no_text_is_refused(s: &Scene) -> Outcome {
    refused(s, raw(s, 0x82).binary(&[0x61, 0xff]).u8(0)).await
}

async fn a_subscribe_without_filter_is_refused(s: &Scene) -> Outcome {
    refused(s, raw(s, 0x82)).await
}

async fn reserved_bits_of_the_options_are_refused(s: &Scene) -> Outcome {
    let bits: &[u8] = if s.is_v5() { &[0x40, 0x80] } else { &[0x04, 0x08, 0x10, 0x20, 0x40, 0x80] };
    for bit in bits {
        refused(s, raw(s, 0x82).string(&s.topic("t")).u8(*bit)).await?;
    }
    Ok(())
}

async fn a_qos_of_3_is_refused(s: &Scene) -> Outcome {
    refused(s, raw(s, 0x82).string(&s.topic("t")).u8(3)).await
}

async fn retain_handling_3_is_refused(s: &Scene) -> Outcome {
    refused(s, raw(s, 0x82).string(&s.topic("t")).u8(0x30)).await
}

async fn subscribe_is_answered_with_its_id(s: &Scene) -> Outcome {
    let mut wire = s.connected("a").await?;
    for id in [1, 77, 65_535] {
        let mut packet = wire.subscription(&s.topic("t"), QoS::AtMostOnce.into(), None);
        packet.packet_id = opifex_packet::PacketId::new(id).expect("not 0");
        wire.send(packet).await?;
        let suback = wire.expect_suback().await?;
        ensure!(suback.packet_id.get() == id, "SUBSCRIBE {id} is answered by {suback:?}");
    }
    Ok(())
}

async fn many_filters_get_one_suback_with_a_code_each(s: &Scene) -> Outcome {
    let mut wire = s.connected("a").await?;
    let levels = [QoS::AtLeastOnce, QoS::AtMostOnce, QoS::ExactlyOnce, QoS::AtMostOnce, QoS::AtLeastOnce];
    let names: Vec<_> = (0..levels.len()).map(|number| s.topic(&format!("t{number}"))).collect();
    let filters: Vec<_> =
        names.iter().zip(levels).map(|(name, qos)| (name.as_str(), SubscriptionOptions::new(qos))).collect();
    let packet = wire.subscriptions(&filters);
    wire.send(packet).await?;
    let suback = wire.expect_suback().await?;
    let granted = levels.map(|qos| ReasonCode::from(qos.min(s.offers.maximum_qos)));
    ensure!(suback.reasons == granted, "expected the codes {granted:?}, got {:?}", suback.reasons);
    let mut publisher = s.connected("p").await?;
    for name in &names {
        publisher.publish(name, "x", QoS::AtMostOnce).await?;
        wire.expect_message(name, "x").await?;
    }
    wire.expect_silence().await
}

async fn the_same_filter_again_replaces_the_subscription(s: &Scene) -> Outcome {
    let mut wire = s.connected("a").await?;
    wire.subscribe(&s.topic("t"), QoS::AtMostOnce).await?;
    wire.subscribe(&s.topic("t"), QoS::AtLeastOnce).await?;
    let mut publisher = s.connected("p").await?;
    publisher.publish(&s.topic("t"), "x", QoS::AtLeastOnce).await?;
    wire.expect_message_at(&s.topic("t"), "x", QoS::AtLeastOnce).await?;
    wire.subscribe(&s.topic("t"), QoS::AtMostOnce).await?;
    publisher.publish(&s.topic("t"), "y", QoS::AtLeastOnce).await?;
    wire.expect_message_at(&s.topic("t"), "y", QoS::AtMostOnce).await?;
    wire.expect_silence().await
}

async fn replacing_a_subscription_loses_no_message(s: &Scene) -> Outcome {
    let mut wire = s.subscriber("a", "t", QoS::AtLeastOnce).await?;
    let mut publisher = s.connected("p").await?;
    for number in 0..20 {
        let publish = publisher.message(&s.topic("t"), &number.to_string(), QoS::AtLeastOnce);
        publisher.send(publish).await?;
        let again = wire.subscription(&s.topic("t"), QoS::AtLeastOnce.into(), None);
        wire.send(again).await?;
    }
    let mut subacks = 0;
    let mut next = 0;
    while subacks < 20 || next < 20 {
        match wire.next().await? {
            Event::Packet(Packet::Suback(_)) => subacks += 1,
            Event::Packet(Packet::Publish(publish)) => {
                let expected = next.to_string();
                ensure!(
                    *publish.payload == *expected.as_bytes(),
                    "expected message {expected}, got {publish:?}"
                );
                wire.acknowledge(&publish).await?;
                next += 1;
            }
            came => return Err(wire.unexpected("twenty messages and SUBACKs", &came)),
        }
    }
    Ok(())
}

async fn a_delivery_has_the_lower_qos(s: &Scene) -> Outcome {
    let levels = [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce];
    let mut publisher = s.connected("p").await?;
    for granted in levels {
        let mut wire = s.subscriber("a", "t", granted).await?;
        for published in levels {
            publisher.publish(&s.topic("t"), "lower", published).await?;
            wire.expect_message_at(&s.topic("t"), "lower", granted.min(published)).await?;
        }
        wire.disconnect().await?;
    }
    Ok(())
}

async fn any_qos_may_be_asked_for(s: &Scene) -> Outcome {
    s.needs(s.offers.maximum_qos < QoS::ExactlyOnce, "a broker without QoS 2")?;
    let mut wire = s.connected("a").await?;
    for qos in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
        let packet = wire.subscription(&s.topic("t"), qos.into(), None);
        wire.send(packet).await?;
        let suback = wire.expect_suback().await?;
        ensure!(!suback.reasons[0].is_error(), "a subscription at {qos:?} is refused: {suback:?}");
    }
    wire.publish(&s.topic("t"), "x", QoS::AtMostOnce).await?;
    wire.expect_message(&s.topic("t"), "x").await?;
    Ok(())
}

/// SUBACK with the code (3.1.1: 0x80) or DISCONNECT with it.
async fn not_offered(s: &Scene, packet: RawPacket, code: ReasonCode) -> Outcome {
    let mut wire = s.connected("a").await?;
    wire.send_raw(&packet).await?;
    match wire.next().await? {
        Event::End => Ok(()),
        Event::Packet(Packet::Suback(suback)) if suback.reasons.iter().all(|reason| reason.is_error()) => {
            ensure!(!s.is_v5() || suback.reasons == [code], "expected {code:?}, got {suback:?}");
            Ok(())
        }
        Event::Packet(Packet::Disconnect(disconnect)) if disconnect.reason == code => {
            wire.expect_closed().await
        }
        came => Err(wire.unexpected(&format!("a refusal with {code:?}"), &came)),
    }
}

async fn a_broker_without_wildcards_refuses_them(s: &Scene) -> Outcome {
    s.needs(!s.offers.wildcards, "a broker without wildcard subscriptions (refuses_wildcards)")?;
    let packet = raw(s, 0x82).string(&s.topic("+")).u8(0);
    not_offered(s, packet, ReasonCode::WildcardSubscriptionsNotSupported).await?;
    let packet = raw(s, 0x82).string(&s.topic("#")).u8(0);
    not_offered(s, packet, ReasonCode::WildcardSubscriptionsNotSupported).await
}

async fn a_broker_without_identifiers_refuses_them(s: &Scene) -> Outcome {
    s.needs(!s.offers.subscription_identifiers, "a broker without subscription identifiers")?;
    let packet = RawPacket::new(0x82).u16(1).properties([0x0b, 1]).string(&s.topic("t")).u8(0);
    not_offered(s, packet, ReasonCode::SubscriptionIdentifiersNotSupported).await
}

async fn a_broker_without_shared_subscriptions_refuses_them(s: &Scene) -> Outcome {
    s.needs(!s.offers.shared, "a broker without shared subscriptions")?;
    let filter = format!("$share/g/{}", s.topic("t"));
    let packet = raw(s, 0x82).string(&filter).u8(0);
    not_offered(s, packet, ReasonCode::SharedSubscriptionsNotSupported).await
}

async fn no_local_keeps_a_clients_own_messages_away(s: &Scene) -> Outcome {
    let mut wire = s.connected("a").await?;
    let options = SubscriptionOptions { no_local: true, ..SubscriptionOptions::new(QoS::AtLeastOnce) };
    wire.subscribe_with(&s.topic("t"), options, None).await?;
    wire.publish(&s.topic("t"), "mine", QoS::AtLeastOnce).await?;
    let mut other = s.connected("b").await?;
    other.publish(&s.topic("t"), "theirs", QoS::AtLeastOnce).await?;
    wire.expect_message(&s.topic("t"), "theirs").await?;
    wire.expect_silence().await
}

async fn no_local_on_a_shared_subscription_is_refused(s: &Scene) -> Outcome {
    let mut wire = s.connected("a").await?;
    let options = SubscriptionOptions { no_local: true, ..SubscriptionOptions::new(QoS::AtMostOnce) };
    let packet = wire.subscription(&format!("$share/g/{}", s.topic("t")), options, None);
    wire.send(packet).await?;
    wire.expect_refused(&[ReasonCode::ProtocolError]).await
}

async fn a_subscription_identifier_stands_once_and_is_not_0(s: &Scene) -> Outcome {
    s.needs(s.offers.subscription_identifiers, "subscription identifiers")?;
    for block in [&[0x0b, 0][..], &[0x0b, 1, 0x0b, 2]] {
        refused(s, RawPacket::new(0x82).u16(1).properties(block).string(&s.topic("t")).u8(0)).await?;
    }
    Ok(())
}

async fn replacing_a_subscription_replaces_its_identifier(s: &Scene) -> Outcome {
    let mut wire = s.connected("a").await?;
    let mut publisher = s.connected("p").await?;
    for identifier in [Some(5), Some(6), None] {
        wire.subscribe_with(&s.topic("t"), QoS::AtLeastOnce.into(), identifier).await?;
        publisher.publish(&s.topic("t"), "x", QoS::AtLeastOnce).await?;
        let publish = wire.expect_message(&s.topic("t"), "x").await?;
        let came: Vec<_> = publish.properties.subscription_identifiers().collect();
        ensure!(came == Vec::from_iter(identifier), "expected the identifier {identifier:?}, got {came:?}");
    }
    Ok(())
}

async fn messages_and_suback_come_in_any_order(s: &Scene) -> Outcome {
    let mut wire = s.connected("a").await?;
    let publish = wire.message(&s.topic("t"), "x", QoS::AtMostOnce);
    let subscribe = wire.subscription(&s.topic("t"), QoS::AtMostOnce.into(), None);
    wire.send_together(&[subscribe.into(), publish.into()]).await?;
    let mut came = (false, false);
    while came != (true, true) {
        match wire.next().await? {
            Event::Packet(Packet::Suback(_)) => came.0 = true,
            Event::Packet(Packet::Publish(_)) => came.1 = true,
            // Nothing says from when on messages are for a subscription.
            Event::Nothing if came.0 => {
                return Err(Stop::needs("a server that subscribes before it reads on"));
            }
            other => return Err(wire.unexpected("SUBACK and the message", &other)),
        }
    }
    Ok(())
}

async fn what_may_not_be_subscribed_to_is_refused(s: &Scene) -> Outcome {
    let forbidden = s.descriptor.forbidden_filter.clone();
    s.needs(forbidden.is_some(), "a filter that may not be subscribed to (forbidden_filter)")?;
    let forbidden = forbidden.unwrap_or_default();
    let mut wire = s.connected("a").await?;
    let allowed = [s.topic("before"), s.topic("after")];
    let options = SubscriptionOptions::new(QoS::AtMostOnce);
    let packet = wire.subscriptions(&[(&allowed[0], options), (&forbidden, options), (&allowed[1], options)]);
    wire.send(packet).await?;
    let suback = wire.expect_suback().await?;
    let refusals: Vec<_> = suback.reasons.iter().map(|reason| reason.is_error()).collect();
    ensure!(refusals == [false, true, false], "expected the second to be refused: {:?}", suback.reasons);
    Ok(())
}
