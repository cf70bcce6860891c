//! How much a run does: enough to find what is wrong in seconds, or as much as there is.

use std::env;
use std::fmt;

/// The variable that chooses the tier.
const VARIABLE: &str = "OPIFEX_CONFORMANCE_TIER";

/// How much the cases do. They are the same cases with the same ids; sizes and rounds differ.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub enum Tier {
    /// Each case well under a second: for every change.
    #[default]
    Quick,
    /// Everything, for minutes to hours: before a release.
    Long,
}

impl Tier {
    /// The size of something in the tier of this run.
    pub fn of<T>(quick: T, long: T) -> T {
        match tier() {
            Tier::Quick => quick,
            Tier::Long => long,
        }
    }

    fn parse(text: Option<&str>) -> Result<Tier, String> {
        match text {
            None | Some("quick") => Ok(Tier::Quick),
            Some("long") => Ok(Tier::Long),
            Some(other) => Err(format!("{VARIABLE} is `quick` (the default) or `long`, not `{other}`")),
        }
    }
}

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Tier::Quick => "quick",
            Tier::Long => "long",
        })
    }
}

/// The tier of this run: `OPIFEX_CONFORMANCE_TIER=quick` (the default) or `long`.
///
/// # Panics
///
/// When the variable says something else.
pub fn tier() -> Tier {
    let text = env::var_os(VARIABLE).map(|text| text.to_string_lossy().into_owned());
    Tier::parse(text.as_deref()).unwrap_or_else(|wrong| panic!("{wrong}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tier_that_there_is_not_is_named_with_those_that_there_are() {
        assert_eq!(Tier::parse(None), Ok(Tier::Quick));
        assert_eq!(Tier::parse(Some("long")), Ok(Tier::Long));
        let wrong = Tier::parse(Some("slow")).unwrap_err();
        assert_eq!(wrong, "OPIFEX_CONFORMANCE_TIER is `quick` (the default) or `long`, not `slow`");
    }
}
