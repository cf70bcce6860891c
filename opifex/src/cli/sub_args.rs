//! The flags of `opifex sub`.

use std::num::{NonZeroU32, NonZeroU64};

use clap::{Args, ValueEnum};
use opifex_packet::{RetainHandling, TopicFilter};

use super::client_flags::{ServerFlags, SessionFlags, UrlFlag, topic_filter};
use crate::config::Qos;
use crate::print::Format;

const EXAMPLES: &str = "\
Examples:
  opifex sub -t 'rooms/#' -v                       topic and payload
  opifex sub -t rooms/1/light -C 1 -W 10           one message, at most 10 seconds
  opifex sub -t 'rooms/#' --json                   one JSON object a line
  opifex sub -t 'rooms/#' -F '@H:@M:@S %t %p'      a format: see docs/commands.md
  opifex sub -t 'rooms/#' -T 'rooms/+/noise' -R    not those, and nothing retained
  opifex sub -i me -c -q 1 -t 'rooms/#'            a session that collects while this is away
  opifex sub -t '#' --remove-retained --retained-only

The letters are mosquitto_sub's. Without -V it is MQTT 3.1.1, with -D, -x and 5.0's options 5.0.

Exit codes: 0 the messages that -C asked for are there, or it was stopped (SIGINT, SIGTERM) without -C; 27 the time of -W
is over; 1 a failure, 2 wrong flags, 128 to 162 the server refused: the reason code of MQTT 5.0, such as 135 not
authorized; 130 and 143 stopped by SIGINT and SIGTERM before -C was met.";

/// The flags of `opifex sub`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, disable_help_flag = true)]
pub(crate) struct SubArgs {
    /// Topic filter; may be repeated.
    #[arg(short, long, value_name = "FILTER", value_parser = topic_filter, allow_hyphen_values = true)]
    pub(crate) topic: Vec<TopicFilter<'static>>,
    /// Highest QoS of the messages.
    #[arg(short, long, value_name = "QOS", default_value = "0")]
    pub(crate) qos: Qos,
    /// End after so many messages.
    #[arg(short = 'C', long, value_name = "N")]
    pub(crate) count: Option<NonZeroU64>,
    /// End after so many seconds, with exit code 27.
    #[arg(short = 'W', long, value_name = "SECS")]
    pub(crate) timeout: Option<NonZeroU32>,
    /// End when the server has acknowledged the subscriptions.
    #[arg(short = 'E', long)]
    pub(crate) exit_after_subscribing: bool,
    /// Topic filter that ends a subscription of an older session; may be repeated.
    #[arg(short = 'U', long, value_name = "FILTER", value_parser = topic_filter, allow_hyphen_values = true)]
    pub(crate) unsubscribe: Vec<TopicFilter<'static>>,
    #[command(flatten)]
    pub(crate) choice: ChoiceFlags,
    #[command(flatten)]
    pub(crate) output: OutputFlags,
    #[command(flatten)]
    pub(crate) server: ServerFlags,
    #[command(flatten)]
    pub(crate) url: UrlFlag,
    #[command(flatten)]
    pub(crate) session: SessionFlags,
}

/// Which messages are printed.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Which messages")]
pub(crate) struct ChoiceFlags {
    /// Leave out topics that match this filter; may be repeated.
    #[arg(short = 'T', long, value_name = "FILTER", value_parser = topic_filter, allow_hyphen_values = true)]
    pub(crate) filter_out: Vec<TopicFilter<'static>>,
    /// Leave out retained messages.
    #[arg(short = 'R', long)]
    pub(crate) no_retained: bool,
    /// Retained messages only; the first other one ends it.
    #[arg(long, conflicts_with = "no_retained")]
    pub(crate) retained_only: bool,
    /// Remove from the server each retained message that comes and is not left out by -T.
    #[arg(long)]
    pub(crate) remove_retained: bool,
    /// Leave the retain flag as it was published (5.0).
    #[arg(long)]
    pub(crate) retain_as_published: bool,
    /// Not what this client publishes itself (5.0).
    #[arg(long)]
    pub(crate) no_local: bool,
    /// When the server sends retained messages (5.0) [default: always].
    #[arg(long, value_name = "WHEN")]
    pub(crate) retain_handling: Option<Retained>,
}

/// When a subscription gets retained messages.
#[derive(Copy, Clone, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Retained {
    /// With every subscription.
    Always,
    /// With one that is new in the session.
    New,
    /// Not at all.
    Never,
}

impl From<Retained> for RetainHandling {
    fn from(retained: Retained) -> RetainHandling {
        match retained {
            Retained::Always => RetainHandling::SendAtSubscribe,
            Retained::New => RetainHandling::SendIfNew,
            Retained::Never => RetainHandling::DoNotSend,
        }
    }
}

/// How messages are printed.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Output")]
pub(crate) struct OutputFlags {
    /// Print the topic in front of the payload.
    #[arg(short, long)]
    pub(crate) verbose: bool,
    /// Print in this format, such as '%t %p' (docs/commands.md has all of it).
    #[arg(short = 'F', long, value_name = "FORMAT", allow_hyphen_values = true, conflicts_with = "verbose")]
    pub(crate) format: Option<Format>,
    /// Print one JSON object a line, in which nothing is lost.
    #[arg(long, conflicts_with_all = ["verbose", "format"])]
    pub(crate) json: bool,
    /// JSON over several lines.
    #[arg(long)]
    pub(crate) pretty: bool,
    /// No end of line behind a message.
    #[arg(short = 'N', long)]
    pub(crate) no_newline: bool,
}
