//! One timer for all that a driver waits for. It is moved only to an earlier moment; when it comes too early, the driver
//! looks around once in vain, which costs less than to move it with every packet.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use tokio::time::Sleep;

pub(super) struct Timer {
    sleep: Pin<Box<Sleep>>,
    /// Who is woken by it.
    waker: Option<Waker>,
}

impl Timer {
    pub(super) fn new() -> Self {
        Timer { sleep: Box::pin(tokio::time::sleep(Duration::ZERO)), waker: None }
    }

    /// Whether its moment has come, or it was never set.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.sleep.deadline().into_std() <= now
    }

    /// Whether some moment up to `deadline` has come; if not, the task is woken then.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, deadline: Option<Instant>, now: Instant) -> bool {
        let Some(deadline) = deadline else { return false };
        let set = self.sleep.deadline().into_std();
        if set > deadline || self.sleep.is_elapsed() {
            self.sleep.as_mut().reset(tokio::time::Instant::from_std(deadline));
        } else if set > now && self.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            return false;
        }
        self.waker = None;
        if self.sleep.as_mut().poll(cx).is_ready() {
            return true;
        }
        self.waker = Some(cx.waker().clone());
        false
    }
}

/// The runtime's clock, which tests may stop.
pub(super) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}
