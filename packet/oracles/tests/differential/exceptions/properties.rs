//! Property blocks: their ends, and the values in them.

use super::prelude::*;

pub(super) const ALL: &[Exception] = &[
    Exception {
        name: "reads a property over the end of its block",
        peers: &[RumqttcNext],
        differences: &[PeerAccepts],
        statements: &["MQTT5 2.2.2.2"],
        right: Right::Opifex,
        why: "the property length is the length of the properties; the peer asks it only where one begins",
        applies: |it, _| it.level == 5 && is_torn_property(it.block_rest),
        examples: &[
            Example(V5_0, Server, b"\x40\x08\0\x01\0\x02\x1f\0\x01a"),
            Example(V5_0, Server, b"\x30\x08\0\x01a\x01\x03\0\x01t"),
            Example(V5_0, Server, b"\x82\x09\0\x01\x01\x0b\x05\0\x01a\0"),
        ],
    },
    Exception {
        name: "takes a flag that is neither 0 nor 1",
        peers: &[RumqttcNext],
        differences: &[PeerAccepts],
        statements: &["MQTT5 2.2.2.2", "MQTT5 3.2.2.3.4"],
        right: Right::Opifex,
        why: "it is a protocol error to have another value; the peer says so of other flags",
        applies: |it, _| {
            matches!(it.packet_type, 1..=3)
                && [0x01, 0x24, 0x28, 0x29, 0x2a].iter().any(|&id| it.property(id).any(|value| value[0] > 1))
        },
        examples: &[
            Example(V5_0, Server, b"\x30\x06\0\x01a\x02\x01\x02"),
            Example(V5_0, Server, b"\x10\x16\0\x04MQTT\x05\x06\0\0\0\0\x01c\x02\x01\x02\0\x01w\0\0"),
            Example(V5_0, Client, b"\x20\x05\0\0\x02\x24\x02"),
            Example(V5_0, Client, b"\x20\x05\0\0\x02\x28\x02"),
            Example(V5_0, Client, b"\x20\x05\0\0\x02\x29\x02"),
            Example(V5_0, Client, b"\x20\x05\0\0\x02\x2a\x02"),
        ],
    },
    Exception {
        name: "takes properties behind subscription identifiers for the payload",
        peers: &[RumqttcNext],
        differences: &[Meaning],
        statements: &["MQTT5 3.3.2.3.8"],
        right: Right::Opifex,
        why: "the peer counts each identifier in PUBLISH a byte too long, so its block ends too early",
        applies: |it, _| {
            it.packet_type == 3
                && it.properties.split_last().is_some_and(|(last, before)| {
                    last.value.len() < before.iter().filter(|field| field.id == 0x0b).count()
                })
        },
        examples: &[
            Example(V5_0, Client, b"\x30\x0a\0\x01a\x06\x0b\x01\x0b\x02\x01\x01"),
            Example(V5_0, Client, b"\x30\x0a\0\x01a\x06\x0b\x01\x0b\x02\x0b\x03"),
        ],
    },
    Exception {
        name: "does not look at the last bytes of a block with subscription identifiers",
        peers: &[RumqttcNext],
        differences: &[PeerAccepts],
        statements: &["MQTT5 2.1.4", "MQTT5 2.2.2.2"],
        right: Right::Opifex,
        why: "the peer counts each identifier in PUBLISH a byte too long, so its block ends too early",
        applies: |it, _| {
            let uncounted = 1..=it.property(0x0b).count();
            it.packet_type == 3
                && (uncounted.contains(&it.block_overhang) || uncounted.contains(&it.block_rest.len()))
        },
        examples: &[
            Example(V5_0, Client, b"\x30\x06\0\x01a\x03\x0b\x01"),
            Example(V5_0, Client, b"\x30\x07\0\x01a\x03\x0b\x01\xff"),
        ],
    },
];

/// Whether a property begins there that the rest is too short for.
fn is_torn_property(rest: &[u8]) -> bool {
    matches!(
        rest.first(),
        Some(0x01..=0x03 | 0x08 | 0x09 | 0x0b | 0x11..=0x13 | 0x15..=0x1a | 0x1c | 0x1f | 0x21..=0x2a)
    )
}
