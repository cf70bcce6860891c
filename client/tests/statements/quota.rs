//! 4.9 flow control (5.0): what refills the quota, and a server that does not keep to its own.

use opifex_client::Options;
use opifex_packet::{
    Connack, Packet, Properties, Property, Puback, Pubcomp, Pubrec, QoS, ReasonCode, Version,
};

use crate::peer::{Peer, id, lasting, publishes, success};
use crate::statements;

statements! { "quota";
    the_quota_grows_with_acknowledgements_and_not_above_its_beginning: v5 ["MQTT-4.9.0-2", "U5-39"];
    the_quota_is_new_with_each_connection: v5 ["MQTT-4.9.0-1", "U5-39"];
    a_server_that_exceeds_the_receive_maximum_is_told: v5 ["U5-25"];
}

fn connack(maximum: u16, session_present: bool) -> Connack<'static> {
    let properties = Properties::new().with(Property::ReceiveMaximum(maximum));
    Connack { session_present, properties, ..success() }
}

/// A client of a server with that maximum and more messages than it, and the ids of those that were sent.
fn full(version: Version, maximum: u16, qos: QoS) -> (Peer, Vec<u16>) {
    let mut peer = Peer::accepted(lasting(version), connack(maximum, false));
    for _ in 0..10 {
        peer.publish("m", qos);
    }
    let ids = ids(&peer.sent());
    assert_eq!(ids.len(), usize::from(maximum));
    (peer, ids)
}

fn ids(packets: &[Packet<'_>]) -> Vec<u16> {
    publishes(packets).iter().map(|(_, packet_id, _)| *packet_id).collect()
}

fn the_quota_grows_with_acknowledgements_and_not_above_its_beginning(version: Version) {
    // By one with PUBACK.
    let (mut peer, sent) = full(version, 3, QoS::AtLeastOnce);
    assert_eq!(ids(&peer.gets(Puback::new(id(sent[1])))).len(), 1);
    // By none with PUBREC, by one with PUBCOMP.
    let (mut peer, sent) = full(version, 3, QoS::ExactlyOnce);
    assert_eq!(ids(&peer.gets(Pubrec::new(id(sent[0])))).len(), 0);
    assert_eq!(ids(&peer.gets(Pubcomp::new(id(sent[0])))).len(), 1);
    // By one with a PUBREC that says no.
    let no = Pubrec::new(id(sent[1])).with_reason(ReasonCode::QuotaExceeded);
    assert_eq!(ids(&peer.gets(no)).len(), 1);
    // By none with acknowledgements of what is not under way.
    for _ in 0..5 {
        assert_eq!(ids(&peer.gets(Pubcomp::new(id(60_000)))).len(), 0);
        let unknown = Pubrec::new(id(60_000)).with_reason(ReasonCode::QuotaExceeded);
        assert_eq!(ids(&peer.gets(unknown)).len(), 0);
    }
    // With all of them acknowledged it is what it was.
    let mut peer = Peer::accepted(lasting(version), connack(3, false));
    for _ in 0..5 {
        peer.publish("m", QoS::AtLeastOnce);
        let sent = ids(&peer.sent());
        peer.gets(Puback::new(id(sent[0])));
    }
    for _ in 0..10 {
        peer.publish("m", QoS::AtLeastOnce);
    }
    assert_eq!(ids(&peer.sent()).len(), 3);
}

fn the_quota_is_new_with_each_connection(version: Version) {
    let (mut peer, sent) = full(version, 3, QoS::AtLeastOnce);
    for maximum in [1, 5, 2] {
        peer.machine.connection_lost();
        let again = ids(&peer.connect(connack(maximum, true)));
        assert_eq!(again.len(), usize::from(maximum));
        assert_eq!(again[0], sent[0]);
    }
    // It is not above what the client itself wants to have under way.
    let options = Options { max_inflight: 2, ..lasting(version) };
    let mut peer = Peer::accepted(options, connack(5, false));
    for _ in 0..10 {
        peer.publish("m", QoS::AtLeastOnce);
    }
    assert_eq!(ids(&peer.sent()).len(), 2);
}

fn a_server_that_exceeds_the_receive_maximum_is_told(version: Version) {
    let options = Options { receive_maximum: 2, manual_acks: true, ..lasting(version) };
    for first_byte in [0x32, 0x34] {
        let publish = |packet_id| crate::peer::packet(first_byte, &[0, 1, b't', 0, packet_id, 0, b'm']);
        let mut peer = Peer::accepted(options.clone(), success());
        for packet_id in [1, 2] {
            assert_eq!(peer.arrives(&publish(packet_id)), []);
        }
        peer.is_ended_by(&publish(3), ReasonCode::ReceiveMaximumExceeded);
    }
}
