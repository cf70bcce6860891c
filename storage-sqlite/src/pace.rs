//! How long a transaction that is open waits for more: never longer than pays.
//!
//! Who publishes one message at a time is back soon after its last commit, but not all are back when the first is. A
//! commit without them makes them wait for a whole one more. So the writer knows how many may come, those of the last
//! commit and those that waited while it ran, and when the queue is empty before, it waits a little: a part of what a
//! commit takes. A lone publisher is never waited for, and a fast disk leaves no time to wait.

use std::time::{Duration, Instant};

/// The part of a commit's time that a transaction waits at most.
const SHARE: u32 = 4;

/// And no longer than this.
const MOST: Duration = Duration::from_millis(2);

/// What the last commit tells of the next.
#[derive(Default)]
pub(crate) struct Pace {
    expected: usize,
    patience: Duration,
}

impl Pace {
    /// A commit of so many batches took so long; so many wait already.
    pub(crate) fn committed(&mut self, batches: usize, waiting: usize, took: Duration) {
        self.expected = batches + waiting;
        self.patience = (took / SHARE).min(MOST);
    }

    /// Until when a transaction that begins now waits.
    pub(crate) fn deadline(&self) -> Instant {
        Instant::now() + self.patience
    }

    /// Whether a transaction that has so many batches waits for more.
    pub(crate) fn expects_more(&self, batches: usize) -> bool {
        batches < self.expected
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_waited_for_who_did_not_publish_before() {
        let mut pace = Pace::default();
        assert!(!pace.expects_more(1));
        pace.committed(1, 0, Duration::from_millis(4));
        assert!(!pace.expects_more(1), "a lone publisher is at the writer already");
        pace.committed(40, 24, Duration::from_millis(4));
        assert!(pace.expects_more(63), "both halves become one group");
        assert!(!pace.expects_more(64));
    }

    #[test]
    fn waiting_is_a_part_of_what_a_commit_takes() {
        let mut pace = Pace::default();
        pace.committed(64, 0, Duration::from_millis(4));
        assert_eq!(pace.patience, Duration::from_millis(1));
        pace.committed(64, 0, Duration::from_secs(5));
        assert_eq!(pace.patience, MOST);
    }
}
