//! The broker stops: acknowledgements first, then a word to every client, wills, and the store.

use std::time::Duration;

use opifex_broker::Broker;
use opifex_conformance::faults::Faulty;
use opifex_packet::{Packet, Property, QoS, ReasonCode, Version};
use opifex_storage::{PageLimit, Persistence, RecordKind};
use tokio::time::Instant;

use crate::backend::conversations;
use crate::gates::Gates;
use crate::peer::*;
use crate::store::Store;

conversations!(
    clients_are_told_and_the_store_is_closed,
    a_broker_that_stops_takes_nobody_in,
    those_who_have_not_said_connect_hold_up_nobody,
    a_client_that_does_not_read_holds_up_the_stop_only_so_long,
    acknowledgements_that_wait_for_the_store_leave_first,
    a_store_that_hangs_holds_up_the_stop_only_so_long,
    wills_of_sessions_that_end_are_published_and_those_of_others_wait,
);

async fn clients_are_told_and_the_store_is_closed() {
    let store = Store::new();
    let broker = broker_over(store.clone()).await;
    let mut five = Peer::v5(&broker, "five").await;
    let mut four = Peer::v4(&broker, "four").await;
    let (mut durable, _) = Peer::connect(&broker, connect_durable(Version::V5_0, "durable")).await;
    broker.shutdown().await;
    five.expect_disconnect(ReasonCode::ServerShuttingDown).await;
    four.expect_disconnect(ReasonCode::ServerShuttingDown).await;
    durable.expect_disconnect(ReasonCode::ServerShuttingDown).await;
    assert_eq!(broker.stats().connections, 0);
    assert!(store.scan(RecordKind::Session, None, PageLimit::items(1)).await.is_err(), "it is closed");
    drop(broker);
    let sessions = store.reopen().scan(RecordKind::Session, None, PageLimit::items(9)).await.unwrap();
    assert_eq!(sessions.items.len(), 1);
}

async fn a_broker_that_stops_takes_nobody_in() {
    let broker = broker().await;
    broker.shutdown().await;
    let mut peer = Peer::open(&broker, Version::V5_0);
    peer.expect_closed().await;
    let said = broker.publish(opifex_broker::Publication::new("a", "x")).await;
    assert!(matches!(said, Err(opifex_broker::PublishError::Stopped)));
}

async fn those_who_have_not_said_connect_hold_up_nobody() {
    let broker = broker().await;
    let mut silent = Peer::open(&broker, Version::V5_0);
    let mut halfway = Peer::open(&broker, Version::V5_0);
    halfway.send_raw(&[0x10, 0x20, 0x00]).await;
    pass_secs(1).await;
    let before = Instant::now();
    broker.shutdown().await;
    assert!(before.elapsed() < Duration::from_secs(2), "{:?}", before.elapsed());
    silent.expect_closed().await;
    halfway.expect_closed().await;
}

async fn a_client_that_does_not_read_holds_up_the_stop_only_so_long() {
    let broker = broker().await;
    let mut stuck = Peer::open_narrow(&broker, Version::V5_0, 300);
    stuck.introduce(connect(Version::V5_0, "stuck")).await;
    stuck.subscribe("a", QoS::AtMostOnce).await;
    let mut sender = Peer::v5(&broker, "s").await;
    sender.publish("a", &"x".repeat(10_000), QoS::AtMostOnce).await;
    sender.settle().await;
    let before = Instant::now();
    broker.shutdown().await;
    assert!(before.elapsed() < Duration::from_secs(3), "{:?}", before.elapsed());
}

async fn acknowledgements_that_wait_for_the_store_leave_first() {
    for hold in
        [Gates { hold_orders: true, ..Gates::default() }, Gates { hold_commits: true, ..Gates::default() }]
    {
        let store = Faulty::over(Store::new());
        let broker = broker_over(store.clone()).await;
        let (mut keeper, _) = Peer::connect(&broker, connect_durable(Version::V5_0, "keeper")).await;
        keeper.subscribe("a", QoS::AtLeastOnce).await;
        keeper.vanish(&broker).await;
        let mut sender = Peer::v5(&broker, "s").await;
        store.set(hold);
        for n in 1..=3 {
            let mut packet = publish("a", "x", QoS::AtLeastOnce);
            packet.delivery = opifex_packet::Delivery::AtLeastOnce(id(n));
            sender.send(packet).await;
        }
        sender.expect_silence().await;
        let stopping = tokio::spawn({
            let broker = broker.clone();
            async move { broker.shutdown().await }
        });
        pass_secs(1).await;
        store.mend();
        for n in 1..=3 {
            match sender.receive().await {
                Packet::Puback(ack) => assert_eq!(ack.packet_id, id(n)),
                other => panic!("expected PUBACK, got {other:?}"),
            }
        }
        sender.expect_disconnect(ReasonCode::ServerShuttingDown).await;
        stopping.await.unwrap();
    }
}

async fn a_store_that_hangs_holds_up_the_stop_only_so_long() {
    let store = Faulty::over(Store::new());
    let broker = broker_over(store.clone()).await;
    let (mut keeper, _) = Peer::connect(&broker, connect_durable(Version::V5_0, "keeper")).await;
    keeper.subscribe("a", QoS::AtLeastOnce).await;
    let mut sender = Peer::v5(&broker, "s").await;
    store.set(Gates { hold_orders: true, hold_commits: true, ..Gates::default() });
    sender.send(publish("a", "x", QoS::AtLeastOnce)).await;
    sender.expect_silence().await;
    let before = Instant::now();
    broker.shutdown().await;
    assert!(before.elapsed() < Duration::from_secs(15), "{:?}", before.elapsed());
}

/// The payloads that wait for "keeper" in this store.
async fn kept(store: Store) -> Vec<String> {
    let broker: Broker<Store> = broker_over(store).await;
    let (mut keeper, connack) = Peer::connect(&broker, connect_durable(Version::V5_0, "keeper")).await;
    assert!(connack.session_present);
    let mut kept = Vec::new();
    while let Some(Packet::Publish(publish)) = keeper.receive_within_secs(2).await {
        kept.push(text(&publish));
        keeper.acknowledge(&publish).await;
    }
    kept
}

async fn wills_of_sessions_that_end_are_published_and_those_of_others_wait() {
    let store = Store::new();
    let broker = broker_over(store.clone()).await;
    let (mut keeper, _) = Peer::connect(&broker, connect_durable(Version::V5_0, "keeper")).await;
    keeper.subscribe("will/#", QoS::AtLeastOnce).await;
    keeper.disconnect(&broker).await;
    let mut mortal = connect(Version::V5_0, "mortal");
    mortal.will = Some(will("will/m", "mortal", QoS::AtLeastOnce));
    let mut durable = connect_durable(Version::V5_0, "durable");
    durable.will = Some(will("will/d", "durable", QoS::AtLeastOnce));
    if let Some(will) = &mut durable.will {
        will.properties.push(Property::WillDelayInterval(1_000));
    }
    let (_mortal, _) = Peer::connect(&broker, mortal).await;
    let (_durable, _) = Peer::connect(&broker, durable).await;
    broker.shutdown().await;
    drop(broker);
    assert_eq!(kept(store.reopen()).await, ["mortal"]);
}
