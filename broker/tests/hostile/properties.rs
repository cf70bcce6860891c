//! Property blocks of 5.0: unknown, misplaced, doubled, cut short.

use opifex_packet::raw::RawPacket;
use opifex_packet::{PropertyContext, ReasonCode, Version};

use crate::house::House;
use crate::peer::*;

/// The front of each packet that a client sends up to its properties, and what follows them.
fn frames() -> Vec<(PropertyContext, RawPacket, &'static [u8])> {
    let ack = |first_byte| RawPacket::new(first_byte).u16(1).u8(0);
    vec![
        (PropertyContext::Publish, RawPacket::new(0x30).string("t"), b"payload"),
        (PropertyContext::Puback, ack(0x40), b""),
        (PropertyContext::Pubrec, ack(0x50), b""),
        (PropertyContext::Pubrel, ack(0x62), b""),
        (PropertyContext::Pubcomp, ack(0x70), b""),
        (PropertyContext::Subscribe, RawPacket::new(0x82).u16(1), b"\0\x01a\0"),
        (PropertyContext::Unsubscribe, RawPacket::new(0xa2).u16(1), b"\0\x01a"),
        (PropertyContext::Disconnect, RawPacket::new(0xe0).u8(0), b""),
        (PropertyContext::Auth, RawPacket::new(0xf0).u8(0x19), b""),
    ]
}

/// A valid property of each identifier.
fn property(id: u8) -> Vec<u8> {
    let value: &[u8] = match id {
        0x01 | 0x17 | 0x19 | 0x24 | 0x25 | 0x28..=0x2a => &[1],
        0x0b => &[1],
        0x13 | 0x21..=0x23 => &[0, 1],
        0x02 | 0x11 | 0x18 | 0x27 => &[0, 0, 1, 0],
        0x26 => b"\0\x01k\0\x01v",
        _ => b"\0\x01s",
    };
    [&[id], value].concat()
}

const IDS: [u8; 27] = [
    0x01, 0x02, 0x03, 0x08, 0x09, 0x0b, 0x11, 0x12, 0x13, 0x15, 0x16, 0x17, 0x18, 0x19, 0x1a, 0x1c, 0x1f,
    0x21, 0x22, 0x23, 0x24, 0x25, 0x26, 0x27, 0x28, 0x29, 0x2a,
];

#[tokio::test]
async fn an_unknown_property_closes_in_every_packet() {
    let mut house = House::start().await;
    for (_, front, back) in frames() {
        for id in [0x00, 0x04, 0x2b, 0x7f, 0xff] {
            let bytes = front.clone().properties([id, 0, 0]).bytes(back).to_bytes();
            house.closes(Version::V5_0, &bytes, ReasonCode::MalformedPacket).await;
        }
    }
    house.finish().await;
}

#[tokio::test]
async fn a_misplaced_property_closes_in_every_packet() {
    let mut house = House::start().await;
    for (context, front, back) in frames() {
        for id in IDS.into_iter().filter(|id| !context.allows(*id)) {
            let bytes = front.clone().properties(property(id)).bytes(back).to_bytes();
            house.closes(Version::V5_0, &bytes, ReasonCode::MalformedPacket).await;
        }
    }
    house.finish().await;
}

#[tokio::test]
async fn a_doubled_property_closes_in_every_packet() {
    let mut house = House::start().await;
    for (context, front, back) in frames() {
        for id in IDS.into_iter().filter(|id| context.allows(*id) && *id != 0x26) {
            let doubled = [property(id), property(id)].concat();
            let bytes = front.clone().properties(doubled).bytes(back).to_bytes();
            house.closes(Version::V5_0, &bytes, ReasonCode::ProtocolError).await;
        }
    }
    house.finish().await;
}

#[tokio::test]
async fn a_property_that_is_cut_short_closes_in_every_packet() {
    let mut house = House::start().await;
    for (context, front, back) in frames() {
        for id in IDS.into_iter().filter(|id| context.allows(*id)) {
            let whole = property(id);
            let bytes = front.clone().properties(&whole[..whole.len() - 1]).bytes(back).to_bytes();
            house.closes(Version::V5_0, &bytes, ReasonCode::MalformedPacket).await;
        }
    }
    house.finish().await;
}

#[tokio::test]
async fn a_property_length_that_reaches_beyond_the_packet_closes() {
    let mut house = House::start().await;
    for (_, front, back) in frames() {
        for claimed in [back.len() as u32 + 1, 1_000_000] {
            let bytes = front.clone().varint(claimed).bytes(back).to_bytes();
            house.closes(Version::V5_0, &bytes, ReasonCode::MalformedPacket).await;
        }
        let endless = front.clone().bytes([0xff, 0xff, 0xff, 0xff]).to_bytes();
        house.closes(Version::V5_0, &endless, ReasonCode::MalformedPacket).await;
        let roundabout = front.clone().bytes([0x80, 0x00]).bytes(back).to_bytes();
        house.closes(Version::V5_0, &roundabout, ReasonCode::MalformedPacket).await;
    }
    house.finish().await;
}

#[tokio::test]
async fn bad_text_in_any_property_closes() {
    let mut house = House::start().await;
    for bad in BAD_TEXT {
        let text = |id: u8| [&[id, 0, bad.len() as u8], bad].concat();
        let name = [&[0x26, 0, bad.len() as u8], bad, &[0, 1, b'v']].concat();
        let value = [&[0x26, 0, 1, b'k', 0, bad.len() as u8], bad].concat();
        for block in [text(0x03), text(0x08), name.clone(), value] {
            let bytes = RawPacket::new(0x30).string("t").properties(block).to_bytes();
            house.closes(Version::V5_0, &bytes, ReasonCode::MalformedPacket).await;
        }
        let reason = RawPacket::new(0x40).u16(1).u8(0).properties(text(0x1f)).to_bytes();
        house.closes(Version::V5_0, &reason, ReasonCode::MalformedPacket).await;
        let user = RawPacket::new(0x82).u16(1).properties(name).string("a").u8(0).to_bytes();
        house.closes(Version::V5_0, &user, ReasonCode::MalformedPacket).await;
    }
    house.finish().await;
}

#[tokio::test]
async fn a_flag_property_that_is_neither_0_nor_1_closes() {
    let mut house = House::start().await;
    for value in [2, 0xff] {
        let bytes = RawPacket::new(0x30).string("t").properties([0x01, value]).to_bytes();
        house.closes(Version::V5_0, &bytes, ReasonCode::ProtocolError).await;
    }
    house.finish().await;
}

#[tokio::test]
async fn bad_properties_of_connect_are_refused_by_connack() {
    let mut house = House::start().await;
    let connect = |block: &[u8]| {
        let head = RawPacket::new(0x10).string("MQTT").u8(5).u8(2).u16(0);
        head.properties(block).string("c").to_bytes()
    };
    for id in IDS {
        let whole = property(id);
        if !PropertyContext::Connect.allows(id) {
            house.turns_away(Version::V5_0, &connect(&whole), Some(ReasonCode::MalformedPacket)).await;
            continue;
        }
        if id != 0x26 && id != 0x16 {
            let doubled = [&whole[..], &whole[..]].concat();
            house.turns_away(Version::V5_0, &connect(&doubled), Some(ReasonCode::ProtocolError)).await;
        }
        let cut = connect(&whole[..whole.len() - 1]);
        house.turns_away(Version::V5_0, &cut, Some(ReasonCode::MalformedPacket)).await;
    }
    // Receive maximum 0, maximum packet size 0, authentication data without a method.
    for block in [&[0x21, 0, 0][..], &[0x27, 0, 0, 0, 0], &[0x16, 0, 1, b'd'], &[0x17, 2]] {
        house.turns_away(Version::V5_0, &connect(block), Some(ReasonCode::ProtocolError)).await;
    }
    house.finish().await;
}

#[tokio::test]
async fn bad_properties_of_the_will_are_refused_by_connack() {
    let mut house = House::start().await;
    let connect = |block: &[u8]| {
        raw_connect(Version::V5_0, 0x06).string("c").properties(block).string("w").string("p").to_bytes()
    };
    for id in IDS {
        let whole = property(id);
        if !PropertyContext::Will.allows(id) {
            house.turns_away(Version::V5_0, &connect(&whole), Some(ReasonCode::MalformedPacket)).await;
        } else if id != 0x26 {
            let doubled = [&whole[..], &whole[..]].concat();
            house.turns_away(Version::V5_0, &connect(&doubled), Some(ReasonCode::ProtocolError)).await;
        }
    }
    house.finish().await;
}

#[tokio::test]
async fn a_hundred_thousand_user_properties_are_passed_on() {
    let mut house = House::start().await;
    let mut watcher = house.connected(Version::V5_0, "watcher").await;
    watcher.subscribe("t", opifex_packet::QoS::AtMostOnce).await;
    let mut peer = house.connected(Version::V5_0, "talkative").await;
    let block = property(0x26).repeat(100_000);
    peer.send_bytes(&RawPacket::new(0x30).string("t").properties(block).to_bytes()).await;
    let received = watcher.receive_publish().await;
    assert_eq!(received.properties.user_properties().count(), 100_000);
    house.bystanders_are_served().await;
    drop((peer, watcher));
    house.finish().await;
}
