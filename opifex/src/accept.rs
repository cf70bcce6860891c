//! The accept loop of one listener. It gives connections away and goes on; when the system has no descriptor left for
//! another one it pauses, says so, and tries again.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::net::{TcpListener, TcpStream};

use crate::throttle::Throttle;

/// How long to leave a listener alone that cannot accept: clients wait in its backlog meanwhile.
const PAUSE: Duration = Duration::from_millis(250);

/// How often the log hears of pauses, and of connections that there are too many of.
const LOG_INTERVAL: Duration = Duration::from_secs(10);

/// Accepts connections for ever and hands each to `serve`, which answers whether it took it.
pub(crate) async fn accept(listener: TcpListener, serve: impl Fn(TcpStream, SocketAddr) -> bool) {
    let mut pauses = Pauses::default();
    let mut refusals = Throttle::new(LOG_INTERVAL);
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                pauses.end();
                // Only a peer that is gone already makes this fail.
                if stream.set_nodelay(true).is_err() || serve(stream, peer) {
                    continue;
                }
                if let Some(before) = refusals.pass(Instant::now()) {
                    tracing::warn!(%peer, before, "too many connections: closed");
                }
            }
            Err(error) if is_the_connections(&error) => {
                tracing::debug!(%error, "a connection ended before it began")
            }
            Err(error) => {
                pauses.begin(&listener, &error);
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// Whether `accept` reports what happened to the connection that it took from the backlog, not that it cannot take one.
fn is_the_connections(error: &io::Error) -> bool {
    use io::ErrorKind::{
        ConnectionAborted, ConnectionRefused, ConnectionReset, HostUnreachable, Interrupted, NetworkDown,
        NetworkUnreachable, PermissionDenied, TimedOut,
    };
    // Linux hands errors of the new socket's network on (accept(2)); a firewall's refusal is EPERM.
    matches!(
        error.kind(),
        ConnectionAborted
            | ConnectionRefused
            | ConnectionReset
            | HostUnreachable
            | Interrupted
            | NetworkDown
            | NetworkUnreachable
            | PermissionDenied
            | TimedOut
    )
}

/// What the log is told of pauses.
struct Pauses {
    throttle: Throttle,
    since: Option<Instant>,
    said: bool,
}

impl Default for Pauses {
    fn default() -> Pauses {
        Pauses { throttle: Throttle::new(LOG_INTERVAL), since: None, said: false }
    }
}

impl Pauses {
    fn begin(&mut self, listener: &TcpListener, error: &io::Error) {
        let now = Instant::now();
        if self.since.is_some() {
            return;
        }
        self.since = Some(now);
        if let Some(before) = self.throttle.pass(now) {
            self.said = true;
            let listener = listener.local_addr().ok().map(tracing::field::display);
            tracing::warn!(listener, %error, before, "accept paused: connections wait until it succeeds again");
        }
    }

    fn end(&mut self) {
        let Some(since) = self.since.take() else { return };
        if std::mem::take(&mut self.said) {
            tracing::info!(paused_ms = since.elapsed().as_millis() as u64, "accept resumed");
        }
    }
}
