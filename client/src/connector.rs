//! How a client gets a stream to its server, again and again. TCP is here; TLS, WebSocket, a Unix socket or a pipe in
//! memory are a closure that opens one.

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use crate::Address;

/// A stream of bytes to a server.
pub trait Transport: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Transport for T {}

/// Any transport.
pub type BoxedTransport = Box<dyn Transport>;

/// An attempt to open a transport.
pub type Connecting = Pin<Box<dyn Future<Output = io::Result<BoxedTransport>> + Send>>;

/// Opens transports to one server. An [`Address`] is one, over TCP, and so is a closure that returns a future of a stream:
///
/// ```
/// # use opifex_client::Connector;
/// fn unix() -> impl Connector {
///     || tokio::net::UnixStream::connect("/run/broker.sock")
/// }
/// # let _ = unix();
/// ```
pub trait Connector: Send + 'static {
    /// Begins an attempt. It is given up, by dropping it, when it takes longer than
    /// [`Options::response_timeout`](crate::Options::response_timeout).
    fn connect(&mut self) -> Connecting;

    /// User name and password for a client whose options name none.
    fn credentials(&self) -> Option<Credentials> {
        None
    }
}

/// Who connects.
#[derive(Clone)]
pub struct Credentials {
    /// The user.
    pub user_name: String,
    /// The proof.
    pub password: Option<Vec<u8>>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("user_name", &self.user_name).finish_non_exhaustive()
    }
}

impl Connector for Address {
    fn connect(&mut self) -> Connecting {
        let (host, port) = (self.host().to_owned(), self.port());
        Box::pin(async move {
            let stream = TcpStream::connect((host.as_str(), port)).await?;
            // A batch is one write already; to wait for more would only delay it.
            stream.set_nodelay(true)?;
            Ok(Box::new(stream) as BoxedTransport)
        })
    }

    fn credentials(&self) -> Option<Credentials> {
        let user_name = self.user_name()?.to_owned();
        Some(Credentials { user_name, password: self.password().map(<[u8]>::to_vec) })
    }
}

impl<F, A, T> Connector for F
where
    F: FnMut() -> A + Send + 'static,
    A: Future<Output = io::Result<T>> + Send + 'static,
    T: Transport + 'static,
{
    fn connect(&mut self) -> Connecting {
        let attempt = self();
        Box::pin(async move { Ok(Box::new(attempt.await?) as BoxedTransport) })
    }
}

/// One stream that is there already. There is no second.
pub(crate) struct Once(pub(crate) Option<BoxedTransport>);

impl Connector for Once {
    fn connect(&mut self) -> Connecting {
        let stream = self.0.take();
        Box::pin(async move { stream.ok_or_else(|| io::ErrorKind::NotConnected.into()) })
    }
}
