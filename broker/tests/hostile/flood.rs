//! Many of everything: packets, subscriptions, aliases, ids, connections, sessions, and bytes without sense.

use std::time::{Duration, Instant};

use opifex_broker::Limits;
use opifex_packet::raw::RawPacket;
use opifex_packet::{Connect, Packet, Property, QoS, ReasonCode, Version};

use crate::framing::resident_bytes;
use crate::house::House;
use crate::peer::*;

/// The same numbers in each run (SplitMix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn bytes(&mut self, len: u64) -> Vec<u8> {
        (0..len).map(|_| self.next() as u8).collect()
    }
}

#[tokio::test]
async fn a_million_pingreqs_are_answered() {
    let mut house = House::start().await;
    let mut peer = house.connected(Version::V3_1_1, "pinger").await;
    let chunk = [0xc0, 0x00].repeat(100_000);
    for _ in 0..10 {
        peer.send_while_reading(&chunk).await;
        let taken = house.bystanders_are_served().await;
        assert!(taken < Duration::from_secs(5), "the bystanders waited for {taken:?}");
    }
    for _ in 0..1_000_000 {
        assert_eq!(peer.receive().await, Packet::Pingresp);
    }
    drop(peer);
    house.finish().await;
}

#[tokio::test]
async fn hundreds_of_thousands_of_messages_on_ever_new_topics_leave_nothing_behind() {
    let mut house = House::start().await;
    let mut peer = house.connected(Version::V3_1_1, "chatterbox").await;
    let before = resident_bytes();
    let mut random = Random(1);
    for _ in 0..10 {
        let chunk: Vec<u8> = (0..20_000)
            .flat_map(|_| raw_publish(Version::V3_1_1, format!("{:x}", random.next()).as_bytes()).to_bytes())
            .collect();
        peer.send_while_reading(&chunk).await;
        let taken = house.bystanders_are_served().await;
        assert!(taken < Duration::from_secs(5), "the bystanders waited for {taken:?}");
    }
    peer.expect_alive().await;
    let grown = resident_bytes().saturating_sub(before);
    assert!(grown < 256 << 20, "topics that nobody subscribed to took {grown} bytes");
    drop(peer);
    house.finish().await;
}

#[tokio::test]
async fn a_flood_of_subscribes_stops_at_the_limit_and_goes_with_its_client() {
    let limits = Limits { max_subscriptions_per_session: 1_000, ..Limits::default() };
    let mut house = House::with_limits(limits).await;
    for version in ALL {
        let mut peer = house.connected(version, "collector").await;
        let bytes: Vec<u8> = (0..20_000)
            .flat_map(|n| encoded(subscribe(1, &format!("flood/{n}/+"), QoS::AtMostOnce), version))
            .collect();
        peer.send_while_reading(&bytes).await;
        for n in 0..20_000 {
            let granted = peer.receive_suback().await[0] == ReasonCode::Success;
            assert!(granted == (n < 1_000) || version == Version::V3_1, "the {n}th");
        }
        assert_eq!(house.stats().subscriptions, 1_001);
        house.bystanders_are_served().await;
        drop(peer);
        house.only_bystanders_are_left().await;
        assert_eq!(house.stats().subscriptions, 1);
    }
    house.finish().await;
}

#[tokio::test]
async fn one_subscribe_with_the_same_filter_a_hundred_thousand_times_is_one_subscription() {
    let mut house = House::start().await;
    for connect in [Connect::new(Version::V5_0, "repeater"), durable(Version::V5_0, "repeater")] {
        let mut sower = house.connected(Version::V3_1_1, "sower").await;
        for n in 0..200 {
            let mut retained = publish(&format!("repeated/{n}"), "kept", QoS::AtLeastOnce);
            retained.retain = true;
            sower.send(retained).await;
            sower.receive_puback().await;
        }
        let mut peer = Peer::connected_with(house.address, connect).await.0;
        let one = b"\0\x0arepeated/#\x01";
        let packet = raw_subscribe(Version::V5_0).bytes(one.repeat(100_000));
        let begun = Instant::now();
        peer.send_bytes(&packet.to_bytes()).await;
        let (mut messages, mut answered) = (0, false);
        while messages < 200 || !answered {
            match peer.receive().await {
                Packet::Suback(suback) => {
                    assert_eq!(suback.reasons.len(), 100_000);
                    answered = true;
                }
                Packet::Publish(_) => messages += 1,
                other => panic!("{other:?}"),
            }
        }
        assert!(begun.elapsed() < Duration::from_secs(10), "took {:?}", begun.elapsed());
        assert_eq!(house.stats().subscriptions, 2);
        house.bystanders_are_served().await;
    }
    house.shut_down().await;
}

#[tokio::test]
async fn thousands_of_overlapping_subscriptions_give_one_message() {
    let mut house = House::start().await;
    let mut peer = house.connected(Version::V5_0, "overlapping").await;
    // All filters of 13 levels of "a" or "+": each matches, each has an identifier of its own.
    let levels = 13;
    let bytes: Vec<u8> = (0..1u32 << levels)
        .flat_map(|n| {
            let filter: Vec<&str> =
                (0..levels).map(|bit| if n >> bit & 1 == 1 { "+" } else { "a" }).collect();
            let mut packet = subscribe(1, &filter.join("/"), QoS::AtMostOnce);
            packet.properties.push(Property::SubscriptionIdentifier(n + 1));
            encoded(packet, Version::V5_0)
        })
        .collect();
    peer.send_while_reading(&bytes).await;
    for _ in 0..1 << levels {
        peer.receive_suback().await;
    }
    let mut sender = house.connected(Version::V3_1_1, "sender").await;
    let topic = vec!["a"; levels].join("/");
    let begun = Instant::now();
    sender.send(publish(&topic, "once", QoS::AtMostOnce)).await;
    let received = peer.receive_publish().await;
    assert!(begun.elapsed() < Duration::from_secs(4), "one message took {:?}", begun.elapsed());
    assert_eq!(received.properties.subscription_identifiers().count(), 1 << levels);
    house.bystanders_are_served().await;
    drop((peer, sender));
    house.finish().await;
}

#[tokio::test]
async fn topic_aliases_set_anew_again_and_again_take_no_more_room() {
    let mut house = House::with_limits(Limits { topic_alias_maximum: 16, ..Limits::default() }).await;
    let mut peer = house.connected(Version::V5_0, "fickle").await;
    let before = resident_bytes();
    for round in 0..20u32 {
        let bytes: Vec<u8> = (0..1_000u32)
            .flat_map(|n| {
                let topic = format!("{round}/{n}/{}", "x".repeat(1_000));
                let alias = [0x23, 0, (n % 16) as u8 + 1];
                RawPacket::new(0x30).string(&topic).properties(alias).to_bytes()
            })
            .collect();
        peer.send_while_reading(&bytes).await;
    }
    peer.expect_alive().await;
    let grown = resident_bytes().saturating_sub(before);
    assert!(grown < 256 << 20, "16 aliases took {grown} bytes");
    house.bystanders_are_served().await;
    drop(peer);
    house.finish().await;
}

#[tokio::test]
async fn every_qos_2_id_at_once_is_held_and_none_is_delivered_twice() {
    let mut house = House::start().await;
    for version in V3 {
        let mut peer = house.connected(version, "hoarder").await;
        let bytes: Vec<u8> = (1..=u16::MAX)
            .flat_map(|n| encoded(publish_as(n, "hoard", "", QoS::ExactlyOnce), version))
            .collect();
        let mut watcher = house.connected(Version::V3_1_1, "watcher").await;
        watcher.subscribe("hoard", QoS::AtMostOnce).await;
        for round in 0..3 {
            peer.send_while_reading(&bytes).await;
            for _ in 1..=u16::MAX {
                assert!(matches!(peer.receive().await, Packet::Pubrec(_)));
                if round == 0 {
                    watcher.receive_publish().await;
                }
            }
            house.bystanders_are_served().await;
        }
        watcher.expect_alive().await;
    }
    house.finish().await;
}

#[tokio::test]
async fn deep_topics_and_filters_of_wildcards_are_matched_in_bounded_time() {
    let mut house = House::start().await;
    let mut peer = house.connected(Version::V3_1_1, "deep").await;
    let mut random = Random(2);
    // Filters that agree with the topic for a hundred levels, in wildcards or not, and differ in the last.
    let filters: Vec<u8> = (0..2_000)
        .flat_map(|_| {
            let mut filter: Vec<&str> = (0..100).map(|_| ["a", "+"][random.below(2) as usize]).collect();
            filter.push("never");
            encoded(subscribe(1, &filter.join("/"), QoS::AtMostOnce), Version::V3_1_1)
        })
        .collect();
    peer.send_while_reading(&filters).await;
    let topic = format!("{}end", "a/".repeat(100));
    let messages = encoded(publish(&topic, "", QoS::AtMostOnce), Version::V3_1_1).repeat(20);
    let begun = Instant::now();
    peer.send_while_reading(&messages).await;
    let taken = house.bystanders_are_served().await;
    assert!(taken < Duration::from_secs(5), "the bystanders waited for {taken:?}");
    for _ in 0..2_000 {
        peer.receive_suback().await;
    }
    peer.expect_alive().await;
    assert!(begun.elapsed() < Duration::from_secs(10), "took {:?}", begun.elapsed());
    drop(peer);
    house.finish().await;
}

#[tokio::test]
async fn a_storm_of_connections_leaves_nothing_behind() {
    let mut house = House::start().await;
    for n in 0..1_000 {
        let version = ALL[n % 3];
        let mut peer = house.connected(version, &format!("storm-{}", n % 100)).await;
        match n % 4 {
            0 => peer.send_bytes(&[0xe0, 0x00]).await,
            1 => peer.subscribe("bystander/#", QoS::ExactlyOnce).await,
            2 => peer.send(publish("t", "bye", QoS::ExactlyOnce)).await,
            _ => {}
        }
    }
    house.only_bystanders_are_left().await;
    assert_eq!(house.stats().subscriptions, 1);
    house.bystanders_are_served().await;
    house.finish().await;
}

#[tokio::test]
async fn a_client_id_fought_over_by_hundreds_is_held_by_one() {
    let mut house = House::start().await;
    for connect in [Connect::new(Version::V5_0, "coveted"), durable(Version::V3_1_1, "coveted")] {
        let bytes = encoded(connect.clone(), connect.version);
        let mut fighters = Vec::new();
        for _ in 0..300 {
            let mut peer = house.open(connect.version).await;
            peer.send_bytes(&bytes).await;
            fighters.push(peer);
        }
        // Everybody is let in once and put out again but one, who may be any of them.
        let mut winners = 0;
        for peer in &mut fighters {
            assert_eq!(peer.receive_connack().await.reason, ReasonCode::Success);
        }
        crate::house::wait_until("one is left", || house.stats().connections == 3).await;
        for peer in &mut fighters {
            peer.send(Packet::Pingreq).await;
            match peer.next().await {
                Some(Packet::Pingresp) => winners += 1,
                Some(Packet::Disconnect(disconnect)) => {
                    assert_eq!(disconnect.reason, ReasonCode::SessionTakenOver);
                }
                None => {}
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(winners, 1);
        assert_eq!(house.stats().sessions, 3);
        house.bystanders_are_served().await;
        drop(fighters);
        house.only_bystanders_are_left().await;
    }
    house.shut_down().await;
}

#[tokio::test]
async fn thousands_of_sessions_that_expire_at_once_hold_nobody_up() {
    let mut house = House::start().await;
    for n in 0..2_000 {
        let mut connect = Connect::new(Version::V5_0, format!("brief-{n}"));
        connect.properties.push(Property::SessionExpiryInterval(1));
        drop(Peer::connected_with(house.address, connect).await);
    }
    let mut longest = Duration::ZERO;
    let begun = Instant::now();
    while house.stats().sessions > 2 {
        longest = longest.max(house.bystanders_are_served().await);
        assert!(begun.elapsed() < Duration::from_secs(30), "sessions do not expire");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert!(longest < Duration::from_secs(1), "the bystanders waited for {longest:?}");
    house.finish().await;
}

#[tokio::test]
async fn random_bytes_on_thousands_of_connections_end_each_of_them() {
    let mut house = House::start().await;
    let mut random = Random(0x0b_1fe0);
    for n in 0..3_000 {
        let version = ALL[n % 3];
        let mut peer = house.open(version).await;
        let mut bytes = Vec::new();
        if n % 2 == 0 {
            bytes.extend(encoded(Connect::new(version, "garbage"), version));
        }
        if n % 5 == 0 {
            // As a packet that is whole, so that more than its first byte is looked at.
            let len = random.below(60);
            let first_byte = [0x10, 0x30, 0x32, 0x34, 0x40, 0x50, 0x62, 0x70, 0x82, 0xa2, 0xe0, 0xf0];
            let first_byte = first_byte[random.below(12) as usize];
            bytes.extend(RawPacket::new(first_byte).bytes(random.bytes(len)).to_bytes());
        }
        let len = random.below(300);
        bytes.extend(random.bytes(len));
        peer.send_bytes(&bytes).await;
        peer.half_close().await;
        peer.drain().await;
        if n % 100 == 0 {
            house.bystanders_are_served().await;
        }
    }
    house.finish().await;
}
