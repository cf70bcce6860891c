//! The flags of `opifex pub`.

use std::num::NonZeroU16;
use std::time::Duration;

use clap::Args;
use opifex_packet::TopicName;

use super::client_flags::{ServerFlags, SessionFlags, UrlFlag, topic_name};
use super::message_flags::MessageFlags;
use crate::config::Qos;

const EXAMPLES: &str = "\
Examples:
  opifex pub -t rooms/1/light -m on
  opifex pub -h broker.lan -t rooms/1/light -m on -q 1 -r      kept by the server, and acknowledged
  opifex pub -t rooms/1/light -r -n                            ... and taken away again
  sensor | opifex pub -t rooms/1/temperature -l -q 1           a message a line
  opifex pub -t photo -f photo.jpg                             a file
  opifex pub -t order -m '{}' -D publish content-type application/json
  opifex pub -L mqtt://me:secret@broker.lan/rooms/1/light -m on

The letters are mosquitto_pub's. Without -V it is MQTT 3.1.1, with -D or -x 5.0.

Exit codes: 0 all is published (QoS 1 and 2: acknowledged), 1 a failure, 2 wrong flags, 128 to 162 the server
refused: the reason code of MQTT 5.0, such as 135 not authorized; 130 and 143 stopped by SIGINT and SIGTERM.";

/// The flags of `opifex pub`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, disable_help_flag = true)]
pub(crate) struct PubArgs {
    /// The topic.
    #[arg(short, long, value_name = "TOPIC", value_parser = topic_name, allow_hyphen_values = true)]
    pub(crate) topic: Option<TopicName<'static>>,
    /// QoS: 0 is sent, 1 arrives, 2 arrives once.
    #[arg(short, long, value_name = "QOS", default_value = "0")]
    pub(crate) qos: Qos,
    /// The server keeps the message for those who subscribe later.
    #[arg(short, long)]
    pub(crate) retain: bool,
    /// Publish the message so often.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..), conflicts_with = "stdin_line")]
    pub(crate) repeat: u64,
    /// Seconds between the end of one message and the next of --repeat, such as 0.5.
    #[arg(long, value_name = "SECS", default_value = "0", value_parser = seconds)]
    pub(crate) repeat_delay: Duration,
    /// Most QoS 1 and 2 messages on their way at once [default: as many as a 5.0 server says, at most 1000; before 5.0 20].
    #[arg(short = 'M', long, value_name = "N")]
    pub(crate) max_inflight: Option<NonZeroU16>,
    #[command(flatten)]
    pub(crate) message: MessageFlags,
    /// Each line of standard input, as it comes.
    #[arg(short = 'l', long, group = "payload", help_heading = "Message (one of these)")]
    pub(crate) stdin_line: bool,
    #[command(flatten)]
    pub(crate) server: ServerFlags,
    #[command(flatten)]
    pub(crate) url: UrlFlag,
    #[command(flatten)]
    pub(crate) session: SessionFlags,
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse::<f64>().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    seconds
        .filter(|seconds| *seconds <= Duration::from_secs(86_400))
        .ok_or_else(|| "expected 0 to 86400 seconds".into())
}
