//! A broker and a client in one process, over a pipe in memory: no socket, no port.
//!
//!     cargo run -p opifex-broker --example duplex

use opifex_broker::{Broker, Peer, Publication};
use opifex_connection::Connection;
use opifex_packet::{
    Connect, DecodeOptions, Packet, PacketId, QoS, Role, Subscribe, Subscription, TopicFilter, Version,
};
use opifex_storage_memory::MemoryStore;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let broker = Broker::builder(MemoryStore::new()).start().await?;
    let (ours, theirs) = tokio::io::duplex(64 * 1024);
    let serving = tokio::spawn({
        let broker = broker.clone();
        async move { broker.serve(theirs, Peer::Local).await }
    });

    let mut client = Connection::new(ours, DecodeOptions::new(Version::V5_0, Role::Client));
    client.send(&Packet::from(Connect::new(Version::V5_0, "in-memory"))).await?;
    println!("{:?}", client.receive().await?);
    let rooms = Subscription::new(TopicFilter::new("rooms/#")?, QoS::AtLeastOnce);
    let packet_id = PacketId::new(1).expect("1 is not 0");
    client.send(&Packet::from(Subscribe::new(packet_id, vec![rooms]))).await?;
    println!("{:?}", client.receive().await?);

    broker.publish(Publication::new("rooms/1/light", "on")).await?;
    println!("{:?}", client.receive().await?);

    broker.shutdown().await;
    println!("{:?}", client.receive().await?);
    serving.await?;
    Ok(())
}
