//! How the program fails: one line on standard error, and an exit code that tells scripts whose fault it was.

use std::fmt;
use std::io::Write as _;
use std::process::ExitCode;

/// Why the program ends with another code than 0.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Flags or the configuration file are wrong; trying again changes nothing.
    Usage(anyhow::Error),
    /// They are right, and it did not work out.
    Runtime(anyhow::Error),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Failure::Usage(error) | Failure::Runtime(error)) = self;
        write!(f, "{error:#}")
    }
}

impl Failure {
    pub(crate) fn usage(error: impl Into<anyhow::Error>) -> Failure {
        Failure::Usage(error.into())
    }

    pub(crate) fn runtime(error: impl Into<anyhow::Error>) -> Failure {
        Failure::Runtime(error.into())
    }

    /// Prints the reason and answers the exit code: 1 for a failure, 2 for wrong usage.
    pub(crate) fn report(&self) -> ExitCode {
        let (error, exit_code) = match self {
            Failure::Runtime(error) => (error, 1),
            Failure::Usage(error) => (error, 2),
        };
        print(&format!("{error:#}"));
        ExitCode::from(exit_code)
    }
}

/// Prints a reason as one line.
pub(crate) fn print(reason: &str) {
    let reason =
        reason.split('\n').map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ");
    // Nobody may be reading any more; that changes nothing about the exit code.
    let _ = writeln!(std::io::stderr(), "error: {reason}");
}
