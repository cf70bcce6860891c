//! The roles with our client.

use std::collections::VecDeque;

use bytes::Bytes;
use opifex_client::{Address, Client, Delivery, Message, Options};
use opifex_packet::{QoS, TopicName, Version};

use crate::{AHEAD, Task, WINDOW};

async fn connected(task: &Task, client_id: &str) -> (Client, QoS) {
    let mut options = Options::new(Version::V3_1_1, client_id);
    options.max_inflight = WINDOW;
    let client = Client::connect(options, Address::new("127.0.0.1", task.port)).await.expect("a connection");
    (client, QoS::try_from(task.qos).expect("a QoS"))
}

/// Publishes, and awaits each message's end in order.
pub(crate) async fn publish(task: Task) {
    let topic = TopicName::new("peers/0").expect("a topic");
    send(task, false, |_| topic.clone()).await;
}

/// Leaves retained messages behind.
pub(crate) async fn retain(task: Task) {
    send(task, true, |number| TopicName::new(format!("peers/{number}")).expect("a topic")).await;
}

async fn send(task: Task, retain: bool, topic: impl Fn(usize) -> TopicName<'static>) {
    let (client, qos) = connected(&task, "peers-opifex-pub").await;
    let payload = Bytes::from(vec![b'x'; task.bytes]);
    let mut under_way = VecDeque::with_capacity(AHEAD);
    for number in 0..task.count {
        if under_way.len() == AHEAD
            && let Some(oldest) = under_way.pop_front()
        {
            delivered(oldest).await;
        }
        let mut message = Message::new(topic(number), payload.clone()).with_qos(qos);
        message.retain = retain;
        under_way.push_back(client.enqueue(message).await.expect("it is accepted"));
    }
    for delivery in under_way {
        delivered(delivery).await;
    }
    client.disconnect().await.expect("the end");
}

async fn delivered(delivery: Delivery) {
    delivery.await.expect("it is delivered");
}

/// Takes messages from a stream.
pub(crate) async fn subscribe(task: Task) {
    let (client, qos) = connected(&task, "peers-opifex-sub").await;
    let mut messages = client.subscribe("peers/#", qos).await.expect("a subscription");
    println!("ready");
    for _ in 0..task.count {
        let message = messages.next().await.expect("a message");
        assert_eq!(message.payload.len(), task.bytes);
    }
    client.disconnect().await.expect("the end");
}
