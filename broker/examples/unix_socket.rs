//! A broker on a Unix socket, for clients of this machine alone, stopped by Ctrl-C.
//!
//!     cargo run -p opifex-broker --example unix_socket -- /tmp/opifex.sock
//!     mosquitto_sub --unix /tmp/opifex.sock -t '#' -v

use opifex_broker::{Broker, Peer};
use opifex_storage_memory::MemoryStore;
use tokio::net::UnixListener;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args().nth(1).unwrap_or_else(|| "/tmp/opifex.sock".into());
    let broker = Broker::builder(MemoryStore::new()).start().await?;
    let listener = UnixListener::bind(&path)?;
    println!("listening on {path}");
    loop {
        let (stream, _) = tokio::select! {
            accepted = listener.accept() => accepted?,
            _ = tokio::signal::ctrl_c() => break,
        };
        let (reader, writer) = stream.into_split();
        tokio::spawn(broker.serve_halves(reader, writer, Peer::Local));
    }
    broker.shutdown().await;
    std::fs::remove_file(path)?;
    Ok(())
}
