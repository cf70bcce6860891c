//! The flags of `opifex rr`.

use std::num::NonZeroU32;

use clap::Args;
use opifex_packet::TopicName;

use super::client_flags::{ServerFlags, SessionFlags, UrlFlag, topic_name};
use super::message_flags::MessageFlags;
use super::sub_args::OutputFlags;
use crate::config::Qos;

const EXAMPLES: &str = "\
Examples:
  opifex rr -t lamp/1/get -e lamp/1/answer -m state
  opifex rr -t lamp/1/get -e answers/me -m state -W 5            at most 5 seconds
  opifex rr -t lamp/1/get -e lamp/1/answer -m state -V 311       the responder knows where answers go

With 5.0, the default, the request carries the response topic and correlation data, and an answer with other correlation
data is passed over. The letters are mosquitto_rr's.

Exit codes: 0 an answer came, 27 the time of -W is over, 1 a failure, 2 wrong flags, 128 to 162 the server refused: the
reason code of MQTT 5.0, such as 135 not authorized; 130 and 143 stopped by SIGINT and SIGTERM.";

/// The flags of `opifex rr`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, disable_help_flag = true)]
pub(crate) struct RrArgs {
    /// Topic of the request.
    #[arg(short, long, value_name = "TOPIC", value_parser = topic_name, allow_hyphen_values = true)]
    pub(crate) topic: Option<TopicName<'static>>,
    /// Topic of the answer.
    #[arg(short = 'e', long, value_name = "TOPIC", value_parser = topic_name, allow_hyphen_values = true)]
    pub(crate) response_topic: TopicName<'static>,
    /// QoS of request and answer.
    #[arg(short, long, value_name = "QOS", default_value = "0")]
    pub(crate) qos: Qos,
    /// End after so many seconds without an answer, with exit code 27.
    #[arg(short = 'W', long, value_name = "SECS")]
    pub(crate) timeout: Option<NonZeroU32>,
    /// Pass over retained messages.
    #[arg(short = 'R', long)]
    pub(crate) no_retained: bool,
    #[command(flatten)]
    pub(crate) message: MessageFlags,
    #[command(flatten)]
    pub(crate) output: OutputFlags,
    #[command(flatten)]
    pub(crate) server: ServerFlags,
    #[command(flatten)]
    pub(crate) url: UrlFlag,
    #[command(flatten)]
    pub(crate) session: SessionFlags,
}
