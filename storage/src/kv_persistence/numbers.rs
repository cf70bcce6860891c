//! The numbers of entries that a transaction gives, and what becomes of them with it.

use crate::{Seq, SessionId, SpentNumbers};

/// The numbers of entries that a transaction gives.
#[derive(Default)]
pub(super) struct Numbers {
    pub(super) given: Vec<(SessionId, Seq)>,
    /// Sessions that count on behind numbers which were spent before, and from where.
    pub(super) raised: Vec<(SessionId, Seq)>,
    /// Sessions that it makes: without it they never are, and nobody counts on in them.
    pub(super) made: Vec<SessionId>,
}

impl Numbers {
    /// Nothing of it was written: who was told of them may ask for them.
    pub(super) fn spend(self, spent: &mut SpentNumbers) {
        for (session, seq) in self.given.into_iter().filter(|(session, _)| !self.made.contains(session)) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_sessions_that_are_never_made_nothing_is_remembered() {
        let given = vec![(SessionId(1), Seq(7)), (SessionId(2), Seq(1))];
        let mut spent = SpentNumbers::default();
        Numbers { given, made: vec![SessionId(2)], ..Numbers::default() }.spend(&mut spent);
        assert_eq!(spent.next(SessionId(1), Seq(7)), Some(Seq(8)));
        spent.forget(SessionId(1), Seq(8));
        assert!(spent.is_empty());
    }
}
