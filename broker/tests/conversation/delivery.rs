//! Messages from publisher to subscriber, all QoS, all versions.

use opifex_packet::{QoS, Version};

use crate::backend::conversations;
use crate::peer::*;

conversations!(
    a_message_reaches_subscribers_of_every_version_at_every_qos,
    a_durable_session_gets_what_came_while_it_was_away,
);

const VERSIONS: [Version; 3] = [Version::V3_1, Version::V3_1_1, Version::V5_0];
const QOS: [QoS; 3] = [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce];

async fn a_message_reaches_subscribers_of_every_version_at_every_qos() {
    let broker = broker().await;
    for (n, (publisher, subscriber)) in VERSIONS.iter().flat_map(|p| VERSIONS.map(|s| (*p, s))).enumerate() {
        let (mut sender, _) = Peer::connect(&broker, connect(publisher, &format!("sender{n}"))).await;
        let (mut receiver, _) = Peer::connect(&broker, connect(subscriber, &format!("receiver{n}"))).await;
        for qos in QOS {
            let topic = format!("t/{n}/{}", u8::from(qos));
            receiver.subscribe(&topic, qos).await;
            sender.publish(&topic, "hello", qos).await;
            let publish = receiver.receive_acknowledged().await;
            assert_eq!(publish.topic.unwrap().as_str(), topic);
            assert_eq!(publish.payload, &b"hello"[..]);
            assert_eq!(publish.delivery.qos(), qos);
        }
        receiver.expect_silence().await;
    }
    assert_eq!(broker.stats().delivered, 27);
}

async fn a_durable_session_gets_what_came_while_it_was_away() {
    let broker = broker().await;
    for version in VERSIONS {
        let name = format!("away{}", version.level());
        let (mut away, connack) = Peer::connect(&broker, connect_durable(version, &name)).await;
        assert!(!connack.session_present);
        away.subscribe(&format!("q/{}/#", version.level()), QoS::ExactlyOnce).await;
        away.vanish(&broker).await;
        let mut sender = Peer::v5(&broker, "sender").await;
        for qos in QOS {
            sender.publish(&format!("q/{}/{}", version.level(), u8::from(qos)), "kept", qos).await;
        }
        sender.disconnect(&broker).await;
        let (mut back, connack) = Peer::connect(&broker, connect_durable(version, &name)).await;
        assert_eq!(connack.session_present, version != Version::V3_1);
        let first = back.receive_acknowledged().await;
        assert_eq!(first.delivery.qos(), QoS::AtLeastOnce);
        let second = back.receive_acknowledged().await;
        assert_eq!(second.delivery.qos(), QoS::ExactlyOnce);
        back.expect_silence().await;
        back.disconnect(&broker).await;
    }
}
