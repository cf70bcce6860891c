//! Broken stores: records of another store that are not written as they were.

use std::sync::atomic::{AtomicBool, Ordering};

use opifex_storage::{
    Author, DueItem, ErrorKind, Op, Outcome, QueuedState, Record, Restored, Seq, SessionExpiry,
};

use crate::broken::{Behaviour, honest};
use crate::engine::EVERYTHING;
use crate::mutant::mutants;

/// A store that writes other records than those that it is brought.
fn writing(change: fn(&mut Restored)) -> Behaviour {
    honest().batches(move |_, batch| {
        for op in &mut batch.ops {
            if let Op::Restore(restored) = op {
                change(restored);
            }
        }
    })
}

mutants! {
    /// what was sent is restored as waiting
    "RST-01" a_restored_entry_waits: writing(|restored| {
        if let Record::Queued(_, entry) = &mut restored.record
            && matches!(entry.state, QueuedState::Assigned(_))
        {
            entry.state = QueuedState::Waiting;
        }
    });

    /// the deadline of a restored will is not kept
    "RST-01" a_restored_will_has_no_deadline: writing(|restored| {
        if let Record::Will(will) = &mut restored.record {
            will.due_at = None;
        }
    });

    /// a restored session does not expire
    "RST-01" a_restored_session_does_not_expire: writing(|restored| {
        if let Record::Session(session) = &mut restored.record {
            session.expiry = SessionExpiry::Never;
        }
    });

    /// the numbers of a restored session go on from its last entry
    "RST-01" a_restored_session_counts_from_its_entries: writing(|restored| {
        if let Record::Session(session) = &mut restored.record {
            session.next_seq = Seq(1);
        }
    });

    /// what a restored session has awaits nothing: its inbound ids are left out
    "RST-02" restored_inbound_ids_are_left_out: honest().skips(|_, _, op| match op {
        Op::Restore(restored) => matches!(restored.record, Record::Inbound(_)).then_some(Outcome::Done),
        _ => None,
    });

    /// the counter of versions does not know what was restored
    "RST-03" restored_versions_are_given_again: {
        let restored = AtomicBool::new(false);
        honest().outcomes(move |_, batch, outcomes| {
            if batch.ops.iter().any(|op| matches!(op, Op::Restore(_))) {
                restored.store(true, Ordering::Relaxed);
            }
            for outcome in outcomes {
                if let (Outcome::Retained(version), true) = (outcome, restored.load(Ordering::Relaxed)) {
                    version.0 = 1;
                }
            }
        })
    };

    /// what is there is restored over it, and answered as done
    "RST-04" what_is_there_is_restored_again: honest().outcomes(|_, batch, outcomes| {
        for (op, outcome) in batch.ops.iter().zip(outcomes) {
            if matches!(op, Op::Restore(_)) && *outcome == Outcome::Present {
                *outcome = Outcome::Done;
            }
        }
    });

    /// what hangs on no session is answered as restored
    "RST-05" what_hangs_on_nothing_is_restored: honest().outcomes(|_, batch, outcomes| {
        for (op, outcome) in batch.ops.iter().zip(outcomes) {
            if matches!(op, Op::Restore(_)) && *outcome == Outcome::Absent {
                *outcome = Outcome::Done;
            }
        }
    });

    /// an entry that shares another's message is restored without it
    "RST-06" a_shared_message_is_restored_once: writing(|restored| {
        if let Record::Queued(_, entry) = &mut restored.record
            && restored.same_message_as.take().is_some()
            && entry.state == QueuedState::Waiting
        {
            entry.message = Some(std::sync::Arc::new(opifex_conformance::script::message("t", "")));
        }
    });

    /// whoever asks may restore
    "RST-07" anybody_restores: honest().refusals(|engine, mut batch, error| {
        let restores = batch.ops.iter().all(|op| matches!(op, Op::Restore(_)));
        match restores && error.kind() == ErrorKind::Unsupported {
            true => {
                batch.author = Author::Broker;
                engine.submit(batch)
            }
            false => Err(error),
        }
    });

    /// the number of a session that ended is free, and what it left is gone
    "RST-09" a_session_takes_the_place_of_one_that_ended: honest().batches(|engine, batch| {
        let dues = engine.due(batch.now, None, EVERYTHING).map(|page| page.items).unwrap_or_default();
        for op in &batch.ops {
            let Op::Restore(restored) = op else { continue };
            let Record::Session(session) = &restored.record else { continue };
            let taken = DueItem::SessionEnded(session.id);
            for due in dues.iter().filter(|due| due.item == taken) {
                engine.claim(due, batch.now, [Op::Purge { limit: usize::MAX }]);
            }
        }
    });
}
