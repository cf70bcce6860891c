//! The fixed header, and what holds for every packet: flags, direction, integers, identifiers.

use super::prelude::*;

pub(super) const ALL: &[Exception] = &[
    Exception {
        name: "waits for the body of a packet that its first bytes rule out",
        peers: &[MqttProtocolCore, MqttProto, RumqttcNext],
        differences: &[PeerWaits],
        statements: &[
            "MQTT311 2.2.1",
            "MQTT5 2.1.2",
            "MQTT-2.2.2-2",
            "MQTT-2.1.3-1",
            "MQTT-3.3.1-2",
            "MQTT-3.3.1-4",
            "MQTT-3.6.1-1",
            "MQTT-3.8.1-1",
            "MQTT-3.10.1-1",
            "MQTT-3.14.1-1",
            "MQTT-3.15.1-1",
            "MQTT-1.5.5-1",
        ],
        right: Right::Both,
        why: "the standard does not say when a packet is refused; we do not buffer what is lost",
        applies: |it, _| !it.is_whole,
        examples: &[
            Example(V3_1_1, Server, b"\x00"),
            Example(V5_0, Server, b"\xb0"),
            Example(V3_1_1, Server, b"\x11"),
            Example(V5_0, Client, b"\x28"),
            Example(V5_0, Server, b"\x38"),
            Example(V5_0, Server, b"\x36"),
            Example(V5_0, Server, b"\x60"),
            Example(V5_0, Server, b"\x80"),
            Example(V5_0, Server, b"\xa0"),
            Example(V5_0, Server, b"\xe1"),
            Example(V5_0, Server, b"\xf1"),
            Example(V5_0, Server, b"\x30\x85\0\0"),
        ],
    },
    Exception {
        name: "does not know which side reads",
        peers: &[MqttProtocolCore, MqttProto, RumqttcNext],
        differences: &[PeerAccepts],
        statements: &["MQTT311 2.2.1", "MQTT5 2.1.2"],
        right: Right::Both,
        why: "its packets are read without a role; its connection asks that later",
        applies: |it, input| match input.role {
            Server => matches!(it.packet_type, 2 | 9 | 11 | 13),
            Client => {
                matches!(it.packet_type, 1 | 8 | 10 | 12) || (it.packet_type == 14 && !input.version.is_v5())
            }
        },
        examples: &[
            Example(V3_1_1, Server, b"\xd0\0"),
            Example(V3_1_1, Client, b"\xe0\0"),
            Example(V5_0, Client, b"\xc0\0"),
        ],
    },
    Exception {
        name: "does not look at reserved flags of the fixed header",
        peers: &[MqttProtocolCore],
        differences: &[PeerAccepts],
        statements: &[
            "MQTT-2.2.2-2",
            "MQTT-2.1.3-1",
            "MQTT-3.6.1-1",
            "MQTT-3.8.1-1",
            "MQTT-3.10.1-1",
            "MQTT-3.14.1-1",
            "MQTT-3.15.1-1",
        ],
        right: Right::Opifex,
        why: "a receiver of invalid flags must close the connection",
        applies: |it, _| match it.packet_type {
            3 => false,
            6 | 8 | 10 => it.flags != 0b0010,
            _ => it.flags != 0,
        },
        examples: &[
            Example(V3_1_1, Server, b"\xc1\0"),
            Example(V5_0, Server, b"\xc1\0"),
            Example(V5_0, Server, b"\x60\x02\0\x01"),
            Example(V5_0, Server, b"\x80\x07\0\x01\0\0\x01a\0"),
            Example(V5_0, Server, b"\xa0\x06\0\x01\0\0\x01a"),
            Example(V5_0, Server, b"\xe1\0"),
            Example(V5_0, Client, b"\xf1\0"),
        ],
    },
    Exception {
        name: "has no DUP for packets other than PUBLISH",
        peers: &[MqttProto],
        differences: &[PeerRefuses, WeWait],
        statements: &["MQTT31 2.1"],
        right: Right::Opifex,
        why: "3.1 sends PUBREL, SUBSCRIBE and UNSUBSCRIBE again with DUP; the peer reads it as 3.1.1",
        applies: |it, input| {
            input.version == V3_1 && matches!(it.packet_type, 6 | 8 | 10) && it.flags == 0b1010
        },
        examples: &[
            Example(V3_1, Server, b"\x6a\x02\0\x01"),
            Example(V3_1, Server, b"\x8a\x06\0\x01\0\x01a\0"),
            Example(V3_1, Server, b"\xaa\x05\0\x01\0\x01a"),
            Example(V3_1, Server, b"\x6a\x02"),
        ],
    },
    Exception {
        name: "takes variable byte integers of any length",
        peers: &[MqttProtocolCore, MqttProto, RumqttcNext],
        differences: &[PeerAccepts],
        statements: &["MQTT-1.5.5-1"],
        right: Right::Opifex,
        why: "5.0 wants the minimum number of bytes",
        applies: |it, _| it.level == 5 && it.has_long_varint,
        examples: &[
            Example(V5_0, Server, b"\xc0\x80\0"),
            Example(V5_0, Server, b"\xe0\x03\0\x80\0"),
            Example(V5_0, Server, b"\x10\x8d\0\0\x04MQTT\x05\x02\0\0\0\0\0"),
        ],
    },
    Exception {
        name: "takes the packet identifier 0",
        peers: &[MqttProtocolCore],
        differences: &[PeerAccepts],
        statements: &["MQTT-2.3.1-1", "MQTT-2.2.1-3"],
        right: Right::Opifex,
        why: "packet identifiers are not 0; its acknowledgements of PUBLISH do check that",
        applies: |it, _| it.packet_id == Some(0) && matches!(it.packet_type, 3 | 8..=11),
        examples: &[
            Example(V3_1_1, Server, b"\x32\x05\0\x01a\0\0"),
            Example(V5_0, Server, b"\x82\x07\0\0\0\0\x01a\0"),
            Example(V5_0, Client, b"\x90\x04\0\0\0\0"),
            Example(V3_1_1, Server, b"\xa2\x05\0\0\0\x01a"),
            Example(V3_1_1, Client, b"\xb0\x02\0\0"),
        ],
    },
    Exception {
        name: "takes U+0000 in texts",
        peers: &[MqttProtocolCore, MqttProto],
        differences: &[PeerAccepts],
        statements: &["MQTT-1.5.3-2", "MQTT-1.5.4-2"],
        right: Right::Opifex,
        why: "a text must not include the null character U+0000",
        applies: |it, _| {
            it.texts.iter().any(|(kind, text)| {
                matches!(kind, Text::ClientId | Text::UserName | Text::Property) && text.contains(&0)
            })
        },
        examples: &[
            Example(V3_1_1, Server, b"\x10\x0d\0\x04MQTT\x04\x02\0\0\0\x01\0"),
            Example(V3_1_1, Server, b"\x10\x10\0\x04MQTT\x04\x82\0\0\0\x01c\0\x01\0"),
            Example(V5_0, Server, b"\x40\x08\0\x01\x80\x04\x1f\0\x01\0"),
        ],
    },
    Exception {
        name: "takes U+0000 in topics",
        peers: &[MqttProtocolCore],
        differences: &[PeerAccepts],
        statements: &["MQTT-4.7.3-2", "MQTT-1.5.3-2", "MQTT-1.5.4-2"],
        right: Right::Opifex,
        why: "topic names and topic filters must not include the null character",
        applies: |it, _| {
            it.texts.iter().any(|(kind, text)| {
                matches!(kind, Text::Topic | Text::WillTopic | Text::Filter) && text.contains(&0)
            })
        },
        examples: &[
            Example(V3_1_1, Server, b"\x30\x03\0\x01\0"),
            Example(V3_1_1, Server, b"\x82\x06\0\x01\0\x01\0\0"),
            Example(V5_0, Server, b"\x82\x07\0\x01\0\0\x01\0\0"),
        ],
    },
    Exception {
        name: "does not look behind the last field",
        peers: &[RumqttcNext],
        differences: &[PeerAccepts],
        statements: &["MQTT311 2.2.3", "MQTT5 2.1.4"],
        right: Right::Opifex,
        why: "the remaining length is the length of the packet's fields",
        applies: |it, input| {
            !it.is_torn
                && !it.rest.is_empty()
                && match it.packet_type {
                    12..=14 => true,
                    2 | 4..=7 | 15 => input.version.is_v5(),
                    _ => false,
                }
        },
        examples: &[
            Example(V3_1_1, Server, b"\xc0\x01\0"),
            Example(V3_1_1, Client, b"\xd0\x01\0"),
            Example(V3_1_1, Server, b"\xe0\x01\0"),
            Example(V5_0, Client, b"\x20\x04\0\0\0\0"),
            Example(V5_0, Server, b"\x40\x05\0\x01\0\0\0"),
            Example(V5_0, Server, b"\x50\x05\0\x01\0\0\0"),
            Example(V5_0, Server, b"\x62\x05\0\x01\0\0\0"),
            Example(V5_0, Server, b"\x70\x05\0\x01\0\0\0"),
            Example(V5_0, Server, b"\xc0\x01\0"),
            Example(V5_0, Server, b"\xe0\x03\0\0\0"),
            Example(V5_0, Client, b"\xf0\x03\0\0\0"),
        ],
    },
];
