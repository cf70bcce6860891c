//! The broker's clock: wall-clock milliseconds that never run backwards within a process.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use opifex_storage::Timestamp;
use tokio::time::Instant;

/// Wall-clock time read once at start and carried on by the monotonic clock (which tests can pause).
#[derive(Clone, Debug)]
pub(crate) struct Clock {
    start: Instant,
    start_millis: u64,
}

impl Clock {
    pub(crate) fn start() -> Clock {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        Clock { start: Instant::now(), start_millis: wall.as_millis() as u64 }
    }

    pub(crate) fn now(&self) -> Timestamp {
        Timestamp(self.start_millis + self.start.elapsed().as_millis() as u64)
    }

    /// Whole seconds between the start and `now`: the unit of keep-alive.
    pub(crate) fn tick_secs_at(&self, now: Timestamp) -> u32 {
        (now.0.saturating_sub(self.start_millis) / 1000) as u32
    }
}
