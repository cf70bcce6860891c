//! The numbers that a transaction gives out, and those that were told and taken back with it: nobody else is given them.
//! What has become durable says in its rows how far it has counted, and nothing is remembered of it here.

use opifex_storage::{
    Batch, Epoch, Op, OpenedSession, Outcome, RecordVersion, Seq, SessionId, SpentNumbers, TargetOutcome,
};

/// The numbers that a transaction has given out.
#[derive(Default)]
pub(crate) struct Given {
    entries: Vec<(SessionId, Seq)>,
    /// So many of them were told.
    told: usize,
    /// Sessions that it makes: without it they never are, and nobody counts on in them.
    made: Vec<SessionId>,
    epoch: Epoch,
    version: RecordVersion,
    /// Sessions whose rows count on from numbers that were spent before.
    pub(crate) raised: Vec<(SessionId, Seq)>,
}

impl Given {
    /// A batch was applied; its caller is not told yet.
    pub(crate) fn note(&mut self, batch: &Batch, outcomes: &[Outcome]) {
        for (op, outcome) in batch.ops.iter().zip(outcomes) {
            match (op, outcome) {
                (Op::Enqueue { targets, .. }, Outcome::Enqueued(outcomes)) => {
                    for (target, outcome) in targets.iter().zip(outcomes) {
                        if let TargetOutcome::Queued { seq, .. } = outcome {
                            self.entries.push((target.session, *seq));
                        }
                    }
                }
                (_, Outcome::Retained(version)) => self.version = self.version.max(*version),
                _ => {}
            }
        }
    }

    /// A session was opened. Whoever reads the store may see that before the open is answered.
    pub(crate) fn note_open(&mut self, opened: &OpenedSession) {
        self.epoch = self.epoch.max(opened.session.epoch);
        if !opened.present {
            self.made.push(opened.session.id);
        }
    }

    /// What was applied so far is told.
    pub(crate) fn note_told(&mut self) {
        self.told = self.entries.len();
    }
}

/// The numbers of transactions that failed.
#[derive(Default)]
pub(crate) struct Spent {
    pub(crate) entries: SpentNumbers,
    epoch: Epoch,
    version: RecordVersion,
}

impl Spent {
    /// A transaction failed. An entry's number that nobody was told of is free: who waits for the next one of a queue would
    /// wait for it.
    pub(crate) fn add(&mut self, given: Given) {
        let told = &given.entries[..given.told];
        for (session, seq) in told.iter().filter(|(session, _)| !given.made.contains(session)) {
            self.entries.spend(*session, *seq);
        }
        self.epoch = self.epoch.max(given.epoch);
        self.version = self.version.max(given.version);
    }

    /// How far a counter has counted.
    pub(crate) fn counted(&self, counter: &str) -> u64 {
        match counter {
            "epoch" => self.epoch.0,
            "version" => self.version.0,
            _ => 0,
        }
    }

    /// A transaction has come to what was asked of it: its rows count on from here.
    pub(crate) fn settle(&mut self, given: Given) {
        for (session, seq) in given.raised {
            self.entries.forget(session, seq);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use opifex_conformance::script::{message, target};
    use opifex_storage::{Author, Durability, Timestamp};

    use super::*;

    fn enqueue(session: u64) -> Op {
        Op::Enqueue { message: Arc::new(message("t", "")), targets: vec![target(SessionId(session))] }
    }

    fn queued(seq: u64) -> Outcome {
        Outcome::Enqueued(vec![TargetOutcome::Queued { seq: Seq(seq), displaced: Vec::new() }])
    }

    #[test]
    fn what_was_told_is_spent_and_what_nobody_heard_of_is_not() {
        let batch = |session| {
            Batch::new(Author::Broker, Durability::Disk, Timestamp(1))
                .with(Op::Unretain(opifex_conformance::script::topic("t")))
                .with(enqueue(session))
        };
        let mut given = Given::default();
        given.note(&batch(1), &[Outcome::Absent, queued(7)]);
        given.note_told();
        given.note(&batch(1), &[Outcome::Absent, queued(8)]);
        given.note(&batch(2), &[Outcome::Absent, queued(1)]);
        let mut spent = Spent::default();
        spent.add(given);
        assert_eq!(spent.entries.next(SessionId(1), Seq(7)), Some(Seq(8)));
        assert_eq!(spent.entries.next(SessionId(2), Seq(1)), None);
    }

    #[test]
    fn of_sessions_that_are_never_made_nothing_is_remembered() {
        let entries = vec![(SessionId(1), Seq(7)), (SessionId(2), Seq(1))];
        let mut spent = Spent::default();
        spent.add(Given { entries, told: 2, made: vec![SessionId(2)], ..Given::default() });
        spent.entries.forget(SessionId(1), Seq(8));
        assert!(spent.entries.is_empty());
    }

    #[test]
    fn what_is_spent_is_remembered_until_the_row_that_says_so_is_settled() {
        let mut spent = Spent::default();
        spent.entries.spend(SessionId(1), Seq(7));
        spent.settle(Given { raised: vec![(SessionId(1), Seq(7))], ..Given::default() });
        assert!(!spent.entries.is_empty(), "another failure came between");
        spent.settle(Given { raised: vec![(SessionId(1), Seq(8))], ..Given::default() });
        assert!(spent.entries.is_empty());
    }
}
