//! What is checked with a broker that runs: each message is a number, so that loss, doubles and order show.

use std::collections::HashSet;
use std::path::Path;
use std::time::Duration;

use opifex_client::{Address, Client, FileStore, Message, Options, Reconnect, Subscription};
use opifex_packet::{Properties, Property, QoS, TopicName, Version};
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;

use crate::broker::{Broker, Kind, MOSQUITTO_IN_FLIGHT};

/// Longer than anything here takes on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

pub(crate) fn options(version: Version, client_id: &str) -> Options {
    Options::new(version, client_id)
}

fn policy() -> Reconnect {
    Reconnect::default().waiting(Duration::from_millis(50), Duration::from_millis(500)).from_the_start()
}

/// A client with a session that lasts, in a file.
async fn lasting(address: Address, options: Options, file: &Path) -> Client {
    let store = FileStore::open(file).unwrap();
    Client::builder(options.resuming(3600)).store(store).reconnect(policy()).connect(address).await.unwrap()
}

pub(crate) fn numbered(topic: &str, qos: QoS, number: u32) -> Message {
    Message::new(TopicName::new(topic).unwrap(), number.to_be_bytes().to_vec()).with_qos(qos)
}

/// The next message, by its QoS and number.
pub(crate) async fn next(subscription: &mut Subscription) -> (QoS, u32) {
    let received =
        timeout(PATIENCE, subscription.next()).await.expect("no message comes").expect("the client lives");
    (received.qos, u32::from_be_bytes(received.payload[..].try_into().unwrap()))
}

/// All QoS, in order, each once.
pub(crate) async fn every_qos(broker: &Broker, version: Version) {
    const EACH: u32 = 300;
    let subscriber = Client::connect(options(version, "subscriber"), broker.address()).await.unwrap();
    let publisher = Client::connect(options(version, "publisher"), broker.address()).await.unwrap();
    for qos in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
        let topic = format!("qos/{}", u8::from(qos));
        let mut subscription = subscriber.subscribe(&topic, qos).await.unwrap();
        let mut deliveries = Vec::new();
        for number in 0..EACH {
            deliveries.push(publisher.enqueue(numbered(&topic, qos, number)).await.unwrap());
        }
        for number in 0..EACH {
            assert_eq!(next(&mut subscription).await, (qos, number));
        }
        for delivery in deliveries {
            timeout(PATIENCE, delivery).await.expect("it comes to its end").unwrap();
        }
    }
    subscriber.disconnect().await.unwrap();
    publisher.disconnect().await.unwrap();
}

/// A service that answers, and a client that asks it (5.0).
pub(crate) async fn request_and_response(broker: &Broker, version: Version) {
    let asker = Client::connect(options(version, "asker"), broker.address()).await.unwrap();
    let request = numbered("double", QoS::AtLeastOnce, 21);
    if !version.is_v5() {
        assert!(asker.request(request, PATIENCE).await.is_err());
        return;
    }
    let service = Client::connect(options(version, "service"), broker.address()).await.unwrap();
    let mut requests = service.subscribe("double", QoS::AtLeastOnce).await.unwrap();
    let serving = async {
        let asked = requests.next().await.unwrap();
        let topic = asked.properties.response_topic().unwrap();
        let number = u32::from_be_bytes(asked.payload[..].try_into().unwrap());
        let mut answer = numbered(topic, QoS::AtLeastOnce, 2 * number);
        let correlation = asked.properties.correlation_data().unwrap();
        answer.properties = Properties::new().with(Property::CorrelationData(correlation));
        service.publish(answer).await.unwrap();
    };
    let (answer, ()) = tokio::join!(asker.request(request, PATIENCE), serving);
    assert_eq!(answer.unwrap().payload[..], 42u32.to_be_bytes());
}

/// Messages of a flow.
const MESSAGES: u32 = 6000;

/// The broker ends (`end`) and starts again while messages flow: none is lost, and none of QoS 2 is doubled.
pub(crate) async fn restarts(broker: &mut Broker, version: Version, end: fn(&mut Broker)) {
    let (address, kind) = (broker.address(), broker.kind());
    flow(address, kind, options(version, ""), async |received| {
        for part in 1..=3 {
            received.wait_for(|received| *received >= part * MESSAGES / 5).await.unwrap();
            end(broker);
            assert!(*received.borrow() < MESSAGES, "nothing is under way any more");
            tokio::time::sleep(Duration::from_millis(50)).await;
            tokio::task::block_in_place(|| broker.again());
        }
    })
    .await;
}

/// Messages flow from one client to another, both with a session that lasts, while there is trouble, which is told how many
/// have come: none is lost, and none of QoS 2 is doubled.
pub(crate) async fn flow(
    address: Address,
    kind: Kind,
    options: Options,
    trouble: impl AsyncFnOnce(&mut watch::Receiver<u32>),
) {
    let place = tempfile::tempdir().unwrap();
    let connect = async |role: &str| {
        // A session of an earlier run, whose file is gone, is another's.
        let client_id = format!("{role}-{}", place.path().file_name().unwrap().display());
        let options = Options { client_id, ..options.clone() };
        lasting(address.clone(), options, &place.path().join(role)).await
    };
    let (subscriber, publisher) = (connect("subscriber").await, connect("publisher").await);
    let mut subscription = subscriber.subscribe("flow", QoS::ExactlyOnce).await.unwrap();
    let (told, mut received) = watch::channel(0);

    // How far the publisher may be in front of the subscriber. What mosquitto 2.0 had sent beyond its `max_inflight_messages`
    // it queues anew when it starts (`persist__client_msg_restore`), and sends PUBLISH behind PUBREL, against
    // [MQTT-4.3.3-6]: QoS 2 messages come twice.
    let ahead = Semaphore::new(match kind {
        Kind::Opifex => MESSAGES as usize,
        Kind::Mosquitto => MOSQUITTO_IN_FLIGHT / 2,
    });
    let publishing = async {
        let mut deliveries = Vec::new();
        for number in 0..MESSAGES {
            ahead.acquire().await.unwrap().forget();
            let qos = if number % 2 == 0 { QoS::ExactlyOnce } else { QoS::AtLeastOnce };
            deliveries.push(publisher.enqueue(numbered("flow", qos, number)).await.unwrap());
        }
        for delivery in deliveries {
            timeout(PATIENCE, delivery).await.expect("it comes to its end").unwrap();
        }
    };
    let receiving = async {
        let (mut once, mut at_least) = (Vec::new(), HashSet::new());
        loop {
            let so_far = once.len() as u32 + at_least.len() as u32;
            told.send_replace(so_far);
            if so_far >= MESSAGES {
                return once;
            }
            match next(&mut subscription).await {
                (QoS::ExactlyOnce, number) => once.push(number),
                (_, number) if !at_least.insert(number) => continue,
                _ => {}
            }
            ahead.add_permits(1);
        }
    };
    let ((), once, ()) = tokio::join!(publishing, receiving, trouble(&mut received));
    let distinct: HashSet<u32> = once.iter().copied().collect();
    assert_eq!(distinct.len(), once.len(), "a QoS 2 message came twice");
    assert_eq!(distinct.len() as u32, MESSAGES / 2, "a message is lost");
    // mosquitto 2.0 hands on what it has of a resumed session in another order now and then.
    let in_order = kind == Kind::Opifex;
    if let Some(at) = once.windows(2).position(|pair| in_order && pair[0] > pair[1]) {
        panic!("the order is lost: {:?}", &once[at.saturating_sub(3)..once.len().min(at + 30)]);
    }
    subscriber.disconnect().await.unwrap();
    publisher.disconnect().await.unwrap();
}

/// The publisher dies with its runtime and begins again from its file: what was told to be done has arrived, and what
/// was accepted arrives once or, when it was not stored yet, not at all.
pub(crate) async fn dying_publisher(broker: &Broker, version: Version) {
    const LIVES: u32 = 4;
    const EACH: u32 = 100_000;
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("p");
    let id = format!("dying-{version:?}");
    let witness = options(version, "witness");
    let subscriber = Client::connect(witness, broker.address()).await.unwrap();
    let mut subscription = subscriber.subscribe("dying", QoS::ExactlyOnce).await.unwrap();
    let mut done: HashSet<u32> = HashSet::new();
    let mut seen = Vec::new();
    for life in 0..LIVES {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let (told, mut telling) = tokio::sync::mpsc::unbounded_channel();
        let options = options(version, &id).resuming(3600);
        let (address, store) = (broker.address(), FileStore::open(&file).unwrap());
        runtime.spawn(async move {
            let client =
                Client::builder(options).store(store).reconnect(policy()).connect(address).await.unwrap();
            for number in life * EACH.. {
                let delivery = client.enqueue(numbered("dying", QoS::ExactlyOnce, number)).await.unwrap();
                let told = told.clone();
                tokio::spawn(async move {
                    if delivery.await.is_ok() {
                        let _ = told.send(number);
                    }
                });
            }
        });
        for _ in 0..200 {
            seen.push(next(&mut subscription).await.1);
        }
        tokio::task::block_in_place(|| runtime.shutdown_timeout(Duration::from_secs(10)));
        telling.close();
        while let Some(number) = telling.recv().await {
            done.insert(number);
        }
    }
    // The last life sends what is left, and is the end.
    let client = lasting(broker.address(), options(version, &id), &file).await;
    client.publish(numbered("dying", QoS::ExactlyOnce, u32::MAX)).await.unwrap();
    loop {
        match next(&mut subscription).await.1 {
            u32::MAX => break,
            number => seen.push(number),
        }
    }
    let distinct: HashSet<u32> = seen.iter().copied().collect();
    assert_eq!(distinct.len(), seen.len(), "a QoS 2 message came twice");
    assert!(seen.is_sorted(), "the order is lost");
    let lost: Vec<&u32> = done.difference(&distinct).collect();
    assert!(lost.is_empty(), "told to be done, and lost: {lost:?}");
    client.disconnect().await.unwrap();
    subscriber.disconnect().await.unwrap();
}
