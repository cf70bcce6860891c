//! Cases that a backend is let off, by name and with a reason.

#[cfg(feature = "suite")]
use crate::cases;

/// One case that does not run on a backend. The report says so, with the reason.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Waiver {
    /// The case's id: `EXP-28`.
    pub id: &'static str,
    /// Why the backend does without it, for whoever reads the report.
    pub reason: &'static str,
}

#[cfg(feature = "suite")]
impl Waiver {
    /// The waiver of the case, if there is one. What is wrong with any of them is an error.
    pub(crate) fn find(waivers: &[Waiver], id: &str) -> Result<Option<Waiver>, String> {
        for (at, waiver) in waivers.iter().enumerate() {
            if !cases().iter().any(|case| case.id == waiver.id) {
                return Err(format!("the factory waives {:?}, and there is no case of that id", waiver.id));
            }
            if waiver.reason.trim().is_empty() {
                return Err(format!(
                    "the factory waives {} without a reason; say why the backend does without it, for those who read the \
                     report",
                    waiver.id
                ));
            }
            if waivers[..at].iter().any(|earlier| earlier.id == waiver.id) {
                return Err(format!("the factory waives {} twice", waiver.id));
            }
        }
        Ok(waivers.iter().find(|waiver| waiver.id == id).copied())
    }
}

#[cfg(all(test, feature = "suite"))]
mod tests {
    use super::*;

    const GOOD: Waiver = Waiver { id: "SES-01", reason: "none" };

    #[test]
    fn a_waiver_is_found_by_the_id_of_its_case() {
        assert_eq!(Waiver::find(&[GOOD], "SES-01"), Ok(Some(GOOD)));
        assert_eq!(Waiver::find(&[GOOD], "SES-02"), Ok(None));
    }

    #[test]
    fn a_waiver_that_says_nothing_is_an_error_whichever_case_runs() {
        let wrong = Waiver::find(&[GOOD, Waiver { id: "SES-03", reason: " " }], "SES-02").unwrap_err();
        assert!(wrong.contains("SES-03 without a reason"), "{wrong}");
    }

    #[test]
    fn a_waiver_of_no_case_is_an_error_that_names_it() {
        let wrong = Waiver::find(&[Waiver { id: "SES-99", reason: "x" }], "SES-01").unwrap_err();
        assert!(wrong.contains("\"SES-99\""), "{wrong}");
    }

    #[test]
    fn a_waiver_stands_once() {
        let wrong = Waiver::find(&[GOOD, GOOD], "SES-02").unwrap_err();
        assert!(wrong.contains("SES-01 twice"), "{wrong}");
    }
}
