//! The roles with rumqttc: its event loop has to be polled by whoever uses it.

use rumqttc::{AsyncClient, Event, EventLoop, MqttOptions, Packet, QoS};

use crate::{AHEAD, Task, WINDOW};

/// `at_once`: with TCP_NODELAY, as ours. Without, which is its default, what is written waits until the server has
/// confirmed what was written before.
fn client(task: &Task, at_once: bool, client_id: &str) -> (AsyncClient, EventLoop, QoS) {
    let mut options = MqttOptions::new(client_id, "127.0.0.1", task.port);
    options.set_inflight(WINDOW);
    let (client, mut events) = AsyncClient::new(options, AHEAD);
    let mut network = events.network_options();
    network.set_tcp_nodelay(at_once);
    events.set_network_options(network);
    (client, events, rumqttc::qos(task.qos).expect("a QoS"))
}

/// Publishes, and counts the ends of the flows. A QoS 0 message has none: there all have been written when the event loop
/// has said so as often.
pub(crate) async fn publish(task: Task, at_once: bool) {
    let (client, mut events, qos) = client(&task, at_once, "peers-rumqttc-pub");
    let (count, bytes) = (task.count, task.bytes);
    tokio::task::spawn(async move {
        let payload = bytes::Bytes::from(vec![b'x'; bytes]);
        for _ in 0..count {
            client.publish_bytes("peers/0", qos, false, payload.clone()).await.expect("it is accepted");
        }
        // The event loop ends with the DISCONNECT that it has written.
        if qos == QoS::AtMostOnce {
            client.disconnect().await.expect("it is accepted");
        }
        // Dropped, it would end the event loop in front of the last acknowledgements.
        std::future::pending::<()>().await;
    });
    let mut done = 0;
    while done < count {
        match events.poll().await.expect("a connection") {
            Event::Incoming(Packet::PubAck(_) | Packet::PubComp(_)) => done += 1,
            Event::Outgoing(rumqttc::Outgoing::Disconnect) => break,
            _ => {}
        }
    }
}

/// Takes messages from the event loop, which acknowledges them.
pub(crate) async fn subscribe(task: Task, at_once: bool) {
    let (client, mut events, qos) = client(&task, at_once, "peers-rumqttc-sub");
    client.subscribe("peers/#", qos).await.expect("it is accepted");
    let mut came = 0;
    while came < task.count {
        match events.poll().await.expect("a connection") {
            Event::Incoming(Packet::SubAck(_)) => println!("ready"),
            Event::Incoming(Packet::Publish(message)) => {
                assert_eq!(message.payload.len(), task.bytes);
                came += 1;
            }
            _ => {}
        }
    }
}
