//! Many retained messages for a new subscription: none is lost, whoever is slow, and nobody waits for ever.

use opifex_broker::{Broker, DropCause, Limits};
use opifex_packet::{Packet, Property, Publish, QoS, Version};
use opifex_storage::{FullPolicy, Persistence};

use crate::backend::conversations;
use crate::peer::*;
use crate::store::Store;

conversations!(
    a_new_subscriber_gets_thousands_of_retained_messages_and_loses_none,
    a_new_subscriber_loses_no_large_retained_messages_however_slowly_it_reads,
    a_new_subscriber_loses_none_beyond_its_queue_limit,
    a_suback_waits_for_no_acknowledgement_of_what_the_subscription_brings,
    messages_at_qos_0_wait_for_no_acknowledgement_of_others,
    a_subscription_that_is_given_up_brings_no_more,
    a_message_that_changes_while_it_is_replayed_never_ends_with_the_older_value,
);

const QOS: [QoS; 3] = [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce];

/// Publishes many retained messages, subscribes, and checks that all of them come, once each.
async fn all_arrive(broker: &Broker<impl Persistence>, count: usize, size: usize) {
    let mut sender = Peer::v5(broker, "s").await;
    for n in 0..count {
        let payload = format!("{n:0size$}");
        sender.publish_retained(&format!("many/{n}"), &payload, QoS::ExactlyOnce).await;
    }
    sender.settle().await;
    for version in [Version::V3_1_1, Version::V5_0] {
        for durable in [false, true] {
            for qos in QOS {
                let hello = if durable { connect_durable(version, "late") } else { connect(version, "late") };
                let mut late = Peer::open_narrow(broker, version, 4096);
                late.introduce(hello).await;
                late.send(subscribe("many/#", options(qos), None)).await;
                let mut seen = vec![false; count];
                let mut subacks = 0;
                while subacks == 0 || seen.contains(&false) {
                    match late.receive().await {
                        Packet::Suback(_) => subacks += 1,
                        Packet::Publish(publish) => {
                            let n: usize = text(&publish).parse().unwrap();
                            assert!(!std::mem::replace(&mut seen[n], true), "{n} came twice");
                            late.acknowledge(&publish).await;
                        }
                        Packet::Pubrel(pubrel) => {
                            late.send(opifex_packet::Pubcomp::new(pubrel.packet_id)).await;
                        }
                        other => panic!("unexpected {other:?}"),
                    }
                }
                late.vanish(broker).await;
                let (clean, _) = Peer::connect(broker, connect(version, "late")).await;
                clean.disconnect(broker).await;
            }
        }
    }
    for cause in DropCause::ALL {
        assert_eq!(broker.stats().dropped(cause), 0, "{}", cause.name());
    }
    sender.disconnect(broker).await;
}

async fn a_new_subscriber_gets_thousands_of_retained_messages_and_loses_none() {
    all_arrive(&broker().await, 3_000, 20).await;
}

async fn a_new_subscriber_loses_no_large_retained_messages_however_slowly_it_reads() {
    let limits = Limits { max_outbox_bytes: 100_000, ..Limits::default() };
    all_arrive(&broker_with_limits(limits).await, 100, 30_000).await;
}

async fn a_new_subscriber_loses_none_beyond_its_queue_limit() {
    for policy in [FullPolicy::DropNewest, FullPolicy::DropOldest] {
        let limits = Limits { max_queued_messages: 20, queue_full: policy, ..Limits::default() };
        let broker = broker_with_limits(limits).await;
        let mut sender = Peer::v5(&broker, "s").await;
        for n in 0..300 {
            sender.publish_retained(&format!("many/{n}"), &n.to_string(), QoS::AtLeastOnce).await;
        }
        for durable in [false, true] {
            let version = Version::V5_0;
            let mut hello = if durable { connect_durable(version, "late") } else { connect(version, "late") };
            hello.properties.push(Property::ReceiveMaximum(5));
            let (mut late, _) = Peer::connect(&broker, hello).await;
            late.send(subscribe("many/#", options(QoS::AtLeastOnce), None)).await;
            let mut seen = vec![false; 300];
            let mut subacks = 0;
            while subacks == 0 || seen.contains(&false) {
                match late.receive().await {
                    Packet::Suback(_) => subacks += 1,
                    Packet::Publish(publish) => {
                        let n: usize = text(&publish).parse().unwrap();
                        assert!(!std::mem::replace(&mut seen[n], true), "{n} came twice");
                        late.acknowledge(&publish).await;
                    }
                    other => panic!("unexpected {other:?}"),
                }
            }
            late.disconnect(&broker).await;
        }
        assert_eq!(broker.stats().dropped_total(), 0);
    }
}

/// A broker with 100 retained messages, one in ten at QoS 0, and a new durable client, whose queue holds 20 and whose
/// window 5.
async fn more_than_its_queue_holds(version: Version) -> (Broker<Store>, Peer) {
    let limits = Limits { max_queued_messages: 20, max_inflight: 5, ..Limits::default() };
    let broker = broker_with_limits(limits).await;
    let mut sender = Peer::v5(&broker, "s").await;
    for n in 0..100 {
        let qos = if n % 10 == 0 { QoS::AtMostOnce } else { QoS::AtLeastOnce };
        sender.publish_retained(&format!("many/{n}"), &n.to_string(), qos).await;
    }
    sender.settle_with_store().await;
    let (late, _) = Peer::connect(&broker, connect_durable(version, "late")).await;
    (broker, late)
}

/// What comes before the next acknowledgement of the broker, while the client acknowledges nothing.
async fn before_the_next_ack(peer: &mut Peer) -> Vec<Publish<'static>> {
    let mut before = Vec::new();
    loop {
        match peer.receive().await {
            Packet::Publish(publish) => before.push(publish),
            Packet::Suback(_) | Packet::Unsuback(_) => return before,
            other => panic!("unexpected {other:?}"),
        }
    }
}

async fn a_suback_waits_for_no_acknowledgement_of_what_the_subscription_brings() {
    for version in [Version::V3_1_1, Version::V5_0] {
        let (broker, mut late) = more_than_its_queue_holds(version).await;
        let mut came = Vec::new();
        // The second one waits behind the first, whose messages still come.
        for filter in ["many/#", "many/+"] {
            late.send(subscribe(filter, options(QoS::AtLeastOnce), None)).await;
            came.extend(before_the_next_ack(&mut late).await);
        }
        let mut seen = [0; 100];
        loop {
            for publish in std::mem::take(&mut came) {
                late.acknowledge(&publish).await;
                seen[text(&publish).parse::<usize>().unwrap()] += 1;
            }
            if seen == [2; 100] {
                break;
            }
            came.push(late.receive_publish().await);
        }
        late.expect_silence().await;
        assert_eq!(broker.stats().dropped_total(), 0);
    }
}

async fn messages_at_qos_0_wait_for_no_acknowledgement_of_others() {
    let limits = Limits { max_queued_bytes: 3_500, max_inflight: 1, ..Limits::default() };
    let broker = broker_with_limits(limits).await;
    let mut sender = Peer::v5(&broker, "s").await;
    for n in 0..3 {
        sender.publish_retained(&format!("a/{n}"), &"x".repeat(1_000), QoS::AtLeastOnce).await;
    }
    sender.publish_retained("a/free", &"x".repeat(2_000), QoS::AtMostOnce).await;
    sender.settle_with_store().await;
    for hello in [connect(Version::V5_0, "late"), connect_durable(Version::V5_0, "late")] {
        let (mut late, _) = Peer::connect(&broker, hello).await;
        late.send(subscribe("a/#", options(QoS::AtLeastOnce), None)).await;
        let mut came = before_the_next_ack(&mut late).await;
        while came.len() < 2 {
            came.push(late.receive_publish().await);
        }
        assert!(came.iter().any(|publish| publish.payload.len() == 2_000));
        late.vanish(&broker).await;
    }
}

async fn a_subscription_that_is_given_up_brings_no_more() {
    let (_broker, mut late) = more_than_its_queue_holds(Version::V5_0).await;
    let mut came = Vec::new();
    for filter in ["many/#", "many/+"] {
        late.send(subscribe(filter, options(QoS::AtLeastOnce), None)).await;
        came.extend(before_the_next_ack(&mut late).await);
    }
    late.send(unsubscribe("many/+")).await;
    late.send(unsubscribe("many/#")).await;
    came.extend(before_the_next_ack(&mut late).await);
    came.extend(before_the_next_ack(&mut late).await);
    let mut stored = 0;
    loop {
        for publish in std::mem::take(&mut came) {
            late.acknowledge(&publish).await;
            stored += usize::from(publish.qos() > QoS::AtMostOnce);
        }
        match late.receive_within_secs(10).await {
            None => break,
            Some(Packet::Publish(publish)) => came.push(publish),
            Some(other) => panic!("unexpected {other:?}"),
        }
    }
    // [MQTT-3.10.4-2]: what its queue held already, and no more.
    assert_eq!(stored, 20);
}

async fn a_message_that_changes_while_it_is_replayed_never_ends_with_the_older_value() {
    let broker = broker().await;
    let mut sender = Peer::v5(&broker, "s").await;
    for (durable, qos) in [(false, QoS::AtMostOnce), (false, QoS::AtLeastOnce), (true, QoS::AtLeastOnce)] {
        for n in 0..1_000 {
            sender.publish_retained(&format!("many/{n}"), "old", QoS::AtLeastOnce).await;
        }
        sender.settle().await;
        let version = Version::V5_0;
        let hello = if durable { connect_durable(version, "late") } else { connect(version, "late") };
        let mut late = Peer::open_narrow(&broker, version, 512);
        late.introduce(hello).await;
        late.send(subscribe("many/#", options(qos), None)).await;
        let mut last = vec![String::new(); 1_000];
        let mut overtaking = 0;
        while last.iter().any(|value| value != "new") {
            match late.receive().await {
                Packet::Publish(publish) => {
                    let n: usize = publish.topic.as_ref().unwrap().as_str()[5..].parse().unwrap();
                    last[n] = text(&publish);
                    late.acknowledge(&publish).await;
                    if overtaking < 1_000 {
                        // From the far end, so that the replay meets the changes.
                        let n = 999 - overtaking;
                        overtaking += 1;
                        sender.publish_retained(&format!("many/{n}"), "new", QoS::AtLeastOnce).await;
                    }
                }
                Packet::Suback(_) => {}
                other => panic!("unexpected {other:?}"),
            }
        }
        late.expect_silence().await;
        late.disconnect(&broker).await;
        let (clean, _) = Peer::connect(&broker, connect(version, "late")).await;
        clean.disconnect(&broker).await;
    }
}
