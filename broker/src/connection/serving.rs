//! The future of one connection, from its first byte to its end: one step after the other, of which only the open
//! connection is kept in place. Written by hand, because an `async fn` keeps room for its arguments and for what it
//! makes of them: a connection that is idle would cost twice its size.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use opifex_storage::Persistence;
use tokio::io::AsyncRead;

use super::{BoxFuture, Connection};

/// See the module's documentation.
pub(crate) enum Serving<P: Persistence, R> {
    /// Up to its CONNACK.
    Opening(BoxFuture<Option<Connection<P, R>>>),
    /// It reads.
    Open(Connection<P, R>),
    /// What it had under way runs to its end.
    Ending(BoxFuture<()>),
    /// Over.
    Ended,
}

impl<P: Persistence, R: AsyncRead + Send + Unpin + 'static> Future for Serving<P, R> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let serving = self.get_mut();
        loop {
            match serving {
                Serving::Opening(handshake) => match ready!(handshake.as_mut().poll(cx)) {
                    Some(connection) => *serving = Serving::Open(connection),
                    None => *serving = Serving::Ended,
                },
                Serving::Open(connection) => {
                    let end = ready!(connection.poll(cx));
                    let Serving::Open(connection) = std::mem::replace(serving, Serving::Ended) else {
                        unreachable!("it was open a line above")
                    };
                    *serving = Serving::Ending(Box::pin(connection.end(end)));
                }
                Serving::Ending(end) => {
                    ready!(end.as_mut().poll(cx));
                    *serving = Serving::Ended;
                }
                Serving::Ended => return Poll::Ready(()),
            }
        }
    }
}
