//! One value from a thread to a future, without a runtime.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};

enum State<T> {
    Waiting(Option<Waker>),
    Sent(T),
    Over,
}

/// The end that sends; dropping it without that answers `None`.
pub(super) struct Sender<T>(Arc<Mutex<State<T>>>);

/// The end that waits.
pub(super) struct Receiver<T>(Arc<Mutex<State<T>>>);

pub(super) fn channel<T>() -> (Sender<T>, Receiver<T>) {
    let state = Arc::new(Mutex::new(State::Waiting(None)));
    (Sender(Arc::clone(&state)), Receiver(state))
}

/// Nothing panics while it holds the lock, so that it cannot be poisoned.
fn lock<T>(state: &Mutex<State<T>>) -> MutexGuard<'_, State<T>> {
    state.lock().expect("no holder of this lock panics")
}

impl<T> Sender<T> {
    pub(super) fn send(self, value: T) {
        self.finish(State::Sent(value));
    }

    fn finish(&self, with: State<T>) {
        let mut state = lock(&self.0);
        let State::Waiting(waker) = &mut *state else { return };
        let waker = waker.take();
        *state = with;
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        self.finish(State::Over);
    }
}

impl<T> Future for Receiver<T> {
    type Output = Option<T>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        let mut state = lock(&self.0);
        match std::mem::replace(&mut *state, State::Over) {
            State::Sent(value) => Poll::Ready(Some(value)),
            State::Over => Poll::Ready(None),
            State::Waiting(_) => {
                *state = State::Waiting(Some(cx.waker().clone()));
                Poll::Pending
            }
        }
    }
}
