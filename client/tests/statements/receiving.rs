//! 4.5 and 3.3 messages from the server.

use opifex_client::{Event, Options};
use opifex_packet::{
    Packet, Properties, Property, Puback, Pubcomp, Publish, Pubrec, Pubrel, QoS, TopicName, Version,
};

use crate::peer::{Peer, id, lasting, publish, success};
use crate::statements;

statements! { "receiving";
    every_message_is_acknowledged_though_nobody_reads_it: v4 ["MQTT-4.5.0-2"], v5 ["MQTT-4.5.0-2"];
    every_alias_up_to_its_own_maximum_is_accepted: v5 ["MQTT-3.3.2-10"];
}

fn every_message_is_acknowledged_though_nobody_reads_it(version: Version) {
    let mut peer = Peer::connected(version);
    for packet_id in 1..50 {
        let id = id(packet_id);
        assert_eq!(peer.gets(publish(QoS::AtMostOnce, packet_id)), []);
        assert_eq!(peer.gets(publish(QoS::AtLeastOnce, packet_id)), [Packet::from(Puback::new(id))]);
        assert_eq!(peer.gets(publish(QoS::ExactlyOnce, packet_id)), [Packet::from(Pubrec::new(id))]);
        assert_eq!(peer.gets(Pubrel::new(id)), [Packet::from(Pubcomp::new(id))]);
    }
}

fn every_alias_up_to_its_own_maximum_is_accepted(version: Version) {
    let options = Options { topic_alias_maximum: 20, ..lasting(version) };
    let mut peer = Peer::accepted(options, success());
    peer.events();
    for with_topic in [true, false] {
        for alias in 1..=20 {
            let name = format!("t/{alias}");
            let mut packet = Publish::new(TopicName::new(name.as_str()).unwrap(), &b"m"[..]);
            packet.properties = Properties::new().with(Property::TopicAlias(alias));
            if !with_topic {
                packet.topic = None;
            }
            peer.gets(packet);
            let events = peer.events();
            assert!(
                matches!(&events[..], [Event::Message { message, .. }] if message.topic.as_str() == name),
                "{events:?}"
            );
        }
    }
}
