//! SUBSCRIBE and UNSUBSCRIBE: filters, options, how many.

use opifex_broker::Limits;
use opifex_packet::raw::RawPacket;
use opifex_packet::{
    Packet, QoS, ReasonCode, Subscribe, Subscription, SubscriptionOptions, TopicFilter, Version,
};

use crate::house::House;
use crate::peer::*;

/// How SUBACK says no: 3.1.1 has one code for it, 3.1 none.
fn refusal(version: Version, reason: ReasonCode) -> ReasonCode {
    match version {
        Version::V3_1 => ReasonCode::Success,
        Version::V3_1_1 => ReasonCode::UnspecifiedError,
        Version::V5_0 => reason,
    }
}

#[tokio::test]
async fn an_empty_subscribe_closes() {
    let mut house = House::start().await;
    house.closes_in(&ALL, raw_subscribe, ReasonCode::ProtocolError).await;
    house.finish().await;
}

#[tokio::test]
async fn an_empty_unsubscribe_closes() {
    let mut house = House::start().await;
    let packet = |version| no_properties(RawPacket::new(0xa2).u16(3), version);
    house.closes_in(&ALL, packet, ReasonCode::ProtocolError).await;
    house.finish().await;
}

#[tokio::test]
async fn packet_id_0_of_subscribe_and_unsubscribe_closes() {
    let mut house = House::start().await;
    for first_byte in [0x82, 0xa2] {
        let packet = |version| no_properties(RawPacket::new(first_byte).u16(0), version).string("a").u8(0);
        house.closes_in(&ALL, packet, ReasonCode::MalformedPacket).await;
    }
    house.finish().await;
}

#[tokio::test]
async fn a_filter_that_is_none_closes() {
    let mut house = House::start().await;
    for filter in ["", "a#", "#/a", "a/#/b", "##", "a+", "+a/b", "++"] {
        let subscribe = |version| raw_subscribe(version).string(filter).u8(0);
        house.closes_in(&ALL, subscribe, ReasonCode::MalformedPacket).await;
        let unsubscribe = |version| no_properties(RawPacket::new(0xa2).u16(3), version).string(filter);
        house.closes_in(&ALL, unsubscribe, ReasonCode::MalformedPacket).await;
    }
    house.finish().await;
}

#[tokio::test]
async fn a_bad_filter_behind_good_ones_subscribes_to_nothing() {
    let mut house = House::start().await;
    let before = house.stats().subscriptions;
    let packet = |version| raw_subscribe(version).string("good").u8(0).string("bad#").u8(0);
    house.closes_in(&ALL, packet, ReasonCode::MalformedPacket).await;
    assert_eq!(house.stats().subscriptions, before);
    house.finish().await;
}

#[tokio::test]
async fn bad_text_in_a_filter_closes() {
    let mut house = House::start().await;
    for bad in BAD_TEXT {
        let packet = |version| raw_subscribe(version).binary(bad).u8(0);
        house.closes_in(&ALL, packet, ReasonCode::MalformedPacket).await;
    }
    house.finish().await;
}

#[tokio::test]
async fn qos_3_in_a_subscription_closes() {
    let mut house = House::start().await;
    let packet = |version| raw_subscribe(version).string("a").u8(3);
    house.closes_in(&V3, packet, ReasonCode::MalformedPacket).await;
    house.closes_in(&V5, packet, ReasonCode::ProtocolError).await;
    house.finish().await;
}

#[tokio::test]
async fn reserved_bits_of_subscription_options_close() {
    let mut house = House::start().await;
    for options in [0x04, 0x08, 0x10, 0x20, 0x40, 0x80] {
        let packet = |version| raw_subscribe(version).string("a").u8(options);
        house.closes_in(&[Version::V3_1_1], packet, ReasonCode::MalformedPacket).await;
    }
    for options in [0x40, 0x80] {
        let packet = |version| raw_subscribe(version).string("a").u8(options);
        house.closes_in(&V5, packet, ReasonCode::MalformedPacket).await;
    }
    house.finish().await;
}

#[tokio::test]
async fn retain_handling_3_closes() {
    let mut house = House::start().await;
    let packet = |version| raw_subscribe(version).string("a").u8(0x30);
    house.closes_in(&V5, packet, ReasonCode::ProtocolError).await;
    house.finish().await;
}

#[tokio::test]
async fn a_filter_without_options_closes() {
    let mut house = House::start().await;
    let packet = |version| raw_subscribe(version).string("a");
    house.closes_in(&ALL, packet, ReasonCode::MalformedPacket).await;
    house.finish().await;
}

#[tokio::test]
async fn subscription_identifier_0_closes() {
    let mut house = House::start().await;
    let packet = |_| RawPacket::new(0x82).u16(3).properties([0x0b, 0]).string("a").u8(0);
    house.closes_in(&V5, packet, ReasonCode::ProtocolError).await;
    house.finish().await;
}

#[tokio::test]
async fn a_subscription_identifier_of_five_bytes_closes() {
    let mut house = House::start().await;
    let packet =
        |_| RawPacket::new(0x82).u16(3).properties([0x0b, 0xff, 0xff, 0xff, 0xff, 0x01]).string("a").u8(0);
    house.closes_in(&V5, packet, ReasonCode::MalformedPacket).await;
    house.finish().await;
}

#[tokio::test]
async fn no_local_on_a_shared_subscription_closes() {
    let mut house = House::start().await;
    let packet = |version| raw_subscribe(version).string("$share/g/a").u8(0x04);
    house.closes_in(&V5, packet, ReasonCode::ProtocolError).await;
    house.finish().await;
}

#[tokio::test]
async fn an_ill_formed_shared_filter_closes() {
    let mut house = House::start().await;
    for filter in ["$share/", "$share//a", "$share/g", "$share/g/", "$share/+/a", "$share/#", "$share/g#/a"] {
        let packet = |version| raw_subscribe(version).string(filter).u8(0);
        house.closes_in(&V5, packet, ReasonCode::MalformedPacket).await;
    }
    house.finish().await;
}

#[tokio::test]
async fn a_filter_that_is_too_deep_is_refused_and_the_connection_goes_on() {
    let mut house = House::start().await;
    for version in ALL {
        let mut peer = house.connected(version, "deep").await;
        for filter in ["/".repeat(128), "+/".repeat(200), "/".repeat(65_535)] {
            peer.send(subscribe(9, &filter, QoS::AtMostOnce)).await;
            let refused = refusal(version, ReasonCode::TopicFilterInvalid);
            assert_eq!(peer.receive_suback().await, [refused]);
        }
        peer.subscribe(&"+/".repeat(127), QoS::AtMostOnce).await;
        house.bystanders_are_served().await;
    }
    house.finish().await;
}

#[tokio::test]
async fn subscriptions_over_the_maximum_are_refused_one_by_one() {
    let limits = Limits { max_subscriptions_per_session: 3, ..Limits::default() };
    let mut house = House::with_limits(limits).await;
    for version in ALL {
        let mut peer = house.connected(version, "collector").await;
        let filters = ["a", "b", "a", "c", "d", "b"].map(|filter| {
            Subscription::new(TopicFilter::new(filter).unwrap(), SubscriptionOptions::new(QoS::AtMostOnce))
        });
        peer.send(Subscribe::new(id(1), filters.into())).await;
        let no = refusal(version, ReasonCode::QuotaExceeded);
        let yes = ReasonCode::Success;
        assert_eq!(peer.receive_suback().await, [yes, yes, yes, yes, no, yes]);
        peer.expect_alive().await;
        house.bystanders_are_served().await;
    }
    house.finish().await;
}

#[tokio::test]
async fn shared_subscriptions_where_there_are_none_are_refused() {
    let limits = Limits { shared_subscriptions: false, ..Limits::default() };
    let mut house = House::with_limits(limits).await;
    let mut peer = house.connected(Version::V5_0, "wishful").await;
    peer.send(subscribe(1, "$share/g/a", QoS::AtMostOnce)).await;
    assert_eq!(peer.receive_suback().await, [ReasonCode::SharedSubscriptionsNotSupported]);
    peer.expect_alive().await;
    house.bystanders_are_served().await;
    drop(peer);
    house.finish().await;
}

#[tokio::test]
async fn unsubscribing_from_what_was_never_subscribed_to_harms_nobody() {
    let mut house = House::start().await;
    for version in ALL {
        let mut peer = house.connected(version, "mistaken").await;
        for filter in ["bystander/#", "#", "$share/g/bystander/#", "nothing"] {
            let packet = no_properties(RawPacket::new(0xa2).u16(3), version).string(filter);
            peer.send_bytes(&packet.to_bytes()).await;
            match peer.receive().await {
                Packet::Unsuback(unsuback) if version.is_v5() => {
                    assert_eq!(unsuback.reasons, [ReasonCode::NoSubscriptionExisted]);
                }
                other => assert!(matches!(other, Packet::Unsuback(_))),
            }
        }
        house.bystanders_are_served().await;
    }
    house.finish().await;
}
