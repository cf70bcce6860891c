//! The messages of one subscription on their way from the driver to the application. Bounded by the driver, which looks
//! at what it holds before it reads on.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use opifex_packet::QoS;
use parking_lot::Mutex;

use crate::handle::received::Received;

/// What one subscription waits for.
#[derive(Debug)]
pub(crate) struct Inbound {
    inner: Mutex<Inner>,
    capacity: usize,
}

#[derive(Debug, Default)]
struct Inner {
    queue: VecDeque<Received>,
    /// What the messages in `queue` cost.
    bytes: usize,
    waker: Option<Waker>,
    /// The driver waits until it holds no more than that.
    awaited: Option<Level>,
    /// Nothing follows.
    ended: bool,
    /// Nobody takes anything any more.
    left: bool,
}

/// What has become of messages that were handed over.
#[derive(Debug)]
pub(crate) struct Handed {
    /// It holds as many as it should.
    pub(crate) full: bool,
    /// Somebody waited for them, and takes them now.
    pub(crate) woken: bool,
    /// Nobody takes them: all that there were.
    pub(crate) left: Option<VecDeque<Received>>,
}

/// As many messages, or as many bytes.
#[derive(Copy, Clone, Debug, Default)]
struct Level {
    messages: usize,
    bytes: usize,
}

impl Inner {
    fn take_all(&mut self) -> VecDeque<Received> {
        self.bytes = 0;
        std::mem::take(&mut self.queue)
    }
}

impl Inbound {
    pub(crate) fn new(capacity: usize) -> Arc<Self> {
        Arc::new(Inbound { inner: Mutex::default(), capacity })
    }

    /// Appends all of `messages`, which cost `bytes`. Whoever waits is woken once for all of them.
    pub(crate) fn append(&self, messages: &mut VecDeque<Received>, bytes: usize) -> Handed {
        let mut inner = self.inner.lock();
        let came = !messages.is_empty();
        if came {
            inner.bytes += bytes;
            if inner.queue.is_empty() {
                std::mem::swap(&mut inner.queue, messages);
            } else {
                inner.queue.append(messages);
            }
        }
        if inner.left {
            return Handed { full: false, woken: false, left: Some(inner.take_all()) };
        }
        let full = came && inner.queue.len() >= self.capacity;
        let waker = if came { inner.waker.take() } else { None };
        drop(inner);
        let woken = waker.is_some();
        if let Some(waker) = waker {
            waker.wake();
        }
        Handed { full, woken, left: None }
    }

    /// What the messages in it cost; the driver is told when half of that is taken.
    pub(crate) fn bytes_until_half(&self) -> usize {
        let mut inner = self.inner.lock();
        if inner.bytes > 0 && !inner.left {
            let bytes = inner.bytes / 2;
            inner.awaited.get_or_insert_default().bytes = bytes;
        }
        inner.bytes
    }

    /// Whether it holds as many messages as it should; the driver is told when half of them are taken.
    pub(crate) fn is_full(&self) -> bool {
        let mut inner = self.inner.lock();
        let full = !inner.left && inner.queue.len() >= self.capacity;
        if full {
            inner.awaited.get_or_insert_default().messages = self.capacity / 2;
        }
        full
    }

    pub(crate) fn end(&self) {
        let mut inner = self.inner.lock();
        inner.ended = true;
        let waker = inner.waker.take();
        drop(inner);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// The next message, and whether the driver waits for the room.
    pub(crate) fn poll_next(&self, cx: &Context<'_>) -> Poll<Option<(Received, bool)>> {
        let mut inner = self.inner.lock();
        match inner.queue.pop_front() {
            Some(message) => {
                inner.bytes -= message.cost();
                let (messages, bytes) = (inner.queue.len(), inner.bytes);
                let is_awaited = |level: &mut Level| messages <= level.messages || bytes <= level.bytes;
                let room = inner.awaited.take_if(is_awaited).is_some();
                Poll::Ready(Some((message, room)))
            }
            None if inner.ended => Poll::Ready(None),
            None => {
                match &mut inner.waker {
                    Some(waker) => waker.clone_from(cx.waker()),
                    None => inner.waker = Some(cx.waker().clone()),
                }
                Poll::Pending
            }
        }
    }

    /// The application goes. Gives back what it has not taken of a stream that had ended; of others the driver asks for it.
    pub(crate) fn leave(&self) -> VecDeque<Received> {
        let mut inner = self.inner.lock();
        inner.left = true;
        if inner.ended { inner.take_all() } else { VecDeque::new() }
    }

    /// What the application has not taken.
    pub(crate) fn take_all(&self) -> VecDeque<Received> {
        self.inner.lock().take_all()
    }

    /// The server sends its QoS 1 messages again.
    pub(crate) fn come_again(&self) {
        let mut inner = self.inner.lock();
        inner.queue.retain(|received| received.message.qos != QoS::AtLeastOnce);
        inner.bytes = inner.queue.iter().map(Received::cost).sum();
    }
}
