//! Limits: every queue, buffer and table of the broker has one.

use std::time::Duration;

use opifex_packet::QoS;
use opifex_storage::FullPolicy;

/// The broker's limits. `Default` is meant for a server in production; each field says what happens at the limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections at once, those without CONNECT included. One more is closed (5.0: CONNACK 0x97 after its CONNECT).
    pub max_connections: usize,
    /// Time from the first byte awaited to an accepted CONNECT, authentication included. Then the connection closes.
    pub connect_timeout: Duration,
    /// The largest packet taken, in bytes, its fixed header included; announced as Maximum Packet Size. A larger one
    /// closes the connection with 0x95.
    ///
    /// At most [`Limits::LARGEST_PACKET`]: a message may leave longer than it came (a resolved topic alias, subscription
    /// identifiers), and must fit MQTT's own limit then, too.
    pub max_packet_size: u32,
    /// The largest packet taken before authentication, in bytes.
    pub max_connect_packet_size: u32,
    /// The highest keep-alive, in seconds; a 5.0 client that asks for more, or for none, gets this one (Server Keep
    /// Alive). 3.x has no way to be told: there the client's own value stands. 0: no cap.
    pub max_keep_alive_secs: u16,
    /// QoS 1 and 2 messages that a client may have unacknowledged towards us; announced as Receive Maximum. A
    /// client that exceeds it is disconnected with 0x93.
    pub receive_maximum: u16,
    /// QoS 1 and 2 messages that we have unacknowledged towards a client, whatever it allows.
    pub max_inflight: u16,
    /// The highest QoS taken from publishers, announced as Maximum QoS; subscriptions are granted at most this.
    pub max_qos: QoS,
    /// Whether retained messages are taken; announced as Retain Available.
    pub retain_available: bool,
    /// Whether wildcard subscriptions are taken.
    pub wildcard_subscriptions: bool,
    /// Whether shared subscriptions are taken.
    pub shared_subscriptions: bool,
    /// Topic aliases that a client may set towards us; announced as Topic Alias Maximum. 0: none.
    pub topic_alias_maximum: u16,
    /// Topic aliases that we set towards a client, whatever it allows. 0: none.
    pub max_outgoing_topic_aliases: u16,
    /// Whether clients are told in words why something was refused (5.0, Reason String), unless they decline it. Off, they
    /// have the reason code alone.
    pub reason_strings: bool,
    /// Sessions, connected or stored. A client that would be one more gets 0x97 (3.x: server unavailable).
    pub max_sessions: usize,
    /// The longest session expiry, in seconds; `u32::MAX`: no limit. A longer one is cut, and 5.0 clients are told.
    pub max_session_expiry_secs: u32,
    /// Subscriptions of one session. One more is refused with 0x97 in SUBACK.
    pub max_subscriptions_per_session: usize,
    /// Levels of a topic name or filter. More: 0x90 or 0x8F.
    pub max_topic_levels: usize,
    /// Length of a client id in bytes. Longer: 0x85.
    pub max_client_id_bytes: usize,
    /// Messages of QoS 1 and 2 that wait for one session. At the limit `queue_full` decides.
    pub max_queued_messages: u64,
    /// Bytes of those messages.
    pub max_queued_bytes: u64,
    /// What gives way when a session's queue is full.
    pub queue_full: FullPolicy,
    /// Bytes that wait for one connection's transport, outside its queue. At the limit QoS 0 messages to it are
    /// dropped and counted, others wait in its queue.
    pub max_outbox_bytes: usize,
    /// How long a waiting store may hold up one connection before it closes with 0x89.
    pub store_timeout: Duration,
    /// How long a stopping broker waits for acknowledgements and closing connections.
    pub shutdown_timeout: Duration,
}

impl Limits {
    /// The highest `max_packet_size` in bytes: MQTT's own limit of 256 MiB less 2 MiB.
    pub const LARGEST_PACKET: u32 = 254 << 20;

    /// The same limits where they are possible.
    pub(crate) fn clamped(mut self) -> Limits {
        self.max_packet_size = self.max_packet_size.min(Limits::LARGEST_PACKET);
        self
    }
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            max_connections: 100_000,
            connect_timeout: Duration::from_secs(10),
            max_packet_size: 16 << 20,
            max_connect_packet_size: 1 << 20,
            max_keep_alive_secs: 0,
            receive_maximum: 1_024,
            max_inflight: 1_024,
            max_qos: QoS::ExactlyOnce,
            retain_available: true,
            wildcard_subscriptions: true,
            shared_subscriptions: true,
            topic_alias_maximum: 32,
            max_outgoing_topic_aliases: 16,
            reason_strings: false,
            max_sessions: 1_000_000,
            max_session_expiry_secs: u32::MAX,
            max_subscriptions_per_session: 100_000,
            max_topic_levels: 128,
            max_client_id_bytes: 1_024,
            max_queued_messages: 100_000,
            max_queued_bytes: 64 << 20,
            queue_full: FullPolicy::DropNewest,
            max_outbox_bytes: 4 << 20,
            store_timeout: Duration::from_secs(30),
            shutdown_timeout: Duration::from_secs(10),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_packet_is_taken_that_could_not_be_sent_on() {
        let limits = Limits { max_packet_size: u32::MAX, ..Limits::default() }.clamped();
        assert_eq!(limits.max_packet_size, Limits::LARGEST_PACKET);
        assert_eq!(Limits::default().clamped(), Limits::default());
    }
}
