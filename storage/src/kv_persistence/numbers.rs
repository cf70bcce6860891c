//! The numbers of entries that a transaction gives, and what becomes of them with it.

use crate::{Seq, SessionId, SpentNumbers};

/// The numbers of entries that a transaction gives.
#[derive(Default)]
pub(super) struct Numbers {
    pub(super) given: Vec<(SessionId, Seq)>,
    /// Sessions that count on behind numbers which were spent before, and from where.
    pub(super) raised: Vec<(SessionId, Seq)>,
}

impl Numbers {
    /// Nothing of it was written: who was told of them may ask for them.
    pub(super) fn spend(self, spent: &mut SpentNumbers) {
        for (session, seq) in self.given {
            spent.spend(session, seq);
        }
    }

    /// It was: the rows say where to count on.
    pub(super) fn settle(self, spent: &mut SpentNumbers) {
        for (session, next) in self.raised {
            spent.forget(session, next);
        }
    }
}
