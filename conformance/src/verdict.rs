//! What came of a case, and how a case says more than that it passed.

use std::any::Any;
use std::fmt;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use opifex_storage::Capabilities;

/// What came of a case.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// What it says holds.
    Passed,
    /// It does not.
    Failed,
    /// It did not run: the factory waives it, with a reason.
    Waived,
    /// The backend does not claim what the case is about, and refuses it as it has to.
    NotClaimed,
    /// The backend claims what the case is about, and that could not be checked here.
    NotVerified,
}

impl Verdict {
    /// All of them, as reports list them.
    pub const ALL: [Verdict; 5] =
        [Verdict::Passed, Verdict::NotClaimed, Verdict::NotVerified, Verdict::Waived, Verdict::Failed];
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Verdict::Passed => "passed",
            Verdict::Failed => "failed",
            Verdict::Waived => "waived",
            Verdict::NotClaimed => "refused as declared",
            Verdict::NotVerified => "claimed, not verified",
        })
    }
}

/// A verdict with its grounds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// What came of the case.
    pub verdict: Verdict,
    /// The capability that it is about, where it is about one: `durability disk`.
    pub capability: Option<String>,
    /// Why it is not simply passed: the panic's message, the waiver's reason, what could not be checked; of some that
    /// passed, how much was checked.
    pub reason: Option<String>,
    /// How long it took, with making and opening its store.
    pub duration: Duration,
}

/// What a case notes about itself while it runs.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    said: Mutex<Vec<Note>>,
    /// What the first store declared that could be opened.
    declared: OnceLock<Capabilities>,
}

#[derive(Debug)]
#[cfg_attr(not(feature = "suite"), expect(dead_code, reason = "the suite alone reads them"))]
struct Note {
    verdict: Verdict,
    capability: String,
    reason: Option<String>,
}

impl Notes {
    pub(crate) fn add(&self, verdict: Verdict, capability: &str, reason: Option<&str>) {
        let reason = reason.map(str::to_owned);
        let note = Note { verdict, capability: capability.to_owned(), reason };
        self.said.lock().unwrap_or_else(PoisonError::into_inner).push(note);
    }

    pub(crate) fn opened(&self, capabilities: &Capabilities) {
        self.declared.get_or_init(|| capabilities.clone());
    }

    #[cfg(feature = "suite")]
    pub(crate) fn capabilities(&self) -> Option<&Capabilities> {
        self.declared.get()
    }

    /// The judgement of a case that came to its end: what could not be checked weighs most.
    #[cfg(feature = "suite")]
    pub(crate) fn judgement(&self, duration: Duration) -> Judgement {
        let notes = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        let has = |verdict| notes.iter().any(|note| note.verdict == verdict);
        let verdict = [Verdict::NotVerified, Verdict::NotClaimed].into_iter().find(|verdict| has(*verdict));
        let mut capabilities: Vec<_> = notes.iter().map(|note| note.capability.as_str()).collect();
        capabilities.dedup();
        let reasons: Vec<_> = notes.iter().filter_map(|note| note.reason.as_deref()).collect();
        let joined = |texts: Vec<&str>, with| (!texts.is_empty()).then(|| texts.join(with));
        Judgement {
            verdict: verdict.unwrap_or(Verdict::Passed),
            capability: joined(capabilities, ", "),
            reason: joined(reasons, "; "),
            duration,
        }
    }
}

/// What a panic says, where it says something.
pub(crate) fn message_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
    text.unwrap_or("a panic without a message").to_owned()
}

#[cfg(all(test, feature = "suite"))]
mod tests {
    use super::*;

    #[test]
    fn what_could_not_be_checked_weighs_more_than_what_was_refused() {
        let notes = Notes::default();
        assert_eq!(notes.judgement(Duration::ZERO).verdict, Verdict::Passed);
        notes.add(Verdict::Passed, "durability process", None);
        notes.add(Verdict::NotClaimed, "durability quorum", Some("it is refused"));
        assert_eq!(notes.judgement(Duration::ZERO).verdict, Verdict::NotClaimed);
        notes.add(Verdict::NotVerified, "durability disk", Some("no C compiler"));
        let judgement = notes.judgement(Duration::ZERO);
        assert_eq!(judgement.verdict, Verdict::NotVerified);
        assert_eq!(
            judgement.capability.as_deref(),
            Some("durability process, durability quorum, durability disk")
        );
        assert_eq!(judgement.reason.as_deref(), Some("it is refused; no C compiler"));
    }
}
