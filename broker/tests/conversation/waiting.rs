//! What waits for the store and what does not: a slow store holds up acknowledgements and reading, and nothing else.

use std::time::Duration;

use opifex_broker::Limits;
use opifex_conformance::faults::{At, Effect, Fault, Faulty};
use opifex_packet::{
    Packet, Properties, Puback, Pubcomp, Pubrel, QoS, ReasonCode, TopicFilter, Unsubscribe, Version,
};
use opifex_storage::ErrorKind;
use tokio::time::{Instant, timeout};

use crate::backend::conversations;
use crate::gates::Gates;
use crate::peer::*;
use crate::store::Store;

conversations!(
    a_pubcomp_to_a_durable_publisher_waits_for_its_removal,
    an_unsuback_of_a_durable_session_waits,
    a_retained_message_and_a_packet_id_are_durable_before_they_are_acknowledged,
    pingresp_and_messages_pass_acknowledgements_that_wait,
    a_store_that_hangs_for_five_seconds_is_noticed_by_nobody_else,
    publishers_are_slowed_by_a_store_that_is_behind_and_memory_stays_bounded,
    acknowledgements_wait_until_what_they_acknowledge_is_durable,
    a_message_is_delivered_when_it_is_ordered_and_not_before,
    a_qos_2_message_and_its_pubrel_leave_when_their_state_is_durable,
    suback_and_connack_of_a_durable_session_wait,
    a_suback_that_does_not_wait_for_its_replay_waits_for_what_is_queued,
    a_connection_that_waits_for_the_store_still_gets_messages_and_is_taken_over,
    a_store_that_hangs_closes_the_connection_that_waits_for_it,
    a_store_that_is_full_refuses_what_grows_with_0x97,
    a_store_that_fails_closes_the_connection_without_an_acknowledgement,
    a_subscription_made_while_a_retained_message_is_on_its_way_gets_it,
    retained_messages_are_read_when_those_that_were_delivered_are_durable,
);

const HOLD_ORDERS: Gates = Gates { hold_opens: false, hold_orders: true, hold_commits: false, refuse: None };
const HOLD_COMMITS: Gates = Gates { hold_opens: false, hold_orders: false, hold_commits: true, refuse: None };

async fn slow() -> (opifex_broker::Broker<Faulty<Store>>, Faulty<Store>, Peer) {
    let store = Faulty::over(Store::new());
    let broker = broker_over(store.clone()).await;
    let (mut keeper, _) = Peer::connect(&broker, connect_durable(Version::V5_0, "keeper")).await;
    keeper.subscribe("a", QoS::ExactlyOnce).await;
    (broker, store, keeper)
}

async fn acknowledgements_wait_until_what_they_acknowledge_is_durable() {
    for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
        for hold in [HOLD_ORDERS, HOLD_COMMITS] {
            let (broker, store, _keeper) = slow().await;
            let (mut sender, _) = Peer::connect(&broker, connect_durable(Version::V5_0, "s")).await;
            store.set(hold);
            sender.send(publish("a", "x", qos)).await;
            sender.expect_silence().await;
            // One that nobody listens to waits behind it.
            let mut other = publish("nobody", "x", qos);
            other.delivery = opifex_packet::Delivery::new(qos, id(5));
            sender.send(other).await;
            sender.expect_silence().await;
            store.mend();
            let ids: Vec<u16> = [sender.receive().await, sender.receive().await]
                .into_iter()
                .map(|packet| match packet {
                    Packet::Puback(ack) => ack.packet_id.get(),
                    Packet::Pubrec(ack) => ack.packet_id.get(),
                    other => panic!("unexpected {other:?}"),
                })
                .collect();
            assert_eq!(ids, [if qos == QoS::AtLeastOnce { 77 } else { 78 }, 5]);
        }
    }
}

async fn a_message_is_delivered_when_it_is_ordered_and_not_before() {
    let (broker, store, mut keeper) = slow().await;
    let mut plain = Peer::v5(&broker, "plain").await;
    plain.subscribe("a", QoS::AtMostOnce).await;
    let mut sender = Peer::v5(&broker, "s").await;
    store.set(HOLD_ORDERS);
    sender.send(publish("a", "x", QoS::AtLeastOnce)).await;
    plain.expect_silence().await;
    keeper.expect_silence().await;
    store.set(HOLD_COMMITS);
    assert_eq!(plain.receive_text().await, "x");
    assert_eq!(keeper.receive_text().await, "x");
    sender.expect_silence().await;
    store.mend();
    sender.expect(Puback::new(id(77))).await;
}

async fn a_qos_2_message_and_its_pubrel_leave_when_their_state_is_durable() {
    let (broker, store, mut keeper) = slow().await;
    let mut sender = Peer::v5(&broker, "s").await;
    store.set(HOLD_COMMITS);
    sender.send(publish("a", "x", QoS::ExactlyOnce)).await;
    keeper.expect_silence().await;
    store.mend();
    let publish = keeper.receive_publish().await;
    let packet_id = publish.delivery.packet_id().unwrap();
    store.set(HOLD_COMMITS);
    keeper.send(opifex_packet::Pubrec::new(packet_id)).await;
    keeper.expect_silence().await;
    // Asking again does not hurry it.
    keeper.send(opifex_packet::Pubrec::new(packet_id)).await;
    keeper.expect_silence().await;
    store.mend();
    keeper.expect(Pubrel::new(packet_id)).await;
}

async fn suback_and_connack_of_a_durable_session_wait() {
    let (broker, store, mut keeper) = slow().await;
    store.set(Gates { hold_opens: true, ..HOLD_COMMITS });
    keeper.send(subscribe("b", options(QoS::AtLeastOnce), None)).await;
    keeper.expect_silence().await;
    let mut other = Peer::open(&broker, Version::V5_0);
    other.send(connect_durable(Version::V5_0, "other")).await;
    other.expect_silence().await;
    // One that owns no record waits for nothing.
    let mut plain = Peer::v5(&broker, "plain").await;
    plain.subscribe("b", QoS::AtMostOnce).await;
    plain.publish("b", "x", QoS::AtMostOnce).await;
    assert_eq!(plain.receive_text().await, "x");
    assert_eq!(keeper.receive_text().await, "x", "routing has the subscription");
    store.mend();
    assert!(matches!(keeper.receive().await, Packet::Suback(_)));
    assert!(matches!(other.receive().await, Packet::Connack(_)));
}

async fn a_suback_that_does_not_wait_for_its_replay_waits_for_what_is_queued() {
    let store = Faulty::over(Store::new());
    let limits = Limits { max_queued_messages: 20, ..Limits::default() };
    let broker = opifex_broker::Broker::builder(store.clone()).limits(limits).start().await.unwrap();
    let mut sender = Peer::v5(&broker, "s").await;
    for n in 0..50 {
        sender.publish_retained(&format!("many/{n}"), "x", QoS::AtLeastOnce).await;
    }
    let (mut late, _) = Peer::connect(&broker, connect_durable(Version::V5_0, "late")).await;
    let replays = At::Batch(|batch| !batch.guards.is_empty());
    store.set([Fault::new(replays, Effect::HoldCommit)]);
    late.send(subscribe("many/#", options(QoS::AtLeastOnce), None)).await;
    for _ in 0..20 {
        late.receive_publish().await;
    }
    late.expect_silence().await;
    assert!(store.mend() > 0);
    assert!(matches!(late.receive().await, Packet::Suback(_)));
}

async fn a_connection_that_waits_for_the_store_still_gets_messages_and_is_taken_over() {
    let (broker, store, _keeper) = slow().await;
    let mut hello = connect(Version::V5_0, "c");
    hello.keep_alive_secs = 2;
    let (mut peer, _) = Peer::connect(&broker, hello).await;
    peer.subscribe("news", QoS::AtMostOnce).await;
    store.set(HOLD_ORDERS);
    peer.send(publish("a", "x", QoS::AtLeastOnce)).await;
    let mut sender = Peer::v5(&broker, "s").await;
    // Keep-alive does not run against a client that is not read.
    for _ in 0..5 {
        pass_secs(4).await;
        sender.publish("news", "n", QoS::AtMostOnce).await;
        assert_eq!(peer.receive_text().await, "n");
    }
    let mut second = Peer::open(&broker, Version::V5_0);
    second.send(connect(Version::V5_0, "c")).await;
    pass_secs(1).await;
    store.mend();
    peer.expect_disconnect(ReasonCode::SessionTakenOver).await;
    assert!(matches!(second.receive().await, Packet::Connack(_)));
}

async fn a_store_that_hangs_closes_the_connection_that_waits_for_it() {
    let store = Faulty::over(Store::new());
    let limits = Limits { store_timeout: std::time::Duration::from_secs(10), ..Limits::default() };
    let broker = opifex_broker::Broker::builder(store.clone()).limits(limits).start().await.unwrap();
    let (mut keeper, _) = Peer::connect(&broker, connect_durable(Version::V5_0, "keeper")).await;
    keeper.subscribe("a", QoS::AtLeastOnce).await;
    for hold in [HOLD_ORDERS, HOLD_COMMITS] {
        let mut sender = Peer::v5(&broker, "s").await;
        store.set(hold);
        sender.send(publish("a", "x", QoS::AtLeastOnce)).await;
        pass_secs(9).await;
        sender.expect_silence().await;
        pass_secs(4).await;
        sender.expect_disconnect(ReasonCode::ServerBusy).await;
        // What is on its way to the store runs to its end.
        store.mend();
        assert_eq!(keeper.receive_text().await, "x");
        keeper.settle_with_store().await;
        wait_until(|| broker.stats().connections == 1).await;
    }
}

async fn a_store_that_is_full_refuses_what_grows_with_0x97() {
    for kind in [ErrorKind::Full, ErrorKind::TooLarge] {
        let (broker, store, _keeper) = slow().await;
        let mut sender = Peer::v5(&broker, "s").await;
        let mut old = Peer::v4(&broker, "old").await;
        store.set(Gates { refuse: Some(kind), ..Gates::default() });
        sender.send(publish("a", "x", QoS::AtLeastOnce)).await;
        sender.expect(Puback::new(id(77)).with_reason(ReasonCode::QuotaExceeded)).await;
        for _ in 0..2 {
            sender.send(publish("a", "x", QoS::ExactlyOnce)).await;
            match sender.receive().await {
                Packet::Pubrec(ack) => assert_eq!(ack.reason, ReasonCode::QuotaExceeded),
                other => panic!("expected PUBREC, got {other:?}"),
            }
        }
        // What is not stored goes on.
        sender.publish("nobody", "x", QoS::AtLeastOnce).await;
        // 3.x has no word for it: the connection ends without the acknowledgement.
        old.send(publish("a", "x", QoS::AtLeastOnce)).await;
        old.expect_closed().await;
        store.mend();
        sender.publish("a", "x", QoS::ExactlyOnce).await;
    }
}

async fn a_store_that_fails_closes_the_connection_without_an_acknowledgement() {
    let (broker, store, mut keeper) = slow().await;
    let mut sender = Peer::v5(&broker, "s").await;
    store.set(Gates { refuse: Some(ErrorKind::Fatal), ..Gates::default() });
    sender.send(publish("a", "x", QoS::AtLeastOnce)).await;
    sender.expect_disconnect(ReasonCode::ImplementationSpecificError).await;
    keeper.expect_silence().await;
    let said = broker.publish(opifex_broker::Publication::new("a", "x").qos(QoS::AtLeastOnce)).await;
    assert!(matches!(said, Err(opifex_broker::PublishError::Store(_))));
}

async fn a_subscription_made_while_a_retained_message_is_on_its_way_gets_it() {
    for durable in [false, true] {
        let (broker, store, _keeper) = slow().await;
        let mut sender = Peer::v5(&broker, "s").await;
        let version = Version::V5_0;
        let hello = if durable { connect_durable(version, "new") } else { connect(version, "new") };
        let (mut newcomer, _) = Peer::connect(&broker, hello).await;
        store.set(HOLD_ORDERS);
        sender.send(retained("r", "x", QoS::AtLeastOnce)).await;
        pass_secs(1).await;
        newcomer.subscribe("r", QoS::AtLeastOnce).await;
        newcomer.expect_silence().await;
        store.mend();
        assert_eq!(newcomer.receive_text().await, "x");
    }
}

/// A read shows a batch at the latest when it is durable: before, it might answer the value before it.
async fn retained_messages_are_read_when_those_that_were_delivered_are_durable() {
    let (broker, store, _keeper) = slow().await;
    let mut sender = Peer::v5(&broker, "s").await;
    let mut late = Peer::v5(&broker, "late").await;
    store.set(HOLD_COMMITS);
    sender.send(retained("r", "x", QoS::AtLeastOnce)).await;
    pass_secs(1).await;
    late.subscribe("r", QoS::AtLeastOnce).await;
    late.expect_silence().await;
    store.mend();
    assert_eq!(late.receive_text().await, "x");
}

async fn a_pubcomp_to_a_durable_publisher_waits_for_its_removal() {
    let (broker, store, _keeper) = slow().await;
    let (mut sender, _) = Peer::connect(&broker, connect_durable(Version::V5_0, "s")).await;
    sender.send(publish("nobody", "x", QoS::ExactlyOnce)).await;
    assert!(matches!(sender.receive().await, Packet::Pubrec(_)));
    store.set(HOLD_COMMITS);
    sender.send(Pubrel::new(id(78))).await;
    sender.expect_silence().await;
    store.mend();
    sender.expect(Pubcomp::new(id(78))).await;
    // One that owns no record waits for nothing.
    let mut plain = Peer::v5(&broker, "plain").await;
    store.set(HOLD_COMMITS);
    plain.publish("nobody", "x", QoS::ExactlyOnce).await;
}

async fn an_unsuback_of_a_durable_session_waits() {
    let (broker, store, mut keeper) = slow().await;
    let mut plain = Peer::v5(&broker, "plain").await;
    plain.subscribe("a", QoS::AtMostOnce).await;
    store.set(HOLD_COMMITS);
    let filters = vec![TopicFilter::new("a").unwrap()];
    keeper.send(Unsubscribe { packet_id: id(9), properties: Properties::new(), filters }).await;
    keeper.expect_silence().await;
    plain.unsubscribe("a").await;
    store.mend();
    assert!(matches!(keeper.receive().await, Packet::Unsuback(_)));
}

async fn a_retained_message_and_a_packet_id_are_durable_before_they_are_acknowledged() {
    for hold in [HOLD_ORDERS, HOLD_COMMITS] {
        let (broker, store, _keeper) = slow().await;
        let mut plain = Peer::v5(&broker, "plain").await;
        store.set(hold);
        plain.send(retained("nobody", "x", QoS::AtLeastOnce)).await;
        plain.expect_silence().await;
        store.mend();
        assert!(matches!(plain.receive().await, Packet::Puback(_)));
    }
    let (broker, store, _keeper) = slow().await;
    let (mut sender, _) = Peer::connect(&broker, connect_durable(Version::V5_0, "s")).await;
    store.set(HOLD_COMMITS);
    sender.send(publish("nobody", "x", QoS::ExactlyOnce)).await;
    sender.expect_silence().await;
    store.mend();
    assert!(matches!(sender.receive().await, Packet::Pubrec(_)));
}

async fn pingresp_and_messages_pass_acknowledgements_that_wait() {
    let (broker, store, _keeper) = slow().await;
    let mut peer = Peer::v5(&broker, "p").await;
    peer.subscribe("news", QoS::AtLeastOnce).await;
    let mut other = Peer::v5(&broker, "other").await;
    store.set(HOLD_COMMITS);
    peer.send(publish("a", "x", QoS::AtLeastOnce)).await;
    peer.settle().await;
    for qos in [QoS::AtMostOnce, QoS::AtLeastOnce] {
        other.publish("news", "n", qos).await;
        assert_eq!(peer.receive_text().await, "n");
    }
    peer.expect_silence().await;
    store.mend();
    peer.expect(Puback::new(id(77))).await;
}

async fn a_store_that_hangs_for_five_seconds_is_noticed_by_nobody_else() {
    let (broker, store, mut keeper) = slow().await;
    let mut receiver = Peer::v5(&broker, "receiver").await;
    receiver.subscribe("b", QoS::ExactlyOnce).await;
    keeper.subscribe("b", QoS::AtMostOnce).await;
    let mut sender = Peer::v5(&broker, "s").await;
    store.set(Gates { hold_opens: true, hold_orders: true, hold_commits: true, refuse: None });
    sender.send(publish("a", "late", QoS::AtLeastOnce)).await;
    let mut opening = Peer::open(&broker, Version::V5_0);
    opening.send(connect_durable(Version::V5_0, "opening")).await;
    let hung = Instant::now();
    for second in 0..5 {
        let mut plain = Peer::v5(&broker, "plain").await;
        for qos in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
            plain.publish("b", "on time", qos).await;
            assert_eq!(receiver.receive_text().await, "on time");
            assert_eq!(keeper.receive_text().await, "on time");
        }
        plain.disconnect(&broker).await;
        assert!(hung.elapsed() < Duration::from_millis(second * 1_000 + 100), "{:?}", hung.elapsed());
        tokio::time::sleep_until(hung + Duration::from_secs(second + 1)).await;
    }
    sender.expect_silence().await;
    store.mend();
    sender.expect(Puback::new(id(77))).await;
    assert_eq!(keeper.receive_text().await, "late");
    assert!(matches!(opening.receive().await, Packet::Connack(_)));
}

/// What a publisher may have sent that is not acknowledged: what its pipe holds, and a read for each submission that
/// waits, some of them whole.
const PIPE_BYTES: usize = 64 << 10;
const SLOWED_AT_BYTES: usize = 6 << 20;

async fn publishers_are_slowed_by_a_store_that_is_behind_and_memory_stays_bounded() {
    for hold in [HOLD_ORDERS, HOLD_COMMITS] {
        let (broker, store, keeper) = slow().await;
        keeper.vanish(&broker).await;
        store.set(hold);
        let mut packet = Vec::new();
        Packet::from(publish("a", &"x".repeat(16 << 10), QoS::AtLeastOnce))
            .encode(Version::V3_1_1, &mut packet);
        let mut slowed = Vec::new();
        for n in 0..2 {
            let mut sender = Peer::open_narrow(&broker, Version::V3_1_1, PIPE_BYTES);
            sender.introduce(connect(Version::V3_1_1, &format!("s{n}"))).await;
            let mut sent = 0;
            while timeout(Duration::from_secs(1), sender.send_raw(&packet)).await.is_ok() {
                sent += 1;
                assert!(sent * packet.len() < SLOWED_AT_BYTES, "it is slowed by nobody");
            }
            sender.expect_silence().await;
            slowed.push((sender, sent));
        }
        let mut receiver = Peer::v5(&broker, "receiver").await;
        receiver.subscribe("b", QoS::AtLeastOnce).await;
        Peer::v5(&broker, "plain").await.publish("b", "served", QoS::AtLeastOnce).await;
        assert_eq!(receiver.receive_text().await, "served");
        store.mend();
        for (mut sender, sent) in slowed {
            for _ in 0..sent {
                sender.expect(Puback::new(id(77))).await;
            }
        }
    }
}
