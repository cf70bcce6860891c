//! The log: lines on standard error, each with its time in RFC 3339 (UTC). Standard output is for what scripts read.

use std::io::{self, IsTerminal as _};

use crate::config::{LogConfig, LogFormat};

/// Begins to log. To be called once.
pub(crate) fn init(config: &LogConfig) {
    let log = tracing_subscriber::fmt()
        .with_env_filter(config.filter.to_filter())
        .with_ansi(io::stderr().is_terminal())
        .with_writer(io::stderr);
    match config.format {
        LogFormat::Text => log.init(),
        LogFormat::Json => log.json().flatten_event(true).init(),
    }
}
