//! What the broker counts: atomics that are added to once per batch, and the snapshot that `Broker::stats` gives.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Why a message was not delivered to a subscriber.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DropCause {
    /// The session's queue holds as many messages, or bytes, as it may.
    QueueFull,
    /// QoS 0: the connection's outbox holds as many bytes as it may.
    OutboxFull,
    /// The packet would exceed the client's maximum packet size ([MQTT-3.1.2-25] of 5.0).
    PacketTooLarge,
    /// The message expired before it was sent ([MQTT-3.3.2-5]).
    Expired,
    /// An access rule withholds it.
    NotAuthorized,
    /// The session ended before the message reached it.
    SessionEnded,
    /// The store failed before the message was ordered.
    StoreFailed,
}

impl DropCause {
    /// All of them, in the order of the counters.
    pub const ALL: [DropCause; 7] = [
        DropCause::QueueFull,
        DropCause::OutboxFull,
        DropCause::PacketTooLarge,
        DropCause::Expired,
        DropCause::NotAuthorized,
        DropCause::SessionEnded,
        DropCause::StoreFailed,
    ];

    /// Its name in logs and metrics.
    pub fn name(self) -> &'static str {
        match self {
            DropCause::QueueFull => "queue_full",
            DropCause::OutboxFull => "outbox_full",
            DropCause::PacketTooLarge => "packet_too_large",
            DropCause::Expired => "expired",
            DropCause::NotAuthorized => "not_authorized",
            DropCause::SessionEnded => "session_ended",
            DropCause::StoreFailed => "store_failed",
        }
    }
}

/// Counts of one read batch, added to the shared ones at its end.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) received: u64,
    pub(crate) delivered: u64,
    dropped: [u64; DropCause::ALL.len()],
}

impl Tally {
    pub(crate) fn drop(&mut self, cause: DropCause) {
        self.drop_many(cause, 1);
    }

    pub(crate) fn drop_many(&mut self, cause: DropCause, count: u64) {
        self.dropped[cause as usize] += count;
    }
}

/// The shared counters.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) connections: AtomicU64,
    pub(crate) connections_total: AtomicU64,
    pub(crate) refused: AtomicU64,
    pub(crate) protocol_errors: AtomicU64,
    received: AtomicU64,
    delivered: AtomicU64,
    dropped: [AtomicU64; DropCause::ALL.len()],
}

impl Counters {
    pub(crate) fn add(&self, tally: &Tally) {
        if tally.received > 0 {
            self.received.fetch_add(tally.received, Relaxed);
        }
        if tally.delivered > 0 {
            self.delivered.fetch_add(tally.delivered, Relaxed);
        }
        for (shared, count) in self.dropped.iter().zip(tally.dropped) {
            if count > 0 {
                shared.fetch_add(count, Relaxed);
            }
        }
    }

    pub(crate) fn snapshot(&self) -> Stats {
        Stats {
            connections: self.connections.load(Relaxed),
            connections_total: self.connections_total.load(Relaxed),
            refused: self.refused.load(Relaxed),
            protocol_errors: self.protocol_errors.load(Relaxed),
            received: self.received.load(Relaxed),
            delivered: self.delivered.load(Relaxed),
            dropped: std::array::from_fn(|i| self.dropped[i].load(Relaxed)),
            sessions: 0,
            subscriptions: 0,
            damaged: 0,
        }
    }
}

/// What the broker has counted since its start, and what it holds now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Connections now, those without CONNECT included.
    pub connections: u64,
    /// Connections since the start.
    pub connections_total: u64,
    /// Connections that were not let in: by a limit, by access control, or for what their CONNECT said.
    pub refused: u64,
    /// Connections that ended because the client broke the protocol.
    pub protocol_errors: u64,
    /// Application messages that came in.
    pub received: u64,
    /// Application messages handed to subscribers' connections.
    pub delivered: u64,
    /// Sessions now, connected or stored.
    pub sessions: u64,
    /// Subscriptions now.
    pub subscriptions: u64,
    /// What of the store could not be read since the start, and is named in the log.
    pub damaged: u64,
    dropped: [u64; DropCause::ALL.len()],
}

impl Stats {
    /// Messages that were not delivered, for this reason.
    pub fn dropped(&self, cause: DropCause) -> u64 {
        self.dropped[cause as usize]
    }

    /// Messages that were not delivered, for any reason.
    pub fn dropped_total(&self) -> u64 {
        self.dropped.iter().sum()
    }
}

impl fmt::Display for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "connections={} connections_total={} refused={} protocol_errors={} sessions={} subscriptions={} damaged={} received={} delivered={}",
            self.connections,
            self.connections_total,
            self.refused,
            self.protocol_errors,
            self.sessions,
            self.subscriptions,
            self.damaged,
            self.received,
            self.delivered
        )?;
        for cause in DropCause::ALL {
            write!(f, " dropped_{}={}", cause.name(), self.dropped(cause))?;
        }
        Ok(())
    }
}
