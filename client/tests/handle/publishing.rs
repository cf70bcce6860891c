//! Messages to the server.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use opifex_client::{Client, Error, MemoryStore, SessionStore, StoredMessage, StoredSession};
use opifex_packet::{Packet, PacketId, Puback, Pubcomp, Pubrec, QoS, ReasonCode};

use crate::server::{connected, connected_as, message, options};

#[tokio::test(start_paused = true)]
async fn a_publish_resolves_at_the_end_of_its_flow() {
    let (client, mut peer, _server) = connected().await;

    client.publish(message(QoS::AtMostOnce, 0)).await.unwrap();
    assert_eq!(&peer.publish().await.0.payload[..], b"0");

    let publishing = client.publish(message(QoS::AtLeastOnce, 1));
    let (published, ()) = tokio::join!(publishing, async {
        let id = peer.publish().await.1.unwrap();
        peer.send(Puback::new(id).with_reason(ReasonCode::NoMatchingSubscribers)).await;
    });
    assert_eq!(published.unwrap().reason, ReasonCode::NoMatchingSubscribers);

    let publishing = client.publish(message(QoS::ExactlyOnce, 2));
    let (published, ()) = tokio::join!(publishing, async {
        let id = peer.publish().await.1.unwrap();
        peer.send(Pubrec::new(id)).await;
        assert!(matches!(peer.receive().await, Packet::Pubrel(pubrel) if pubrel.packet_id == id));
        peer.send(Pubcomp::new(id)).await;
    });
    assert_eq!(published.unwrap().reason, ReasonCode::Success);

    // PUBREC says that nobody gets it; PUBCOMP has no word for that.
    let publishing = client.publish(message(QoS::ExactlyOnce, 3));
    let (published, ()) = tokio::join!(publishing, async {
        let id = peer.publish().await.1.unwrap();
        peer.send(Pubrec::new(id).with_reason(ReasonCode::NoMatchingSubscribers)).await;
        assert!(matches!(peer.receive().await, Packet::Pubrel(pubrel) if pubrel.packet_id == id));
        peer.send(Pubcomp::new(id)).await;
    });
    assert_eq!(published.unwrap().reason, ReasonCode::NoMatchingSubscribers);
}

#[tokio::test(start_paused = true)]
async fn a_message_that_the_server_does_not_take_is_an_error() {
    let (client, mut peer, _server) = connected().await;
    let (published, ()) = tokio::join!(client.publish(message(QoS::AtLeastOnce, 1)), async {
        let id = peer.publish().await.1.unwrap();
        peer.send(Puback::new(id).with_reason(ReasonCode::QuotaExceeded)).await;
    });
    assert_eq!(published.unwrap_err().reason(), Some(ReasonCode::QuotaExceeded));
}

#[tokio::test(start_paused = true)]
async fn many_are_under_way_without_a_task_for_each() {
    let (client, mut peer, _server) = connected().await;
    let mut deliveries = Vec::new();
    for number in 0..100 {
        deliveries.push(client.enqueue(message(QoS::AtLeastOnce, number)).await.unwrap());
    }
    for number in 0..100 {
        let (publish, id) = peer.publish().await;
        assert_eq!(publish.payload[..], *number.to_string().as_bytes());
        peer.send(Puback::new(id.unwrap())).await;
    }
    for delivery in deliveries {
        delivery.await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_disconnect_waits_for_what_is_under_way() {
    let (client, mut peer, _server) = connected().await;
    let delivery = client.enqueue(message(QoS::AtLeastOnce, 1)).await.unwrap();
    let (disconnected, ()) = tokio::join!(client.disconnect(), async {
        let id = peer.publish().await.1.unwrap();
        peer.send(Puback::new(id)).await;
        assert!(matches!(peer.receive().await, Packet::Disconnect(_)));
        peer.closed().await;
    });
    disconnected.unwrap();
    delivery.await.unwrap();
    assert!(matches!(client.publish(message(QoS::AtLeastOnce, 2)).await, Err(Error::Ended(_))));
}

#[tokio::test(start_paused = true)]
async fn a_disconnect_whose_patience_ends_says_how_much_is_unfinished() {
    let (client, mut peer, _server) = connected().await;
    let delivery = client.enqueue(message(QoS::AtLeastOnce, 1)).await.unwrap();
    assert!(matches!(client.disconnect().await, Err(Error::Unfinished(1))));
    assert!(delivery.await.unwrap_err().is_ended());
    peer.publish().await;
    assert!(matches!(peer.receive().await, Packet::Disconnect(_)));
    peer.closed().await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_is_dropped_writes_what_it_accepted_and_disconnects() {
    let (client, mut peer, _server) = connected().await;
    drop(client.enqueue(message(QoS::AtMostOnce, 1)).await.unwrap());
    drop(client);
    peer.publish().await;
    assert!(matches!(peer.receive().await, Packet::Disconnect(_)));
    peer.closed().await;
}

/// A store that can be told to fail.
#[derive(Default)]
struct Failing(MemoryStore, Arc<AtomicBool>);

impl SessionStore for Failing {
    fn load(&mut self) -> io::Result<StoredSession> {
        self.0.load()
    }

    fn set_begun(&mut self, begun: bool) {
        self.0.set_begun(begun);
    }

    fn set_accepted(&mut self) {
        self.0.set_accepted();
    }

    fn set_client_id(&mut self, client_id: &str) {
        self.0.set_client_id(client_id);
    }

    fn put_outgoing(&mut self, message: &StoredMessage) {
        self.0.put_outgoing(message);
    }

    fn release(&mut self, packet_id: PacketId, nth: u64) {
        self.0.release(packet_id, nth);
    }

    fn remove_outgoing(&mut self, packet_id: PacketId) {
        self.0.remove_outgoing(packet_id);
    }

    fn put_incoming(&mut self, packet_id: PacketId) {
        self.0.put_incoming(packet_id);
    }

    fn remove_incoming(&mut self, packet_id: PacketId) {
        self.0.remove_incoming(packet_id);
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.1.load(Ordering::Relaxed) { Err(io::Error::other("the disk is gone")) } else { Ok(()) }
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_thrown_away_with_a_store_that_fails_is_not_done() {
    let fails = Arc::new(AtomicBool::new(false));
    let store = Failing(MemoryStore::default(), Arc::clone(&fails));
    let (client, mut peer, _server) = connected_as(Client::builder(options()).store(store)).await;
    fails.store(true, Ordering::Relaxed);
    let published = client.publish(message(QoS::AtMostOnce, 1)).await;
    assert!(matches!(published, Err(Error::Lost)), "{published:?}");
    peer.closed().await;
}
