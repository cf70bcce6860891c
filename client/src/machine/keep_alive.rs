//! When the client has to say something, and when the server has been silent for too long. Time is an argument.

use std::time::{Duration, Instant};

/// So much later, or so late that it makes no difference: an `Instant` has an end that is not told.
pub(crate) fn after(now: Instant, wait: Duration) -> Instant {
    const FAR: Duration = Duration::from_secs(30 * 365 * 24 * 3600);
    now + wait.min(FAR)
}

/// The clock of one connection.
#[derive(Debug)]
pub(super) struct KeepAlive {
    /// Zero: never.
    interval: Duration,
    response_timeout: Duration,
    last_sent: Instant,
    last_received: Instant,
    /// When bytes arrived, of whatever packet.
    last_arrived: Instant,
    asked: Option<Instant>,
}

/// What is to be done.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum Due {
    Nothing,
    Ping,
    /// Something else than PINGRESP did not come.
    Unanswered(&'static str),
    Dead,
}

impl KeepAlive {
    pub(super) fn new(secs: u16, response_timeout: Duration, now: Instant) -> Self {
        KeepAlive {
            interval: Duration::from_secs(secs.into()),
            response_timeout,
            last_sent: now,
            last_received: now,
            last_arrived: now,
            asked: None,
        }
    }

    pub(super) fn sent(&mut self, now: Instant) {
        self.last_sent = now;
    }

    pub(super) fn received(&mut self, now: Instant) {
        self.last_received = now;
    }

    pub(super) fn arrived(&mut self, now: Instant) {
        self.last_arrived = now;
    }

    pub(super) fn answered(&mut self) {
        self.asked = None;
    }

    pub(super) fn asked(&mut self, now: Instant) {
        self.asked = Some(now);
    }

    /// Silence of either side is asked about: a client that only publishes would never learn of a dead server.
    pub(super) fn deadline(&self) -> Option<Instant> {
        if let Some(asked) = self.asked {
            // An answer may stand behind a packet that is still arriving.
            return Some(after(asked.max(self.last_arrived), self.response_timeout));
        }
        (!self.interval.is_zero()).then(|| self.last_sent.min(self.last_received) + self.interval)
    }

    pub(super) fn due(&self, now: Instant) -> Due {
        match self.deadline() {
            Some(deadline) if deadline <= now => {
                if self.asked.is_some() {
                    Due::Dead
                } else {
                    Due::Ping
                }
            }
            _ => Due::Nothing,
        }
    }
}
