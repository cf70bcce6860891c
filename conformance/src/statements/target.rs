//! What is tested: something that connections can be opened to.

use std::future::Future;
use std::io;
use std::pin::Pin;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

/// A future on the heap.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A connection's byte stream.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// A broker under test.
pub trait Target: Send + Sync {
    /// Opens a connection, on which nothing has been said.
    fn connect(&self) -> BoxFuture<'_, io::Result<Box<dyn Stream>>>;

    /// Opens a connection to the broker's WebSocket listener, on which nothing has been said; `None`: the descriptor knows
    /// whether it has one.
    fn websocket(&self) -> Option<BoxFuture<'_, io::Result<Box<dyn Stream>>>> {
        None
    }

    /// Ends the broker and starts it again over what it has stored; `None`: that goes by the descriptor's command, if it
    /// has one.
    fn restart(&self) -> Option<BoxFuture<'_, io::Result<()>>> {
        None
    }
}

/// A broker at an address.
#[derive(Clone, Debug)]
pub struct TcpTarget {
    address: String,
}

impl TcpTarget {
    /// The broker at `HOST:PORT`.
    pub fn new(address: impl Into<String>) -> TcpTarget {
        TcpTarget { address: address.into() }
    }
}

impl Target for TcpTarget {
    fn connect(&self) -> BoxFuture<'_, io::Result<Box<dyn Stream>>> {
        Box::pin(async move {
            let stream = TcpStream::connect(&self.address).await?;
            stream.set_nodelay(true)?;
            Ok(Box::new(stream) as Box<dyn Stream>)
        })
    }
}
