//! What a WebSocket listener does with a connection: its handshake, in bounded time, and then it is one as any other. The
//! protocol is `opifex-websocket`'s.

use std::net::SocketAddr;

use opifex_broker::{Broker, Peer};
use opifex_storage::Persistence;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::timeout;

use crate::connections::Connections;

/// For the accept loop. A handshake ends when nobody is left who serves.
pub(crate) fn server<P: Persistence>(
    broker: &Broker<P>,
    connections: &Connections,
    stopping: &watch::Receiver<()>,
) -> impl Fn(TcpStream, SocketAddr) -> bool + Send + use<P> {
    let (broker, connections, stopping) = (broker.clone(), connections.clone(), stopping.clone());
    move |stream, peer| {
        let (broker, mut stopping) = (broker.clone(), stopping.clone());
        connections.spawn(async move {
            // As long as somebody without WebSocket may take to say CONNECT.
            let limit = broker.limits().connect_timeout;
            // Boxed, so that an open connection does not carry it along.
            let handshake = Box::pin(timeout(limit, opifex_websocket::accept(stream)));
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
