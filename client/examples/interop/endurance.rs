//! Checks that take longer: a broker that stands still, a mosquitto that is killed, and a hundred thousand messages, the
//! window of which is watched on the wire.

use std::sync::Arc;
use std::time::Duration;

use opifex_client::{Client, Options, Reconnect, Status, Subscription};
use opifex_packet::{QoS, Version};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::broker::Broker;
use crate::checks::{PATIENCE, flow, next, numbered, options};
use crate::proxy::Proxy;

/// The broker stands still while messages flow, for less than anybody's patience.
pub(crate) async fn short_stalls(broker: &Broker, version: Version) {
    flow(broker.address(), broker.kind(), options(version, ""), async |received| {
        for part in 1..=3 {
            received.wait_for(|received| *received >= part * 1000).await.unwrap();
            broker.stall();
            tokio::time::sleep(Duration::from_millis(700)).await;
            broker.go_on();
        }
    })
    .await;
}

/// The broker stands still until its clients give their connections up.
pub(crate) async fn long_stall(broker: &Broker, version: Version) {
    let mut impatient = options(version, "");
    (impatient.keep_alive_secs, impatient.response_timeout) = (1, Duration::from_secs(1));
    let witness = Options { client_id: "witness".into(), ..impatient.clone() };
    let policy = Reconnect::default().waiting(Duration::from_millis(50), Duration::from_millis(500));
    let witness = Client::builder(witness).reconnect(policy).connect(broker.address()).await.unwrap();
    let mut statuses = witness.statuses();
    flow(broker.address(), broker.kind(), impatient, async |received| {
        received.wait_for(|received| *received >= 1000).await.unwrap();
        broker.stall();
        loop {
            match timeout(PATIENCE, statuses.next()).await.expect("a dead server is noticed") {
                Some(Status::Lost { .. }) => break,
                Some(_) => {}
                None => panic!("the client has ended: {:?}", witness.ended()),
            }
        }
        broker.go_on();
    })
    .await;
    witness.disconnect().await.unwrap();
}

/// mosquitto is killed, and what it had not written down is gone. What the client answers for: each message comes to its
/// end, and its streams go on with the next broker.
pub(crate) async fn forgetful_kill(broker: &mut Broker, version: Version) {
    const EACH: u32 = 1000;
    let policy = || Reconnect::default().waiting(Duration::from_millis(50), Duration::from_millis(500));
    let connect = async |name: &str| {
        let options = options(version, &format!("{name}-{version:?}")).resuming(3600);
        Client::builder(options).reconnect(policy()).connect(broker.address()).await.unwrap()
    };
    let (subscriber, publisher) = (connect("left").await, connect("right").await);
    let mut subscription = subscriber.subscribe("forgotten", QoS::ExactlyOnce).await.unwrap();
    let mut deliveries = Vec::new();
    for number in 0..EACH {
        deliveries.push(publisher.enqueue(numbered("forgotten", QoS::ExactlyOnce, number)).await.unwrap());
    }
    next(&mut subscription).await;
    broker.kill();
    tokio::task::block_in_place(|| broker.again());
    for delivery in deliveries {
        timeout(PATIENCE, delivery).await.expect("it comes to its end").unwrap();
    }
    // The subscription comes back with its client, who may be the later one.
    let arrives = async |subscription: &mut Subscription| while next(subscription).await.1 != EACH {};
    for attempt in 1.. {
        publisher.publish(numbered("forgotten", QoS::ExactlyOnce, EACH)).await.unwrap();
        if timeout(Duration::from_secs(1), arrives(&mut subscription)).await.is_ok() {
            break;
        }
        assert!(attempt < 60, "the stream does not go on");
    }
    subscriber.disconnect().await.unwrap();
    publisher.disconnect().await.unwrap();
}

/// A hundred thousand messages arrive in order, each once, and never more of them are under way than the server has said
/// (5.0), or 20.
pub(crate) async fn a_hundred_thousand(broker: &Broker, version: Version, qos: QoS) {
    const MESSAGES: u32 = 100_000;
    let proxy = Proxy::start(broker.address(), version).await;
    let counter = options(version, "counter");
    let subscriber = Client::connect(counter, broker.address()).await.unwrap();
    let mut subscription = subscriber.subscribe("many", qos).await.unwrap();
    let publisher = Client::connect(options(version, "many"), proxy.address()).await.unwrap();
    // How far the publisher may be in front of the subscriber: less than any broker queues.
    let ahead = Arc::new(Semaphore::new(5000));
    let publishing = {
        let (publisher, ahead) = (publisher.clone(), Arc::clone(&ahead));
        tokio::spawn(async move {
            for number in 0..MESSAGES {
                ahead.acquire().await.unwrap().forget();
                drop(publisher.enqueue(numbered("many", qos, number)).await.unwrap());
            }
        })
    };
    for number in 0..MESSAGES {
        assert_eq!(next(&mut subscription).await, (qos, number));
        ahead.add_permits(1);
    }
    publishing.await.unwrap();
    // It waits for the last acknowledgements.
    publisher.disconnect().await.unwrap();
    subscriber.disconnect().await.unwrap();
    let (most, allowed) = proxy.window();
    assert!(most <= allowed, "{most} under way, {allowed} allowed");
    assert!(most > 1, "one after the other: nothing was to be seen");
}
