//! What waits for one peer, in order: small packets copied one behind the other, large bodies as references.
//!
//! It knows neither wakers nor who writes when; that is [`Outlet`](crate::Outlet)'s.
//!
//! Copied bytes form a stream of their own, cut into chunks. A shared body remembers at which position of that stream
//! it stands in between, so that the heads of many large messages fill one chunk instead of a chunk each:
//!
//! ```text
//!   chunks   |head 1|head 2|small small small|head 3|
//!   shared          ^body 1                         ^body 3
//!                         ^body 2
//! ```

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::iter::once;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use tokio::io::AsyncWrite;

use crate::pool::{self, Pool};

/// The size of a chunk of copied bytes; behind it a new one is begun, so that a slow peer's memory is given back piece
/// by piece and never moved.
pub const CHUNK_BYTES: usize = 16 * 1024;

/// From this size on a body is referred to instead of copied.
pub const SHARE_FROM_BYTES: usize = 512;

/// A chunk with less room than this counts as full, so that a usual packet does not make it grow past its size.
const CHUNK_RESERVE_BYTES: usize = 1024;

/// The first size of a chunk: a peer that gets a lone acknowledgement does not need more.
const CHUNK_FIRST_BYTES: usize = 1024;

thread_local! {
    static CHUNKS: RefCell<Pool<Vec<u8>>> = const { RefCell::new(Pool::new()) };
    static FULL: RefCell<Pool<VecDeque<Vec<u8>>>> = const { RefCell::new(Pool::new()) };
    static SHARED: RefCell<Pool<VecDeque<Shared>>> = const { RefCell::new(Pool::new()) };
}

/// The queue of bytes. Holds no heap memory while it is empty.
#[derive(Default)]
pub(crate) struct Segments {
    /// Full chunks, the oldest first; in front of `tail`.
    full: VecDeque<Vec<u8>>,
    /// The chunk that is appended to.
    tail: Vec<u8>,
    /// What of the oldest chunk (the tail, when none is full) is written already.
    front_written: usize,
    /// Bodies between the copied bytes, in order.
    shared: VecDeque<Shared>,
    /// Positions in the stream of copied bytes: of the next one to write, and behind the last.
    copied_written: u64,
    copied_end: u64,
    /// Everything that waits, copied and shared.
    queued: usize,
}

/// A body that follows the copied byte at position `at - 1`.
struct Shared {
    at: u64,
    bytes: Bytes,
}

/// Takes half a packet back when its encoder panics.
struct Appending<'a> {
    tail: &'a mut Vec<u8>,
    keep: usize,
}

impl Drop for Appending<'_> {
    fn drop(&mut self) {
        self.tail.truncate(self.keep);
    }
}

impl Segments {
    pub(crate) fn len(&self) -> usize {
        self.queued
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.queued == 0
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        self.tail.capacity()
            + self.full.iter().map(Vec::capacity).sum::<usize>()
            + self.full.capacity() * size_of::<Vec<u8>>()
            + self.shared.capacity() * size_of::<Shared>()
    }

    pub(crate) fn append(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        self.tail_for(bytes.len()).extend_from_slice(bytes);
        self.copied(bytes.len());
    }

    pub(crate) fn append_with(&mut self, f: impl FnOnce(&mut Vec<u8>)) {
        let tail = self.tail_for(CHUNK_RESERVE_BYTES);
        let before = tail.len();
        let mut appending = Appending { tail, keep: before };
        f(appending.tail);
        let after = appending.tail.len();
        assert!(after >= before, "append_with only ever appends");
        appending.keep = after;
        drop(appending);
        self.copied(after - before);
        if self.queued == 0 {
            self.release();
        }
    }

    pub(crate) fn append_shared(&mut self, bytes: &Bytes) {
        if bytes.len() < SHARE_FROM_BYTES {
            return self.append(bytes);
        }
        if self.shared.capacity() == 0 {
            self.shared = pool::take(&SHARED).unwrap_or_default();
        }
        self.shared.push_back(Shared { at: self.copied_end, bytes: bytes.clone() });
        self.queued += bytes.len();
    }

    /// Writes until nothing waits or the writer takes no more; one vectored call for all that waits where the writer
    /// takes it.
    pub(crate) fn poll_write<W>(&mut self, cx: &mut Context<'_>, writer: &mut W) -> Poll<io::Result<()>>
    where
        W: AsyncWrite + Unpin + ?Sized,
    {
        while !self.is_empty() {
            let (offered, written) = ready!(self.poll_write_once(cx, writer))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            if written > offered {
                return Poll::Ready(Err(io::Error::other("a writer took more than it was given")));
            }
            self.advance(written);
        }
        Poll::Ready(Ok(()))
    }

    /// Forgets all that waits; how much that was.
    pub(crate) fn clear(&mut self) -> usize {
        let dropped = std::mem::take(&mut self.queued);
        self.copied_written = self.copied_end;
        self.full.clear();
        self.tail.clear();
        self.shared.clear();
        self.release();
        dropped
    }

    /// The tail, with room for `more` bytes unless it is empty.
    fn tail_for(&mut self, more: usize) -> &mut Vec<u8> {
        if !self.tail.is_empty() && self.tail.len() + more > CHUNK_BYTES {
            if self.full.capacity() == 0 {
                self.full = pool::take(&FULL).unwrap_or_default();
            }
            self.full.push_back(std::mem::take(&mut self.tail));
        }
        if self.tail.capacity() == 0 {
            self.tail = pool::take(&CHUNKS).unwrap_or_else(|| Vec::with_capacity(CHUNK_FIRST_BYTES));
        }
        &mut self.tail
    }

    fn copied(&mut self, bytes: usize) {
        self.copied_end += bytes as u64;
        self.queued += bytes;
    }

    /// One call of the writer: how much it was offered and how much it took.
    fn poll_write_once<W>(&self, cx: &mut Context<'_>, writer: &mut W) -> Poll<io::Result<(usize, usize)>>
    where
        W: AsyncWrite + Unpin + ?Sized,
    {
        let writer = Pin::new(writer);
        if self.full.is_empty() && self.shared.is_empty() {
            let waiting = &self.tail[self.front_written..];
            return writer.poll_write(cx, waiting).map_ok(|written| (waiting.len(), written));
        }
        // Each body may stand behind a piece of a chunk, and each chunk may end with a piece.
        let at_most = 2 * self.shared.len() + self.full.len() + 1;
        match at_most {
            _ if !writer.is_write_vectored() => self.poll_write_slices::<1, W>(cx, writer),
            ..=8 => self.poll_write_slices::<8, W>(cx, writer),
            9..=64 => self.poll_write_slices::<64, W>(cx, writer),
            // Linux takes 1024 slices a call; beyond 512 the call itself does not count any more.
            _ => self.poll_write_slices::<512, W>(cx, writer),
        }
    }

    fn poll_write_slices<const N: usize, W>(
        &self,
        cx: &mut Context<'_>,
        writer: Pin<&mut W>,
    ) -> Poll<io::Result<(usize, usize)>>
    where
        W: AsyncWrite + ?Sized,
    {
        let mut slices = [IoSlice::new(&[]); N];
        let count = self.gather(&mut slices);
        let offered = slices[..count].iter().map(|slice| slice.len()).sum();
        let written = match &slices[..count] {
            [slice] => writer.poll_write(cx, slice),
            slices => writer.poll_write_vectored(cx, slices),
        };
        written.map_ok(|written| (offered, written))
    }

    /// Fills `slices` with what waits, in order; how many there are.
    fn gather<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let mut places = slices.iter_mut();
        let mut count = 0;
        let mut push = |bytes: &'a [u8]| match places.next() {
            Some(place) => {
                *place = IoSlice::new(bytes);
                count += 1;
                true
            }
            None => false,
        };
        let mut shared = self.shared.iter().peekable();
        let mut position = self.copied_written;
        let mut skip = self.front_written;
        'all: for chunk in self.full.iter().chain(once(&self.tail)) {
            let mut chunk = &chunk[std::mem::take(&mut skip)..];
            loop {
                while let Some(body) = shared.next_if(|body| body.at == position) {
                    if !push(&body.bytes) {
                        break 'all;
                    }
                }
                if chunk.is_empty() {
                    break;
                }
                let until_body = shared.peek().map_or(u64::MAX, |body| body.at - position);
                let (piece, rest) = chunk.split_at(clamp_len(until_body, chunk.len()));
                if !push(piece) {
                    break 'all;
                }
                position += piece.len() as u64;
                chunk = rest;
            }
        }
        count
    }

    /// Drops `written` bytes, at most what waits, from the front.
    fn advance(&mut self, mut written: usize) {
        self.queued -= written;
        while written > 0 {
            let until_body = match self.shared.front_mut() {
                Some(body) if body.at == self.copied_written => {
                    let part = written.min(body.bytes.len());
                    body.bytes.advance(part);
                    if body.bytes.is_empty() {
                        self.shared.pop_front();
                    }
                    written -= part;
                    continue;
                }
                Some(body) => body.at - self.copied_written,
                None => u64::MAX,
            };
            let chunk_len = self.full.front().unwrap_or(&self.tail).len();
            let part = clamp_len(until_body, written.min(chunk_len - self.front_written));
            written -= part;
            self.front_written += part;
            self.copied_written += part as u64;
            if self.front_written == chunk_len {
                self.front_written = 0;
                match self.full.pop_front() {
                    Some(mut chunk) => {
                        chunk.clear();
                        pool::put(&CHUNKS, &mut chunk);
                    }
                    None => self.tail.clear(),
                }
            }
        }
        if self.queued == 0 {
            self.release();
        }
    }

    /// Gives all buffers back; everything is empty.
    fn release(&mut self) {
        self.front_written = 0;
        pool::put(&CHUNKS, &mut self.tail);
        pool::put(&FULL, &mut self.full);
        pool::put(&SHARED, &mut self.shared);
    }
}

fn clamp_len(distance: u64, len: usize) -> usize {
    usize::try_from(distance).map_or(len, |distance| distance.min(len))
}

#[cfg(test)]
mod tests;
