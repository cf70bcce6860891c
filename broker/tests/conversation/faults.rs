//! Every failure that a store can report, at every place where the broker asks it: the client gets a reason code or
//! loses the connection, whoever needs nothing of the store is served, and all goes on when the store does. One table, a
//! test a place: it is long because the places are many, and is read one test at a time.

use opifex_broker::{Broker, StartError};
use opifex_conformance::faults::Faulty;
use opifex_packet::{
    Connect, Delivery, Packet, Properties, Puback, Pubcomp, Pubrec, Pubrel, QoS, ReasonCode, TopicFilter,
    Unsubscribe, Version,
};
use opifex_storage::{Certainty, ErrorKind};

use crate::backend::Backend;
use crate::peer::*;
use crate::place::{Fault, Place};
use crate::store::Store;

const KINDS: [ErrorKind; 9] = [
    ErrorKind::Retry,
    ErrorKind::Fenced,
    ErrorKind::Conflict,
    ErrorKind::Full,
    ErrorKind::TooLarge,
    ErrorKind::Unsupported,
    ErrorKind::Corrupt,
    ErrorKind::Closed,
    ErrorKind::Fatal,
];

/// Every way to fail at a place: refused, unknown, and, of a batch, after it was ordered.
pub(crate) fn faults(place: Place) -> Vec<Fault> {
    let read = matches!(place, Place::Open | Place::Retained | Place::Queue | Place::Due | Place::Scan);
    let mut faults = Vec::new();
    for kind in KINDS {
        for (certainty, at_commit) in
            [(Certainty::NotApplied, false), (Certainty::Unknown, false), (Certainty::Unknown, true)]
        {
            if !(read && at_commit) {
                faults.push(Fault { place, kind, certainty, at_commit });
            }
        }
    }
    faults
}

/// What DISCONNECT says.
fn disconnect_reason(fault: &Fault) -> ReasonCode {
    match fault.kind {
        ErrorKind::Fenced => ReasonCode::SessionTakenOver,
        ErrorKind::Full | ErrorKind::TooLarge => ReasonCode::QuotaExceeded,
        ErrorKind::Closed | ErrorKind::Retry => ReasonCode::ServerBusy,
        _ => ReasonCode::ImplementationSpecificError,
    }
}

/// Whether a message is refused by its acknowledgement, and the connection goes on.
fn refuses_message(fault: &Fault) -> bool {
    matches!(fault.kind, ErrorKind::Full | ErrorKind::TooLarge)
        && fault.certainty == Certainty::NotApplied
        && !fault.at_commit
}

fn connack_reason(fault: &Fault) -> ReasonCode {
    match fault.kind {
        ErrorKind::Full => ReasonCode::QuotaExceeded,
        _ => ReasonCode::ServerUnavailable,
    }
}

pub(crate) fn hello() -> Connect<'static> {
    connect_durable(Version::V5_0, "c")
}

/// Two clients that need nothing of the store.
pub(crate) struct Bystanders {
    sender: Peer,
    receiver: Peer,
}

impl Bystanders {
    pub(crate) async fn new(broker: &Broker<Faulty<Store>>) -> Bystanders {
        let mut receiver = Peer::v5(broker, "bystander").await;
        receiver.subscribe("beside", QoS::ExactlyOnce).await;
        Bystanders { sender: Peer::v5(broker, "beside").await, receiver }
    }

    pub(crate) async fn are_served(&mut self) {
        for qos in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
            self.sender.publish("beside", "served", qos).await;
            assert_eq!(self.receiver.receive_text().await, "served");
        }
    }
}

/// For each way to fail at a place: `before` with a whole store, `during` with the failing one; and then all goes on.
fn at<T>(
    place: Place,
    before: impl AsyncFn(&Broker<Faulty<Store>>) -> T,
    during: impl AsyncFn(&Broker<Faulty<Store>>, T, &Fault),
) {
    Backend::Memory.talk(async || {
        for fault in faults(place) {
            let store = Faulty::over(Store::new());
            let broker = broker_over(store.clone()).await;
            let mut bystanders = Bystanders::new(&broker).await;
            let found = before(&broker).await;
            store.set(fault);
            during(&broker, found, &fault).await;
            bystanders.are_served().await;
            assert!(store.mend() > 0, "the store was not asked for {fault:?}");
            goes_on(&broker).await;
            bystanders.are_served().await;
        }
    });
}

/// The client comes back, and what it is sent arrives.
async fn goes_on(broker: &Broker<Faulty<Store>>) {
    let (mut peer, _) = Peer::connect(broker, hello()).await;
    peer.send(subscribe("again", options(QoS::ExactlyOnce), None)).await;
    loop {
        // What was on its way before comes, too.
        match peer.receive().await {
            Packet::Suback(_) => break,
            Packet::Publish(publish) => peer.acknowledge(&publish).await,
            Packet::Pubrel(pubrel) => peer.send(Pubcomp::new(pubrel.packet_id)).await,
            other => panic!("unexpected {other:?}"),
        }
    }
    let mut sender = Peer::v5(broker, "again").await;
    for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
        sender.publish("again", "again", qos).await;
        while peer.receive_in_order().await != "again" {}
    }
}

/// The client, with a durable session that is subscribed to "a".
pub(crate) async fn subscribed(broker: &Broker<Faulty<Store>>) -> Peer {
    let (mut peer, _) = Peer::connect(broker, hello()).await;
    peer.subscribe("a", QoS::ExactlyOnce).await;
    peer
}

/// The same, with a message that it has not acknowledged.
pub(crate) async fn with_message(
    broker: &Broker<Faulty<Store>>,
    qos: QoS,
) -> (Peer, opifex_packet::PacketId) {
    let mut peer = subscribed(broker).await;
    Peer::v5(broker, "s").await.publish("a", "x", qos).await;
    let packet_id = peer.receive_publish().await.delivery.packet_id().unwrap();
    (peer, packet_id)
}

/// The message is refused by its acknowledgement, or the connection closes.
async fn expect_refused(sender: &mut Peer, fault: &Fault) {
    if !refuses_message(fault) {
        return sender.expect_disconnect(disconnect_reason(fault)).await;
    }
    match sender.receive().await {
        Packet::Puback(ack) => assert_eq!(ack.reason, ReasonCode::QuotaExceeded),
        Packet::Pubrec(ack) => assert_eq!(ack.reason, ReasonCode::QuotaExceeded),
        other => panic!("expected a refusal, got {other:?}"),
    }
}

#[test]
fn an_open_is_refused() {
    at(
        Place::Open,
        async |_| {},
        async |broker, (), fault| {
            Peer::refused(broker, hello(), connack_reason(fault)).await;
        },
    );
}

#[test]
fn a_clean_start_that_cannot_end_what_is_stored_is_refused() {
    at(
        Place::EndSession,
        async |broker| subscribed(broker).await.vanish(broker).await,
        async |broker, (), fault| {
            Peer::refused(broker, connect(Version::V5_0, "c"), connack_reason(fault)).await;
        },
    );
}

#[test]
fn a_subscription_is_not_acknowledged() {
    at(Place::Subscribe, subscribed, async |_, mut peer, fault| {
        peer.send(subscribe("b", options(QoS::AtLeastOnce), None)).await;
        peer.expect_disconnect(disconnect_reason(fault)).await;
    });
}

#[test]
fn an_unsubscription_is_not_acknowledged() {
    at(Place::Unsubscribe, subscribed, async |_, mut peer, fault| {
        let filters = vec![TopicFilter::new("a").unwrap()];
        peer.send(Unsubscribe { packet_id: id(9), properties: Properties::new(), filters }).await;
        peer.expect_disconnect(disconnect_reason(fault)).await;
    });
}

#[test]
fn a_message_for_a_durable_session_is_not_acknowledged() {
    for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
        at(
            Place::Enqueue,
            async |broker| {
                let peer = subscribed(broker).await;
                (Peer::v5(broker, "s").await, peer)
            },
            async |broker, (mut sender, peer), fault| {
                sender.send(publish("a", "x", qos)).await;
                expect_refused(&mut sender, fault).await;
                // 3.x has no word for it.
                let mut old = Peer::v4(broker, "old").await;
                old.send(publish("a", "x", qos)).await;
                old.expect_closed().await;
                drop(peer);
            },
        );
    }
}

#[test]
fn a_retained_message_is_not_acknowledged() {
    for qos in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
        at(
            Place::Retain,
            async |broker| Peer::v5(broker, "s").await,
            async |_, mut sender, fault| {
                sender.send(retained("r", "x", qos)).await;
                match qos {
                    // Nothing else could say it.
                    QoS::AtMostOnce => sender.expect_disconnect(disconnect_reason(fault)).await,
                    _ => expect_refused(&mut sender, fault).await,
                }
            },
        );
    }
}

#[test]
fn a_message_whose_packet_id_is_not_on_record_is_not_acknowledged() {
    at(
        Place::PutInbound,
        async |broker| Peer::connect(broker, hello()).await.0,
        async |_, mut peer, fault| {
            peer.send(publish("nobody", "x", QoS::ExactlyOnce)).await;
            expect_refused(&mut peer, fault).await;
        },
    );
}

#[test]
fn a_pubrel_that_is_not_on_record_is_not_answered() {
    at(
        Place::DeleteInbound,
        async |broker| {
            let (mut peer, _) = Peer::connect(broker, hello()).await;
            peer.send(publish("nobody", "x", QoS::ExactlyOnce)).await;
            assert!(matches!(peer.receive().await, Packet::Pubrec(_)));
            peer
        },
        async |_, mut peer, fault| {
            peer.send(Pubrel::new(id(78))).await;
            peer.expect_disconnect(disconnect_reason(fault)).await;
        },
    );
}

#[test]
fn a_qos_2_message_whose_packet_id_is_not_on_record_does_not_leave() {
    at(Place::Assign, subscribed, async |broker, mut peer, fault| {
        Peer::v5(broker, "s").await.publish("a", "x", QoS::ExactlyOnce).await;
        peer.expect_disconnect(disconnect_reason(fault)).await;
    });
}

#[test]
fn a_pubrec_that_is_not_on_record_is_not_answered() {
    at(
        Place::Release,
        async |broker| with_message(broker, QoS::ExactlyOnce).await,
        async |_, (mut peer, packet_id), fault| {
            peer.send(Pubrec::new(packet_id)).await;
            peer.expect_disconnect(disconnect_reason(fault)).await;
        },
    );
}

#[test]
fn a_settlement_that_is_not_on_record_ends_the_connection() {
    for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
        at(
            Place::Settle,
            async |broker| {
                let (mut peer, packet_id) = with_message(broker, qos).await;
                if qos == QoS::ExactlyOnce {
                    peer.send(Pubrec::new(packet_id)).await;
                    peer.expect(Pubrel::new(packet_id)).await;
                }
                (peer, packet_id)
            },
            async |_, (mut peer, packet_id), fault| {
                match qos {
                    QoS::ExactlyOnce => peer.send(Pubcomp::new(packet_id)).await,
                    _ => peer.send(Puback::new(packet_id)).await,
                }
                peer.expect_disconnect(disconnect_reason(fault)).await;
            },
        );
    }
}

#[test]
fn a_subscription_whose_retained_messages_are_not_on_record_is_not_acknowledged() {
    at(
        Place::Replay,
        async |broker| {
            Peer::v5(broker, "s").await.publish_retained("r", "x", QoS::AtLeastOnce).await;
            Peer::connect(broker, hello()).await.0
        },
        async |_, mut peer, fault| {
            peer.send(subscribe("r", options(QoS::AtLeastOnce), None)).await;
            if fault.kind == ErrorKind::Conflict && !fault.at_commit {
                // The message has changed, so the newer one comes by itself.
                assert!(matches!(peer.receive().await, Packet::Suback(_)));
                return;
            }
            let mut received = peer.receive().await;
            // It is delivered when it is ordered.
            if fault.at_commit && matches!(received, Packet::Publish(_)) {
                received = peer.receive().await;
            }
            match received {
                Packet::Disconnect(said) => assert_eq!(said.reason, disconnect_reason(fault)),
                other => panic!("expected DISCONNECT, got {other:?}"),
            }
        },
    );
}

#[test]
fn retained_messages_that_cannot_be_read_end_the_connection() {
    for durable in [false, true] {
        at(
            Place::Retained,
            async |broker| {
                Peer::v5(broker, "s").await.publish_retained("r", "x", QoS::AtLeastOnce).await;
                let hello = if durable { hello() } else { connect(Version::V5_0, "plain") };
                Peer::connect(broker, hello).await.0
            },
            async |_, mut peer, fault| {
                peer.send(subscribe("r", options(QoS::AtLeastOnce), None)).await;
                if !durable {
                    assert!(matches!(peer.receive().await, Packet::Suback(_)));
                }
                peer.expect_disconnect(disconnect_reason(fault)).await;
            },
        );
    }
}

#[test]
fn a_queue_that_cannot_be_read_ends_the_connection_and_loses_nothing() {
    at(
        Place::Queue,
        async |broker| {
            subscribed(broker).await.vanish(broker).await;
            Peer::v5(broker, "s").await.publish("a", "x", QoS::AtLeastOnce).await;
        },
        async |broker, (), fault| {
            let (mut peer, connack) = Peer::connect(broker, hello()).await;
            assert!(connack.session_present);
            peer.expect_disconnect(disconnect_reason(fault)).await;
            // Now it has to be read before the session is opened.
            Peer::refused(broker, hello(), connack_reason(fault)).await;
        },
    );
}

#[test]
fn a_broker_does_not_start_over_a_store_that_cannot_be_read() {
    Backend::Memory.talk(async || {
        for fault in faults(Place::Scan) {
            let store = Faulty::over(Store::new());
            store.set(fault);
            let started = Broker::builder(store).start().await;
            assert!(matches!(started, Err(StartError::Store(error)) if error.kind() == fault.kind));
        }
    });
}

#[test]
fn a_publication_of_the_process_is_answered_with_the_error() {
    Backend::Memory.talk(async || {
        for fault in faults(Place::Enqueue) {
            let store = Faulty::over(Store::new());
            let broker = broker_over(store.clone()).await;
            let _peer = subscribed(&broker).await;
            store.set(fault);
            let said = broker.publish(opifex_broker::Publication::new("a", "x").qos(QoS::AtLeastOnce)).await;
            assert!(
                matches!(&said, Err(opifex_broker::PublishError::Store(error)) if error.kind() == fault.kind),
                "{fault:?}: {said:?}"
            );
        }
    });
}

#[test]
fn an_acknowledged_message_survives_every_failure_that_comes_after_it() {
    Backend::Memory.talk(async || {
        for place in [Place::Enqueue, Place::Settle, Place::Assign, Place::Queue, Place::Open] {
            for fault in faults(place) {
                let store = Faulty::over(Store::new());
                let broker = broker_over(store.clone()).await;
                let peer = subscribed(&broker).await;
                let mut sender = Peer::v5(&broker, "s").await;
                sender.publish("a", "kept", QoS::AtLeastOnce).await;
                store.set(fault);
                sender.send(publish("a", "maybe", QoS::ExactlyOnce)).await;
                pass_secs(1).await;
                drop(peer);
                let mut second = Peer::open(&broker, Version::V5_0);
                second.send(hello()).await;
                pass_secs(1).await;
                drop(second);
                pass_secs(1).await;
                store.mend();
                let (mut peer, _) = Peer::connect(&broker, hello()).await;
                let mut got = Vec::new();
                while let Some(Packet::Publish(publish)) = peer.receive_within_secs(1).await {
                    got.push(text(&publish));
                    match publish.delivery {
                        Delivery::ExactlyOnce(id) => {
                            peer.send(Pubrec::new(id)).await;
                            peer.expect(Pubrel::new(id)).await;
                            peer.send(Pubcomp::new(id)).await;
                        }
                        _ => peer.acknowledge(&publish).await,
                    }
                }
                assert_eq!(got.first().map(String::as_str), Some("kept"), "{fault:?}: {got:?}");
            }
        }
    });
}
