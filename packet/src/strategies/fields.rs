//! Field values: texts, bytes, topics, numbers. Mostly short, sometimes long enough for a length
//! of two bytes, with all that UTF-8 allows.

use proptest::collection::vec;
use proptest::prelude::*;

use crate::{PacketId, QoS, TopicFilter, TopicName};

/// Any packet identifier.
pub fn packet_id() -> impl Strategy<Value = PacketId> {
    prop_oneof![Just(1), Just(u16::MAX), 1..=u16::MAX]
        .prop_map(|id| PacketId::new(id).expect("the ranges begin with 1"))
}

/// Any QoS.
pub fn qos() -> impl Strategy<Value = QoS> {
    prop::sample::select(&[QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce][..])
}

/// Any text that a field can hold: all of Unicode but U+0000.
pub fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        8 => vec(character(), 0..12).prop_map(String::from_iter),
        1 => vec(character(), 100..300).prop_map(String::from_iter),
    ]
}

/// Any bytes that a field can hold, mostly few.
pub fn binary() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![8 => vec(any::<u8>(), 0..12), 1 => vec(any::<u8>(), 200..400)]
}

/// The payload of a message; sometimes one that needs three bytes of remaining length.
pub fn payload() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        16 => vec(any::<u8>(), 0..24),
        4 => vec(any::<u8>(), 90..200),
        1 => (16_300..16_500usize).prop_map(|len| vec![0xa5; len]),
    ]
}

/// Any topic name, some of them with `$` in front or with empty levels.
pub fn topic_name() -> impl Strategy<Value = TopicName<'static>> {
    (prop::bool::weighted(0.1), vec(level(), 1..5)).prop_filter_map(
        "a topic is not empty",
        |(dollar, levels)| {
            let name = format!("{}{}", if dollar { "$" } else { "" }, levels.join("/"));
            TopicName::new(name).ok()
        },
    )
}

/// Any topic filter; shared ones too, when `shared` says so.
pub fn topic_filter(shared: bool) -> impl Strategy<Value = TopicFilter<'static>> {
    let level = prop_oneof![3 => level(), 1 => Just("+".to_owned())];
    let group = if shared { prop::option::weighted(0.2, "[a-z ]{1,3}").boxed() } else { Just(None).boxed() };
    (group, vec(level, 0..5), any::<bool>()).prop_filter_map(
        "a filter is not empty",
        |(group, mut levels, hash)| {
            if hash {
                levels.push("#".to_owned());
            }
            let filter = levels.join("/");
            TopicFilter::new(match group {
                Some(group) => format!("$share/{group}/{filter}"),
                None => filter,
            })
            .ok()
        },
    )
}

/// One level of a topic, often one of few, so that names and filters meet.
fn level() -> impl Strategy<Value = String> {
    prop_oneof![
        "[ab]?",
        vec(character(), 1..8).prop_map(|level| {
            String::from_iter(level.into_iter().filter(|one| !matches!(one, '/' | '+' | '#')))
        })
    ]
}

fn character() -> impl Strategy<Value = char> {
    prop_oneof![
        4 => prop::char::range(' ', '~'),
        1 => Just('\u{feff}'),
        2 => any::<char>().prop_filter("U+0000 is not allowed", |&one| one != '\0'),
    ]
}
