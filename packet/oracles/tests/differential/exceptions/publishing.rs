//! PUBLISH.

use super::connecting::{has_wildcard, is_no_text};
use super::prelude::*;

pub(super) const ALL: &[Exception] = &[
    Exception {
        name: "takes DUP on a message of QoS 0",
        peers: &[MqttProtocolCore, MqttProto],
        differences: &[PeerAccepts],
        statements: &["MQTT-3.3.1-2"],
        right: Right::Opifex,
        why: "DUP must be 0 for all QoS 0 messages",
        applies: |it, _| it.packet_type == 3 && it.flags & 0b1110 == 0b1000,
        examples: &[Example(V3_1_1, Server, b"\x38\x03\0\x01a"), Example(V5_0, Server, b"\x38\x04\0\x01a\0")],
    },
    Exception {
        name: "keeps DUP on a message of QoS 0 in 3.1",
        peers: &[MqttProto],
        differences: &[Meaning],
        statements: &["MQTT31 2.1"],
        right: Right::Both,
        why: "3.1 gives DUP no meaning there, so we do not keep it",
        applies: |it, _| it.level == 3 && it.packet_type == 3 && it.flags & 0b1110 == 0b1000,
        examples: &[Example(V3_1, Server, b"\x38\x03\0\x01a")],
    },
    Exception {
        name: "takes a topic with wildcards",
        peers: &[MqttProtocolCore],
        differences: &[PeerAccepts],
        statements: &["MQTT-3.3.2-2"],
        right: Right::Opifex,
        why: "the topic name in PUBLISH must not contain wildcards",
        applies: |it, _| it.texts(Text::Topic).any(has_wildcard),
        examples: &[Example(V3_1_1, Server, b"\x30\x03\0\x01#"), Example(V5_0, Server, b"\x30\x04\0\x01+\0")],
    },
    Exception {
        name: "takes an empty topic",
        peers: &[MqttProtocolCore, MqttProto, RumqttcNext],
        differences: &[PeerAccepts],
        statements: &["MQTT-4.7.3-1"],
        right: Right::Opifex,
        why: "topic names are at least one character long",
        applies: |it, _| {
            (it.level < 5 && it.texts(Text::Topic).any(<[u8]>::is_empty))
                || it.property(0x08).any(<[u8]>::is_empty)
        },
        examples: &[
            Example(V3_1_1, Server, b"\x30\x02\0\0"),
            Example(V5_0, Server, b"\x30\x07\0\x01a\x03\x08\0\0"),
        ],
    },
    Exception {
        name: "takes an empty topic without an alias",
        peers: &[MqttProtocolCore, MqttProto, RumqttcNext],
        differences: &[PeerAccepts],
        statements: &["MQTT5 3.3.2.1"],
        right: Right::Opifex,
        why: "it is a protocol error; the peers' connections find out later",
        applies: |it, _| it.texts(Text::Topic).any(<[u8]>::is_empty) && it.property(0x23).next().is_none(),
        examples: &[Example(V5_0, Server, b"\x30\x03\0\0\0")],
    },
    Exception {
        name: "takes the topic alias 0",
        peers: &[MqttProto],
        differences: &[PeerAccepts],
        statements: &["MQTT-3.3.2-8"],
        right: Right::Opifex,
        why: "a sender must not send a topic alias of 0",
        applies: |it, _| it.property(0x23).any(|alias| alias == [0, 0]),
        examples: &[Example(V5_0, Server, b"\x30\x07\0\x01a\x03\x23\0\0")],
    },
    Exception {
        name: "takes the subscription identifier 0",
        peers: &[MqttProto, RumqttcNext],
        differences: &[PeerAccepts],
        statements: &["MQTT5 3.3.2.3.8", "MQTT5 3.8.2.1.2"],
        right: Right::Opifex,
        why: "it is a protocol error if the identifier is 0",
        applies: |it, _| it.property(0x0b).any(|id| id == [0]),
        examples: &[
            Example(V5_0, Client, b"\x30\x06\0\x01a\x02\x0b\0"),
            Example(V5_0, Server, b"\x82\x09\0\x01\x02\x0b\0\0\x01a\0"),
        ],
    },
    Exception {
        name: "takes a subscription identifier from a client",
        peers: &[MqttProtocolCore, MqttProto, RumqttcNext],
        differences: &[PeerAccepts],
        statements: &["MQTT-3.3.4-6"],
        right: Right::Both,
        why: "only servers send it; the peers do not know who reads",
        applies: |it, input| {
            input.role == Server && it.packet_type == 3 && it.property(0x0b).next().is_some()
        },
        examples: &[Example(V5_0, Server, b"\x30\x06\0\x01a\x02\x0b\x01")],
    },
    Exception {
        name: "takes one subscription identifier only",
        peers: &[MqttProto],
        differences: &[PeerRefuses],
        statements: &["MQTT5 3.3.2.3.8"],
        right: Right::Opifex,
        why: "a message of several subscriptions has several identifiers",
        applies: |it, input| input.role == Client && it.packet_type == 3 && it.property(0x0b).count() > 1,
        examples: &[Example(V5_0, Client, b"\x30\x08\0\x01a\x04\x0b\x01\x0b\x02")],
    },
    Exception {
        name: "takes a response topic with wildcards",
        peers: &[MqttProtocolCore, RumqttcNext],
        differences: &[PeerAccepts],
        statements: &["MQTT-3.3.2-14"],
        right: Right::Opifex,
        why: "the response topic must not contain wildcards",
        applies: |it, _| it.property(0x08).any(has_wildcard),
        examples: &[
            Example(V5_0, Server, b"\x30\x08\0\x01a\x04\x08\0\x01#"),
            Example(V5_0, Server, b"\x10\x18\0\x04MQTT\x05\x06\0\0\0\0\x01c\x04\x08\0\x01+\0\x01w\0\0"),
        ],
    },
    Exception {
        name: "refuses a payload that is not the UTF-8 that it says it is",
        peers: &[MqttProto],
        differences: &[PeerRefuses],
        statements: &["MQTT5 3.3.2.3.2"],
        right: Right::Both,
        why: "a receiver MAY validate it, and answers 0x99 then; that is not for a codec to say",
        applies: |it, _| {
            it.packet_type == 3
                && it.property(0x01).any(|flag| flag == [1])
                && it.payload.is_some_and(is_no_text)
        },
        examples: &[Example(V5_0, Server, b"\x30\x07\0\x01a\x02\x01\x01\xff")],
    },
    Exception {
        name: "takes a PUBLISH that ends before its property length",
        peers: &[MqttProtocolCore],
        differences: &[PeerAccepts],
        statements: &["MQTT5 2.1.4"],
        right: Right::Opifex,
        why: "without properties there is a property length of 0 (2.2.2.1)",
        applies: |it, _| {
            it.level == 5
                && it.packet_type == 3
                && it.is_torn
                && it.rest.is_empty()
                && (it.flags & 0b0110 == 0 || it.packet_id.is_some())
        },
        examples: &[
            Example(V5_0, Server, b"\x30\x03\0\x01a"),
            Example(V5_0, Server, b"\x32\x05\0\x01a\0\x01"),
        ],
    },
];
