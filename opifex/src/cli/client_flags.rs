//! The flags that `pub`, `sub`, `rr` and `bench` share: which server, who connects, and the session. Their letters are
//! those of mosquitto_pub and mosquitto_sub, `-h` for the host among them.

use std::ffi::OsString;
use std::num::NonZeroU16;
use std::path::PathBuf;

use clap::{ArgAction, Args};
use opifex_packet::{TopicFilter, TopicName, Version};

use super::property_flag::PropertyFlag;
use super::server_url::ServerUrl;
use crate::config::Qos;

/// Which server, and the login.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Server")]
pub(crate) struct ServerFlags {
    /// Name or address of the server [default: localhost].
    #[arg(short = 'h', long, value_name = "HOST")]
    pub(crate) host: Option<String>,
    /// Its port [default: 1883].
    #[arg(short, long, value_name = "PORT")]
    pub(crate) port: Option<NonZeroU16>,
    /// User name.
    #[arg(short, long, value_name = "NAME", allow_hyphen_values = true)]
    pub(crate) username: Option<String>,
    /// Password. The process list shows it, which --password-file avoids.
    #[arg(short = 'P', long, visible_alias = "pw", value_name = "PASSWORD", allow_hyphen_values = true)]
    pub(crate) password: Option<OsString>,
    /// File whose first line is the password.
    #[arg(long, value_name = "FILE", conflicts_with = "password")]
    pub(crate) password_file: Option<PathBuf>,
    /// Version of MQTT: 5, 311 or 31, also 5.0, 3.1.1, 3.1, or mqttv5, mqttv311, mqttv31.
    #[arg(short = 'V', long, value_name = "VERSION", value_parser = version)]
    pub(crate) protocol_version: Option<Version>,
    /// Print help.
    #[arg(long, action = ArgAction::Help)]
    help: Option<bool>,
}

/// The session, the will, and what goes into CONNECT and DISCONNECT besides.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Session")]
pub(crate) struct SessionFlags {
    /// Client id [default: a random one; with 5.0 the server makes one up].
    #[arg(short, long, value_name = "ID", allow_hyphen_values = true)]
    pub(crate) id: Option<String>,
    /// A client id of this prefix and the process id.
    #[arg(short = 'I', long, value_name = "PREFIX", conflicts_with = "id")]
    pub(crate) id_prefix: Option<String>,
    /// Keep the session: go on with an older one, and leave it behind. Needs a client id.
    #[arg(short = 'c', long, visible_alias = "disable-clean-session")]
    pub(crate) keep_session: bool,
    /// Seconds that the session outlives the connection (5.0); -1: for ever [default: -1 with -c, otherwise 0].
    #[arg(short = 'x', long, value_name = "SECS", allow_hyphen_values = true, value_parser = session_expiry)]
    pub(crate) session_expiry_interval: Option<u32>,
    /// Longest silence, in seconds; 0: any.
    #[arg(short, long, value_name = "SECS", default_value_t = 60)]
    pub(crate) keepalive: u16,
    /// Property of a packet (5.0): packet, property, value, such as `-D publish content-type text/plain`, or
    /// `-D publish user-property NAME VALUE`. May be repeated.
    #[arg(short = 'D', long, value_name = "PACKET PROPERTY VALUE", allow_hyphen_values = true)]
    pub(crate) property: Vec<PropertyFlag>,
    /// Topic of the will, the message that the server publishes if this client is lost.
    #[arg(long, value_name = "TOPIC", value_parser = topic_name)]
    pub(crate) will_topic: Option<TopicName<'static>>,
    /// What the will says [default: nothing].
    #[arg(long, value_name = "TEXT", requires = "will_topic", allow_hyphen_values = true)]
    pub(crate) will_payload: Option<OsString>,
    /// QoS of the will [default: 0].
    #[arg(long, value_name = "QOS", requires = "will_topic")]
    pub(crate) will_qos: Option<Qos>,
    /// The server keeps the will as a retained message.
    #[arg(long, requires = "will_topic")]
    pub(crate) will_retain: bool,
    /// Say on standard error what happens: connections, subscriptions, acknowledgements.
    #[arg(short, long)]
    pub(crate) debug: bool,
    /// Say nothing on standard error about failures; the exit code tells.
    #[arg(long, conflicts_with = "debug")]
    pub(crate) quiet: bool,
}

/// Not a doc comment, in which brackets are links.
const URL_HELP: &str = "Server, login and topic in one: mqtt://[USER[:PASSWORD]@]HOST[:PORT]/TOPIC";

/// A server and a topic in one, for `pub`, `sub` and `rr`.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Server")]
pub(crate) struct UrlFlag {
    /// Server, login and topic in one.
    #[arg(short = 'L', long, value_name = "URL", conflicts_with_all = ["host", "port"], help = URL_HELP)]
    pub(crate) url: Option<ServerUrl>,
}

fn version(text: &str) -> Result<Version, String> {
    match text {
        "5" | "5.0" | "mqttv5" => Ok(Version::V5_0),
        "311" | "3.1.1" | "mqttv311" => Ok(Version::V3_1_1),
        "31" | "3.1" | "mqttv31" => Ok(Version::V3_1),
        _ => Err("expected 5, 311 or 31".into()),
    }
}

fn session_expiry(text: &str) -> Result<u32, String> {
    match text {
        "-1" | "∞" => Ok(u32::MAX),
        _ => text.parse().map_err(|_| "expected seconds, at most 4294967294, or -1 for ever".into()),
    }
}

/// For flags that name a topic.
pub(crate) fn topic_name(text: &str) -> Result<TopicName<'static>, String> {
    TopicName::new(text.to_owned()).map_err(|error| error.to_string())
}

/// For flags that name a topic filter.
pub(crate) fn topic_filter(text: &str) -> Result<TopicFilter<'static>, String> {
    TopicFilter::new(text.to_owned()).map_err(|error| error.to_string())
}
