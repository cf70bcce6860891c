//! 4.6 order: what is sent again, and what is acknowledged.

use opifex_client::{AckToken, Event, Options};
use opifex_packet::{Packet, Pubrec, QoS, Version};

use crate::peer::{Peer, id, lasting, publish, publishes, success};
use crate::statements;

statements! { "order";
    messages_are_sent_again_in_their_order: v4 ["MQTT-4.6.0-1"], v5 ["MQTT-4.6.0-1"];
    acknowledgements_leave_in_the_order_of_the_messages:
        v4 ["MQTT-4.6.0-2", "MQTT-4.6.0-3"], v5 ["MQTT-4.6.0-2", "MQTT-4.6.0-3"];
    pubrel_follows_the_order_of_pubrec: v4 ["MQTT-4.6.0-4"], v5 ["MQTT-4.6.0-4"];
}

fn messages_are_sent_again_in_their_order(version: Version) {
    const PAYLOADS: [&str; 6] = ["0", "1", "2", "3", "4", "5"];
    let mut peer = Peer::connected(version);
    for (number, payload) in PAYLOADS.into_iter().enumerate() {
        peer.publish(payload, if number % 2 == 0 { QoS::AtLeastOnce } else { QoS::ExactlyOnce });
    }
    let first = publishes(&peer.sent());
    assert_eq!(first.iter().map(|(payload, _, _)| payload.as_str()).collect::<Vec<_>>(), PAYLOADS);
    // One from the middle is acknowledged; the others stay in their places.
    peer.gets(opifex_packet::Puback::new(id(first[2].1)));
    for _ in 0..2 {
        let again = publishes(&peer.reconnect(true));
        let expected = first.iter().enumerate().filter(|(place, _)| *place != 2);
        let expected: Vec<_> =
            expected.map(|(_, (payload, packet_id, _))| (payload.clone(), *packet_id, true)).collect();
        assert_eq!(again, expected);
    }
}

fn acknowledgements_leave_in_the_order_of_the_messages(version: Version) {
    let options = Options { manual_acks: true, ..lasting(version) };
    for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
        let mut peer = Peer::accepted(options.clone(), success());
        for packet_id in [5, 3, 9, 1] {
            assert_eq!(peer.gets(publish(qos, packet_id)), []);
        }
        let acks: Vec<AckToken> = peer
            .events()
            .into_iter()
            .filter_map(|event| match event {
                Event::Message { ack, .. } => ack,
                _ => None,
            })
            .collect();
        // The application is done with them the other way round.
        for ack in acks.into_iter().rev() {
            peer.machine.acknowledge(ack);
        }
        let order: Vec<_> = peer
            .sent()
            .iter()
            .map(|packet| match packet {
                Packet::Puback(puback) if qos == QoS::AtLeastOnce => puback.packet_id.get(),
                Packet::Pubrec(pubrec) if qos == QoS::ExactlyOnce => pubrec.packet_id.get(),
                other => panic!("{other:?} is no answer to {qos:?}"),
            })
            .collect();
        assert_eq!(order, [5, 3, 9, 1]);
    }
}

fn pubrel_follows_the_order_of_pubrec(version: Version) {
    let mut peer = Peer::connected(version);
    for payload in ["0", "1", "2"] {
        peer.publish(payload, QoS::ExactlyOnce);
    }
    let ids: Vec<_> = publishes(&peer.sent()).iter().map(|(_, packet_id, _)| *packet_id).collect();
    let order = [ids[1], ids[2], ids[0]];
    let released = |packets: &[Packet<'_>]| -> Vec<u16> {
        packets
            .iter()
            .filter_map(|packet| match packet {
                Packet::Pubrel(pubrel) => Some(pubrel.packet_id.get()),
                _ => None,
            })
            .collect()
    };
    let mut sent = Vec::new();
    for packet_id in order {
        sent.extend(released(&peer.gets(Pubrec::new(id(packet_id)))));
    }
    assert_eq!(sent, order);
    // Also when they are sent again.
    assert_eq!(released(&peer.reconnect(true)), order);
}
