//! A value that one thread gives once and tasks of any executor wait for: to one ([`answer`]) or to many ([`Latch`]).

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;

struct Slot<T> {
    value: Option<T>,
    waker: Option<Waker>,
    /// The other side is gone.
    abandoned: bool,
}

/// Gives the value.
pub(crate) struct Asker<T>(Option<Arc<Mutex<Slot<T>>>>);

/// Waits for the value: `None` when the other side went without giving one.
pub(crate) struct Answer<T>(Arc<Mutex<Slot<T>>>);

/// Both sides of a value.
pub(crate) fn answer<T>() -> (Asker<T>, Answer<T>) {
    let slot = Arc::new(Mutex::new(Slot { value: None, waker: None, abandoned: false }));
    (Asker(Some(Arc::clone(&slot))), Answer(slot))
}

impl<T> Asker<T> {
    pub(crate) fn give(mut self, value: T) {
        self.end(Some(value));
    }

    fn end(&mut self, value: Option<T>) {
        let Some(slot) = self.0.take() else { return };
        let mut slot = slot.lock();
        slot.abandoned = value.is_none();
        slot.value = value;
        let waker = slot.waker.take();
        drop(slot);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl<T> Drop for Asker<T> {
    fn drop(&mut self) {
        self.end(None);
    }
}

impl<T> Future for Answer<T> {
    type Output = Option<T>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        let mut slot = self.0.lock();
        if let Some(value) = slot.value.take() {
            return Poll::Ready(Some(value));
        }
        if slot.abandoned {
            return Poll::Ready(None);
        }
        slot.waker = Some(cx.waker().clone());
        Poll::Pending
    }
}

/// A value for many.
pub(crate) struct Latch<T>(Mutex<Waiting<T>>);

struct Waiting<T> {
    value: Option<T>,
    wakers: Vec<Waker>,
}

impl<T: Clone> Latch<T> {
    pub(crate) fn new() -> Latch<T> {
        Latch(Mutex::new(Waiting { value: None, wakers: Vec::new() }))
    }

    /// Gives the value, if none was given.
    pub(crate) fn give(&self, value: T) {
        let mut state = self.0.lock();
        state.value.get_or_insert(value);
        let wakers = std::mem::take(&mut state.wakers);
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
    }

    pub(crate) async fn wait(&self) -> T {
        // Who is polled again replaces the waker that it left.
        let mut place = None;
        poll_fn(|cx| {
            let mut state = self.0.lock();
            if let Some(value) = &state.value {
                return Poll::Ready(value.clone());
            }
            match place {
                Some(place) => {
                    let waker: &mut Waker = &mut state.wakers[place];
                    waker.clone_from(cx.waker());
                }
                None => {
                    place = Some(state.wakers.len());
                    state.wakers.push(cx.waker().clone());
                }
            }
            Poll::Pending
        })
        .await
    }
}
