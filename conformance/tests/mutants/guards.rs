//! Broken stores: preconditions that are not asked, or asked of something else.

use opifex_storage::{Batch, ErrorKind, Expectation, GuardedRecord, Op, RecordVersion, StoreError};

use crate::broken::honest;
use crate::mutant::mutants;

mutants! {
    /// guards are not asked
    "GUA-01" guards_are_not_asked: honest().batches(|_, batch| batch.guards.clear());

    /// that a session must be absent is not understood, and holds
    "GUA-01" absent_always_holds: honest().batches(|_, batch| {
        batch.guards.retain(|guard| guard.expect != Expectation::Absent);
    });

    /// a session is there while something of it is left
    "GUA-02" a_session_exists_by_its_remains: honest().batches(|engine, batch| {
        batch.guards.retain(|guard| match guard.record {
            GuardedRecord::Session(id) => guard.expect != Expectation::Exists || engine.entries(id).is_empty(),
            _ => true,
        });
    });

    /// a version holds when the record is there
    "GUA-03" any_version_holds: honest().batches(|_, batch| {
        for guard in &mut batch.guards {
            if let (GuardedRecord::Retained(_), Expectation::AtVersion(_)) = (&guard.record, guard.expect) {
                guard.expect = Expectation::Exists;
            }
        }
    });

    /// a guard on a topic sees what is retained on the levels above it
    "GUA-04" a_guard_sees_the_levels_above_its_topic: honest().batches(|engine, batch| {
        let kept = engine.kept();
        batch.guards.retain(|guard| match &guard.record {
            GuardedRecord::Retained(topic) if guard.expect == Expectation::Exists => {
                !kept.iter().any(|kept| topic.as_str().starts_with(kept.message.topic.as_str()))
            }
            _ => true,
        });
    });

    /// a guard on a topic sees what is retained below it
    "GUA-04" a_guard_sees_the_levels_below_its_topic: honest().submit(|engine, batch| {
        let kept = engine.kept();
        let below = batch.guards.iter().any(|guard| match &guard.record {
            GuardedRecord::Retained(topic) if guard.expect == Expectation::Absent => {
                kept.iter().any(|kept| kept.message.topic.as_str().starts_with(topic.as_str()))
            }
            _ => false,
        });
        match below {
            true => Err(StoreError::not_applied(ErrorKind::Conflict, "there is something below")),
            false => engine.submit(batch),
        }
    });

    /// the version of a message that is gone is remembered
    "GUA-04" a_version_holds_when_its_message_is_gone: honest().batches(|engine, batch| {
        let kept = engine.kept();
        batch.guards.retain(|guard| match &guard.record {
            GuardedRecord::Retained(topic) if matches!(guard.expect, Expectation::AtVersion(_)) => {
                kept.iter().any(|kept| kept.message.topic == *topic)
            }
            _ => true,
        });
    });

    /// an epoch is a number like a version
    "GUA-05" epochs_and_versions_are_numbers: honest().batches(|_, batch| {
        for guard in &mut batch.guards {
            if let (GuardedRecord::Retained(_), Expectation::AtEpoch(epoch)) = (&guard.record, guard.expect) {
                guard.expect = Expectation::AtVersion(RecordVersion(epoch.0));
            }
        }
    });

    /// the version of a topic is that of the last retain of all
    "GUA-07" all_topics_have_one_version: honest().submit(|engine, batch| {
        let last = engine.kept().iter().map(|kept| kept.version).max();
        let outdated = |expect| matches!(expect, Expectation::AtVersion(version) if Some(version) < last);
        let retained = batch.guards.iter().filter(|guard| matches!(guard.record, GuardedRecord::Retained(_)));
        match retained.into_iter().any(|guard| outdated(guard.expect)) {
            true => Err(StoreError::not_applied(ErrorKind::Conflict, "something was retained since")),
            false => engine.submit(batch),
        }
    });

    /// of several guards the first is asked
    "GUA-08" the_first_guard_is_asked: honest().batches(|_, batch| batch.guards.truncate(1));

    /// of several guards the last is asked
    "GUA-08" the_last_guard_is_asked: honest().batches(|_, batch| {
        batch.guards = batch.guards.pop().into_iter().collect();
    });

    /// a batch fulfils its own guards
    "GUA-09" guards_see_the_batch_itself: honest().submit(|engine, batch| {
        let Batch { ops, mut guards, .. } = batch.clone();
        guards.retain(|guard| {
            !ops.iter().any(|op| match (op, &guard.record) {
                (Op::Retain(message), GuardedRecord::Retained(topic)) => {
                    message.topic == *topic && guard.expect == Expectation::Exists
                }
                _ => false,
            })
        });
        engine.submit(Batch { guards, ..batch })
    });

    /// a conflict does not say of what
    "GUA-10" a_conflict_names_nothing: honest().refusals(|_, _, error| match error.kind() {
        ErrorKind::Conflict => Err(StoreError::not_applied(ErrorKind::Conflict, "a guard does not hold")),
        _ => Err(error),
    });
}
