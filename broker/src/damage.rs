//! What the store could not read: said once, in a line that names the record. The rest is served.
//!
//! Nothing is repaired or removed here: that is a person's decision.

use hashbrown::HashSet;
use opifex_storage::StoreError;
use parking_lot::Mutex;

/// So many records are remembered as said; further ones are said each time that they are come by.
const MAX_REMEMBERED: usize = 10_000;

/// The damaged records that were reported.
#[derive(Default)]
pub(crate) struct DamageReport {
    said: Mutex<HashSet<String>>,
}

impl DamageReport {
    /// Says what of this has not been said yet.
    pub(crate) fn note(&self, damaged: &[StoreError]) {
        for error in damaged {
            if self.is_new(error) {
                tracing::error!(%error, "a record of the store is damaged and left out");
            }
        }
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
    fn a_damaged_record_is_said_once() {
        let report = DamageReport::default();
        let error = |what: &'static str| StoreError::not_applied(ErrorKind::Corrupt, what);
        assert!(report.is_new(&error("entry 1 of session 2")));
        assert!(!report.is_new(&error("entry 1 of session 2")));
        assert!(report.is_new(&error("entry 2 of session 2")));
    }
}
