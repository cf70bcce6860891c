//! PUBACK, PUBREC, PUBREL, PUBCOMP, DISCONNECT and AUTH.

use super::prelude::*;

pub(super) const ALL: &[Exception] = &[
    Exception {
        name: "takes a reason code of the other side",
        peers: &[MqttProtocolCore, MqttProto, RumqttcNext],
        differences: &[PeerAccepts],
        statements: &["MQTT-3.4.2-1", "MQTT-3.5.2-1", "MQTT-3.14.2-1", "MQTT-3.15.2-1"],
        right: Right::Both,
        why: "the tables say who sends a code; the peers do not know who reads",
        applies: |it, input| match (it.packet_type, input.role, it.reasons) {
            (4 | 5, Server, [0x10]) => true,
            (14, Server, [0x87 | 0x89 | 0x8b | 0x8d | 0x8e | 0x8f | 0x9a..=0xa2]) => true,
            (14, Client, [0x04]) => true,
            // AUTH without contents is a success.
            (15, Server, [0x00] | []) => true,
            (15, Client, [0x19]) => true,
            _ => false,
        },
        examples: &[
            Example(V5_0, Server, b"\x40\x03\0\x01\x10"),
            Example(V5_0, Server, b"\x50\x03\0\x01\x10"),
            Example(V5_0, Server, b"\xe0\x01\x8b"),
            Example(V5_0, Client, b"\xe0\x01\x04"),
            Example(V5_0, Server, b"\xf0\0"),
            Example(V5_0, Client, b"\xf0\x06\x19\x04\x15\0\x01m"),
        ],
    },
    Exception {
        name: "reads a reason code in 3.1.1",
        peers: &[MqttProtocolCore],
        differences: &[PeerAccepts],
        statements: &["MQTT311 2.2.3"],
        right: Right::Opifex,
        why: "in 3.1.1 these four have a packet identifier and nothing else",
        applies: |it, input| {
            input.version == V3_1_1 && matches!(it.packet_type, 4..=7) && it.remaining_len == 3
        },
        examples: &[
            Example(V3_1_1, Server, b"\x40\x03\0\x01\0"),
            Example(V3_1_1, Server, b"\x50\x03\0\x01\0"),
            Example(V3_1_1, Server, b"\x62\x03\0\x01\0"),
            Example(V3_1_1, Server, b"\x70\x03\0\x01\0"),
        ],
    },
    Exception {
        name: "takes a session expiry interval in a server's DISCONNECT",
        peers: &[MqttProtocolCore, MqttProto, RumqttcNext],
        differences: &[PeerAccepts],
        statements: &["MQTT-3.14.2-2"],
        right: Right::Both,
        why: "only clients send it; the peers do not know who reads",
        applies: |it, input| {
            input.role == Client && it.packet_type == 14 && it.property(0x11).next().is_some()
        },
        examples: &[Example(V5_0, Client, b"\xe0\x07\x80\x05\x11\0\0\0\x01")],
    },
    Exception {
        name: "takes an AUTH that ends before its property length",
        peers: &[MqttProtocolCore],
        differences: &[PeerAccepts],
        statements: &["MQTT5 2.1.4"],
        right: Right::Opifex,
        why: "AUTH leaves out the reason code and the properties both or not at all (3.15.2.1)",
        applies: |it, _| it.packet_type == 15 && it.remaining_len == 1,
        examples: &[Example(V5_0, Client, b"\xf0\x01\0")],
    },
    Exception {
        name: "takes an AUTH without a method",
        peers: &[MqttProtocolCore, MqttProto, RumqttcNext],
        differences: &[PeerAccepts],
        statements: &["MQTT5 3.15.2.2.2"],
        right: Right::Opifex,
        why: "it is a protocol error to omit the authentication method; one peer asks for it with failures",
        applies: |it, _| it.packet_type == 15 && it.remaining_len > 0 && it.property(0x15).next().is_none(),
        examples: &[
            Example(V5_0, Server, b"\xf0\x02\x18\0"),
            Example(V5_0, Client, b"\xf0\x06\0\x04\x1f\0\x01r"),
        ],
    },
    Exception {
        name: "refuses an AUTH without contents",
        peers: &[RumqttcNext],
        differences: &[PeerRefuses],
        statements: &["MQTT5 3.15.2.1"],
        right: Right::Opifex,
        why: "a success without properties may leave out both",
        applies: |it, _| it.packet_type == 15 && it.remaining_len == 0,
        examples: &[Example(V5_0, Client, b"\xf0\0")],
    },
    Exception {
        name: "refuses a DISCONNECT of a reason code alone",
        peers: &[RumqttcNext],
        differences: &[PeerRefuses],
        statements: &["MQTT5 3.14.2.2.1"],
        right: Right::Opifex,
        why: "with a remaining length below 2 there are no properties; the peer wants their length",
        applies: |it, input| input.version.is_v5() && it.packet_type == 14 && it.remaining_len == 1,
        examples: &[Example(V5_0, Server, b"\xe0\x01\x04"), Example(V5_0, Client, b"\xe0\x01\x8b")],
    },
];
