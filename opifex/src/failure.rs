//! How the program fails: one line on standard error, and an exit code that tells scripts whose fault it was.

use std::fmt;
use std::io::Write as _;
use std::process::ExitCode;

use opifex_packet::ReasonCode;

/// Why the program ends with another code than 0.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Flags or the configuration file are wrong; trying again changes nothing.
    Usage(anyhow::Error),
    /// They are right, and it did not work out.
    Runtime(anyhow::Error),
    /// A server said no, and why.
    Refused(ReasonCode, anyhow::Error),
    /// What was waited for did not come in the time that was given.
    TimedOut(anyhow::Error),
    /// This signal stopped it before it had begun.
    Stopped(&'static str, anyhow::Error),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#}", self.parts().0)
    }
}

impl Failure {
    pub(crate) fn usage(error: impl Into<anyhow::Error>) -> Failure {
        Failure::Usage(error.into())
    }

    pub(crate) fn runtime(error: impl Into<anyhow::Error>) -> Failure {
        Failure::Runtime(error.into())
    }

    /// Prints the reason and answers the exit code.
    pub(crate) fn report(&self) -> ExitCode {
        print(&self.to_string());
        self.exit_code()
    }

    /// 1 for a failure, 2 for wrong usage; a server's refusal is the reason code of MQTT 5.0 that it gives, 128 and more;
    /// 27 is mosquitto_sub's for a time that is over; signals have the codes that shells give them.
    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.parts().1)
    }

    fn parts(&self) -> (&anyhow::Error, u8) {
        match self {
            Failure::Runtime(error) => (error, 1),
            Failure::Usage(error) => (error, 2),
            Failure::Refused(reason, error) => (error, (*reason).into()),
            Failure::TimedOut(error) => (error, 27),
            Failure::Stopped(signal, error) => (error, interrupted(signal)),
        }
    }
}

/// The exit code of a program that a signal stopped before it was done, as shells have it.
pub(crate) fn interrupted(signal: &str) -> u8 {
    if signal == "SIGINT" { 130 } else { 143 }
}

/// Prints a reason as one line.
pub(crate) fn print(reason: &str) {
    let reason =
        reason.split('\n').map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ");
    // Nobody may be reading any more; that changes nothing about the exit code.
    let _ = writeln!(std::io::stderr(), "error: {reason}");
}
