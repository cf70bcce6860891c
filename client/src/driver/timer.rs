//! One timer for all that a driver waits for. It is moved only to an earlier moment; when it comes too early, the driver
//! looks around once in vain, which costs less than to move it with every packet.

use std::future::Future;
use std::pin::Pin;
use std::task::Context;
use std::time::{Duration, Instant};

use tokio::time::Sleep;

pub(super) struct Timer(Pin<Box<Sleep>>);

impl Timer {
    pub(super) fn new() -> Self {
        Timer(Box::pin(tokio::time::sleep(Duration::ZERO)))
    }

    /// Whether some moment up to `deadline` has come; if not, the task is woken then.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, deadline: Option<Instant>) -> bool {
        let Some(deadline) = deadline.map(tokio::time::Instant::from_std) else { return false };
        if self.0.is_elapsed() || self.0.deadline() > deadline {
            self.0.as_mut().reset(deadline);
        }
        self.0.as_mut().poll(cx).is_ready()
    }
}

/// The runtime's clock, which tests may stop.
pub(super) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}
