//! When a client tries again: a back-off that doubles, with jitter, so that a thousand clients of a server that comes
//! back do not come at once. What is worth another attempt is said here, too.

use std::time::Duration;

use opifex_packet::ReasonCode;

use crate::Cause;

/// What a client does when its connection ends.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reconnect {
    /// The longest wait before the first attempt.
    pub first: Duration,
    /// The longest wait before any attempt.
    pub longest: Duration,
    /// Attempts in a row after which the client gives up; `None` for never. What ends a row, and the growth of the waits, is
    /// a connection on which a message was acknowledged, or which lasted longer than the next wait.
    pub attempts: Option<u32>,
    /// Whether the very first connection is tried again, too. If not, [`Client::connect`](crate::Client::connect) fails
    /// when it cannot be made.
    pub from_the_start: bool,
}

impl Default for Reconnect {
    /// Half a second, doubled up to a minute, for ever; the first connection has one attempt.
    fn default() -> Self {
        Reconnect {
            first: Duration::from_millis(500),
            longest: Duration::from_secs(60),
            attempts: None,
            from_the_start: false,
        }
    }
}

impl Reconnect {
    /// No second connection.
    pub fn never() -> Self {
        Reconnect { attempts: Some(0), ..Reconnect::default() }
    }

    /// The same, with waits between those two.
    #[must_use]
    pub fn waiting(mut self, first: Duration, longest: Duration) -> Self {
        (self.first, self.longest) = (first, longest);
        self
    }

    /// The same, for so many attempts in a row.
    #[must_use]
    pub fn up_to(mut self, attempts: u32) -> Self {
        self.attempts = Some(attempts);
        self
    }

    /// The same, for the first connection also.
    #[must_use]
    pub fn from_the_start(mut self) -> Self {
        self.from_the_start = true;
        self
    }

    /// The wait in front of attempt `nth` (the first is 0): between a half and the whole of the back-off; `None` when
    /// there is no such attempt.
    pub(crate) fn wait(&self, nth: u32) -> Option<Duration> {
        if self.attempts.is_some_and(|attempts| nth >= attempts) {
            return None;
        }
        let doubled = self.longest_wait(nth);
        Some(doubled / 2 + (doubled / 2).mul_f64(jitter()))
    }

    /// The whole of the back-off in front of attempt `nth`.
    pub(crate) fn longest_wait(&self, nth: u32) -> Duration {
        self.first.saturating_mul(2u32.saturating_pow(nth)).min(self.longest)
    }
}

/// A number from 0 to 1.
fn jitter() -> f64 {
    f64::from(crate::random::number() as u32) / f64::from(u32::MAX)
}

/// Whether a connection that ended so may be made again without somebody changing something first.
pub(crate) fn worth_another(cause: &Cause) -> bool {
    match cause {
        Cause::Asked => false,
        Cause::Refused { reason, .. } => !matches!(
            reason,
            ReasonCode::UnsupportedProtocolVersion
                | ReasonCode::ClientIdentifierNotValid
                | ReasonCode::BadUserNameOrPassword
                | ReasonCode::NotAuthorized
                | ReasonCode::Banned
                | ReasonCode::BadAuthenticationMethod
                | ReasonCode::TopicNameInvalid
                | ReasonCode::PacketTooLarge
                | ReasonCode::PayloadFormatInvalid
                | ReasonCode::RetainNotSupported
                | ReasonCode::QoSNotSupported
                | ReasonCode::ServerMoved
        ),
        // Two clients of one id that take the session from each other would do so for ever.
        Cause::Server { reason, .. } => !matches!(
            reason,
            ReasonCode::SessionTakenOver
                | ReasonCode::NotAuthorized
                | ReasonCode::AdministrativeAction
                | ReasonCode::ServerMoved
        ),
        // They would come again.
        Cause::Unclaimed { .. } => false,
        // The server will not forget by itself what the client does not know.
        Cause::Authentication(_) | Cause::Violation { statement: "MQTT-3.2.2-4", .. } => false,
        Cause::Lost
        | Cause::Transport(_)
        | Cause::Violation { .. }
        | Cause::Malformed(_)
        | Cause::Timeout(_)
        | Cause::Store(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest_and_are_spread() {
        let policy = Reconnect::default().waiting(Duration::from_secs(1), Duration::from_secs(10));
        for (nth, whole) in [(0, 1), (1, 2), (2, 4), (3, 8), (4, 10), (40, 10), (u32::MAX, 10)] {
            let whole = Duration::from_secs(whole);
            let waits: Vec<_> = (0..50).map(|_| policy.wait(nth).unwrap()).collect();
            assert!(waits.iter().all(|wait| (whole / 2..=whole).contains(wait)), "{nth}: {waits:?}");
            assert!(waits.iter().any(|wait| *wait != waits[0]), "no jitter");
        }
    }

    #[test]
    fn attempts_come_to_an_end() {
        assert_eq!(Reconnect::never().wait(0), None);
        let policy = Reconnect::default().up_to(2);
        assert!(policy.wait(1).is_some());
        assert_eq!(policy.wait(2), None);
    }

    #[test]
    fn the_longest_durations_do_not_overflow() {
        let policy = Reconnect::default().waiting(Duration::MAX, Duration::MAX);
        assert!(policy.wait(9).is_some());
    }
}
