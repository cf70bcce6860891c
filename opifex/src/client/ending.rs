//! How a client's command ends: its errors as failures with an exit code, and its signals.

use std::process::ExitCode;

use anyhow::{Error, anyhow};
use opifex_client::{Address, Cause};
use opifex_packet::Properties;

use crate::failure::{self, Failure};

/// The exit code of a client's command.
pub(crate) fn end(outcome: Result<ExitCode, Failure>, quiet: bool) -> ExitCode {
    match outcome {
        Ok(exit_code) => exit_code,
        // Wrong flags are told in any case.
        Err(failure) if quiet && !matches!(failure, Failure::Usage(_)) => failure.exit_code(),
        Err(failure) => failure.report(),
    }
}

/// The exit code of a program that a signal stopped before it was done, as shells have it.
pub(crate) fn interrupted(signal: &str) -> ExitCode {
    ExitCode::from(failure::interrupted(signal))
}

/// What failed, by whose fault.
pub(crate) fn failure(error: opifex_client::Error, address: &Address) -> Failure {
    if let opifex_client::Error::Rejected { reason, .. } = &error {
        return Failure::Refused(*reason, error.into());
    }
    let place = address.to_string();
    let place = place.trim_start_matches("mqtt://");
    match error.cause() {
        Some(Cause::Refused { reason, properties }) => Failure::Refused(
            *reason,
            anyhow!("{place} refused the connection: {reason}{}", words(properties)),
        ),
        Some(Cause::Server { reason, properties }) if reason.is_error() => {
            Failure::Refused(*reason, anyhow!("{place} disconnected: {reason}{}", words(properties)))
        }
        Some(Cause::Transport(error)) => Failure::Runtime(anyhow!("no connection to {place}: {error}")),
        Some(cause) => Failure::Runtime(chain(cause).context(place.to_owned())),
        None => Failure::runtime(error),
    }
}

/// A cause in all its words.
pub(super) fn chain(cause: &Cause) -> Error {
    match std::error::Error::source(cause) {
        Some(source) => anyhow!("{cause}: {source}"),
        None => anyhow!("{cause}"),
    }
}

/// The server's own words, when it has some.
fn words(properties: &Properties<'_>) -> String {
    let reason = properties.reason_string().map(|words| format!(" ({words})"));
    let elsewhere = properties.server_reference().map(|server| format!("; use {server}"));
    reason.unwrap_or_default() + &elsewhere.unwrap_or_default()
}
