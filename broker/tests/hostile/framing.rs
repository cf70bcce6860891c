//! Fixed headers: types, flags, lengths, and where a packet ends.

use opifex_broker::Limits;
use opifex_packet::raw::{RawPacket, RemainingLength};
use opifex_packet::{QoS, ReasonCode, Version};

use crate::house::House;
use crate::peer::*;

#[tokio::test]
async fn packet_type_0_closes() {
    let mut house = House::start().await;
    house.closes_in(&ALL, |_| RawPacket::new(0x00), ReasonCode::MalformedPacket).await;
    house.finish().await;
}

#[tokio::test]
async fn packet_type_15_closes_before_5_0() {
    let mut house = House::start().await;
    house.closes_in(&V3, |_| RawPacket::new(0xf0), ReasonCode::MalformedPacket).await;
    house.finish().await;
}

#[tokio::test]
async fn reserved_flags_close_for_every_packet_type() {
    let mut house = House::start().await;
    for version in ALL {
        for packet_type in [0x40, 0x50, 0x60, 0x70, 0x80, 0xa0, 0xc0, 0xe0] {
            for flags in [0x01, 0x04] {
                let bytes = RawPacket::new(packet_type | flags).u16(1).to_bytes();
                house.closes(version, &bytes, ReasonCode::MalformedPacket).await;
            }
        }
    }
    house.finish().await;
}

#[tokio::test]
async fn the_flags_that_subscribe_unsubscribe_and_pubrel_need_are_asked_for() {
    let mut house = House::start().await;
    for first_byte in [0x60, 0x80, 0xa0] {
        let packet = |version| no_properties(RawPacket::new(first_byte).u16(1), version).string("a").u8(0);
        house.closes_in(&ALL, packet, ReasonCode::MalformedPacket).await;
    }
    house.finish().await;
}

#[tokio::test]
async fn a_remaining_length_of_five_bytes_closes() {
    let mut house = House::start().await;
    for length in [[0xff, 0xff, 0xff, 0xff, 0x01], [0x80, 0x80, 0x80, 0x80, 0x00]] {
        let packet = |_| RawPacket::new(0x30).remaining_length(RemainingLength::Bytes(length.to_vec()));
        house.closes_in(&ALL, packet, ReasonCode::MalformedPacket).await;
    }
    house.finish().await;
}

#[tokio::test]
async fn a_remaining_length_of_five_bytes_in_connect_closes() {
    let mut house = House::start().await;
    let bytes = [0x10, 0xff, 0xff, 0xff, 0xff, 0x01];
    house.turns_away(Version::V5_0, &bytes, None).await;
    house.finish().await;
}

#[tokio::test]
async fn a_remaining_length_longer_than_need_be_closes_in_5_0_alone() {
    let mut house = House::start().await;
    let pingreq = [0xc0, 0x80, 0x00];
    house.closes(Version::V5_0, &pingreq, ReasonCode::MalformedPacket).await;
    let mut old = house.connected(Version::V3_1_1, "old").await;
    old.send_bytes(&pingreq).await;
    old.expect(opifex_packet::Packet::Pingresp).await;
    drop(old);
    house.finish().await;
}

#[tokio::test]
async fn a_packet_over_the_maximum_size_closes_as_soon_as_it_claims_so() {
    let mut house = House::with_limits(Limits { max_packet_size: 4_096, ..Limits::default() }).await;
    for version in ALL {
        // Nothing of its body is sent.
        house
            .closes(version, &RawPacket::new(0x30).claiming(4_096).to_bytes(), ReasonCode::PacketTooLarge)
            .await;
        let mut peer = house.connected(version, "exact").await;
        let header = if version.is_v5() { 3 + 4 } else { 3 + 3 };
        peer.send(publish("t", &"x".repeat(4_096 - header), QoS::AtMostOnce)).await;
        peer.expect_alive().await;
    }
    house.finish().await;
}

#[tokio::test]
async fn a_huge_claim_costs_no_memory_before_its_bytes_arrive() {
    let limits = Limits { max_packet_size: 256 << 20, ..Limits::default() };
    let mut house = House::with_limits(limits).await;
    let before = resident_bytes();
    let mut claimants = Vec::new();
    for n in 0..64 {
        let mut peer = house.connected(Version::V5_0, &format!("claimant-{n}")).await;
        peer.send_bytes(&RawPacket::new(0x30).claiming(200 << 20).u16(1).bytes("t").to_bytes()).await;
        claimants.push(peer);
    }
    house.bystanders_are_served().await;
    let grown = resident_bytes().saturating_sub(before);
    assert!(grown < 64 << 20, "64 claims of 200 MiB took {grown} bytes");
    drop(claimants);
    house.finish().await;
}

#[tokio::test]
async fn a_packet_that_stops_in_the_middle_ends_with_its_connection() {
    let mut house = House::start().await;
    for version in ALL {
        let whole = encoded(publish("bystander/topic", "cut off", QoS::AtLeastOnce), version);
        for len in 1..whole.len() {
            let mut peer = house.connected(version, "cut").await;
            peer.send_bytes(&whole[..len]).await;
            peer.half_close().await;
            peer.expect_closed().await;
        }
        // What was cut off was not delivered to anybody.
        house.bystanders_are_served().await;
    }
    house.finish().await;
}

#[tokio::test]
async fn an_empty_packet_of_every_type_that_needs_contents_closes() {
    let mut house = House::start().await;
    for version in ALL {
        for first_byte in [0x30, 0x32, 0x34, 0x40, 0x50, 0x62, 0x70, 0x82, 0xa2] {
            house.closes(version, &[first_byte, 0], ReasonCode::MalformedPacket).await;
        }
    }
    house.turns_away(Version::V5_0, &[0x10, 0], None).await;
    house.finish().await;
}

#[tokio::test]
async fn contents_where_there_are_none_close() {
    let mut house = House::start().await;
    house.closes_in(&ALL, |_| RawPacket::new(0xc0).u8(0), ReasonCode::MalformedPacket).await;
    house.closes_in(&V3, |_| RawPacket::new(0xe0).u8(0), ReasonCode::MalformedPacket).await;
    house.finish().await;
}

#[tokio::test]
async fn a_packet_that_goes_on_after_its_last_field_closes() {
    let mut house = House::start().await;
    for first_byte in [0x40, 0x50, 0x62, 0x70] {
        house.closes_in(&V3, |_| RawPacket::new(first_byte).u16(1).u8(0), ReasonCode::MalformedPacket).await;
        let packet = |_| RawPacket::new(first_byte).u16(1).u8(0).u8(0).u8(0);
        house.closes_in(&V5, packet, ReasonCode::MalformedPacket).await;
    }
    house.finish().await;
}

#[tokio::test]
async fn a_field_that_reaches_beyond_its_packet_closes() {
    let mut house = House::start().await;
    let publish = |_| RawPacket::new(0x30).u16(500).bytes("short");
    house.closes_in(&ALL, publish, ReasonCode::MalformedPacket).await;
    let subscribe = |version| raw_subscribe(version).u16(9).bytes("abc").u8(0);
    house.closes_in(&ALL, subscribe, ReasonCode::MalformedPacket).await;
    house.finish().await;
}

#[tokio::test]
async fn what_stands_before_a_broken_packet_in_the_same_segment_takes_effect() {
    let mut house = House::start().await;
    for version in ALL {
        let mut watcher = house.connected(Version::V5_0, "watcher").await;
        watcher.subscribe("before", QoS::AtMostOnce).await;
        let mut bytes = encoded(publish("before", "said", QoS::AtMostOnce), version);
        bytes.extend_from_slice(&[0x00, 0x00]);
        bytes.extend(encoded(publish("before", "never said", QoS::AtMostOnce), version));
        house.closes(version, &bytes, ReasonCode::MalformedPacket).await;
        assert_eq!(&watcher.receive_publish().await.payload[..], b"said");
        watcher.expect_alive().await;
    }
    house.finish().await;
}

/// What the process holds in memory, tests that run beside this one included.
pub(crate) fn resident_bytes() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}
