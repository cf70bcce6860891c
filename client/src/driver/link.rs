//! One transport while it lasts: reads all that is there into the machine, writes what the machine gives in one piece.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use opifex_connection::{Inbox, Read};
use opifex_packet::{DecodeOptions, Decoded, decode};

use super::FAREWELL;
use crate::connector::BoxedTransport;
use crate::handle::slots::SlotId;
use crate::machine::{Machine, after, earlier};
use crate::store::SessionStore;

/// Reads in a row before what was read is handed on. One that fills the buffer is handed on at once.
const READS: usize = 4;
/// A buffer that has grown beyond that is given back when it is empty.
const KEPT_BYTES: usize = 256 * 1024;

pub(super) struct Link {
    stream: BoxedTransport,
    inbox: Inbox,
    decode: DecodeOptions,
    writing: Vec<u8>,
    written: usize,
    flushing: bool,
    /// When the transport is given up, while it takes nothing.
    stalled: Option<Instant>,
    write_timeout: Duration,
    /// When the transport is left as it is, while it closes.
    closing: Option<Instant>,
    /// QoS 0 messages in `writing`.
    pub(super) slots: Vec<SlotId>,
}

/// What a step has brought.
#[derive(Debug)]
pub(super) enum Step {
    /// Nothing; the task is woken when there is.
    Nothing,
    /// All that there was; the task is woken when there is more.
    All,
    /// A part; there may be more.
    More,
    /// The transport is of no use any more.
    Over(Option<io::Error>),
}

impl Link {
    pub(super) fn new(stream: BoxedTransport, decode: DecodeOptions, write_timeout: Duration) -> Self {
        Link {
            stream,
            inbox: Inbox::new(),
            decode,
            writing: Vec::new(),
            written: 0,
            flushing: false,
            stalled: None,
            write_timeout,
            closing: None,
            slots: Vec::new(),
        }
    }

    /// Whether all that the machine gave is with the transport.
    pub(super) fn is_drained(&self) -> bool {
        self.writing.is_empty() && !self.flushing
    }

    /// Bytes that wait for the transport.
    pub(super) fn unwritten(&self) -> usize {
        self.writing.len() - self.written
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        earlier(self.stalled, self.closing)
    }

    pub(super) fn poll_read<S: SessionStore>(
        &mut self,
        cx: &mut Context<'_>,
        machine: &mut Machine<S>,
        now: Instant,
    ) -> Step {
        let decode = self.decode;
        let mut step = Step::Nothing;
        for _ in 0..READS {
            let take = |bytes: &[u8]| (take_all(bytes, &decode, machine, now), ());
            match self.inbox.poll_read(cx, &mut *self.stream, take) {
                Poll::Pending => return step,
                Poll::Ready(Ok(Read::Taken { more, .. })) => {
                    machine.arrived(now);
                    if more || machine.is_closing() {
                        break;
                    }
                    step = Step::All;
                }
                Poll::Ready(Ok(Read::Closed { .. })) => return Step::Over(None),
                Poll::Ready(Err(error)) => return Step::Over(Some(error)),
            }
        }
        Step::More
    }

    /// Writes what waits; `refill` puts the machine's next bytes into an empty buffer.
    pub(super) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        now: Instant,
        mut refill: impl FnMut(&mut Vec<u8>, &mut Vec<SlotId>) -> bool,
        mut written: impl FnMut(SlotId),
    ) -> Step {
        let mut step = Step::Nothing;
        loop {
            if self.written == self.writing.len() {
                self.writing.clear();
                self.written = 0;
                self.slots.drain(..).for_each(&mut written);
                if self.writing.capacity() > KEPT_BYTES {
                    self.writing = Vec::new();
                }
                if !refill(&mut self.writing, &mut self.slots) {
                    break;
                }
            }
            match Pin::new(&mut *self.stream).poll_write(cx, &self.writing[self.written..]) {
                Poll::Ready(Ok(0)) => return Step::Over(Some(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(taken)) => {
                    self.written += taken;
                    self.flushing = true;
                    self.stalled = None;
                    step = Step::All;
                }
                Poll::Ready(Err(error)) => return Step::Over(Some(error)),
                Poll::Pending => return self.stall(now, step),
            }
        }
        if self.flushing {
            match Pin::new(&mut *self.stream).poll_flush(cx) {
                Poll::Ready(Ok(())) => self.flushing = false,
                Poll::Ready(Err(error)) => return Step::Over(Some(error)),
                Poll::Pending => return self.stall(now, step),
            }
        }
        self.stalled = None;
        step
    }

    fn stall(&mut self, now: Instant, step: Step) -> Step {
        let since = *self.stalled.get_or_insert_with(|| after(now, self.write_timeout));
        if since <= now {
            let what = "the transport took nothing for too long; the network or the server stalls";
            return Step::Over(Some(io::Error::new(io::ErrorKind::TimedOut, what)));
        }
        step
    }

    /// Closes the transport; whether that is done, or has taken long enough. How it went makes no difference.
    pub(super) fn poll_close(&mut self, cx: &mut Context<'_>, now: Instant) -> bool {
        let closing = *self.closing.get_or_insert_with(|| after(now, FAREWELL));
        Pin::new(&mut *self.stream).poll_shutdown(cx).is_ready() || closing <= now
    }
}

/// Hands all whole packets in `bytes` to the machine; returns how many bytes they were.
fn take_all<S: SessionStore>(
    bytes: &[u8],
    options: &DecodeOptions,
    machine: &mut Machine<S>,
    now: Instant,
) -> usize {
    let mut used = 0;
    while !machine.is_closing() {
        match decode(&bytes[used..], options) {
            Ok(Decoded::Packet { packet, len }) => {
                used += len;
                machine.received(packet, now);
            }
            Ok(Decoded::Incomplete { .. }) => return used,
            Err(error) => machine.malformed(error),
        }
    }
    // Nothing behind the end of a connection counts.
    bytes.len()
}
