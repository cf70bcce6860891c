//! Why a run ended before its last case. What has run until then stands in the report.

use std::fmt;
use std::time::Duration;

use opifex_packet::Version;

use super::probe::Unusable;

/// See the module's documentation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EarlyEnd {
    /// The broker died or hangs.
    Lost {
        /// The case that noticed.
        since: String,
        /// The version that it spoke.
        version: Version,
        /// What there is instead of a broker.
        how: Unusable,
        /// The cases that were under way beside it: it may be the work of one of them.
        beside: Vec<String>,
    },
    /// The run's time was over.
    Limit(Duration),
    /// The broker did not come back from a restart, or its restart command failed.
    Restart(String),
}

impl EarlyEnd {
    /// The cases that were under way when the broker was lost, beside the one that noticed.
    pub fn beside(&self) -> &[String] {
        match self {
            EarlyEnd::Lost { beside, .. } => beside,
            EarlyEnd::Limit(_) | EarlyEnd::Restart(_) => &[],
        }
    }
}

impl fmt::Display for EarlyEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EarlyEnd::Lost { since, version, how, beside } => {
                write!(f, "the broker does not answer since {since} in MQTT {version}: {how}")?;
                match beside.len() {
                    0 => Ok(()),
                    1 => write!(f, "; another case was under way"),
                    others => write!(f, "; {others} others were under way"),
                }
            }
            EarlyEnd::Limit(limit) => write!(f, "the run's {} s were over", limit.as_secs_f64()),
            EarlyEnd::Restart(why) => write!(f, "the broker could not be restarted: {why}"),
        }
    }
}

impl std::error::Error for EarlyEnd {}
