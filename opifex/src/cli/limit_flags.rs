//! Flags for the limits that people set by hand. The configuration file has them all.

use std::num::{NonZeroU16, NonZeroUsize};

use clap::Args;

use crate::config::{ByteCount, LimitsConfig, PacketSize, Period, Qos};

/// Flags for limits; without one, the file or the default decides.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Limits (the configuration file knows more)")]
pub(super) struct LimitFlags {
    /// Connections at once.
    #[arg(long, value_name = "N")]
    max_connections: Option<NonZeroUsize>,
    /// Time for a new connection to be accepted, such as 10s.
    #[arg(long, value_name = "DURATION")]
    connect_timeout: Option<Period>,
    /// Largest packet taken, such as 1MiB.
    #[arg(long, value_name = "SIZE")]
    max_packet_size: Option<PacketSize>,
    /// Highest keep-alive, in seconds; 0: clients decide.
    #[arg(long, value_name = "SECS")]
    keep_alive_cap: Option<u16>,
    /// Unacknowledged QoS 1 and 2 messages that a client may have towards the broker.
    #[arg(long, value_name = "N")]
    receive_maximum: Option<NonZeroU16>,
    /// Unacknowledged QoS 1 and 2 messages that the broker has towards a client.
    #[arg(long, value_name = "N")]
    max_inflight: Option<NonZeroU16>,
    /// Highest QoS: 0, 1 or 2.
    #[arg(long, value_name = "QOS")]
    max_qos: Option<Qos>,
    /// Whether retained messages are taken.
    #[arg(long, value_name = "BOOL")]
    retain_available: Option<bool>,
    /// Topic aliases that a client may set; 0: none.
    #[arg(long, value_name = "N")]
    topic_alias_maximum: Option<u16>,
    /// Whether clients are told in words why something was refused.
    #[arg(long, value_name = "BOOL")]
    reason_strings: Option<bool>,
    /// Sessions, connected or stored.
    #[arg(long, value_name = "N")]
    max_sessions: Option<NonZeroUsize>,
    /// Longest session expiry, in seconds; 4294967295: no limit.
    #[arg(long, value_name = "SECS")]
    max_session_expiry: Option<u32>,
    /// Messages that wait for one session.
    #[arg(long, value_name = "N")]
    max_queued_messages: Option<u64>,
    /// Bytes of messages that wait for one session, such as 64MiB.
    #[arg(long, value_name = "SIZE")]
    max_queued_bytes: Option<ByteCount>,
    /// Retained messages.
    #[arg(long, value_name = "N")]
    max_retained_messages: Option<usize>,
    /// Time for connections to end when the broker stops, such as 10s.
    #[arg(long, value_name = "DURATION")]
    shutdown_timeout: Option<Period>,
}

impl LimitFlags {
    pub(super) fn apply(&self, limits: &mut LimitsConfig) {
        set(&mut limits.max_connections, self.max_connections);
        set(&mut limits.connect_timeout, self.connect_timeout);
        set(&mut limits.max_packet_size, self.max_packet_size);
        set(&mut limits.max_keep_alive_secs, self.keep_alive_cap);
        set(&mut limits.receive_maximum, self.receive_maximum);
        set(&mut limits.max_inflight, self.max_inflight);
        set(&mut limits.max_qos, self.max_qos);
        set(&mut limits.retain_available, self.retain_available);
        set(&mut limits.topic_alias_maximum, self.topic_alias_maximum);
        set(&mut limits.reason_strings, self.reason_strings);
        set(&mut limits.max_sessions, self.max_sessions);
        set(&mut limits.max_session_expiry_secs, self.max_session_expiry);
        set(&mut limits.max_queued_messages, self.max_queued_messages);
        set(&mut limits.max_queued_bytes, self.max_queued_bytes);
        set(&mut limits.max_retained_messages, self.max_retained_messages);
        set(&mut limits.shutdown_timeout, self.shutdown_timeout);
    }
}

fn set<T>(limit: &mut T, flag: Option<T>) {
    if let Some(value) = flag {
        *limit = value;
    }
}
