//! Waiting for one future on the thread at hand: all that a case needs of a runtime.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Polls the future on this thread until it is ready; the thread is parked in between.
pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(value) => return value,
            // A wake-up that comes first leaves a token, and this returns at once.
            Poll::Pending => thread::park(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    #[test]
    fn a_future_that_another_thread_wakes_is_polled_again() {
        let ready = Arc::new(AtomicBool::new(false));
        let mut polls = 0;
        block_on(poll_fn(|cx| {
            polls += 1;
            if ready.load(Ordering::Acquire) {
                return Poll::Ready(());
            }
            let (ready, waker) = (Arc::clone(&ready), cx.waker().clone());
            thread::spawn(move || {
                ready.store(true, Ordering::Release);
                waker.wake();
            });
            Poll::Pending
        }));
        assert!(polls >= 2);
    }
}
