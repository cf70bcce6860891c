//! What a WebSocket listener does with a connection: its handshake, in bounded time, and then it is one as any other. The
//! protocol is `opifex-websocket`'s.

use std::net::SocketAddr;
use std::sync::Arc;

use opifex_broker::{Broker, Peer};
use opifex_storage::Persistence;
use opifex_websocket::Origins;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::timeout;

use crate::config::PageOrigin;
use crate::connections::Connections;

/// For the accept loop; pages of these origins are served beside those of the same host. A handshake ends when nobody is
/// left who serves.
pub(crate) fn server<P: Persistence>(
    broker: &Broker<P>,
    connections: &Connections,
    stopping: &watch::Receiver<()>,
    named: &[PageOrigin],
) -> impl Fn(TcpStream, SocketAddr) -> bool + Send + use<P> {
    let (broker, connections, stopping) = (broker.clone(), connections.clone(), stopping.clone());
    let origins = Origins::with(named.iter().map(PageOrigin::as_str));
    // A listener on the loopback interface is out of reach for everybody else but for the pages of a browser there.
    let on_this_machine = Arc::new(origins.clone().from_this_machine());
    let origins = Arc::new(origins);
    move |stream, peer| {
        let (broker, mut stopping) = (broker.clone(), stopping.clone());
        let local = peer.ip().to_canonical().is_loopback();
        let origins = if local { on_this_machine.clone() } else { origins.clone() };
        connections.spawn(async move {
            // As long as somebody without WebSocket may take to say CONNECT.
            let limit = broker.limits().connect_timeout;
            // Boxed, so that an open connection does not carry it along.
            let handshake = Box::pin(timeout(limit, opifex_websocket::accept(stream, &origins)));
            let opened = tokio::select! {
                opened = handshake => opened,
                _ = stopping.changed() => return,
            };
            match opened {
                Ok(Ok(socket)) => broker.serve(socket, Peer::Network(peer)).await,
                Ok(Err(error)) => tracing::debug!(%peer, %error, "no WebSocket"),
                Err(_) => tracing::debug!(%peer, "no WebSocket: its handshake takes too long"),
            }
        })
    }
}
