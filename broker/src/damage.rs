//! What the store could not read: said once, in a line that names the record. The rest is served.
//!
//! Nothing is repaired or removed here: that is a person's decision.

use std::sync::atomic::{AtomicU64, Ordering};

use hashbrown::HashSet;
use opifex_storage::StoreError;
use parking_lot::Mutex;

/// So many records are remembered as said; further ones are said each time that they are come by.
const MAX_REMEMBERED: usize = 10_000;

/// The damaged records that were reported.
#[derive(Default)]
pub(crate) struct DamageReport {
    said: Mutex<HashSet<String>>,
    count: AtomicU64,
}

impl DamageReport {
    /// Says what of this has not been said yet.
    pub(crate) fn note(&self, damaged: &[StoreError]) {
        for error in damaged {
            if self.is_new(error) {
                self.count.fetch_add(1, Ordering::Relaxed);
                tracing::error!(%error, "the store is damaged: what cannot be read is left out");
            }
        }
    }

    /// How many lines that made.
    pub(crate) fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    fn is_new(&self, error: &StoreError) -> bool {
        let mut said = self.said.lock();
        let line = error.to_string();
        if said.len() >= MAX_REMEMBERED { !said.contains(&line) } else { said.insert(line) }
    }
}

#[cfg(test)]
mod tests {
    use opifex_storage::ErrorKind;

    use super::*;

    #[test]
    fn a_damaged_record_is_counted_once() {
        let report = DamageReport::default();
        let error = |what: &'static str| StoreError::not_applied(ErrorKind::Corrupt, what);
        report.note(&[error("entry 1"), error("entry 2")]);
        report.note(&[error("entry 2"), error("entry 3")]);
        assert_eq!(report.count(), 3);
    }

    #[test]
    fn a_damaged_record_is_said_once() {
        let report = DamageReport::default();
        let error = |what: &'static str| StoreError::not_applied(ErrorKind::Corrupt, what);
        assert!(report.is_new(&error("entry 1 of session 2")));
        assert!(!report.is_new(&error("entry 1 of session 2")));
        assert!(report.is_new(&error("entry 2 of session 2")));
    }
}
