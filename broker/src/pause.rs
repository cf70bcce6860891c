//! How long what the store refused waits for another try: as long as the store may need to be well again, and longer each time
//! where nothing but a record of its own can be the cause.
//!
//! What is tried again, and when somebody looks, is not decided here.

use std::time::Duration;

use opifex_storage::{ErrorKind, StoreError};
use tokio::time::Instant;

const SHORTEST: Duration = Duration::from_secs(1);

/// A record that is damaged is seldom mended while the broker runs, and each try costs the store work and the log a line.
const LONGEST: Duration = Duration::from_secs(600);

/// Before the first try there is none.
#[derive(Copy, Clone, Debug, Default)]
pub(crate) struct Pause {
    length: Duration,
    until: Option<Instant>,
}

impl Pause {
    pub(crate) fn is_over(&self) -> bool {
        self.until.is_none_or(|until| until <= Instant::now())
    }

    /// It was tried, and refused like this.
    pub(crate) fn prolong(&mut self, error: &StoreError) {
        self.length = match error.kind() {
            ErrorKind::Corrupt | ErrorKind::TooLarge | ErrorKind::Unsupported => {
                (self.length * 2).clamp(SHORTEST, LONGEST)
            }
            _ => SHORTEST,
        };
        self.until = Some(Instant::now() + self.length);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn seconds_until_over(pause: &Pause) -> u64 {
        let begun = Instant::now();
        while !pause.is_over() {
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        begun.elapsed().as_secs()
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_grows_to_its_longest_for_damage_and_stays_short_for_a_store_that_fails() {
        let mut pause = Pause::default();
        assert!(pause.is_over(), "nobody has tried yet");
        let refused = |kind| StoreError::not_applied(kind, "no");
        let mut lengths = Vec::new();
        for _ in 0..12 {
            pause.prolong(&refused(ErrorKind::Corrupt));
            lengths.push(seconds_until_over(&pause).await);
        }
        assert_eq!(lengths, [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 600, 600]);
        for kind in [ErrorKind::Retry, ErrorKind::Full] {
            pause.prolong(&refused(kind));
            assert_eq!(seconds_until_over(&pause).await, 1);
        }
    }
}
