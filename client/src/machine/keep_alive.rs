//! When the client has to say something, and when the server has been silent for too long. Time is an argument.

use std::time::{Duration, Instant};

/// So much later, or so late that it makes no difference: an `Instant` has an end that is not told.
pub(crate) fn after(now: Instant, wait: Duration) -> Instant {
    const FAR: Duration = Duration::from_secs(30 * 365 * 24 * 3600);
    now + wait.min(FAR)
}

/// The earlier of two moments that may never come.
pub(crate) fn earlier(one: Option<Instant>, other: Option<Instant>) -> Option<Instant> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
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
    /// The last PINGREQ, which may still be on its way to the transport.
    last_pinged: Instant,
    /// The first PINGREQ since the last PINGRESP.
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
            last_pinged: now,
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
        self.asked.get_or_insert(now);
        self.last_pinged = now;
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        earlier(self.ping_at(), self.dead_at())
    }

    /// Silence of either side is asked about: a client that only publishes would never learn of a dead server. While the
    /// answer is outstanding, the client goes on saying that it lives.
    fn ping_at(&self) -> Option<Instant> {
        let since = match self.asked {
            Some(_) => self.last_sent.max(self.last_pinged),
            None => self.last_sent.min(self.last_received),
        };
        (!self.interval.is_zero()).then(|| since + self.interval)
    }

    /// An answer may stand behind a packet that is still arriving.
    fn dead_at(&self) -> Option<Instant> {
        self.asked.map(|asked| after(asked.max(self.last_arrived), self.response_timeout))
    }

    pub(super) fn due(&self, now: Instant) -> Due {
        let is_over = |deadline: Option<Instant>| deadline.is_some_and(|deadline| deadline <= now);
        if is_over(self.dead_at()) {
            Due::Dead
        } else if is_over(self.ping_at()) {
            Due::Ping
        } else {
            Due::Nothing
        }
    }
}
