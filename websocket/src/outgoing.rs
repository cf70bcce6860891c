//! The way out: each write becomes a binary frame, and control frames go in between. A server's payload goes from the
//! writer's buffer into the transport, behind its head; a client's is masked, and so is copied once.

use std::hash::{BuildHasher as _, RandomState};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};

use tokio::io::AsyncWrite;

use crate::Role;
use crate::frame::{self, Head};

/// The longest frame that is written, in bytes of payload. Readers that take whole messages hold as much.
const LONGEST_PAYLOAD: usize = 0xffff;
/// The longest of a client, which is copied.
const LONGEST_COPIED: usize = 16 * 1024;
/// Buffers that go into the transport with one call.
const MOST_SLICES: usize = 32;
/// What waits keeps no more room than this when it has gone: a server has many connections, and says little there; a client
/// says everything there.
const KEPT_BY_SERVER: usize = 32;
const KEPT_BY_CLIENT: usize = LONGEST_COPIED + frame::LONGEST_FRAME_HEAD;

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Outgoing {
    role: Role,
    /// What goes before anything else: heads, control frames, a client's masked payload.
    raw: Vec<u8>,
    /// How much of that has gone.
    gone: usize,
    /// Payload of a server's frame that has to follow before its end.
    left: usize,
    /// A control frame that waits for the end of the frame. A new one replaces it.
    control: Option<(u8, Vec<u8>)>,
    /// What a reader left here has gone into the transport, and is not flushed.
    unflushed: bool,
    /// Close was said, or is about to be: nothing goes behind it.
    closed: bool,
    /// Who waits for the transport to take more.
    writer: Option<Waker>,
    /// Where masks come from: keys of the process's randomness, and a count.
    masks: Option<(RandomState, u64)>,
}

impl Outgoing {
    pub(crate) fn new(role: Role) -> Outgoing {
        Outgoing {
            role,
            raw: Vec::new(),
            gone: 0,
            left: 0,
            control: None,
            unflushed: false,
            closed: false,
            writer: None,
            masks: (role == Role::Client).then(|| (RandomState::new(), 0)),
        }
    }

    /// Answers a Ping, as soon as there is room between frames.
    pub(crate) fn pong(&mut self, payload: Vec<u8>) {
        if !self.closed {
            self.control = Some((frame::PONG, payload));
        }
    }

    /// Says Close, as soon as there is room between frames.
    pub(crate) fn close(&mut self, payload: Vec<u8>) {
        if !self.closed {
            self.closed = true;
            self.control = Some((frame::CLOSE, payload));
        }
    }

    /// Pushes out what a reader has left here. Where a writer of another task waits, it does that.
    pub(crate) fn push<S: AsyncWrite + Unpin>(&mut self, cx: &mut Context<'_>, stream: &mut S) {
        let waits = self.control.is_some() || !self.raw.is_empty();
        self.unflushed |= waits;
        if !self.unflushed || self.writer.as_ref().is_some_and(|writer| !writer.will_wake(cx.waker())) {
            return;
        }
        // What fails here fails for who writes or reads next.
        if let Poll::Ready(Ok(())) = self.poll_drain(cx, stream)
            && let Poll::Ready(Ok(())) = Pin::new(stream).poll_flush(cx)
        {
            self.unflushed = false;
        }
    }

    /// Whether a frame was begun and is not written to its end.
    pub(crate) fn is_in_a_frame(&self) -> bool {
        self.left > 0
    }

    /// Writes into a frame, as much as the transport takes. Who is told `Pending` has to come again with no fewer bytes.
    pub(crate) fn poll_write<S: AsyncWrite + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut S,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = match self.role {
            Role::Server => self.poll_write_through(cx, stream, bytes),
            Role::Client => self.poll_write_masked(cx, stream, bytes),
        };
        self.waits(cx, written)
    }

    /// Flushes.
    pub(crate) fn poll_flush<S: AsyncWrite + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut S,
    ) -> Poll<io::Result<()>> {
        let flushed = match self.poll_drain(cx, stream) {
            Poll::Ready(Ok(())) => Pin::new(stream).poll_flush(cx),
            other => other,
        };
        self.unflushed &= !matches!(flushed, Poll::Ready(Ok(())));
        self.waits(cx, flushed)
    }

    /// Remembers who was told to wait.
    fn waits<T>(&mut self, cx: &Context<'_>, result: Poll<T>) -> Poll<T> {
        self.writer = result.is_pending().then(|| cx.waker().clone());
        result
    }

    fn poll_write_through<S: AsyncWrite + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut S,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.left == 0 {
            ready!(self.poll_drain(cx, stream))?;
            self.refuse_if_closed()?;
            self.left = bytes.iter().map(|slice| slice.len()).sum::<usize>().min(LONGEST_PAYLOAD);
            if self.left == 0 {
                return Poll::Ready(Ok(0));
            }
            Head::whole(frame::BINARY, None, self.left).write(&mut self.raw);
        }
        loop {
            let head = &self.raw[self.gone..];
            let mut slices = [IoSlice::new(&[]); MOST_SLICES];
            slices[0] = IoSlice::new(head);
            let (mut count, mut left) = (1, self.left);
            for slice in bytes.iter().filter(|slice| !slice.is_empty()).take(MOST_SLICES - 1) {
                if left == 0 {
                    break;
                }
                let len = slice.len().min(left);
                slices[count] = IoSlice::new(&slice[..len]);
                count += 1;
                left -= len;
            }
            let slices = if head.is_empty() { &slices[1..count] } else { &slices[..count] };
            if slices.is_empty() {
                return Poll::Ready(Ok(0));
            }
            let written = ready!(Pin::new(&mut *stream).poll_write_vectored(cx, slices))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            let of_head = written.min(head.len());
            self.went(of_head);
            if written > of_head {
                self.left -= written - of_head;
                return Poll::Ready(Ok(written - of_head));
            }
        }
    }

    fn poll_write_masked<S: AsyncWrite + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut S,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_drain(cx, stream))?;
        self.refuse_if_closed()?;
        let len = bytes.iter().map(|slice| slice.len()).sum::<usize>().min(LONGEST_COPIED);
        if len == 0 {
            return Poll::Ready(Ok(0));
        }
        self.write_frame(frame::BINARY, len, bytes.iter().flat_map(|slice| slice.iter().copied()).take(len));
        // It is ours by now; what does not go at once goes with the flush.
        match self.poll_drain(cx, stream) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            _ => Poll::Ready(Ok(len)),
        }
    }

    fn refuse_if_closed(&self) -> io::Result<()> {
        if self.closed { Err(io::ErrorKind::BrokenPipe.into()) } else { Ok(()) }
    }

    /// Writes what waits, up to the payload of an open frame.
    fn poll_drain<S: AsyncWrite + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut S,
    ) -> Poll<io::Result<()>> {
        loop {
            while self.gone < self.raw.len() {
                let written = ready!(Pin::new(&mut *stream).poll_write(cx, &self.raw[self.gone..]))?;
                if written == 0 {
                    return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                }
                self.went(written);
            }
            match self.control.take_if(|_| self.left == 0) {
                Some((opcode, payload)) => self.write_frame(opcode, payload.len(), payload.into_iter()),
                None => return Poll::Ready(Ok(())),
            }
        }
    }

    fn went(&mut self, bytes: usize) {
        self.gone += bytes;
        if self.gone == self.raw.len() {
            self.gone = 0;
            self.raw.clear();
            self.raw.shrink_to(match self.role {
                Role::Server => KEPT_BY_SERVER,
                Role::Client => KEPT_BY_CLIENT,
            });
        }
    }

    /// Appends a whole frame.
    fn write_frame(&mut self, opcode: u8, len: usize, payload: impl Iterator<Item = u8>) {
        let key = self.next_mask();
        Head::whole(opcode, key, len).write(&mut self.raw);
        let start = self.raw.len();
        self.raw.extend(payload);
        if let Some(key) = key {
            frame::mask(&mut self.raw[start..], key, 0);
        }
    }

    /// A mask that cannot be foreseen from outside of the process. Of a server: none.
    fn next_mask(&mut self) -> Option<[u8; 4]> {
        let (random, count) = self.masks.as_mut()?;
        *count += 1;
        Some((random.hash_one(*count) as u32).to_ne_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The room that a connection keeps when it has said this much in a control frame, and in a message.
    fn kept(role: Role) -> usize {
        let mut cx = Context::from_waker(Waker::noop());
        let mut outgoing = Outgoing::new(role);
        let mut sink = tokio::io::sink();
        outgoing.pong(vec![0; 125]);
        let bytes = [IoSlice::new(&[0; 10_000])];
        assert!(outgoing.poll_write(&mut cx, &mut sink, &bytes).is_ready());
        assert!(outgoing.poll_flush(&mut cx, &mut sink).is_ready());
        outgoing.raw.capacity()
    }

    #[test]
    fn a_server_keeps_no_room_and_a_client_that_of_a_frame() {
        assert!(kept(Role::Server) <= 2 * KEPT_BY_SERVER);
        assert!((10_000..=2 * KEPT_BY_CLIENT).contains(&kept(Role::Client)));
    }
}
