//! Shared subscriptions: one member gets a message, fairly, and a member that goes away takes nothing with it.

use opifex_broker::Broker;
use opifex_packet::{
    Packet, Properties, Property, Pubcomp, Pubrec, Pubrel, QoS, Subscribe, Subscription, TopicFilter, Version,
};

use crate::backend::conversations;
use crate::peer::*;
use crate::store::Store;

conversations!(
    each_message_goes_to_one_member_and_all_members_get_as_much,
    members_that_are_away_do_not_make_it_unfair,
    two_groups_and_two_filters_get_a_message_each,
    when_all_durable_members_are_away_messages_wait_for_one,
    a_member_that_goes_away_loses_nothing_of_qos_1_and_nothing_unsent_of_qos_2,
    a_member_that_unsubscribes_gets_what_was_chosen_for_it,
    a_shared_delivery_carries_its_own_subscription_identifier,
    in_3_1_1_an_ill_formed_share_is_a_filter_that_goes_with_its_session,
);

const QOS: [QoS; 3] = [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce];

/// Takes what comes, acknowledged by its first acknowledgement.
async fn take_all(peer: &mut Peer) -> Vec<String> {
    let mut taken = Vec::new();
    loop {
        match peer.receive_within_secs(1).await {
            Some(Packet::Publish(publish)) => {
                peer.acknowledge(&publish).await;
                taken.push(text(&publish));
            }
            Some(Packet::Pubrel(pubrel)) => peer.send(Pubcomp::new(pubrel.packet_id)).await,
            Some(other) => panic!("unexpected {other:?}"),
            None => return taken,
        }
    }
}

async fn publish_numbers(broker: &Broker<Store>, qos: QoS, count: usize) {
    let mut sender = Peer::v5(broker, "numbers").await;
    for n in 0..count {
        sender.publish("a", &n.to_string(), qos).await;
    }
    sender.disconnect(broker).await;
}

fn sorted(mut numbers: Vec<String>) -> Vec<usize> {
    numbers.sort();
    let mut numbers: Vec<usize> = numbers.iter().map(|n| n.parse().unwrap()).collect();
    numbers.sort_unstable();
    numbers
}

async fn each_message_goes_to_one_member_and_all_members_get_as_much() {
    let broker = broker().await;
    for durable in [false, true] {
        for qos in QOS {
            let mut members = Vec::new();
            for (n, version) in [Version::V3_1_1, Version::V5_0, Version::V5_0].into_iter().enumerate() {
                let name = format!("m{n}");
                let hello = if durable { connect_durable(version, &name) } else { connect(version, &name) };
                let (mut member, _) = Peer::connect(&broker, hello).await;
                member.subscribe("$share/g/a", qos).await;
                members.push(member);
            }
            let mut outsider = Peer::v5(&broker, "outsider").await;
            outsider.subscribe("a", qos).await;
            publish_numbers(&broker, qos, 30).await;
            let mut all = Vec::new();
            for member in &mut members {
                let taken = take_all(member).await;
                assert_eq!(taken.len(), 10, "{qos:?}, durable: {durable}");
                all.extend(taken);
            }
            assert_eq!(sorted(all), (0..30).collect::<Vec<_>>());
            assert_eq!(take_all(&mut outsider).await.len(), 30);
            outsider.disconnect(&broker).await;
            for (n, member) in members.into_iter().enumerate() {
                member.disconnect(&broker).await;
                let (clean, _) = Peer::connect(&broker, connect(Version::V5_0, &format!("m{n}"))).await;
                clean.disconnect(&broker).await;
            }
            assert_eq!(broker.stats().subscriptions, 0);
        }
    }
}

async fn members_that_are_away_do_not_make_it_unfair() {
    let broker = broker().await;
    let mut there = Vec::new();
    for (n, leaves) in [false, true, true, false, true].into_iter().enumerate() {
        let (mut member, _) = Peer::connect(&broker, connect_durable(Version::V5_0, &format!("m{n}"))).await;
        member.subscribe("$share/g/a", QoS::AtLeastOnce).await;
        if leaves { member.vanish(&broker).await } else { there.push(member) }
    }
    for qos in [QoS::AtMostOnce, QoS::AtLeastOnce] {
        publish_numbers(&broker, qos, 20).await;
        for member in &mut there {
            assert_eq!(take_all(member).await.len(), 10);
        }
    }
}

async fn two_groups_and_two_filters_get_a_message_each() {
    let broker = broker().await;
    let mut peer = Peer::v5(&broker, "c").await;
    for filter in ["$share/g/a", "$share/h/a", "$share/g/+", "a"] {
        peer.subscribe(filter, QoS::AtMostOnce).await;
    }
    publish_numbers(&broker, QoS::AtMostOnce, 1).await;
    assert_eq!(take_all(&mut peer).await.len(), 4);
    peer.unsubscribe("$share/h/a").await;
    publish_numbers(&broker, QoS::AtMostOnce, 1).await;
    assert_eq!(take_all(&mut peer).await.len(), 3);
}

async fn when_all_durable_members_are_away_messages_wait_for_one() {
    let broker = broker().await;
    for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
        for n in 0..2 {
            let (mut member, _) =
                Peer::connect(&broker, connect_durable(Version::V5_0, &format!("m{n}"))).await;
            member.subscribe("$share/g/a", qos).await;
            member.vanish(&broker).await;
        }
        publish_numbers(&broker, qos, 10).await;
        let mut all = Vec::new();
        for n in 0..2 {
            let (mut member, _) =
                Peer::connect(&broker, connect_durable(Version::V5_0, &format!("m{n}"))).await;
            let taken = take_all(&mut member).await;
            assert_eq!(taken.len(), 5);
            all.extend(taken);
            member.disconnect(&broker).await;
        }
        assert_eq!(sorted(all), (0..10).collect::<Vec<_>>());
    }
}

async fn a_member_that_goes_away_loses_nothing_of_qos_1_and_nothing_unsent_of_qos_2() {
    for ending in ["vanishes", "expires", "is replaced"] {
        for durable in [false, true] {
            if !durable && ending == "expires" {
                continue;
            }
            for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
                let broker = broker().await;
                let version = Version::V5_0;
                let mut hello =
                    if durable { connect_durable(version, "goes") } else { connect(version, "goes") };
                if ending == "expires" {
                    hello.properties = Properties::new().with(Property::SessionExpiryInterval(10));
                }
                hello.properties.push(Property::ReceiveMaximum(2));
                let (mut goes, _) = Peer::connect(&broker, hello).await;
                goes.subscribe("$share/g/a", qos).await;
                publish_numbers(&broker, qos, 10).await;
                let sent = [goes.receive_publish().await, goes.receive_publish().await];
                // One of those that were sent is taken to its end, or half way.
                match qos {
                    QoS::ExactlyOnce => {
                        let packet_id = sent[0].delivery.packet_id().unwrap();
                        goes.send(Pubrec::new(packet_id)).await;
                        goes.expect(Pubrel::new(packet_id)).await;
                    }
                    _ => goes.acknowledge(&sent[0]).await,
                }
                goes.settle_after_publishes().await;
                let (mut stays, _) = Peer::connect(&broker, connect_durable(version, "stays")).await;
                stays.subscribe("$share/g/a", qos).await;
                goes.vanish(&broker).await;
                match ending {
                    "expires" => pass_secs(13).await,
                    "is replaced" => {
                        let (clean, _) = Peer::connect(&broker, connect(version, "goes")).await;
                        clean.disconnect(&broker).await;
                        pass_secs(3).await;
                    }
                    _ if durable => continue,
                    _ => {}
                }
                let moved = sorted(take_all(&mut stays).await);
                // QoS 1: all but the one that was acknowledged. QoS 2: what had no packet id.
                let from = if qos == QoS::AtLeastOnce { 1 } else { 2 };
                let expected: Vec<_> = (from..10).collect();
                assert_eq!(moved, expected, "{ending}, durable: {durable}, {qos:?}");
                stays.expect_silence().await;
                assert_eq!(broker.stats().sessions, 1);
            }
        }
    }
}

async fn a_member_that_unsubscribes_gets_what_was_chosen_for_it() {
    let broker = broker().await;
    let mut member = Peer::v5(&broker, "m").await;
    member.subscribe("$share/g/a", QoS::AtLeastOnce).await;
    publish_numbers(&broker, QoS::AtLeastOnce, 3).await;
    member
        .send(opifex_packet::Unsubscribe {
            packet_id: id(3),
            properties: Properties::new(),
            filters: vec![opifex_packet::TopicFilter::new("$share/g/a").unwrap()],
        })
        .await;
    publish_numbers(&broker, QoS::AtLeastOnce, 3).await;
    let (mut messages, mut unsubacks) = (0, 0);
    while let Some(packet) = member.receive_within_secs(1).await {
        match packet {
            Packet::Publish(publish) => {
                messages += 1;
                member.acknowledge(&publish).await;
            }
            Packet::Unsuback(_) => unsubacks += 1,
            other => panic!("unexpected {other:?}"),
        }
    }
    assert_eq!((messages, unsubacks), (3, 1));
}

async fn a_shared_delivery_carries_its_own_subscription_identifier() {
    let broker = broker().await;
    let mut sender = Peer::v5(&broker, "s").await;
    for hello in [connect(Version::V5_0, "m"), connect_durable(Version::V5_0, "m")] {
        let (mut member, _) = Peer::connect(&broker, hello).await;
        member.subscribe_with("$share/g/a", options(QoS::AtLeastOnce), Some(5)).await;
        for qos in QOS {
            sender.publish("a", "x", qos).await;
            let publish = member.receive_acknowledged().await;
            assert_eq!(publish.properties.subscription_identifiers().collect::<Vec<_>>(), [5]);
        }
        member.disconnect(&broker).await;
    }
}

async fn in_3_1_1_an_ill_formed_share_is_a_filter_that_goes_with_its_session() {
    let broker = broker().await;
    let mut peer = Peer::v4(&broker, "odd").await;
    let filter = TopicFilter::without_share_rules("$share/x").unwrap();
    let subscription = Subscription { filter, options: options(QoS::AtMostOnce) };
    peer.send(Subscribe {
        packet_id: id(1),
        properties: Properties::new(),
        subscriptions: vec![subscription],
    })
    .await;
    assert!(matches!(peer.receive().await, Packet::Suback(_)));
    assert_eq!(broker.stats().subscriptions, 1);
    peer.vanish(&broker).await;
    wait_until(|| broker.stats().subscriptions == 0).await;
}
