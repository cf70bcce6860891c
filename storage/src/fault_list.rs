//! What was found to be wrong of a store, a line each and not without end.

use crate::{ErrorKind, StoreError};

/// So many are named; of more only their number is.
const MAX_NAMED: usize = 1000;

/// Faults of one kind, of which a bounded number is named. It does not say whether they are the same.
#[derive(Debug, Default)]
pub struct FaultList {
    named: Vec<StoreError>,
    more: usize,
}

impl FaultList {
    /// Notes a fault of kind `Corrupt`; its line is made only if it is named.
    pub fn note(&mut self, line: impl FnOnce() -> String) {
        self.add_with(|| StoreError::not_applied(ErrorKind::Corrupt, line()));
    }

    /// Notes what a read failed with.
    pub fn add(&mut self, fault: StoreError) {
        self.add_with(|| fault);
    }

    fn add_with(&mut self, fault: impl FnOnce() -> StoreError) {
        match self.named.len() < MAX_NAMED {
            true => self.named.push(fault()),
            false => self.more += 1,
        }
    }

    /// A line each, and one that says how many more there are.
    pub fn into_lines(mut self) -> Vec<StoreError> {
        if self.more > 0 {
            let what = format!("{} more of the kind", self.more);
            self.named.push(StoreError::not_applied(ErrorKind::Corrupt, what));
        }
        self.named
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_are_named_and_the_others_are_counted() {
        let mut faults = FaultList::default();
        (0..MAX_NAMED).for_each(|n| faults.note(|| format!("{n}")));
        faults.note(|| unreachable!("nobody reads it"));
        faults.add(StoreError::not_applied(ErrorKind::Corrupt, "another"));
        let lines: Vec<_> = faults.into_lines().iter().map(StoreError::to_string).collect();
        assert_eq!((lines.len(), &*lines[0], &*lines[MAX_NAMED]), (MAX_NAMED + 1, "0", "2 more of the kind"));
    }
}
