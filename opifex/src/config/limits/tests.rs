//! Every limit of the broker can be set from the file, and is what the file says.

use std::time::Duration;

use opifex_packet::QoS;

use super::*;

/// Each limit at another value than its default.
const FILE: &str = r#"
    max_connections = 2
    connect_timeout = "1500ms"
    max_packet_size = "1MiB"
    max_connect_packet_size = 4096
    max_keep_alive_secs = 60
    receive_maximum = 5
    max_inflight = 6
    max_qos = 1
    retain_available = false
    wildcard_subscriptions = false
    shared_subscriptions = false
    topic_alias_maximum = 7
    max_outgoing_topic_aliases = 8
    reason_strings = true
    max_sessions = 9
    max_session_expiry_secs = 3600
    max_subscriptions_per_session = 10
    max_topic_levels = 11
    max_client_id_bytes = 23
    max_queued_messages = 12
    max_queued_bytes = "2KiB"
    queue_full = "drop-oldest"
    max_outbox_bytes = "3KiB"
    max_retained_messages = 13
    store_timeout = "2s"
    shutdown_timeout = "1m"
"#;

fn parse(file: &str) -> Limits {
    Limits::from(&toml::from_str::<LimitsConfig>(file).unwrap())
}

#[test]
fn every_limit_is_what_the_file_says() {
    let expected = Limits {
        max_connections: 2,
        connect_timeout: Duration::from_millis(1_500),
        max_packet_size: 1 << 20,
        max_connect_packet_size: 4_096,
        max_keep_alive_secs: 60,
        receive_maximum: 5,
        max_inflight: 6,
        max_qos: QoS::AtLeastOnce,
        retain_available: false,
        wildcard_subscriptions: false,
        shared_subscriptions: false,
        topic_alias_maximum: 7,
        max_outgoing_topic_aliases: 8,
        reason_strings: true,
        max_sessions: 9,
        max_session_expiry_secs: 3_600,
        max_subscriptions_per_session: 10,
        max_topic_levels: 11,
        max_client_id_bytes: 23,
        max_queued_messages: 12,
        max_queued_bytes: 2_048,
        queue_full: FullPolicy::DropOldest,
        max_outbox_bytes: 3_072,
        store_timeout: Duration::from_secs(2),
        shutdown_timeout: Duration::from_secs(60),
    };
    assert_eq!(parse(FILE), expected);
}

#[test]
fn the_limit_of_retained_messages_is_the_stores() {
    let config: LimitsConfig = toml::from_str(FILE).unwrap();
    assert_eq!(config.max_retained_messages, 13);
}

/// Taken from `Limits` itself, so that a limit that the file above leaves out is found.
#[test]
fn no_limit_is_left_at_its_default_by_a_file_that_sets_them_all() {
    let fields = |limits: Limits| format!("{limits:#?}").lines().map(str::to_owned).collect::<Vec<_>>();
    let (default, set) = (fields(Limits::default()), fields(parse(FILE)));
    assert!(default.len() > 25, "a line a limit");
    assert_eq!(default.len(), set.len());
    for (default, set) in default.iter().zip(&set).filter(|(line, _)| line.starts_with("    ")) {
        assert_ne!(default, set);
    }
}

#[test]
fn without_a_file_the_limits_are_the_brokers_own() {
    assert_eq!(parse(""), Limits::default());
}

#[test]
fn what_is_no_sensible_limit_is_refused() {
    for wrong in [
        "receive_maximum = 0",
        "max_inflight = 65536",
        "max_qos = 3",
        "max_connections = 0",
        "max_packet_size = \"300MiB\"",
        "connect_timeout = 10",
        "connect_timeout = \"0s\"",
        "queue_full = \"drop\"",
        "max_keepalive = 60",
    ] {
        assert!(toml::from_str::<LimitsConfig>(wrong).is_err(), "{wrong}");
    }
}
