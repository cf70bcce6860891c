//! A commit fails after its batches were ordered and delivered: who took part is disconnected, nothing is acknowledged,
//! and what memory knew of it is forgotten.

use opifex_broker::Broker;
use opifex_packet::{Packet, Puback, Pubcomp, Pubrec, Pubrel, QoS, ReasonCode, Version};

use crate::backend::Backend;
use crate::failing_engine::FailingEngine;
use crate::peer::*;
use crate::store::Store;

/// Talks to a broker over an engine that fails on command.
fn over_a_failing_engine<F: Future<Output = ()>>(
    conversation: impl FnOnce(Broker<Store>, FailingEngine) -> F,
) {
    Backend::Memory.talk(async || {
        let engine = FailingEngine::default();
        let broker = broker_over(Store::over(engine.clone())).await;
        conversation(broker, engine).await;
    });
}

async fn durable(broker: &Broker<Store>) -> Peer {
    Peer::connect(broker, connect_durable(Version::V5_0, "c")).await.0
}

async fn back(broker: &Broker<Store>) -> Peer {
    let (peer, connack) = Peer::connect(broker, connect_durable(Version::V5_0, "c")).await;
    assert!(connack.session_present);
    peer
}

/// What a client gets until it is disconnected: payloads.
async fn until_disconnected(mut peer: Peer) -> Vec<String> {
    let mut got = Vec::new();
    loop {
        match peer.receive().await {
            Packet::Publish(publish) => got.push(text(&publish)),
            Packet::Disconnect(disconnect) => {
                // For what others wrote, or for what it wrote itself.
                let reasons = [ReasonCode::ServerBusy, ReasonCode::QuotaExceeded];
                assert!(reasons.contains(&disconnect.reason), "{disconnect:?}");
                peer.expect_closed().await;
                return got;
            }
            other => panic!("unexpected {other:?}"),
        }
    }
}

#[test]
fn publisher_and_receivers_are_disconnected_and_what_follows_is_not_lost() {
    for connected in [true, false] {
        for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
            over_a_failing_engine(async |broker, engine| {
                let mut keeper = durable(&broker).await;
                keeper.subscribe("a", qos).await;
                let mut sender = Peer::v5(&broker, "s").await;
                sender.publish("a", "before", qos).await;
                assert_eq!(keeper.receive_text().await, "before");
                keeper.settle_with_store().await;
                let mut other = Peer::v5(&broker, "other").await;
                other.subscribe("b", QoS::AtMostOnce).await;
                let keeper = match connected {
                    true => Some(keeper),
                    false => {
                        keeper.disconnect(&broker).await;
                        None
                    }
                };
                engine.fail(true);
                sender.send(publish("a", "lost", qos)).await;
                sender.expect_disconnect(ReasonCode::QuotaExceeded).await;
                if let Some(keeper) = keeper {
                    let got = until_disconnected(keeper).await;
                    assert!(got.is_empty() || got == ["lost"], "{got:?}");
                }
                assert!(engine.failed() > 0);
                // Who needs nothing of the store has noticed nothing.
                let mut plain = Peer::v5(&broker, "plain").await;
                for qos in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
                    plain.publish("b", "served", qos).await;
                    assert_eq!(other.receive_text().await, "served");
                }
                engine.fail(false);
                let mut sender = Peer::v5(&broker, "s").await;
                sender.publish("a", "offline", qos).await;
                let mut keeper = back(&broker).await;
                assert_eq!(keeper.receive_text().await, "offline");
                for n in 0..3 {
                    sender.publish("a", &n.to_string(), qos).await;
                    assert_eq!(keeper.receive_text().await, n.to_string());
                }
                keeper.expect_silence().await;
            });
        }
    }
}

#[test]
fn a_subscription_that_was_not_acknowledged_is_forgotten() {
    over_a_failing_engine(async |broker, engine| {
        let mut peer = durable(&broker).await;
        peer.subscribe("kept", QoS::AtLeastOnce).await;
        engine.fail(true);
        peer.send(subscribe("lost", options(QoS::AtLeastOnce), None)).await;
        peer.expect_disconnect(ReasonCode::QuotaExceeded).await;
        engine.fail(false);
        let mut peer = back(&broker).await;
        assert_eq!(broker.stats().subscriptions, 1);
        peer.publish("lost", "x", QoS::AtMostOnce).await;
        peer.publish("kept", "y", QoS::AtMostOnce).await;
        assert_eq!(peer.receive_text().await, "y");
    });
}

#[test]
fn an_unsubscription_that_was_not_acknowledged_has_not_happened() {
    over_a_failing_engine(async |broker, engine| {
        let mut peer = durable(&broker).await;
        peer.subscribe("kept", QoS::AtLeastOnce).await;
        engine.fail(true);
        peer.send(opifex_packet::Unsubscribe {
            packet_id: id(9),
            properties: opifex_packet::Properties::new(),
            filters: vec![opifex_packet::TopicFilter::new("kept").unwrap()],
        })
        .await;
        peer.expect_disconnect(ReasonCode::QuotaExceeded).await;
        engine.fail(false);
        let mut sender = Peer::v5(&broker, "s").await;
        sender.publish("kept", "offline", QoS::AtLeastOnce).await;
        let mut peer = back(&broker).await;
        assert_eq!(peer.receive_text().await, "offline");
    });
}

#[test]
fn a_settlement_that_was_not_recorded_brings_the_message_again() {
    over_a_failing_engine(async |broker, engine| {
        let mut peer = durable(&broker).await;
        peer.subscribe("a", QoS::ExactlyOnce).await;
        let mut sender = Peer::v5(&broker, "s").await;
        for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
            sender.publish("a", "x", qos).await;
            let publish = peer.receive_publish().await;
            let packet_id = publish.delivery.packet_id().unwrap();
            peer.settle_with_store().await;
            engine.fail(true);
            match qos {
                QoS::AtLeastOnce => peer.send(Puback::new(packet_id)).await,
                _ => peer.send(Pubrec::new(packet_id)).await,
            }
            peer.expect_disconnect(ReasonCode::QuotaExceeded).await;
            engine.fail(false);
            peer = back(&broker).await;
            let again = peer.receive_acknowledged().await;
            assert_eq!((text(&again).as_str(), again.dup), ("x", true));
            if qos == QoS::ExactlyOnce {
                assert_eq!(again.delivery.packet_id(), Some(packet_id));
            }
            peer.settle_with_store().await;
            peer.expect_silence().await;
        }
    });
}

#[test]
fn a_completion_that_was_not_recorded_brings_pubrel_again() {
    over_a_failing_engine(async |broker, engine| {
        let mut peer = durable(&broker).await;
        peer.subscribe("a", QoS::ExactlyOnce).await;
        let mut sender = Peer::v5(&broker, "s").await;
        sender.publish("a", "x", QoS::ExactlyOnce).await;
        let packet_id = peer.receive_publish().await.delivery.packet_id().unwrap();
        peer.send(Pubrec::new(packet_id)).await;
        peer.expect(Pubrel::new(packet_id)).await;
        engine.fail(true);
        peer.send(Pubcomp::new(packet_id)).await;
        peer.expect_disconnect(ReasonCode::QuotaExceeded).await;
        engine.fail(false);
        let mut peer = back(&broker).await;
        peer.expect(Pubrel::new(packet_id)).await;
        peer.send(Pubcomp::new(packet_id)).await;
        peer.settle_with_store().await;
        peer.expect_silence().await;
    });
}

#[test]
fn a_settlement_that_is_on_its_way_when_a_commit_fails_settles_nothing_else() {
    over_a_failing_engine(async |broker, engine| {
        let mut keeper = durable(&broker).await;
        keeper.subscribe("a", QoS::AtLeastOnce).await;
        let mut sender = Peer::v5(&broker, "s").await;
        let mut other = Peer::v5(&broker, "other").await;
        engine.hold(true);
        sender.send(publish("a", "lost", QoS::AtLeastOnce)).await;
        // It is ordered, and its commit is under way.
        let lost = keeper.receive_publish().await;
        assert_eq!(text(&lost), "lost");
        // Both wait for the store behind it, in this order: what is queued could be settled.
        other.send(publish("a", "kept", QoS::AtLeastOnce)).await;
        submitted().await;
        keeper.send(Puback::new(lost.delivery.packet_id().unwrap())).await;
        submitted().await;
        engine.fail_once();
        engine.hold(false);
        sender.expect_disconnect(ReasonCode::QuotaExceeded).await;
        other.expect(Puback::new(id(77))).await;
        assert_eq!(engine.failed(), 1);
        // What is ordered behind the failure may come before the good-bye; it is not acknowledged, and comes again.
        let until_then = until_disconnected(keeper).await;
        assert!(until_then.iter().all(|text| text == "kept"), "{until_then:?}");
        let mut keeper = back(&broker).await;
        assert_eq!(keeper.receive_text().await, "kept");
        keeper.expect_silence().await;
    });
}

/// Lets every task come to where it waits for the store.
async fn submitted() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}
