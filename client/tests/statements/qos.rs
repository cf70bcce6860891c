//! 4.3 and 4.4: the flows of QoS 1 and 2 in both directions, over lost connections.

use opifex_client::{Event, Message};
use opifex_packet::{
    Packet, Properties, Property, Puback, Pubcomp, Publish, Pubrec, Pubrel, QoS, ReasonCode, Version,
};

use crate::peer::{Peer, id, message, publish, publishes};
use crate::statements;

statements! { "qos";
    a_qos_1_message_is_sent_until_puback:
        v4 ["MQTT-3.3.1-1", "MQTT-4.3.2-1", "MQTT-4.4.0-1"],
        v5 ["MQTT-3.3.1-1", "MQTT-4.3.2-1", "MQTT-4.3.2-2", "MQTT-4.3.2-3", "MQTT-4.4.0-1"];
    a_qos_1_message_is_answered_with_its_id_which_then_means_a_new_one:
        v4 ["MQTT-2.3.1-6", "MQTT-3.3.4-1", "MQTT-4.3.2-2"],
        v5 ["MQTT-2.2.1-5", "MQTT-3.3.4-1", "MQTT-4.3.2-4", "MQTT-4.3.2-5"];
    a_qos_2_message_is_sent_until_pubrec_and_its_pubrel_until_pubcomp:
        v4 ["MQTT-2.3.1-6", "MQTT-3.3.1-1", "MQTT-4.3.3-1", "MQTT-4.4.0-1"],
        v5 ["MQTT-2.2.1-5", "MQTT-3.3.1-1", "MQTT-4.3.3-1", "MQTT-4.3.3-2", "MQTT-4.3.3-3", "MQTT-4.3.3-4",
            "MQTT-4.3.3-5", "MQTT-4.3.3-6", "MQTT-4.4.0-1"];
    a_qos_2_message_is_handed_on_once_until_pubrel:
        v4 ["MQTT-2.3.1-6", "MQTT-3.3.4-1", "MQTT-4.3.3-2"],
        v5 ["MQTT-2.2.1-5", "MQTT-3.3.4-1", "MQTT-4.3.3-8", "MQTT-4.3.3-10", "MQTT-4.3.3-11", "MQTT-4.3.3-12"];
    a_message_that_was_sent_does_not_expire: v5 ["MQTT-4.3.3-7"];
    a_handshake_is_gone_on_with_when_the_message_has_expired: v5 ["MQTT-4.3.3-13"];
    an_acknowledgement_that_says_no_is_one: v5 ["MQTT-4.4.0-2"];
    unknown_ids_are_answered: v5 ["U5-28"];
}

/// The packet id of the one PUBLISH that is sent, and DUP.
fn sent(packets: &[Packet<'_>], qos: QoS) -> (u16, bool) {
    let [Packet::Publish(publish)] = packets else { panic!("one PUBLISH: {packets:?}") };
    assert_eq!(publish.qos(), qos);
    (publish.delivery.packet_id().unwrap().get(), publish.dup)
}

/// A client with two messages on their way, and their packet ids.
fn with_two_under_way(version: Version, qos: QoS) -> (Peer, u16, u16) {
    let mut peer = Peer::connected(version);
    peer.publish("other", qos);
    let (other, _) = sent(&peer.sent(), qos);
    peer.publish("m", qos);
    let (packet_id, dup) = sent(&peer.sent(), qos);
    assert!(packet_id != other && !dup);
    (peer, other, packet_id)
}

fn a_qos_1_message_is_sent_until_puback(version: Version) {
    let qos = QoS::AtLeastOnce;
    let (mut peer, other, packet_id) = with_two_under_way(version, qos);
    peer.gets(Puback::new(id(other)));
    // Not again on the same connection, and on each that goes on with the session.
    assert_eq!(peer.passes(20), []);
    for _ in 0..2 {
        assert_eq!(sent(&peer.reconnect(true), qos), (packet_id, true));
        assert_eq!(peer.machine.pending().count(), 1);
    }
    assert_eq!(peer.gets(Puback::new(id(packet_id))), []);
    assert!(matches!(peer.events()[..], [Event::PublishDone { .. }]));
    assert_eq!(peer.machine.pending().count(), 0);
    assert_eq!(peer.reconnect(true), []);
}

fn a_qos_1_message_is_answered_with_its_id_which_then_means_a_new_one(version: Version) {
    let mut peer = Peer::connected(version);
    peer.events();
    for packet_id in [7, 65_535, 1] {
        for dup in [false, true, true] {
            let packet = Publish { dup, ..publish(QoS::AtLeastOnce, packet_id) };
            assert_eq!(peer.gets(packet), [Packet::from(Puback::new(id(packet_id)))]);
            assert_eq!(peer.messages(), 1, "DUP {dup}");
        }
    }
}

fn a_qos_2_message_is_sent_until_pubrec_and_its_pubrel_until_pubcomp(version: Version) {
    let qos = QoS::ExactlyOnce;
    let (mut peer, other, packet_id) = with_two_under_way(version, qos);
    peer.gets(Pubrec::new(id(other)));
    peer.gets(Pubcomp::new(id(other)));
    assert_eq!(peer.passes(20), []);
    assert_eq!(sent(&peer.reconnect(true), qos), (packet_id, true));

    let pubrel = [Packet::from(Pubrel::new(id(packet_id)))];
    assert_eq!(peer.gets(Pubrec::new(id(packet_id))), pubrel);
    assert!(peer.events().is_empty(), "it is not done before PUBCOMP");
    // From now on PUBREL alone, to a second PUBREC as well.
    for _ in 0..2 {
        assert_eq!(peer.reconnect(true), pubrel);
        assert_eq!(peer.gets(Pubrec::new(id(packet_id))), pubrel);
    }
    assert_eq!(peer.machine.pending().count(), 1);
    assert_eq!(peer.gets(Pubcomp::new(id(packet_id))), []);
    assert!(matches!(peer.events()[..], [Event::PublishDone { .. }]));
    assert_eq!(peer.reconnect(true), []);
}

fn a_qos_2_message_is_handed_on_once_until_pubrel(version: Version) {
    let packet = |dup| Publish { dup, ..publish(QoS::ExactlyOnce, 9) };
    let pubrec = [Packet::from(Pubrec::new(id(9)))];
    let mut peer = Peer::connected(version);
    peer.events();
    for _ in 0..2 {
        assert_eq!(peer.gets(packet(false)), pubrec);
        assert_eq!(peer.messages(), 1);
        // Again, also on the next connection.
        assert_eq!(peer.gets(packet(true)), pubrec);
        peer.reconnect(true);
        assert_eq!(peer.gets(packet(true)), pubrec);
        assert_eq!(peer.messages(), 0);
        // After PUBREL the id means a new message.
        assert_eq!(peer.gets(Pubrel::new(id(9))), [Packet::from(Pubcomp::new(id(9)))]);
    }
}

/// A message that is worth something for a second.
fn brief(qos: QoS) -> Message {
    let properties = Properties::new().with(Property::MessageExpiryInterval(1));
    Message { properties, ..message("m", qos) }
}

fn a_message_that_was_sent_does_not_expire(version: Version) {
    let qos = QoS::ExactlyOnce;
    let mut peer = Peer::connected(version);
    peer.machine.publish(brief(qos)).unwrap();
    let (packet_id, _) = sent(&peer.sent(), qos);
    peer.passes(20);
    assert_eq!(sent(&peer.reconnect(true), qos), (packet_id, true));
    assert!(matches!(peer.gets(Pubrec::new(id(packet_id)))[..], [Packet::Pubrel(_)]));
    peer.passes(20);
    assert!(matches!(peer.reconnect(true)[..], [Packet::Pubrel(_)]));
}

fn a_handshake_is_gone_on_with_when_the_message_has_expired(version: Version) {
    let properties = Properties::new().with(Property::MessageExpiryInterval(1));
    let mut peer = Peer::connected(version);
    let packet = Publish { properties, ..publish(QoS::ExactlyOnce, 9) };
    assert_eq!(peer.gets(packet.clone()), [Packet::from(Pubrec::new(id(9)))]);
    peer.passes(20);
    assert_eq!(peer.gets(Publish { dup: true, ..packet }), [Packet::from(Pubrec::new(id(9)))]);
    peer.passes(20);
    assert_eq!(peer.gets(Pubrel::new(id(9))), [Packet::from(Pubcomp::new(id(9)))]);
}

fn an_acknowledgement_that_says_no_is_one(version: Version) {
    let refusal = ReasonCode::QuotaExceeded;
    for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
        let mut peer = Peer::connected(version);
        peer.events();
        peer.publish("m", qos);
        let (packet_id, _) = sent(&peer.sent(), qos);
        let answered = match qos {
            QoS::AtLeastOnce => peer.gets(Puback::new(id(packet_id)).with_reason(refusal)),
            _ => peer.gets(Pubrec::new(id(packet_id)).with_reason(refusal)),
        };
        assert_eq!(answered, []);
        assert!(matches!(peer.events()[..], [Event::PublishDone { reason, .. }] if reason == refusal));
        assert_eq!(peer.reconnect(true), []);
    }
}

fn unknown_ids_are_answered(version: Version) {
    let unknown = ReasonCode::PacketIdentifierNotFound;
    let mut peer = Peer::connected(version);
    assert_eq!(peer.gets(Pubrec::new(id(40))), [Packet::from(Pubrel::new(id(40)).with_reason(unknown))]);
    assert_eq!(peer.gets(Pubcomp::new(id(40)).with_reason(unknown)), []);
    assert_eq!(peer.gets(Pubrel::new(id(41))), [Packet::from(Pubcomp::new(id(41)).with_reason(unknown))]);
    // The connection goes on.
    peer.publish("m", QoS::AtLeastOnce);
    assert_eq!(publishes(&peer.sent()).len(), 1);
}
