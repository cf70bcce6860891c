//! SUBSCRIBE, UNSUBSCRIBE and their answers.

use super::connecting::has_wildcard;
use super::prelude::*;

pub(super) const ALL: &[Exception] = &[
    Exception {
        name: "takes wildcards anywhere in a filter",
        peers: &[MqttProtocolCore, RumqttcNext],
        differences: &[PeerAccepts],
        statements: &["MQTT-4.7.1-1", "MQTT-4.7.1-2", "MQTT-4.7.1-3"],
        right: Right::Opifex,
        why: "+ fills its level, # fills the last one",
        applies: |it, _| it.texts(Text::Filter).any(has_misplaced_wildcard),
        examples: &[
            Example(V3_1_1, Server, b"\x82\x07\0\x01\0\x02#a\0"),
            Example(V3_1_1, Server, b"\xa2\x06\0\x01\0\x02a+"),
            Example(V5_0, Server, b"\x82\x09\0\x01\0\0\x03#/a\0"),
            Example(V5_0, Server, b"\xa2\x07\0\x01\0\0\x02+a"),
        ],
    },
    Exception {
        name: "takes + in front of other characters at a filter's end",
        peers: &[MqttProto],
        differences: &[PeerAccepts],
        statements: &["MQTT-4.7.1-2", "MQTT-4.7.1-3"],
        right: Right::Opifex,
        why: "+ fills its level; the peer looks only when it comes to a slash",
        applies: |it, _| {
            it.texts(Text::Filter).any(|filter| match filter.rsplit(|&byte| byte == b'/').next() {
                Some([b'+', rest @ ..]) => !rest.is_empty(),
                _ => false,
            })
        },
        examples: &[
            Example(V3_1_1, Server, b"\xa2\x06\0\x01\0\x02+a"),
            Example(V5_0, Server, b"\x82\x0a\0\x01\0\0\x04a/+b\0"),
        ],
    },
    Exception {
        name: "takes an empty filter",
        peers: &[MqttProtocolCore, RumqttcNext],
        differences: &[PeerAccepts],
        statements: &["MQTT-4.7.3-1"],
        right: Right::Opifex,
        why: "topic filters are at least one character long",
        applies: |it, _| it.texts(Text::Filter).any(<[u8]>::is_empty),
        examples: &[
            Example(V3_1_1, Server, b"\x82\x05\0\x01\0\0\0"),
            Example(V5_0, Server, b"\xa2\x05\0\x01\0\0\0"),
        ],
    },
    Exception {
        name: "takes a shared subscription without a filter",
        peers: &[MqttProtocolCore, RumqttcNext],
        differences: &[PeerAccepts],
        statements: &["MQTT-4.8.2-2"],
        right: Right::Opifex,
        why: "a topic filter follows the share name, and is not empty",
        applies: |it, _| {
            it.texts(Text::Filter).any(|filter| {
                let group = filter.strip_prefix(b"$share/").and_then(|rest| rest.strip_suffix(b"/"));
                group.is_some_and(|group| !group.is_empty() && !group.contains(&b'/'))
            })
        },
        examples: &[Example(V5_0, Server, b"\x82\x0f\0\x01\0\0\x09$share/g/\0")],
    },
    Exception {
        name: "has shared subscriptions before 5.0",
        peers: &[MqttProto],
        differences: &[PeerRefuses],
        statements: &["MQTT311 4.7"],
        right: Right::Opifex,
        why: "$share is a topic level as any other in 3.x; the peer refuses those that 5.0 would refuse",
        applies: |it, _| it.level < 5 && it.texts(Text::Filter).any(|filter| filter.starts_with(b"$share/")),
        examples: &[
            Example(V3_1_1, Server, b"\x82\x0d\0\x01\0\x08$share/g\0"),
            Example(V3_1, Server, b"\xa2\x0d\0\x01\0\x09$share//a"),
        ],
    },
    Exception {
        name: "takes no local on a shared subscription",
        peers: &[MqttProtocolCore, MqttProto, RumqttcNext],
        differences: &[PeerAccepts],
        statements: &["MQTT-3.8.3-4"],
        right: Right::Opifex,
        why: "it is a protocol error",
        applies: |it, _| {
            it.level == 5
                && it
                    .texts(Text::Filter)
                    .zip(&it.options)
                    .any(|(filter, options)| filter.starts_with(b"$share/") && options & 0b0000_0100 != 0)
        },
        examples: &[Example(V5_0, Server, b"\x82\x10\0\x01\0\0\x0a$share/g/a\x04")],
    },
    Exception {
        name: "reads the options of 5.0 in 3.1.1",
        peers: &[MqttProtocolCore],
        differences: &[PeerAccepts],
        statements: &["MQTT-3.8.3-4"],
        right: Right::Opifex,
        why: "in 3.1.1 the upper six bits of the requested QoS are reserved and must be 0",
        applies: |it, _| it.level == 4 && it.options.iter().any(|options| options & 0b1111_1100 != 0),
        examples: &[Example(V3_1_1, Server, b"\x82\x06\0\x01\0\x01a\x04")],
    },
    Exception {
        name: "takes an answer to no filter at all",
        peers: &[MqttProto],
        differences: &[PeerAccepts],
        statements: &["MQTT-3.8.4-5", "MQTT-3.8.4-6", "MQTT-3.11.3-1"],
        right: Right::Opifex,
        why: "there is one code for each filter, and at least one filter",
        applies: |it, _| matches!(it.packet_type, 9 | 11) && it.reasons.is_empty(),
        examples: &[
            Example(V3_1_1, Client, b"\x90\x02\0\x01"),
            Example(V5_0, Client, b"\x90\x03\0\x01\0"),
            Example(V5_0, Client, b"\xb0\x03\0\x01\0"),
        ],
    },
    Exception {
        name: "has a failure in SUBACK of 3.1",
        peers: &[MqttProto],
        differences: &[PeerAccepts],
        statements: &["MQTT-3.9.3-2"],
        right: Right::Opifex,
        why: "0x80 came with 3.1.1",
        applies: |it, _| it.level == 3 && it.packet_type == 9 && it.reasons.contains(&0x80),
        examples: &[Example(V3_1, Client, b"\x90\x03\0\x01\x80")],
    },
    Exception {
        name: "does not look at share names",
        peers: &[RumqttcNext],
        differences: &[PeerAccepts],
        statements: &["MQTT-4.8.2-1", "MQTT-4.8.2-2"],
        right: Right::Opifex,
        why: "a share name is at least one character, none of them a wildcard, and a filter follows it",
        applies: |it, _| {
            it.level == 5
                && it.texts(Text::Filter).filter_map(|filter| filter.strip_prefix(b"$share/")).any(|rest| {
                    match rest.iter().position(|&byte| byte == b'/') {
                        Some(end) => end == 0 || has_wildcard(&rest[..end]),
                        None => true,
                    }
                })
        },
        examples: &[
            Example(V5_0, Server, b"\x82\x0f\0\x01\0\0\x09$share//a\0"),
            Example(V5_0, Server, b"\xa2\x0f\0\x01\0\0\x0a$share/+/a"),
            Example(V5_0, Server, b"\x82\x0e\0\x01\0\0\x08$share/g\0"),
        ],
    },
    Exception {
        name: "takes an UNSUBSCRIBE without a filter",
        peers: &[RumqttcNext],
        differences: &[PeerAccepts],
        statements: &["MQTT-3.10.3-2"],
        right: Right::Opifex,
        why: "its payload has at least one topic filter; the peer asks that of SUBSCRIBE",
        applies: |it, _| it.packet_type == 10 && it.texts.iter().all(|(kind, _)| *kind != Text::Filter),
        examples: &[Example(V3_1_1, Server, b"\xa2\x02\0\x01"), Example(V5_0, Server, b"\xa2\x03\0\x01\0")],
    },
];

fn has_misplaced_wildcard(filter: &[u8]) -> bool {
    let levels: Vec<_> = filter.split(|&byte| byte == b'/').collect();
    levels.iter().enumerate().any(|(at, level)| {
        let is_last = at + 1 == levels.len();
        (level.contains(&b'#') && (level.len() > 1 || !is_last)) || (level.contains(&b'+') && level.len() > 1)
    })
}
