//! What is logged, and how.

use std::str::FromStr;

use clap::ValueEnum;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use tracing_subscriber::EnvFilter;

use super::text;

/// The log.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct LogConfig {
    #[serde(rename = "level")]
    pub(crate) filter: LogFilter,
    pub(crate) format: LogFormat,
}

/// A level, or levels by module: `info`, `info,opifex_broker=debug`. Known to be valid.
#[derive(Clone, Debug)]
pub(crate) struct LogFilter(String);

/// How a log line looks.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, ValueEnum, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

impl LogFilter {
    pub(crate) fn to_filter(&self) -> EnvFilter {
        EnvFilter::new(&self.0)
    }
}

impl Default for LogFilter {
    fn default() -> LogFilter {
        LogFilter("info".to_owned())
    }
}

impl FromStr for LogFilter {
    type Err = String;

    fn from_str(text: &str) -> Result<LogFilter, String> {
        let expected =
            "expected error, warn, info, debug, trace, off, or a list such as info,opifex_broker=debug";
        // A word that is no level would be taken for a module's name, and nothing would be logged.
        let is_level = |word: &str| ["error", "warn", "info", "debug", "trace", "off"].contains(&word);
        let known = |directive: &str| is_level(directive) || directive.contains(['=', '[']);
        if !text.split(',').all(known) {
            return Err(format!("{text:?} is no log level, {expected}"));
        }
        EnvFilter::try_new(text)
            .map_err(|error| format!("{text:?} is no log filter ({error}), {expected}"))?;
        Ok(LogFilter(text.to_owned()))
    }
}

impl<'de> Deserialize<'de> for LogFilter {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<LogFilter, D::Error> {
        text::deserialize(deserializer, "a log level such as \"info\"")
    }
}

impl Serialize for LogFilter {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::LogFilter;

    #[test]
    fn a_log_filter_is_a_level_or_a_list_of_them() {
        for right in ["info", "off", "warn,opifex_broker=debug", "info,opifex=trace"] {
            assert!(right.parse::<LogFilter>().is_ok(), "{right}");
        }
        for wrong in ["", "loud", "info,loud", "opifex_broker=loud", "5"] {
            assert!(wrong.parse::<LogFilter>().is_err(), "{wrong}");
        }
    }
}
