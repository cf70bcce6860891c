//! The messages of one subscription on their way from the driver to the application. Bounded by the driver, which looks
//! at the length before it reads on.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

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
    /// Of the payloads in `queue`.
    bytes: usize,
    waker: Option<Waker>,
    /// The driver waits for room.
    awaited: bool,
    /// Nothing follows.
    ended: bool,
    /// Nobody takes anything any more.
    left: bool,
}

impl Inbound {
    pub(crate) fn new(capacity: usize) -> Arc<Self> {
        Arc::new(Inbound { inner: Mutex::default(), capacity })
    }

    /// Appends all of `messages`, and says whether it is full.
    pub(crate) fn append(&self, messages: &mut VecDeque<Received>) -> bool {
        let mut inner = self.inner.lock();
        inner.bytes += messages.iter().map(|received| received.message.payload.len()).sum::<usize>();
        if inner.queue.is_empty() {
            std::mem::swap(&mut inner.queue, messages);
        } else {
            inner.queue.append(messages);
        }
        let full = inner.queue.len() >= self.capacity;
        let waker = inner.waker.take();
        drop(inner);
        if let Some(waker) = waker {
            waker.wake();
        }
        full
    }

    /// Bytes of the messages in it.
    pub(crate) fn bytes(&self) -> usize {
        self.inner.lock().bytes
    }

    /// Whether it holds as much as it should; the driver is told when that is over.
    pub(crate) fn is_full(&self) -> bool {
        let mut inner = self.inner.lock();
        inner.awaited = !inner.left && inner.queue.len() >= self.capacity;
        inner.awaited
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
                inner.bytes -= message.message.payload.len();
                let room = inner.awaited && inner.queue.len() <= self.capacity / 2;
                if room {
                    inner.awaited = false;
                }
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

    /// The application goes.
    pub(crate) fn leave(&self) {
        self.inner.lock().left = true;
    }

    /// What the application has not taken, when it has gone.
    pub(crate) fn reclaim(&self) -> Option<VecDeque<Received>> {
        let mut inner = self.inner.lock();
        inner.left.then(|| std::mem::take(&mut inner.queue))
    }
}
