//! A look at what is retained, by somebody who subscribes while nobody publishes.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use opifex_packet::{
    Connect, Delivery, Packet, PacketId, Property, Puback, Publish, QoS, Subscribe, Subscription,
    TopicFilter, TopicName, Version,
};

use crate::event::MessageId;
use crate::journal::Journal;
use crate::wire::Wire;

const NAME: &str = "probe";
const END: &str = "probe/end";

/// All retained messages, by topic. The probe's session is durable, so that they are in its queue before SUBACK; what
/// it then publishes to itself comes after the last of them.
pub(crate) async fn retained(
    address: SocketAddr,
    journal: &Journal,
) -> Result<BTreeMap<String, MessageId>, String> {
    let mut wire = Wire::open(NAME, Version::V5_0, address, journal).await.ok_or("no connection")?;
    let mut connect = Connect::new(Version::V5_0, NAME);
    connect.properties.push(Property::SessionExpiryInterval(600));
    wire.send(connect).await;
    let id = PacketId::new(1).expect("it is not 0");
    let mut topics = BTreeMap::new();
    while let Some(packet) = wire.receive().await {
        match packet {
            Packet::Connack(connack) if !connack.reason.is_error() => {
                let subscription = |filter| {
                    Subscription::new(TopicFilter::new(filter).expect("it is one"), QoS::AtLeastOnce)
                };
                wire.send(Subscribe::new(id, vec![subscription("ret/#"), subscription(END)])).await;
            }
            Packet::Suback(_) => {
                let mut end = Publish::new(TopicName::new(END).expect("it is one"), &b"end"[..]);
                end.delivery = Delivery::AtLeastOnce(id);
                wire.send(end).await;
            }
            Packet::Puback(_) => {}
            Packet::Publish(publish) => {
                if let Some(packet_id) = publish.delivery.packet_id() {
                    wire.send(Puback::new(packet_id)).await;
                }
                let topic = publish.topic.ok_or("a topic alias that was not asked for")?;
                if topic.as_str() == END {
                    return Ok(topics);
                }
                let message = MessageId::of(&publish.payload).ok_or("a payload of nobody's")?;
                topics.insert(topic.as_str().to_owned(), message);
            }
            other => return Err(format!("not expected: {other:?}")),
        }
    }
    Err("the connection ended".to_owned())
}
