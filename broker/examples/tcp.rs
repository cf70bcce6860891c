//! A broker on TCP, stopped by Ctrl-C.
//!
//!     cargo run -p opifex-broker --example tcp -- 127.0.0.1:1883

use opifex_broker::{Broker, Peer};
use opifex_storage_memory::MemoryStore;
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:1883".into());
    let broker = Broker::builder(MemoryStore::new()).start().await?;
    let listener = TcpListener::bind(address).await?;
    println!("listening on {}", listener.local_addr()?);
    loop {
        let (stream, peer) = tokio::select! {
            accepted = listener.accept() => accepted?,
            _ = tokio::signal::ctrl_c() => break,
        };
        stream.set_nodelay(true)?;
        let (reader, writer) = stream.into_split();
        tokio::spawn(broker.serve_halves(reader, writer, Peer::Network(peer)));
    }
    broker.shutdown().await;
    println!("{}", broker.stats());
    Ok(())
}
