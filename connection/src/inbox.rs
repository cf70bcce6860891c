//! The read side of one connection: everything that has arrived, lent out once, and the part that must wait for more.
//!
//! It does not know packets: whoever reads says how many bytes were whole packets. It owns memory only while a
//! partial packet waits, and as much as has really arrived, whatever length the packet claims.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, ReadBuf};

use crate::scratch::{SCRATCH_BYTES, with_scratch};

/// Up to this size a partial packet is given room in front of the next read; a larger one would leave too little of
/// the scratch to read into.
const FRONT_BYTES: usize = SCRATCH_BYTES / 2;

/// What a connection has received and not used up yet.
///
/// ```
/// use std::{future::poll_fn, io, task::Poll};
/// use opifex_connection::{Inbox, Read};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> io::Result<()> {
/// // "Packets" of three bytes: two of them, and the beginning of a third.
/// let mut reader: &[u8] = b"abcdefg";
/// let mut inbox = Inbox::new();
/// let take = |bytes: &[u8]| (bytes.len() - bytes.len() % 3, bytes.len() / 3);
/// let read = poll_fn(|cx| inbox.poll_read(cx, &mut reader, take)).await?;
/// assert!(matches!(read, Read::Taken { value: 2, more: false }));
/// assert_eq!(inbox.partial_len(), 1);
/// # Ok(()) }
/// ```
#[derive(Debug, Default)]
pub struct Inbox {
    partial: Vec<u8>,
    /// What of `partial` is used up already. Moving the rest to the front at each packet would be quadratic.
    start: usize,
}

/// What one read brought.
#[derive(Debug, PartialEq, Eq)]
pub enum Read<T> {
    /// Bytes arrived and were shown to `take`.
    Taken {
        /// What `take` answered.
        value: T,
        /// The buffer was filled, so that another read may find more at once.
        ///
        /// `false` does not mean that the task will be woken: as always, only `Poll::Pending` promises that.
        more: bool,
    },
    /// The peer sends nothing more.
    Closed {
        /// It stopped in the middle of a packet.
        partial: bool,
    },
}

impl Inbox {
    /// An inbox that holds nothing.
    pub const fn new() -> Inbox {
        Inbox { partial: Vec::new(), start: 0 }
    }

    /// Reads once from `reader` and shows all that is there, an earlier partial packet first, to `take`, which answers
    /// how many bytes it used up, and a value for the caller. The rest is kept and shown again with the next read.
    ///
    /// What waits is as large as `take` lets it grow: it has to refuse a packet that is too large from its header.
    ///
    /// # Errors
    ///
    /// What the reader reports. What arrived before is still there.
    pub fn poll_read<R, T>(
        &mut self,
        cx: &mut Context<'_>,
        reader: &mut R,
        take: impl FnOnce(&[u8]) -> (usize, T),
    ) -> Poll<io::Result<Read<T>>>
    where
        R: AsyncRead + Unpin + ?Sized,
    {
        with_scratch(|scratch| {
            let waiting = self.partial_len();
            let front = if waiting <= FRONT_BYTES { waiting } else { 0 };
            let mut buffer = ReadBuf::new(&mut scratch[front..]);
            ready!(Pin::new(reader).poll_read(cx, &mut buffer))?;
            let (arrived, more) = (buffer.filled().len(), buffer.remaining() == 0);
            if arrived == 0 {
                return Poll::Ready(Ok(Read::Closed { partial: waiting > 0 }));
            }

            // Either way costs in proportion to what has arrived, not to what waits: a large packet that comes byte by
            // byte is not copied at each byte, and a small rest does not make a whole batch move.
            let value = if front == waiting && waiting < arrived {
                scratch[..front].copy_from_slice(self.waiting());
                let all = &scratch[..front + arrived];
                let (used, value) = take(all);
                self.replace(&all[used..]);
                value
            } else {
                self.partial.extend_from_slice(&scratch[front..front + arrived]);
                let (used, value) = take(self.waiting());
                self.consume(used);
                value
            };
            Poll::Ready(Ok(Read::Taken { value, more }))
        })
    }

    /// Shows `take` what waits, without a read: for a reader that stops between two whole packets and goes on later.
    /// `None` when nothing waits.
    pub fn take_waiting<T>(&mut self, take: impl FnOnce(&[u8]) -> (usize, T)) -> Option<T> {
        if self.partial_len() == 0 {
            return None;
        }
        let (used, value) = take(self.waiting());
        self.consume(used);
        Some(value)
    }

    /// How many bytes have arrived and are not used up.
    pub fn partial_len(&self) -> usize {
        self.partial.len() - self.start
    }

    /// How much memory it owns at this moment: nothing when nothing waits.
    pub fn heap_bytes(&self) -> usize {
        self.partial.capacity()
    }

    fn waiting(&self) -> &[u8] {
        &self.partial[self.start..]
    }

    fn replace(&mut self, rest: &[u8]) {
        self.start = 0;
        if rest.len() <= self.partial.capacity() / 4 {
            // To_vec of nothing owns nothing.
            self.partial = rest.to_vec();
        } else {
            self.partial.clear();
            self.partial.extend_from_slice(rest);
        }
    }

    fn consume(&mut self, used: usize) {
        assert!(used <= self.partial_len(), "a reader used up more than there is");
        self.start += used;
        // Shrinking by three quarters at a time costs each byte a bounded number of moves.
        if self.partial_len() <= self.partial.capacity() / 4 {
            self.partial = self.waiting().to_vec();
            self.start = 0;
        }
    }
}

#[cfg(test)]
mod tests;
