//! CONNECT and CONNACK.

use super::prelude::*;

pub(super) const ALL: &[Exception] = &[
    Exception {
        name: "knows no 3.1",
        peers: &[MqttProtocolCore, RumqttcNext],
        differences: &[PeerRefuses],
        statements: &["MQTT31 3.1"],
        right: Right::Both,
        why: "a server may support the versions that it likes",
        applies: |it, _| it.packet_type == 1 && it.level == 3,
        examples: &[Example(V5_0, Server, b"\x10\x0f\0\x06MQIsdp\x03\x02\0\0\0\x01c")],
    },
    Exception {
        name: "does not look at the reserved flag of CONNECT",
        peers: &[MqttProtocolCore],
        differences: &[PeerAccepts],
        statements: &["MQTT-3.1.2-3"],
        right: Right::Opifex,
        why: "the server must validate that the reserved flag is 0",
        applies: |it, _| it.connect_flags.is_some_and(|flags| flags & 0x01 != 0),
        examples: &[
            Example(V3_1_1, Server, b"\x10\x0d\0\x04MQTT\x04\x03\0\0\0\x01c"),
            Example(V5_0, Server, b"\x10\x0e\0\x04MQTT\x05\x03\0\0\0\0\x01c"),
        ],
    },
    Exception {
        name: "takes a will of QoS 3, as QoS 0",
        peers: &[MqttProtocolCore],
        differences: &[PeerAccepts],
        statements: &["MQTT-3.1.2-12", "MQTT-3.1.2-14"],
        right: Right::Opifex,
        why: "the QoS of a will must not be 3",
        applies: |it, _| it.connect_flags.is_some_and(|flags| flags & 0x1c == 0x1c),
        examples: &[
            Example(V3_1_1, Server, b"\x10\x12\0\x04MQTT\x04\x1e\0\0\0\x01c\0\x01w\0\0"),
            Example(V5_0, Server, b"\x10\x14\0\x04MQTT\x05\x1e\0\0\0\0\x01c\0\0\x01w\0\0"),
        ],
    },
    Exception {
        name: "takes a QoS for a will that is not there",
        peers: &[MqttProtocolCore],
        differences: &[PeerAccepts],
        statements: &["MQTT-3.1.2-11", "MQTT-3.1.2-13"],
        right: Right::Opifex,
        why: "without the will flag the will QoS must be 0",
        applies: |it, _| it.connect_flags.is_some_and(|flags| flags & 0x04 == 0 && flags & 0x18 != 0),
        examples: &[
            Example(V3_1_1, Server, b"\x10\x0d\0\x04MQTT\x04\x0a\0\0\0\x01c"),
            Example(V5_0, Server, b"\x10\x0e\0\x04MQTT\x05\x0a\0\0\0\0\x01c"),
        ],
    },
    Exception {
        name: "takes a retain flag for a will that is not there",
        peers: &[MqttProtocolCore, MqttProto],
        differences: &[PeerAccepts],
        statements: &["MQTT-3.1.2-13", "MQTT-3.1.2-15"],
        right: Right::Opifex,
        why: "without the will flag will retain must be 0",
        applies: |it, _| it.connect_flags.is_some_and(|flags| flags & 0x24 == 0x20),
        examples: &[
            Example(V3_1_1, Server, b"\x10\x0d\0\x04MQTT\x04\x22\0\0\0\x01c"),
            Example(V5_0, Server, b"\x10\x0e\0\x04MQTT\x05\x22\0\0\0\0\x01c"),
        ],
    },
    Exception {
        name: "refuses in 3.1 a QoS for a will that is not there",
        peers: &[MqttProto],
        differences: &[PeerRefuses],
        statements: &["MQTT31 3.1"],
        right: Right::Opifex,
        why: "3.1 only says that the will's fields mean nothing without the will flag",
        applies: |it, _| {
            it.level == 3 && it.connect_flags.is_some_and(|flags| flags & 0x04 == 0 && flags & 0x18 != 0)
        },
        examples: &[Example(V3_1, Server, b"\x10\x0f\0\x06MQIsdp\x03\x0a\0\0\0\x01c")],
    },
    Exception {
        name: "wants in 3.1 the user name and the password that the flags announce",
        peers: &[MqttProto],
        differences: &[PeerRefuses],
        statements: &["MQTT31 3.1"],
        right: Right::Opifex,
        why: "in 3.1 the remaining length takes precedence over these two flags",
        applies: |it, _| {
            it.level == 3
                && it.is_torn
                && it.rest.is_empty()
                && it.connect_flags.is_some_and(|flags| flags & 0xc0 != 0)
                && it.texts(Text::ClientId).next().is_some()
        },
        examples: &[
            Example(V3_1, Server, b"\x10\x0f\0\x06MQIsdp\x03\xc2\0\0\0\x01c"),
            Example(V3_1, Server, b"\x10\x12\0\x06MQIsdp\x03\xc2\0\0\0\x01c\0\x01u"),
        ],
    },
    Exception {
        name: "takes a password without a user name before 5.0",
        peers: &[MqttProto],
        differences: &[PeerAccepts],
        statements: &["MQTT-3.1.2-22"],
        right: Right::Opifex,
        why: "in 3.1.1 the password flag must be 0 when the user name flag is",
        applies: |it, _| it.level < 5 && it.connect_flags.is_some_and(|flags| flags & 0xc0 == 0x40),
        examples: &[Example(V3_1_1, Server, b"\x10\x10\0\x04MQTT\x04\x42\0\0\0\x01c\0\x01p")],
    },
    Exception {
        name: "refuses a password without a user name in 5.0",
        peers: &[MqttProtocolCore],
        differences: &[PeerRefuses],
        statements: &["MQTT5 3.1.2.9"],
        right: Right::Opifex,
        why: "5.0 allows it, where 3.1.1 did not",
        applies: |it, _| it.level == 5 && it.connect_flags.is_some_and(|flags| flags & 0xc0 == 0x40),
        examples: &[Example(V5_0, Server, b"\x10\x11\0\x04MQTT\x05\x42\0\0\0\0\x01c\0\x01p")],
    },
    Exception {
        name: "takes a will topic with wildcards",
        peers: &[MqttProtocolCore, RumqttcNext],
        differences: &[PeerAccepts],
        statements: &["MQTT-4.7.0-1", "MQTT-4.7.1-1"],
        right: Right::Opifex,
        why: "wildcards must not be used within a topic name",
        applies: |it, _| it.texts(Text::WillTopic).any(has_wildcard),
        examples: &[
            Example(V3_1_1, Server, b"\x10\x12\0\x04MQTT\x04\x06\0\0\0\x01c\0\x01+\0\0"),
            Example(V5_0, Server, b"\x10\x14\0\x04MQTT\x05\x06\0\0\0\0\x01c\0\0\x01#\0\0"),
        ],
    },
    Exception {
        name: "takes an empty will topic",
        peers: &[MqttProtocolCore, MqttProto, RumqttcNext],
        differences: &[PeerAccepts],
        statements: &["MQTT-4.7.3-1"],
        right: Right::Opifex,
        why: "topic names are at least one character long",
        applies: |it, _| it.texts(Text::WillTopic).any(<[u8]>::is_empty),
        examples: &[Example(V3_1_1, Server, b"\x10\x11\0\x04MQTT\x04\x06\0\0\0\x01c\0\0\0\0")],
    },
    Exception {
        name: "refuses a will that is not the UTF-8 that it says it is",
        peers: &[MqttProto],
        differences: &[PeerRefuses],
        statements: &["MQTT5 3.1.3.2.3"],
        right: Right::Both,
        why: "the server MAY validate it, and answers 0x99 then; that is not for a codec to say",
        applies: |it, _| {
            it.properties.iter().any(|field| field.of_will && field.id == 0x01 && field.value == [1])
                && it.will_payload.is_some_and(is_no_text)
        },
        examples: &[Example(
            V5_0,
            Server,
            b"\x10\x17\0\x04MQTT\x05\x06\0\0\0\0\x01c\x02\x01\x01\0\x01w\0\x01\xff",
        )],
    },
    Exception {
        name: "takes authentication data without a method",
        peers: &[MqttProtocolCore, MqttProto, RumqttcNext],
        differences: &[PeerAccepts],
        statements: &["MQTT5 3.1.2.11.10"],
        right: Right::Opifex,
        why: "it is a protocol error to include authentication data without a method",
        applies: |it, _| {
            it.packet_type == 1 && it.property(0x16).next().is_some() && it.property(0x15).next().is_none()
        },
        examples: &[Example(V5_0, Server, b"\x10\x12\0\x04MQTT\x05\x02\0\0\x04\x16\0\x01d\0\x01c")],
    },
    Exception {
        name: "takes limits of 0",
        peers: &[MqttProto, RumqttcNext],
        differences: &[PeerAccepts],
        statements: &["MQTT5 3.1.2.11.3", "MQTT5 3.1.2.11.4", "MQTT5 3.2.2.3.3", "MQTT5 3.2.2.3.6"],
        right: Right::Opifex,
        why: "receive maximum and maximum packet size must not be 0",
        applies: |it, _| {
            it.property(0x21).chain(it.property(0x27)).any(|value| value.iter().all(|&byte| byte == 0))
        },
        examples: &[
            Example(V5_0, Server, b"\x10\x11\0\x04MQTT\x05\x02\0\0\x03\x21\0\0\0\x01c"),
            Example(V5_0, Server, b"\x10\x13\0\x04MQTT\x05\x02\0\0\x05\x27\0\0\0\0\0\x01c"),
            Example(V5_0, Client, b"\x20\x06\0\0\x03\x21\0\0"),
            Example(V5_0, Client, b"\x20\x08\0\0\x05\x27\0\0\0\0"),
        ],
    },
    Exception {
        name: "does not look at reserved flags of CONNACK",
        peers: &[MqttProtocolCore],
        differences: &[PeerAccepts],
        statements: &["MQTT311 3.2.2.1", "MQTT-3.2.2-1"],
        right: Right::Opifex,
        why: "bits 7 to 1 are reserved and must be 0",
        applies: |it, _| it.connack_flags.is_some_and(|flags| flags > 1),
        examples: &[Example(V3_1_1, Client, b"\x20\x02\x02\0"), Example(V5_0, Client, b"\x20\x03\x02\0\0")],
    },
    Exception {
        name: "reads the flags of CONNACK in 3.1",
        peers: &[MqttProto],
        differences: &[PeerRefuses, Meaning],
        statements: &["MQTT31 3.2"],
        right: Right::Opifex,
        why: "that byte is reserved and not used in 3.1; session present came with 3.1.1",
        applies: |it, _| it.level == 3 && it.connack_flags.is_some_and(|flags| flags != 0),
        examples: &[Example(V3_1, Client, b"\x20\x02\x01\0"), Example(V3_1, Client, b"\x20\x02\x02\0")],
    },
    Exception {
        name: "takes a session in a refusal",
        peers: &[MqttProtocolCore, MqttProto, RumqttcNext],
        differences: &[PeerAccepts],
        statements: &["MQTT-3.2.2-4", "MQTT-3.2.2-6"],
        right: Right::Opifex,
        why: "with a code other than 0 session present must be 0",
        applies: |it, _| it.connack_flags.is_some_and(|flags| flags & 1 != 0) && it.reasons != [0],
        examples: &[
            Example(V3_1_1, Client, b"\x20\x02\x01\x05"),
            Example(V5_0, Client, b"\x20\x03\x01\x87\0"),
        ],
    },
];

pub(super) fn has_wildcard(topic: &[u8]) -> bool {
    topic.contains(&b'+') || topic.contains(&b'#')
}

pub(super) fn is_no_text(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_err()
}
