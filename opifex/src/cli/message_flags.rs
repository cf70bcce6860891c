//! What is published: the flags that `pub` and `rr` share, one of which has to stand.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Args;

/// The payload of one message.
#[derive(Debug, Default, Args)]
#[group(id = "payload", multiple = false)]
#[command(next_help_heading = "Message (one of these)")]
pub(crate) struct MessageFlags {
    /// This text.
    #[arg(short, long, value_name = "TEXT", allow_hyphen_values = true)]
    pub(crate) message: Option<OsString>,
    /// What a file holds.
    #[arg(short, long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// All of standard input, which must not be empty.
    #[arg(short, long)]
    pub(crate) stdin_file: bool,
    /// Nothing: a message of no bytes; with -r it takes a retained message away.
    #[arg(short, long)]
    pub(crate) null_message: bool,
}
