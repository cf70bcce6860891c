//! 3.4 to 3.7, 3.14, 3.15 (5.0): reason codes, and words beside them.

use opifex_packet::{Connack, Packet, Properties, Property, Pubrec, Pubrel, QoS, ReasonCode, Version};

use crate::peer::{Peer, id, lasting, packet, publish, publishes, success};
use crate::statements;

statements! { "reasons";
    a_reason_that_the_packet_does_not_have_ends_the_connection:
        v5 ["MQTT-3.4.2-1", "MQTT-3.5.2-1", "MQTT-3.6.2-1", "MQTT-3.7.2-1", "MQTT-3.14.2-1", "MQTT-3.15.2-1"];
    acknowledgements_have_reasons_of_their_tables_and_no_words:
        v5 ["MQTT-3.4.2-1", "MQTT-3.4.2-2", "MQTT-3.4.2-3", "MQTT-3.5.2-1", "MQTT-3.5.2-2", "MQTT-3.5.2-3",
            "MQTT-3.6.2-1", "MQTT-3.6.2-2", "MQTT-3.6.2-3", "MQTT-3.7.2-1", "MQTT-3.7.2-2", "MQTT-3.7.2-3"];
}

fn a_reason_that_the_packet_does_not_have_ends_the_connection(version: Version) {
    let of_publish = [0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99];
    let of_release = [0x00, 0x92];
    let of_servers = [
        0x00, 0x80, 0x81, 0x82, 0x83, 0x87, 0x89, 0x8b, 0x8d, 0x8e, 0x8f, 0x90, 0x93, 0x94, 0x95, 0x96, 0x97,
        0x98, 0x99, 0x9a, 0x9b, 0x9c, 0x9d, 0x9e, 0x9f, 0xa0, 0xa1, 0xa2,
    ];
    for code in 0..=u8::MAX {
        for (first_byte, table) in
            [(0x40, of_publish.as_slice()), (0x50, &of_publish), (0x62, &of_release), (0x70, &of_release)]
        {
            let bytes = packet(first_byte, &[0, 1, code]);
            let mut peer = Peer::connected(version);
            peer.publish("m", if first_byte == 0x40 { QoS::AtLeastOnce } else { QoS::ExactlyOnce });
            assert_eq!(publishes(&peer.sent())[0].1, 1);
            if first_byte == 0x70 {
                peer.gets(Pubrec::new(id(1)));
            }
            if table.contains(&code) {
                peer.arrives(&bytes);
                assert!(!peer.machine.is_closing(), "{bytes:02x?}");
            } else {
                peer.is_ended_by(&bytes, ReasonCode::ProtocolError);
            }
        }
        if !of_servers.contains(&code) {
            crate::peer::ends(version, &packet(0xe0, &[code]), ReasonCode::ProtocolError);
        }
        if code != 0x00 && code != 0x18 {
            crate::peer::ends(version, &packet(0xf0, &[code, 0]), ReasonCode::ProtocolError);
        }
    }
}

fn acknowledgements_have_reasons_of_their_tables_and_no_words(version: Version) {
    // A server that takes 5 bytes at most gets all of them: there is room for a reason, and none for words.
    let properties = Properties::new().with(Property::MaximumPacketSize(5));
    let mut peer = Peer::accepted(lasting(version), Connack { properties, ..success() });
    let mut acknowledgements = Vec::new();
    for packet in [publish(QoS::AtLeastOnce, 1), publish(QoS::ExactlyOnce, 2)] {
        acknowledgements.extend(peer.gets(packet));
    }
    for packet_id in [2, 3] {
        acknowledgements.extend(peer.gets(Pubrel::new(id(packet_id))));
    }
    acknowledgements.extend(peer.gets(Pubrec::new(id(4))));
    let said: Vec<_> = acknowledgements
        .iter()
        .map(|packet| match packet {
            Packet::Puback(packet) => (0x40, packet.reason, packet.properties.is_empty()),
            Packet::Pubrec(packet) => (0x50, packet.reason, packet.properties.is_empty()),
            Packet::Pubrel(packet) => (0x62, packet.reason, packet.properties.is_empty()),
            Packet::Pubcomp(packet) => (0x70, packet.reason, packet.properties.is_empty()),
            other => panic!("{other:?} acknowledges nothing"),
        })
        .collect();
    let unknown = ReasonCode::PacketIdentifierNotFound;
    assert_eq!(
        said,
        [
            (0x40, ReasonCode::Success, true),
            (0x50, ReasonCode::Success, true),
            (0x70, ReasonCode::Success, true),
            (0x70, unknown, true),
            (0x62, unknown, true),
        ]
    );
    assert!(acknowledgements.iter().all(|packet| packet.encoded_len(version) <= 5));
}
