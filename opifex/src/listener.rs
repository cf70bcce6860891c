//! A bound TCP listener: from `HOST:PORT` to a socket that listens. Accepting is next door.

use std::io;
use std::net::SocketAddr;

use anyhow::anyhow;
use tokio::net::{TcpListener, TcpSocket};

use crate::config::ListenAddress;
use crate::failure::Failure;

/// Connections that the system completes and keeps for us until we accept them: a burst of clients that come back
/// after an outage. The system may keep fewer (`net.core.somaxconn`).
const BACKLOG: u32 = 4_096;

/// Listens on every address that a host has.
pub(crate) async fn bind(address: &ListenAddress) -> Result<Vec<TcpListener>, Failure> {
    let resolved = tokio::net::lookup_host(address.as_str()).await;
    let resolved =
        resolved.map_err(|error| Failure::runtime(anyhow!("cannot resolve {address}: {error}")))?;
    let listeners = resolved.map(|resolved| listen(resolved).map_err(|error| failure(resolved, &error)));
    let listeners = listeners.collect::<Result<Vec<_>, _>>()?;
    match listeners.is_empty() {
        true => Err(Failure::runtime(anyhow!("{address} has no address to listen on"))),
        false => Ok(listeners),
    }
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // Connections of a broker that has just stopped do not keep the next one from its port.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

fn failure(address: SocketAddr, error: &io::Error) -> Failure {
    let hint = match error.kind() {
        io::ErrorKind::AddrInUse => "; for a free port: --listen 127.0.0.1:0",
        io::ErrorKind::PermissionDenied => "; ports below 1024 are privileged",
        _ => "",
    };
    let reason = match error.kind() {
        io::ErrorKind::AddrInUse => "the address is in use".to_owned(),
        _ => error.to_string(),
    };
    Failure::runtime(anyhow!("cannot listen on {address}: {reason}{hint}"))
}
