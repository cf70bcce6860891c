//! A length of time, as people write it: `"10s"`, `"500ms"`, `"2m"`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::text;

/// A length of time from a millisecond to some ten years: long enough for any limit, short enough to be added to any
/// clock.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) struct Period(Duration);

/// The longest first, as they are printed.
const UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

const LONGEST: Duration = Duration::from_secs(10 * 365 * 86_400);

impl Period {
    pub(crate) fn get(self) -> Duration {
        self.0
    }

    /// That length, or the next that is allowed.
    pub(crate) fn nearest(duration: Duration) -> Period {
        Period(duration.clamp(Duration::from_millis(1), LONGEST))
    }
}

impl FromStr for Period {
    type Err = String;

    fn from_str(text: &str) -> Result<Period, String> {
        let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let millis = UNITS.iter().find(|(name, _)| *name == unit.trim_start()).map(|(_, millis)| *millis);
        let millis = millis.and_then(|millis| number.parse::<u64>().ok()?.checked_mul(millis));
        let millis = millis
            .ok_or_else(|| format!("{text:?} is no duration, expected one such as 10s, 500ms or 2m"))?;
        let duration = Duration::from_millis(millis);
        if duration.is_zero() || duration > LONGEST {
            return Err(format!("{text} is out of range, expected 1ms to 3650d"));
        }
        Ok(Period(duration))
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = u64::try_from(self.0.as_millis()).expect("at most LONGEST");
        let whole = UNITS.iter().find(|(_, unit)| millis.is_multiple_of(*unit));
        let (name, unit) = whole.expect("milliseconds divide everything");
        write!(f, "{}{name}", millis / unit)
    }
}

impl<'de> Deserialize<'de> for Period {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Period, D::Error> {
        text::deserialize(deserializer, "a duration such as \"10s\" or \"500ms\"")
    }
}

impl Serialize for Period {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn periods_are_whole_numbers_with_a_unit() {
        let millis = |text: &str| text.parse::<Period>().map(|period| period.get().as_millis());
        assert_eq!(millis("10s"), Ok(10_000));
        assert_eq!(millis("500 ms"), Ok(500));
        assert_eq!(millis("2m"), Ok(120_000));
        assert_eq!(millis("1d"), Ok(86_400_000));
        for wrong in ["", "10", "s", "1.5s", "-1s", "10 sec", "0s", "4000d", "99999999999999999999s"] {
            assert!(millis(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_period_is_printed_as_it_is_read() {
        for text in ["10s", "1500ms", "90s", "2m", "36h", "3650d"] {
            assert_eq!(text.parse::<Period>().unwrap().to_string(), text);
        }
    }
}
