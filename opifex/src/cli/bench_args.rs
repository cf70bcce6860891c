//! The flags of `opifex bench`.

use std::num::{NonZeroU16, NonZeroU32, NonZeroU64, NonZeroUsize};
use std::time::Duration;

use clap::{Args, ValueEnum};
use opifex_packet::TopicName;

use super::client_flags::{ServerFlags, UrlFlag, topic_name};
use crate::config::{Period, Qos};

const EXAMPLES: &str = "\
Examples:
  opifex bench                                         10 publishers with a subscriber each, as fast as it goes
  opifex bench pairs -q 1 --rate 5000 --duration 30s   5,000 messages a second: latencies as clients meet them
  opifex bench fan-out --subscribers 1000              one publisher, a thousand subscribers
  opifex bench fan-in --publishers 1000 --rate 1000    a thousand publishers, one subscriber
  opifex bench publish -q 1 -s 1024 --count 100000     100,000 messages of 1 KiB that nobody subscribes to
  opifex bench connect --publishers 50                 connections, 50 at a time
  opifex bench fan-in --subscribers 4 --shared -q 1    four subscribers that share what comes
  opifex bench random --topics 100000                  random topics among 100,000 subscriptions
  opifex bench offline -q 1 --count 100000             100,000 messages for a client that is away, and then is not
  opifex bench retained --count 100000                 100,000 retained messages, and a subscriber to all of them
  opifex bench idle --count 10000 --server-pid PID     what 10,000 connections that do nothing take of the server's memory
  opifex bench -h broker.lan -u me -P secret --json    another broker; one JSON object

Every message carries its publisher, a number and a time: what is lost, doubled or out of order is counted. With --rate
latency counts from the moment at which a message was due, so that a broker that stalls is not flattered; without it,
publishers wait for the subscribers (--backlog), and latency counts from the moment at which a message is put together.

Exit codes: 0 all that the QoS promises was kept, 1 it was not, or a failure, 2 wrong flags, 128 to 162 the server refused:
the reason code of MQTT 5.0. What QoS 0 loses is counted and is no failure.";

/// The flags of `opifex bench`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, disable_help_flag = true)]
pub(crate) struct BenchArgs {
    /// Who publishes to whom.
    #[arg(value_enum, default_value_t = Scenario::Pairs)]
    pub(crate) scenario: Scenario,
    /// Publishers; with `connect`, connections at a time [default: 10; fan-out, offline, retained: 1].
    #[arg(long, value_name = "N")]
    pub(crate) publishers: Option<NonZeroU32>,
    /// Subscribers of fan-in, fan-out and offline, each of which gets everything, and connections that share the subscriptions
    /// of random [default: fan-out and random 10, else 1].
    #[arg(long, value_name = "N")]
    pub(crate) subscribers: Option<NonZeroU32>,
    /// fan-in: the subscribers share what comes; each message goes to one of them.
    #[arg(long)]
    pub(crate) shared: bool,
    /// random: topics, each of which has one subscription.
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    pub(crate) topics: u32,
    /// QoS of messages and subscriptions; offline and retained: at least 1.
    #[arg(short, long, value_name = "QOS", default_value = "0")]
    pub(crate) qos: Qos,
    /// Bytes of a payload, at least 24.
    #[arg(short, long, value_name = "BYTES", default_value_t = 64, value_parser = clap::value_parser!(u32).range(24..=1 << 24))]
    pub(crate) size: u32,
    /// Messages (or connections) a second, of all publishers together, however the broker fares [default: as fast as it
    /// goes].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    pub(crate) rate: Option<u32>,
    /// How long to measure.
    #[arg(long, value_name = "DURATION", default_value = "10s", conflicts_with = "count")]
    pub(crate) duration: Period,
    /// Measure so many messages (or connections), of all publishers together, however long it takes [offline, retained and idle
    /// always do: 10000].
    #[arg(long, value_name = "N")]
    pub(crate) count: Option<NonZeroU64>,
    /// How long to publish before that; 0: not at all.
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = warm_up)]
    pub(crate) warm_up: Duration,
    /// Most QoS 1 and 2 messages of a publisher on their way at once [default: as many as a 5.0 server says, at most 1000;
    /// before 5.0 20].
    #[arg(short = 'M', long, value_name = "N")]
    pub(crate) max_inflight: Option<NonZeroU16>,
    /// Without --rate: most messages of a publisher that no subscriber has yet; 0: any number.
    #[arg(long, value_name = "N", default_value_t = 1000)]
    pub(crate) backlog: u32,
    /// Threads that drive the connections.
    #[arg(long, value_name = "N", default_value = "1")]
    pub(crate) threads: NonZeroUsize,
    /// Topics are PREFIX/NUMBER [default: opifex-bench/ and a random word].
    #[arg(short, long, value_name = "PREFIX", value_parser = topic_name)]
    pub(crate) topic: Option<TopicName<'static>>,
    /// Process id of the server, where it runs on this machine: its processor time and memory are measured, too (Linux).
    #[arg(long, value_name = "PID")]
    pub(crate) server_pid: Option<NonZeroU32>,
    /// Print one JSON object in place of the table.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) server: ServerFlags,
    #[command(flatten)]
    pub(crate) url: UrlFlag,
}

/// Who publishes to whom.
#[derive(Copy, Clone, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Scenario {
    /// Each publisher has a topic and a subscriber of its own.
    Pairs,
    /// Many publishers, one subscriber to all of them.
    FanIn,
    /// One publisher, many subscribers.
    FanOut,
    /// Publishers alone.
    Publish,
    /// Connections that are made and ended.
    Connect,
    /// Publishers to random topics, each of which has a subscription of its own.
    Random,
    /// Subscribers are away while publishers publish, and then come and take it.
    Offline,
    /// Publishers retain a message a topic, and then a subscriber takes all of them.
    Retained,
    /// Connections with a subscription each that do nothing.
    Idle,
}

fn warm_up(text: &str) -> Result<Duration, String> {
    if text == "0" { Ok(Duration::ZERO) } else { text.parse::<Period>().map(Period::get) }
}
