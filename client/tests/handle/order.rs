//! Many messages, in order, under the server's receive maximum.

use opifex_client::{Client, Message, Options};
use opifex_packet::{
    Connack, Packet, Properties, Property, Puback, Pubcomp, Pubrec, QoS, ReasonCode, TopicName, Version,
};

use crate::server::{Peer, options, server};

const MESSAGES: u32 = 100_000;

/// Counts what is under way; returns the payloads in their order.
async fn count(peer: &mut Peer, maximum: usize) -> Vec<u32> {
    let (mut seen, mut under_way) = (Vec::new(), std::collections::VecDeque::new());
    loop {
        match peer.receive().await {
            Packet::Publish(publish) => {
                assert!(!publish.dup);
                seen.push(u32::from_be_bytes(publish.payload[..].try_into().unwrap()));
                let id = publish.delivery.packet_id().unwrap();
                assert!(!under_way.contains(&(id, publish.qos())), "{id} is in use");
                under_way.push_back((id, publish.qos()));
                assert!(under_way.len() <= maximum, "{} are under way", under_way.len());
                // Answers come late, so that the window is full most of the time.
                if under_way.len() == maximum || seen.len() as u32 == MESSAGES {
                    for (id, qos) in &under_way {
                        if *qos == QoS::AtLeastOnce {
                            peer.connection.feed(&Puback::new(*id).into());
                        } else {
                            peer.connection.feed(&Pubrec::new(*id).into());
                        }
                    }
                    under_way.retain(|(_, qos)| *qos == QoS::ExactlyOnce);
                    peer.connection.flush().await.unwrap();
                }
            }
            Packet::Pubrel(pubrel) => {
                under_way.retain(|(id, _)| *id != pubrel.packet_id);
                peer.send(Pubcomp::new(pubrel.packet_id)).await;
            }
            Packet::Disconnect(_) => return seen,
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_hundred_thousand_messages_keep_their_order_and_the_receive_maximum() {
    const MAXIMUM: u16 = 20;
    let (mut server, connector) = server();
    let properties = Properties::new().with(Property::ReceiveMaximum(MAXIMUM));
    let connack = Connack { properties, ..Connack::new(ReasonCode::Success) };
    let options = Options { version: Version::V5_0, ..options() };
    let (client, (mut peer, _)) =
        tokio::join!(Client::connect(options, connector), server.accepts_with(connack));
    let client = client.unwrap();
    let publishing = async {
        let topic = TopicName::new("t").unwrap();
        for number in 0..MESSAGES {
            let qos = if number % 3 == 0 { QoS::ExactlyOnce } else { QoS::AtLeastOnce };
            let message = Message::new(topic.borrow(), number.to_be_bytes().to_vec()).with_qos(qos);
            drop(client.enqueue(message).await.unwrap());
        }
        client.disconnect().await.unwrap();
    };
    let ((), seen) = tokio::join!(publishing, count(&mut peer, MAXIMUM.into()));
    assert!(seen.into_iter().eq(0..MESSAGES));
}
