//! Messages from the server.

use opifex_packet::{Packet, PacketId, Puback, QoS, ReasonCode, Suback, Subscribe, Unsuback};

use crate::server::{Peer, connected, publish};

async fn grants(peer: &mut Peer) -> Subscribe<'static> {
    let Packet::Subscribe(subscribe) = peer.receive().await else { panic!("no SUBSCRIBE") };
    let reasons = vec![ReasonCode::GrantedQoS1; subscribe.subscriptions.len()];
    peer.send(Suback::new(subscribe.packet_id, reasons)).await;
    subscribe
}

#[tokio::test(start_paused = true)]
async fn messages_come_by_their_subscription_and_are_acknowledged_when_taken() {
    let (client, mut peer, _server) = connected().await;
    let (subscription, _) = tokio::join!(client.subscribe("a/+", QoS::AtLeastOnce), grants(&mut peer));
    let mut subscription = subscription.unwrap();
    assert_eq!(subscription.reasons(), [ReasonCode::GrantedQoS1]);
    peer.send(publish(QoS::AtLeastOnce, 1, "a/b", 1)).await;
    let received = subscription.next().await.unwrap();
    assert_eq!((received.topic.as_str(), &received.payload[..]), ("a/b", &b"1"[..]));
    peer.expect(Puback::new(PacketId::MIN)).await;
}

#[tokio::test(start_paused = true)]
async fn an_unsubscribed_stream_ends() {
    let (client, mut peer, _server) = connected().await;
    let (subscription, subscribe) = tokio::join!(client.subscribe("a", QoS::AtLeastOnce), grants(&mut peer));
    let filters = vec![subscribe.subscriptions[0].filter.clone()];
    let (unsubscribed, ()) = tokio::join!(client.unsubscribe(filters), async {
        let Packet::Unsubscribe(packet) = peer.receive().await else { panic!("no UNSUBSCRIBE") };
        peer.send(publish(QoS::AtLeastOnce, 1, "a", 1)).await;
        peer.send(Unsuback { reasons: vec![ReasonCode::Success], ..Unsuback::new(packet.packet_id, vec![]) })
            .await;
    });
    assert_eq!(unsubscribed.unwrap(), [ReasonCode::Success]);
    let mut subscription = subscription.unwrap();
    assert!(subscription.next().await.is_some());
    assert!(subscription.next().await.is_none());
}
