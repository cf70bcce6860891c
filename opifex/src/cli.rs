//! The command line. What a flag means is decided where its value is used; here it only gets a name and a type.

use std::ffi::{OsStr, OsString};
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{CommandFactory as _, Parser, Subcommand};

use crate::failure;

mod bench_args;
mod client_flags;
mod conformance_args;
mod limit_flags;
mod message_flags;
mod property_flag;
mod pub_args;
mod rr_args;
mod serve_args;
mod server_url;
mod store_args;
mod sub_args;

pub(crate) use bench_args::{BenchArgs, Scenario};
pub(crate) use client_flags::{ServerFlags, SessionFlags, UrlFlag};
pub(crate) use conformance_args::{ConformanceArgs, Mqtt};
pub(crate) use message_flags::MessageFlags;
pub(crate) use property_flag::{PropertyFlag, packet_name};
pub(crate) use pub_args::PubArgs;
pub(crate) use rr_args::RrArgs;
pub(crate) use serve_args::ServeArgs;
pub(crate) use server_url::ServerUrl;
pub(crate) use store_args::{StoreArgs, StoreCommand};
pub(crate) use sub_args::{ChoiceFlags, OutputFlags, SubArgs};

const EXAMPLES: &str = "\
Examples:
  opifex serve                              a broker for this machine, on 127.0.0.1:1883
  opifex serve --listen 0.0.0.0:1883        ... for the network
  opifex serve --config /etc/opifex.toml    ... as a file says
  opifex store check                        whether the store in ./opifex-data is whole
  opifex hash-password                      the hash of a password, for that file
  opifex conformance --broker HOST:PORT     whether a broker holds what MQTT says
  opifex sub -t 'rooms/#' -v                messages, as mosquitto_sub prints them
  opifex pub -t rooms/1/light -m on         a message, as mosquitto_pub sends it
  opifex bench -q 1 --rate 1000             how a broker fares with 1,000 messages a second

Exit codes: 0 stopped as asked, 1 a failure, 2 wrong flags or a wrong configuration file; the clients have some more.";

/// An MQTT broker and clients for MQTT 3.1, 3.1.1 and 5.0.
#[derive(Debug, Parser)]
#[command(name = "opifex", version, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

/// What the program is asked to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Runs a broker until SIGINT or SIGTERM.
    Serve(Box<ServeArgs>),
    /// Publishes messages.
    Pub(Box<PubArgs>),
    /// Subscribes to topics and prints what comes.
    Sub(Box<SubArgs>),
    /// Publishes a request and prints its answer.
    Rr(Box<RrArgs>),
    /// Loads a broker and measures rates, latencies and losses.
    Bench(Box<BenchArgs>),
    /// Exports, imports or checks a store.
    Store(StoreArgs),
    /// Holds a broker to the normative statements of MQTT 3.1.1 and 5.0.
    Conformance(ConformanceArgs),
    /// Turns a password into the hash that the configuration file takes.
    #[command(after_help = HASH_PASSWORD_EXAMPLES)]
    HashPassword,
}

const HASH_PASSWORD_EXAMPLES: &str = "\
Asks for the password twice on a terminal; reads one line anywhere else. There is no flag for it: the process list
and the shell's history would show it.

Examples:
  opifex hash-password
  pass show mqtt/sensor | opifex hash-password

The hash goes into the configuration file:
  [[users]]
  name = \"sensor\"
  password_hash = \"$argon2id$v=19$...\"";

/// Reads the command line. The error is the exit code of a program that has said what there is to say.
pub(crate) fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Command, ExitCode> {
    let options = Cli::command();
    let args = property_flag::join(args, |arg| takes_value(&options, arg));
    let error = match Cli::try_parse_from(args) {
        Ok(cli) => return Ok(cli.command),
        Err(error) => error,
    };
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            // A reader that leaves before the end of the help is no failure.
            let _ = error.print();
            Err(ExitCode::SUCCESS)
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            let _ = error.print();
            Err(ExitCode::from(2))
        }
        _ => {
            failure::print(&one_line(&error.to_string()));
            Err(ExitCode::from(2))
        }
    }
}

/// Whether that argument of a client's command is an option whose value is the next argument.
fn takes_value(options: &clap::Command, arg: &OsStr) -> bool {
    let Some(arg) = arg.to_str() else { return false };
    let clients = ["pub", "sub", "rr"].into_iter().filter_map(|name| options.find_subcommand(name));
    let mut options = clients.flat_map(clap::Command::get_arguments);
    let names = |option: &clap::Arg| match arg.strip_prefix("--") {
        Some(long) => option.get_long_and_visible_aliases().is_some_and(|names| names.contains(&long)),
        None => {
            let mut letters = arg.strip_prefix('-').unwrap_or_default().chars();
            let letter = letters.next().filter(|_| letters.next().is_none());
            letter.is_some_and(|letter| option.get_short() == Some(letter))
        }
    };
    options.any(|option| option.get_action().takes_values() && names(option))
}

/// clap's message and its tip, without the usage that follows.
fn one_line(rendered: &str) -> String {
    let paragraphs = rendered.split("\n\n");
    let message = paragraphs.take_while(|text| !text.starts_with("Usage:") && !text.starts_with("For more"));
    let message = message.map(str::trim).collect::<Vec<_>>().join("; ");
    // What `property_flag::join` put between words is shown as it was typed.
    message.trim_start_matches("error: ").replace(property_flag::SEPARATOR, " ")
}
