//! 2.2.1 (5.0), 2.3.1 (3.1.1): packet ids.

use std::collections::BTreeSet;

use opifex_packet::{Packet, Properties, Puback, Pubcomp, Pubrec, QoS, Subscription, TopicFilter, Version};

use crate::peer::{Peer, id, publishes};
use crate::statements;

statements! { "packet_ids";
    a_new_packet_takes_an_id_that_is_not_in_use: v4 ["MQTT-2.3.1-1", "MQTT-2.3.1-2"], v5 ["MQTT-2.2.1-3"];
    what_is_sent_again_keeps_its_id_until_it_is_acknowledged: v4 ["MQTT-2.3.1-3"];
}

fn filter() -> TopicFilter<'static> {
    TopicFilter::new("f").unwrap()
}

/// One packet of each kind that has an id, and their ids.
fn one_of_each(peer: &mut Peer) -> Vec<u16> {
    peer.publish("1", QoS::AtLeastOnce);
    peer.publish("2", QoS::ExactlyOnce);
    peer.machine.subscribe(vec![Subscription::new(filter(), QoS::AtMostOnce)], Properties::new()).unwrap();
    peer.machine.unsubscribe(vec![filter()], Properties::new()).unwrap();
    let ids = peer.sent().into_iter().map(|packet| match packet {
        Packet::Publish(publish) => publish.delivery.packet_id().unwrap().get(),
        Packet::Subscribe(subscribe) => subscribe.packet_id.get(),
        Packet::Unsubscribe(unsubscribe) => unsubscribe.packet_id.get(),
        other => panic!("{other:?} has no packet id"),
    });
    let mut ids: Vec<_> = ids.collect();
    ids.sort_unstable();
    assert_eq!(ids.len(), 4);
    ids
}

fn a_new_packet_takes_an_id_that_is_not_in_use(version: Version) {
    let mut peer = Peer::connected(version);
    let mut in_use = BTreeSet::new();
    for _ in 0..100 {
        for packet_id in one_of_each(&mut peer) {
            assert!(packet_id > 0 && in_use.insert(packet_id), "{packet_id} is in use");
        }
    }
    // Ids come round; those that stay in use are not given again.
    let mut peer = Peer::connected(version);
    peer.publish("stays", QoS::AtLeastOnce);
    let [(_, stays, _)] = publishes(&peer.sent())[..] else { panic!() };
    for _ in 0..70_000 {
        peer.publish("goes", QoS::AtLeastOnce);
        let [(_, packet_id, _)] = publishes(&peer.sent())[..] else { panic!() };
        assert!(packet_id != stays && packet_id > 0);
        peer.gets(Puback::new(id(packet_id)));
        peer.events();
    }
}

fn what_is_sent_again_keeps_its_id_until_it_is_acknowledged(version: Version) {
    let mut peer = Peer::connected(version);
    peer.publish("1", QoS::AtLeastOnce);
    peer.publish("2", QoS::ExactlyOnce);
    let first = publishes(&peer.sent());
    let ids =
        |sent: &[(String, u16, bool)]| sent.iter().map(|(_, packet_id, _)| *packet_id).collect::<Vec<_>>();
    for _ in 0..3 {
        assert_eq!(ids(&publishes(&peer.reconnect(true))), ids(&first));
    }
    // PUBREL has it, too, and nothing else gets it until PUBCOMP.
    let released = id(first[1].1);
    assert!(
        matches!(&peer.gets(Pubrec::new(released))[..], [Packet::Pubrel(pubrel)] if pubrel.packet_id == released)
    );
    let again = peer.reconnect(true);
    assert!(
        again.iter().any(|packet| matches!(packet, Packet::Pubrel(pubrel) if pubrel.packet_id == released))
    );
    // Acknowledged, both are free, and are given again when the ids have come round.
    peer.gets(Puback::new(id(first[0].1)));
    peer.gets(Pubcomp::new(released));
    let mut given = BTreeSet::new();
    for _ in 0..70_000 {
        peer.publish("m", QoS::AtLeastOnce);
        let [(_, packet_id, _)] = publishes(&peer.sent())[..] else { panic!() };
        given.insert(packet_id);
        peer.gets(Puback::new(id(packet_id)));
        peer.events();
    }
    assert!(ids(&first).iter().all(|packet_id| given.contains(packet_id)));
}
