//! A broker starts over what another one has left in the store: after a stop, and after it was simply gone.

use std::sync::Arc;

use opifex_broker::Broker;
use opifex_packet::{
    Connect, Packet, Property, Pubcomp, Publish, Pubrec, Pubrel, QoS, ReasonCode, TopicName, Version,
};
use opifex_storage::{
    Author, Batch, Message, Op, OpenSession, PageLimit, Persistence as _, QueueLimits, Seq, SessionExpiry,
    Target, Timestamp,
};

use crate::backend::restarts;
use crate::peer::*;
use crate::store::Store;

restarts!(
    sessions_and_subscriptions_come_back_with_their_options,
    queues_come_back_in_order_with_everything_that_a_message_carries,
    what_was_in_flight_goes_on_where_it_was,
    ids_in_flight_are_not_given_to_what_comes_before_them,
    qos_1_in_flight_comes_again,
    an_inbound_qos_2_message_is_routed_once,
    retained_messages_come_back,
    as_many_messages_are_retained_as_the_store_may_hold,
    a_will_keeps_its_delay,
    a_will_that_was_taken_back_stays_away,
    sessions_expire_after_a_restart_too,
    a_clean_start_after_a_restart_ends_what_was_stored,
);

/// How the first broker ends.
#[derive(Copy, Clone, Debug, PartialEq)]
enum Ending {
    /// `shutdown()`.
    Stopped,
    /// The process is gone: nothing runs any more, nothing was said.
    Killed,
}

/// Runs `before` with a broker, ends that in each way, and runs `after` with another one over the same store. Each has a
/// runtime of its own, so that of a broker that is killed nothing lives on.
fn across(before: impl AsyncFn(Broker<Store>) -> Vec<Peer>, after: impl AsyncFn(Broker<Store>)) {
    across_in(Store::new, before, after);
}

/// The same in a store of its own making.
fn across_in(
    store: impl Fn() -> Store,
    before: impl AsyncFn(Broker<Store>) -> Vec<Peer>,
    after: impl AsyncFn(Broker<Store>),
) {
    for ending in [Ending::Stopped, Ending::Killed] {
        let store = store();
        let first = runtime();
        let peers = first.block_on(async {
            let broker = broker_over(store.clone()).await;
            let peers = before(broker.clone()).await;
            if ending == Ending::Stopped {
                broker.shutdown().await;
            }
            peers
        });
        drop(first);
        drop(peers);
        runtime().block_on(async {
            after(broker_over(store.reopen()).await).await;
        });
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap()
}

fn hello() -> Connect<'static> {
    connect_durable(Version::V5_0, "c")
}

/// Another durable client, who keeps what comes.
async fn keeper(broker: &Broker<Store>) -> Peer {
    Peer::connect(broker, connect_durable(Version::V5_0, "keeper")).await.0
}

async fn back(broker: &Broker<Store>) -> Peer {
    let (peer, connack) = Peer::connect(broker, hello()).await;
    assert!(connack.session_present);
    peer
}

fn sessions_and_subscriptions_come_back_with_their_options() {
    across(
        async |broker| {
            let (mut peer, _) = Peer::connect(&broker, hello()).await;
            let mut wanted = options(QoS::AtLeastOnce);
            wanted.retain_as_published = true;
            wanted.no_local = true;
            peer.subscribe_with("a/+", wanted, Some(9)).await;
            peer.subscribe("$share/g/s", QoS::ExactlyOnce).await;
            peer.subscribe("gone", QoS::AtLeastOnce).await;
            peer.unsubscribe("gone").await;
            vec![peer, Peer::v5(&broker, "transient").await]
        },
        async |broker| {
            assert_eq!((broker.stats().sessions, broker.stats().subscriptions), (1, 2));
            let mut sender = Peer::v5(&broker, "s").await;
            sender.publish_retained("a/b", "x", QoS::ExactlyOnce).await;
            sender.publish("s", "shared", QoS::ExactlyOnce).await;
            sender.publish("gone", "no", QoS::ExactlyOnce).await;
            let mut peer = back(&broker).await;
            let publish = peer.receive_acknowledged().await;
            assert_eq!((publish.qos(), publish.retain), (QoS::AtLeastOnce, true));
            assert_eq!(publish.properties.subscription_identifiers().collect::<Vec<_>>(), [9]);
            assert_eq!(peer.receive_text().await, "shared");
            peer.publish("a/b", "own", QoS::AtLeastOnce).await;
            peer.expect_silence().await;
        },
    );
}

fn queues_come_back_in_order_with_everything_that_a_message_carries() {
    across(
        async |broker| {
            let (mut peer, _) = Peer::connect(&broker, hello()).await;
            peer.subscribe("a", QoS::ExactlyOnce).await;
            peer.vanish(&broker).await;
            let mut sender = Peer::v5(&broker, "s").await;
            for n in 0..300 {
                let qos = if n % 2 == 0 { QoS::AtLeastOnce } else { QoS::ExactlyOnce };
                let mut packet = publish("a", &n.to_string(), qos);
                packet.properties.push(Property::UserProperty("n", &n.to_string()));
                sender.publish_packet(packet).await;
            }
            vec![sender]
        },
        async |broker| {
            let mut peer = back(&broker).await;
            // In order at each QoS: what is sent at QoS 2 waits for its packet id to be on record.
            let mut next = [0_usize, 0, 1];
            for _ in 0..300 {
                let publish = peer.receive_acknowledged_later().await;
                let n = &mut next[usize::from(u8::from(publish.qos()))];
                assert_eq!(text(&publish), n.to_string());
                let said = publish.properties.user_properties().next();
                assert_eq!(said, Some(("n", n.to_string().as_str())));
                *n += 2;
                if publish.qos() == QoS::ExactlyOnce {
                    assert!(!publish.dup, "it had no packet id, so it was never sent");
                }
            }
            peer.expect_no_more().await;
            // And new ones follow.
            let mut sender = Peer::v5(&broker, "s").await;
            sender.publish("a", "new", QoS::ExactlyOnce).await;
            let publish = peer.receive_acknowledged().await;
            assert_eq!((text(&publish).as_str(), publish.dup), ("new", false));
        },
    );
}

fn what_was_in_flight_goes_on_where_it_was() {
    across(
        async |broker| {
            let (mut peer, _) = Peer::connect(&broker, hello()).await;
            peer.subscribe("a", QoS::ExactlyOnce).await;
            let mut sender = Peer::v5(&broker, "s").await;
            for n in 0..6 {
                sender.publish("a", &n.to_string(), QoS::ExactlyOnce).await;
                assert_eq!(peer.receive_publish().await.delivery.packet_id(), Some(id(n + 1)));
            }
            // 0 is through, 1 is released.
            for n in 1..=2 {
                peer.send(Pubrec::new(id(n))).await;
                peer.expect(Pubrel::new(id(n))).await;
            }
            peer.send(Pubcomp::new(id(1))).await;
            peer.settle().await;
            vec![peer, sender]
        },
        async |broker| {
            let mut peer = back(&broker).await;
            peer.expect(Pubrel::new(id(2))).await;
            for n in 2..6 {
                let publish = peer.receive_publish().await;
                let got = (text(&publish), publish.delivery.packet_id(), publish.dup);
                assert_eq!(got, (n.to_string(), Some(id(n + 1)), true));
            }
            let mut sender = Peer::v5(&broker, "s").await;
            for _ in 0..10 {
                sender.publish("a", "new", QoS::ExactlyOnce).await;
                let publish = peer.receive_publish().await;
                assert!(!publish.dup);
                let packet_id = publish.delivery.packet_id().unwrap().get();
                assert!(!(2..=6).contains(&packet_id), "id {packet_id} is in use");
            }
            peer.send(Pubcomp::new(id(2))).await;
            peer.expect_silence().await;
        },
    );
}

/// What a process leaves whose packet ids have come round the circle: at the front of a queue, messages of QoS 1, which
/// have no id in the store; behind them one of QoS 2 that was sent as 1.
async fn leave_ids_that_came_round(store: &Store) {
    let durability = store.capabilities().max_durability;
    let (now, limits) = (Timestamp(1_000), QueueLimits::UNLIMITED);
    let open = OpenSession {
        client_id: "c".into(),
        clean_start: false,
        expiry: SessionExpiry::Never,
        will: None,
        durability,
        now,
    };
    let session = store.open_session(open).await.unwrap().session;
    let enqueue = |(qos, text): (QoS, &'static str)| Op::Enqueue {
        message: Arc::new(Message {
            topic: TopicName::new("a").unwrap(),
            qos,
            properties: Default::default(),
            payload: text.into(),
            expires_at: None,
        }),
        targets: vec![Target {
            session: session.id,
            qos,
            retain: false,
            subscription_ids: Vec::new(),
            share: None,
            limits,
        }],
    };
    let messages = [(QoS::AtLeastOnce, "0"), (QoS::AtLeastOnce, "1"), (QoS::ExactlyOnce, "2")];
    let write = async |author, ops| {
        let batch = Batch { ops, ..Batch::new(author, durability, now) };
        store.submit(batch).await.unwrap().durable().await.unwrap();
    };
    write(Author::Broker, messages.into_iter().map(enqueue).collect()).await;
    let queue = store.queue(session.id, Seq::ZERO, PageLimit::items(10)).await.unwrap();
    let last = queue.items.last().unwrap().seq;
    let author = Author::Session(session.id, session.epoch);
    write(author, vec![Op::Assign { seq: last, packet_id: id(1) }]).await;
}

fn ids_in_flight_are_not_given_to_what_comes_before_them() {
    let store = Store::new();
    runtime().block_on(leave_ids_that_came_round(&store));
    runtime().block_on(async {
        let broker = broker_over(store.reopen()).await;
        let mut peer = back(&broker).await;
        let mut ids = Vec::new();
        for _ in 0..3 {
            let publish = peer.receive_publish().await;
            let packet_id = publish.delivery.packet_id().unwrap();
            assert_eq!(packet_id == id(1), publish.qos() == QoS::ExactlyOnce, "{publish:?}");
            assert!(publish.dup && !ids.contains(&packet_id), "{publish:?} after {ids:?}");
            ids.push(packet_id);
        }
    });
}

fn qos_1_in_flight_comes_again() {
    across(
        async |broker| {
            let (mut peer, _) = Peer::connect(&broker, hello()).await;
            peer.subscribe("a", QoS::AtLeastOnce).await;
            let mut sender = Peer::v5(&broker, "s").await;
            for n in 0..4 {
                sender.publish("a", &n.to_string(), QoS::AtLeastOnce).await;
                let publish = peer.receive_publish().await;
                if n == 1 {
                    peer.acknowledge(&publish).await;
                }
            }
            peer.settle().await;
            vec![peer, sender]
        },
        async |broker| {
            let mut peer = back(&broker).await;
            for n in [0, 2, 3] {
                let publish = peer.receive_acknowledged().await;
                assert_eq!((text(&publish), publish.dup), (n.to_string(), true));
            }
            peer.expect_silence().await;
        },
    );
}

fn an_inbound_qos_2_message_is_routed_once() {
    let message = |dup| Publish { dup, ..publish("a", "once", QoS::ExactlyOnce) };
    across(
        async |broker| {
            let mut keeper = keeper(&broker).await;
            keeper.subscribe("a", QoS::ExactlyOnce).await;
            let (mut peer, _) = Peer::connect(&broker, hello()).await;
            peer.send(message(false)).await;
            assert!(matches!(peer.receive().await, Packet::Pubrec(_)));
            vec![keeper, peer]
        },
        async |broker| {
            let mut peer = back(&broker).await;
            peer.send(message(true)).await;
            assert!(matches!(peer.receive().await, Packet::Pubrec(ack) if !ack.reason.is_error()));
            peer.send(Pubrel::new(id(78))).await;
            peer.expect(Pubcomp::new(id(78))).await;
            peer.send(Pubrel::new(id(78))).await;
            peer.expect(Pubcomp::new(id(78)).with_reason(ReasonCode::PacketIdentifierNotFound)).await;
            let mut keeper = keeper(&broker).await;
            assert_eq!(keeper.receive_text().await, "once");
            keeper.expect_silence().await;
        },
    );
}

fn retained_messages_come_back() {
    across(
        async |broker| {
            let mut sender = Peer::v5(&broker, "s").await;
            sender.publish_retained("kept", "x", QoS::AtLeastOnce).await;
            sender.publish_retained("kept/0", "y", QoS::AtMostOnce).await;
            sender.publish_retained("cleared", "x", QoS::AtLeastOnce).await;
            sender.publish_retained("cleared", "", QoS::AtLeastOnce).await;
            vec![sender]
        },
        async |broker| {
            let mut late = Peer::v5(&broker, "late").await;
            late.subscribe("#", QoS::AtLeastOnce).await;
            let mut got = vec![late.receive_text().await, late.receive_text().await];
            got.sort();
            assert_eq!(got, ["x", "y"]);
            late.expect_silence().await;
        },
    );
}

/// Retains an "x", and says how that went.
async fn retain(peer: &mut Peer, topic: &str) -> ReasonCode {
    peer.send(retained(topic, "x", QoS::AtLeastOnce)).await;
    match peer.receive().await {
        Packet::Puback(ack) => ack.reason,
        other => panic!("expected PUBACK, got {other:?}"),
    }
}

fn as_many_messages_are_retained_as_the_store_may_hold() {
    // Nobody subscribes to what is published here.
    const TAKEN: ReasonCode = ReasonCode::NoMatchingSubscribers;
    const FULL: ReasonCode = ReasonCode::QuotaExceeded;
    across_in(
        || Store::with_at_most(3),
        async |broker| {
            let mut peer = Peer::v5(&broker, "s").await;
            for (topic, expected) in
                [("a", TAKEN), ("b", TAKEN), ("c", TAKEN), ("d", FULL), ("a", TAKEN), ("d", FULL)]
            {
                assert_eq!(retain(&mut peer, topic).await, expected, "{topic}");
            }
            // What is cleared or expires makes room, once.
            peer.publish_retained("a", "", QoS::AtLeastOnce).await;
            peer.publish_retained("a", "", QoS::AtLeastOnce).await;
            let mut packet = retained("d", "x", QoS::AtLeastOnce);
            packet.properties.push(Property::MessageExpiryInterval(10));
            peer.publish_packet(packet).await;
            assert_eq!(retain(&mut peer, "a").await, FULL);
            pass_secs(15).await;
            assert_eq!(retain(&mut peer, "a").await, TAKEN);
            assert_eq!(retain(&mut peer, "d").await, FULL);
            vec![peer]
        },
        async |broker| {
            let mut peer = Peer::v5(&broker, "s").await;
            assert_eq!(retain(&mut peer, "d").await, FULL);
            assert_eq!(retain(&mut peer, "b").await, TAKEN);
            peer.publish_retained("b", "", QoS::AtLeastOnce).await;
            assert_eq!(retain(&mut peer, "d").await, TAKEN);
            assert_eq!(retain(&mut peer, "b").await, FULL);
        },
    );
}

fn a_will_keeps_its_delay() {
    for connected in [true, false] {
        across(
            async |broker| {
                let mut keeper = keeper(&broker).await;
                keeper.subscribe("will", QoS::AtLeastOnce).await;
                let mut hello = hello();
                hello.will = Some(will("will", "gone", QoS::AtLeastOnce));
                hello.will.as_mut().unwrap().properties.push(Property::WillDelayInterval(30));
                let (peer, _) = Peer::connect(&broker, hello).await;
                if connected {
                    return vec![keeper, peer];
                }
                peer.vanish(&broker).await;
                vec![keeper]
            },
            async |broker| {
                let mut keeper = keeper(&broker).await;
                pass_secs(27).await;
                keeper.expect_silence().await;
                pass_secs(6).await;
                assert_eq!(keeper.receive_text().await, "gone");
                keeper.expect_silence().await;
            },
        );
    }
}

fn a_will_that_was_taken_back_stays_away() {
    across(
        async |broker| {
            let mut keeper = keeper(&broker).await;
            keeper.subscribe("will", QoS::AtLeastOnce).await;
            let mut hello = hello();
            hello.will = Some(will("will", "gone", QoS::AtLeastOnce));
            let (peer, _) = Peer::connect(&broker, hello).await;
            peer.disconnect(&broker).await;
            vec![keeper]
        },
        async |broker| {
            let mut keeper = keeper(&broker).await;
            pass_secs(10).await;
            keeper.expect_silence().await;
        },
    );
}

fn sessions_expire_after_a_restart_too() {
    across(
        async |broker| {
            let mut peers = Vec::new();
            for (name, secs) in [("short", 20), ("long", 2_000)] {
                let mut hello = connect(Version::V5_0, name);
                hello.properties.push(Property::SessionExpiryInterval(secs));
                peers.push(Peer::connect(&broker, hello).await.0);
            }
            peers
        },
        async |broker| {
            pass_secs(17).await;
            assert_eq!(broker.stats().sessions, 2);
            pass_secs(6).await;
            assert_eq!(broker.stats().sessions, 1);
        },
    );
}

fn a_clean_start_after_a_restart_ends_what_was_stored() {
    across(
        async |broker| {
            let (mut peer, _) = Peer::connect(&broker, hello()).await;
            peer.subscribe("a", QoS::AtLeastOnce).await;
            vec![peer]
        },
        async |broker| {
            let (mut peer, connack) = Peer::connect(&broker, connect(Version::V5_0, "c")).await;
            assert!(!connack.session_present);
            peer.publish("a", "x", QoS::AtMostOnce).await;
            peer.expect_silence().await;
            assert_eq!((broker.stats().sessions, broker.stats().subscriptions), (1, 0));
        },
    );
}
