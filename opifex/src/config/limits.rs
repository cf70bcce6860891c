//! The broker's limits under the names that [`Limits`] gives them. What they mean stands there; here stand the types
//! of the file. Every struct is taken apart and put together without `..`: a limit that is forgotten here does not
//! compile.

use std::num::{NonZeroU16, NonZeroUsize};

use opifex_broker::Limits;
use opifex_storage::FullPolicy;
use serde::{Deserialize, Serialize};

use super::{ByteCount, PacketSize, Period, Qos};

/// More than the limit of memory lets grow, few enough to be one.
const DEFAULT_MAX_RETAINED_MESSAGES: usize = 10_000_000;

/// The `[limits]` table.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct LimitsConfig {
    pub(crate) max_connections: NonZeroUsize,
    pub(crate) connect_timeout: Period,
    pub(crate) max_packet_size: PacketSize,
    pub(crate) max_connect_packet_size: PacketSize,
    pub(crate) max_keep_alive_secs: u16,
    pub(crate) receive_maximum: NonZeroU16,
    pub(crate) max_inflight: NonZeroU16,
    pub(crate) max_qos: Qos,
    pub(crate) retain_available: bool,
    pub(crate) wildcard_subscriptions: bool,
    pub(crate) shared_subscriptions: bool,
    pub(crate) topic_alias_maximum: u16,
    pub(crate) max_outgoing_topic_aliases: u16,
    pub(crate) reason_strings: bool,
    pub(crate) max_sessions: NonZeroUsize,
    pub(crate) max_session_expiry_secs: u32,
    pub(crate) max_subscriptions_per_session: usize,
    pub(crate) max_topic_levels: NonZeroUsize,
    pub(crate) max_client_id_bytes: NonZeroUsize,
    pub(crate) max_queued_messages: u64,
    pub(crate) max_queued_bytes: ByteCount,
    pub(crate) queue_full: QueueFull,
    pub(crate) max_outbox_bytes: ByteCount,
    /// The store's limit, not the broker's.
    pub(crate) max_retained_messages: usize,
    pub(crate) store_timeout: Period,
    pub(crate) shutdown_timeout: Period,
}

/// What gives way when a session's queue is full.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum QueueFull {
    DropNewest,
    DropOldest,
}

impl Default for LimitsConfig {
    fn default() -> LimitsConfig {
        LimitsConfig::from(Limits::default())
    }
}

impl From<Limits> for LimitsConfig {
    fn from(limits: Limits) -> LimitsConfig {
        let at_least_one = |limit: usize| NonZeroUsize::new(limit).unwrap_or(NonZeroUsize::MIN);
        let at_least_one_u16 = |limit: u16| NonZeroU16::new(limit).unwrap_or(NonZeroU16::MIN);
        LimitsConfig {
            max_connections: at_least_one(limits.max_connections),
            connect_timeout: Period::nearest(limits.connect_timeout),
            max_packet_size: PacketSize::nearest(limits.max_packet_size.into()),
            max_connect_packet_size: PacketSize::nearest(limits.max_connect_packet_size.into()),
            max_keep_alive_secs: limits.max_keep_alive_secs,
            receive_maximum: at_least_one_u16(limits.receive_maximum),
            max_inflight: at_least_one_u16(limits.max_inflight),
            max_qos: Qos(limits.max_qos),
            retain_available: limits.retain_available,
            wildcard_subscriptions: limits.wildcard_subscriptions,
            shared_subscriptions: limits.shared_subscriptions,
            topic_alias_maximum: limits.topic_alias_maximum,
            max_outgoing_topic_aliases: limits.max_outgoing_topic_aliases,
            reason_strings: limits.reason_strings,
            max_sessions: at_least_one(limits.max_sessions),
            max_session_expiry_secs: limits.max_session_expiry_secs,
            max_subscriptions_per_session: limits.max_subscriptions_per_session,
            max_topic_levels: at_least_one(limits.max_topic_levels),
            max_client_id_bytes: at_least_one(limits.max_client_id_bytes),
            max_queued_messages: limits.max_queued_messages,
            max_queued_bytes: ByteCount::nearest(limits.max_queued_bytes),
            queue_full: match limits.queue_full {
                FullPolicy::DropNewest => QueueFull::DropNewest,
                FullPolicy::DropOldest => QueueFull::DropOldest,
            },
            max_outbox_bytes: ByteCount::nearest(limits.max_outbox_bytes as u64),
            max_retained_messages: DEFAULT_MAX_RETAINED_MESSAGES,
            store_timeout: Period::nearest(limits.store_timeout),
            shutdown_timeout: Period::nearest(limits.shutdown_timeout),
        }
    }
}

impl From<&LimitsConfig> for Limits {
    fn from(config: &LimitsConfig) -> Limits {
        let packet_size = |size: PacketSize| u32::try_from(size.get()).expect("a packet has at most 256 MiB");
        Limits {
            max_connections: config.max_connections.get(),
            connect_timeout: config.connect_timeout.get(),
            max_packet_size: packet_size(config.max_packet_size),
            max_connect_packet_size: packet_size(config.max_connect_packet_size),
            max_keep_alive_secs: config.max_keep_alive_secs,
            receive_maximum: config.receive_maximum.get(),
            max_inflight: config.max_inflight.get(),
            max_qos: config.max_qos.0,
            retain_available: config.retain_available,
            wildcard_subscriptions: config.wildcard_subscriptions,
            shared_subscriptions: config.shared_subscriptions,
            topic_alias_maximum: config.topic_alias_maximum,
            max_outgoing_topic_aliases: config.max_outgoing_topic_aliases,
            reason_strings: config.reason_strings,
            max_sessions: config.max_sessions.get(),
            max_session_expiry_secs: config.max_session_expiry_secs,
            max_subscriptions_per_session: config.max_subscriptions_per_session,
            max_topic_levels: config.max_topic_levels.get(),
            max_client_id_bytes: config.max_client_id_bytes.get(),
            max_queued_messages: config.max_queued_messages,
            max_queued_bytes: config.max_queued_bytes.get(),
            queue_full: match config.queue_full {
                QueueFull::DropNewest => FullPolicy::DropNewest,
                QueueFull::DropOldest => FullPolicy::DropOldest,
            },
            max_outbox_bytes: usize::try_from(config.max_outbox_bytes.get()).unwrap_or(usize::MAX),
            store_timeout: config.store_timeout.get(),
            shutdown_timeout: config.shutdown_timeout.get(),
        }
    }
}

#[cfg(test)]
mod tests;
