//! The flags of `opifex conformance`: which broker, and what of the standard.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{Args, ValueEnum};

const EXAMPLES: &str = "\
Examples:
  opifex conformance --broker 127.0.0.1:1883                    every statement of MQTT 3.1.1 and 5.0
  opifex conformance --broker broker.lan:1883 --mqtt 5.0        ... of 5.0
  opifex conformance --broker 127.0.0.1:1883 --only MQTT-3.3    one section
  opifex conformance --broker 127.0.0.1:1883 --only qos::       one chapter of cases
  opifex conformance --broker 127.0.0.1:1883 --json report.json --descriptor broker.toml

The descriptor says what a broker is set up with; every key may be left out:
  patience_ms = 5000                 how long an answer may take
  silence_ms = 300                   how long nothing comes when nothing will
  user = { name = \"u\", password = \"p\" }          who the cases connect as
  refused_user = { name = \"u\", password = \"x\" }  a login that is refused
  refuses_anonymous = true           no user name: refused
  forbidden_topic = \"t\"              the user may not publish to it
  forbidden_filter = \"t\"             ... or subscribe to it
  refused_client_id = \"c\"            a client id that is refused
  refuses_wildcards = true           as 5.0 announces, and 3.1.1 cannot
  maximum_packet_size = 65536        for what 5.0 does not announce
  authentication = { method = \"m\", data = \"d\", answer = \"a\", wrong_answer = \"w\" }
  websocket = \"ws://127.0.0.1:8083/mqtt\"  where it speaks MQTT over WebSocket
  restart = \"docker restart mqtt\"    a shell command that stops the broker, or kills it, and starts it
                                     again; only of a broker that keeps its state over that
  restart_limit_ms = 30000           until then it answers again

It opens some 64 connections at a time, publishes under topics of its own and clears them away. It ends within three
minutes, with fewer --jobs than 32 within as much more, at most a quarter of an hour; when the broker dies or hangs in the
middle, at once, with the case since which it does not answer.

Exit codes: 0 everything was asked and nothing failed; 1 a case failed, one of the versions was refused as a whole, or
the broker died; 2 wrong flags, or no broker there that could be tested.";

/// The flags of `opifex conformance`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ConformanceArgs {
    /// The broker.
    #[arg(short, long, value_name = "HOST:PORT", value_parser = address)]
    pub(crate) broker: String,
    /// The version of MQTT [default: both].
    #[arg(long, value_name = "VERSION")]
    pub(crate) mqtt: Option<Mqtt>,
    /// Only statements that begin like this (MQTT-3.3, MQTT-3.3.1-2, U5), or cases (publish::).
    #[arg(long, value_name = "PREFIX")]
    pub(crate) only: Option<String>,
    /// Write everything that was found to this file, too.
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// What the broker is set up with (TOML).
    #[arg(short, long, value_name = "FILE")]
    pub(crate) descriptor: Option<PathBuf>,
    /// Cases at a time: with 1, the one since which a broker does not answer is the one that broke it.
    #[arg(short, long, value_name = "NUMBER", default_value = "32")]
    pub(crate) jobs: NonZeroUsize,
    /// Name each case as it ends, not only those that fail.
    #[arg(short, long)]
    pub(crate) verbose: bool,
}

/// A host, which is looked up when it is connected to, and a port.
fn address(text: &str) -> Result<String, String> {
    match text.rsplit_once(':') {
        Some((host, port)) if !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0) => {
            Ok(text.to_owned())
        }
        _ => Err("expected HOST:PORT, as in localhost:1883".to_owned()),
    }
}

/// A version of the standard.
#[derive(Copy, Clone, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Mqtt {
    /// Of 2014.
    #[value(name = "3.1.1")]
    V3_1_1,
    /// Of 2019.
    #[value(name = "5.0", alias = "5")]
    V5_0,
}
