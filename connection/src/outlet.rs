//! The write side of one connection: what waits for the peer, together with the write half that takes it.
//!
//! It is not a channel and has no task: it lives under a lock of its user's, and whoever holds the lock appends and
//! flushes. It does not bound itself either: its user looks at [`queued_bytes`](Outlet::queued_bytes) before appending.
//!
//! ```text
//!            append          anybody's flush          the transport takes all
//!   [empty] ────────> [waiting] ────────────────────────────────────────────────> [empty]
//!                          │ the transport says Pending: it will wake the owner
//!                          v
//!                      [blocked]   anybody else appends and leaves
//!                          │ flush_as_owner
//!                          └──────> [waiting]
//! ```

use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker, ready};

use bytes::Bytes;
use tokio::io::AsyncWrite;
use tokio::task::unconstrained;

use crate::segments::Segments;

/// What waits for one peer, and the way to it.
pub struct Outlet {
    writer: Box<dyn AsyncWrite + Send + Unpin>,
    waiting: Segments,
    owner: Option<Waker>,
    /// The transport has said `Pending` and holds the owner's waker; only the owner polls it again.
    blocked: bool,
    /// The writer has bytes that were not flushed through.
    unflushed: bool,
    /// The way is closed for good: what is appended goes nowhere.
    failed: bool,
}

/// How far a flush came.
#[derive(Debug)]
pub enum Flush {
    /// Everything has been handed to the transport.
    Drained,
    /// Something still waits. The owner is woken when the transport takes more, and must then call
    /// [`Outlet::flush_as_owner`].
    Blocked,
    /// The connection is of no use any more. What waits is lost ([`Outlet::discard`] frees it and says how much that
    /// is), and so is what will be appended. A second flush says `BrokenPipe`.
    Failed(io::Error),
}

impl Outlet {
    /// An empty outlet in front of `writer`.
    pub fn new(writer: Box<dyn AsyncWrite + Send + Unpin>) -> Outlet {
        Outlet {
            writer,
            waiting: Segments::default(),
            owner: None,
            blocked: false,
            unflushed: false,
            failed: false,
        }
    }

    /// Appends a copy of `bytes`.
    pub fn append(&mut self, bytes: &[u8]) {
        if !self.failed {
            self.waiting.append(bytes);
        }
    }

    /// Lets `f` append to the buffer that small packets wait in. Its earlier contents are other packets: `f` may read
    /// how long they are, to remember where its own begin, and nothing else. Not called after a failure.
    ///
    /// # Panics
    ///
    /// When `f` made the buffer shorter.
    pub fn append_with(&mut self, f: impl FnOnce(&mut Vec<u8>)) {
        if !self.failed {
            self.waiting.append_with(f);
        }
    }

    /// Appends a reference to `bytes`; below [`SHARE_FROM_BYTES`](crate::SHARE_FROM_BYTES) a copy, which is cheaper.
    pub fn append_shared(&mut self, bytes: &Bytes) {
        if !self.failed {
            self.waiting.append_shared(bytes);
        }
    }

    /// How many bytes were appended and not yet taken by the transport.
    pub fn queued_bytes(&self) -> usize {
        self.waiting.len()
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Whether the transport has refused to take more, so that the owner has to come.
    pub fn is_blocked(&self) -> bool {
        self.blocked
    }

    /// How much memory of its own waits here, shared bodies not counted: nothing when it is empty.
    pub fn heap_bytes(&self) -> usize {
        self.waiting.heap_bytes()
    }

    /// Names the task that is woken when a blocked transport takes more. The owner calls this at the start of each of
    /// its polls: it costs a comparison. While blocked the transport holds the waker of the poll that blocked, so an
    /// owner whose waker may have changed also calls [`flush_as_owner`](Outlet::flush_as_owner).
    pub fn set_owner(&mut self, waker: &Waker) {
        match &mut self.owner {
            // Compares first, and clones only another task's waker.
            Some(owner) => owner.clone_from(waker),
            None => self.owner = Some(waker.clone()),
        }
    }

    /// Wakes the owner's task: somebody left it something to do.
    pub fn wake_owner(&self) {
        if let Some(owner) = &self.owner {
            owner.wake_by_ref();
        }
    }

    /// Hands the transport what it takes now. Anybody may call this; the transport is polled with the owner's waker,
    /// and outside of the calling task's cooperative budget, which would otherwise be mistaken for a full transport.
    ///
    /// Leaves the transport alone while it is blocked, and as long as there is no owner that it could wake.
    pub fn flush(&mut self) -> Flush {
        if self.failed {
            return Flush::Failed(io::ErrorKind::BrokenPipe.into());
        }
        if self.blocked {
            return Flush::Blocked;
        }
        if self.waiting.is_empty() && !self.unflushed {
            return Flush::Drained;
        }
        // Taken for the time of the poll, which borrows everything else.
        let Some(owner) = self.owner.take() else { return Flush::Blocked };
        let flushed =
            pin!(unconstrained(poll_fn(|cx| self.poll_drain(cx)))).poll(&mut Context::from_waker(&owner));
        self.owner = Some(owner);
        self.flushed(flushed)
    }

    /// The owner's flush, from its own poll: becomes the task that is woken, and tries a blocked transport again.
    pub fn flush_as_owner(&mut self, cx: &mut Context<'_>) -> Flush {
        self.set_owner(cx.waker());
        if self.failed {
            return Flush::Failed(io::ErrorKind::BrokenPipe.into());
        }
        if self.waiting.is_empty() && !self.unflushed {
            self.blocked = false;
            return Flush::Drained;
        }
        let flushed = self.poll_drain(cx);
        self.flushed(flushed)
    }

    /// Hands over what waits, then closes the write half. The owner's, like every poll that may wait.
    ///
    /// # Errors
    ///
    /// What the transport reports. After a failure the write half is closed without what waited.
    pub fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.failed {
            match self.flush_as_owner(cx) {
                Flush::Drained => {}
                Flush::Blocked => return Poll::Pending,
                Flush::Failed(error) => return Poll::Ready(Err(error)),
            }
        }
        Pin::new(&mut *self.writer).poll_shutdown(cx)
    }

    /// Gives the connection up: drops what waits, and all that will be appended, since the peer may have half a packet.
    /// Returns how many bytes were dropped.
    pub fn discard(&mut self) -> usize {
        self.failed = true;
        self.blocked = false;
        self.unflushed = false;
        self.waiting.clear()
    }

    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.waiting.is_empty() {
            self.unflushed = true;
            ready!(self.waiting.poll_write(cx, &mut *self.writer))?;
        }
        ready!(Pin::new(&mut *self.writer).poll_flush(cx))?;
        self.unflushed = false;
        Poll::Ready(Ok(()))
    }

    fn flushed(&mut self, flushed: Poll<io::Result<()>>) -> Flush {
        self.blocked = flushed.is_pending();
        match flushed {
            Poll::Ready(Ok(())) => Flush::Drained,
            Poll::Pending => Flush::Blocked,
            Poll::Ready(Err(error)) => {
                self.failed = true;
                Flush::Failed(error)
            }
        }
    }
}

impl std::fmt::Debug for Outlet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Outlet")
            .field("queued_bytes", &self.queued_bytes())
            .field("blocked", &self.blocked)
            .field("failed", &self.failed)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
