//! An answer that the server owes. Calls have no clock, so the time runs from the transmission that carries the question.

use std::time::{Duration, Instant};

use super::keep_alive::after;

#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Awaited {
    /// None is.
    #[default]
    Nothing,
    /// One is, and the question has not left.
    Soon,
    Since(Instant),
}

impl Awaited {
    /// What was asked leaves now.
    pub(super) fn sent(&mut self, now: Instant) {
        if *self == Awaited::Soon {
            *self = Awaited::Since(now);
        }
    }

    /// The time runs anew.
    pub(super) fn again(&mut self) {
        if *self != Awaited::Nothing {
            *self = Awaited::Soon;
        }
    }

    pub(super) fn deadline(self, timeout: Duration) -> Option<Instant> {
        match self {
            Awaited::Nothing | Awaited::Soon => None,
            Awaited::Since(since) => Some(after(since, timeout)),
        }
    }

    pub(super) fn is_over(self, timeout: Duration, now: Instant) -> bool {
        self.deadline(timeout).is_some_and(|deadline| deadline <= now)
    }
}
