//! Broken stores: half a batch, a trace of one that was refused, one that fails for what is normal.

use std::sync::{Arc, Mutex};

use opifex_storage::{
    Author, Batch, DropReason, Durability, ErrorKind, Op, Outcome, StoreError, TargetOutcome,
};

use crate::broken::{Behaviour, honest};
use crate::mutant::mutants;

/// What fails a batch that should not fail.
fn not_normal() -> StoreError {
    StoreError::not_applied(ErrorKind::Conflict, "what is normal is refused")
}

/// The batches that nobody has waited for, and a store that keeps them in mind.
fn watching_receipts() -> (Arc<Mutex<Vec<Batch>>>, Behaviour) {
    let pending = Arc::new(Mutex::new(Vec::new()));
    let (submitted, durable) = (Arc::clone(&pending), Arc::clone(&pending));
    let store = honest()
        .outcomes(move |_, batch, _| submitted.lock().expect("nobody panics with it").push(batch.clone()));
    let durable = Arc::new(move || durable.lock().expect("nobody panics with it").clear());
    (pending, Behaviour { durable, ..store })
}

mutants! {
    /// of a batch the wills are left out
    "ATO-01" a_long_batch_is_cut_off: honest().skips(|_, batch, op| {
        let last = batch.ops.last().is_some_and(|last| std::ptr::eq(last, op));
        (batch.ops.len() >= 12 && last).then_some(Outcome::Done)
    });

    /// the guards are asked when the batch has been applied
    "ATO-02" guards_are_asked_afterwards: honest().refusals(|engine, batch, error| {
        if error.kind() == ErrorKind::Conflict && !batch.guards.is_empty() {
            let _ = engine.submit(Batch { guards: Vec::new(), ..batch });
        }
        Err(error)
    });

    /// a fenced author's messages are queued before its epoch is asked
    "ATO-03" a_fenced_author_has_published: honest().refusals(|engine, batch, error| {
        if error.kind() == ErrorKind::Fenced {
            let published = batch.ops.iter().filter(|op| matches!(op, Op::Enqueue { .. } | Op::Retain(_)));
            engine.administer(batch.now, published.cloned());
        }
        Err(error)
    });

    /// a batch is applied up to the message that is too large
    "ATO-04" a_batch_is_applied_up_to_what_is_too_large: honest().refusals(|engine, mut batch, error| {
        if error.kind() == ErrorKind::TooLarge {
            batch.ops.pop();
            let _ = engine.submit(batch);
        }
        Err(error)
    });

    /// operations are applied one by one, each as a batch of its own
    "ATO-05" every_operation_is_a_batch: honest().submit(|engine, batch| {
        if batch.ops.iter().any(|op| matches!(op, Op::EndSession(_))) && batch.guards.is_empty() {
            let one = |op: &Op| engine.submit(Batch { ops: vec![op.clone()], ..batch.clone() });
            let outcomes = batch.ops.iter().map(one).collect::<Result<Vec<_>, _>>()?;
            return Ok(outcomes.into_iter().flatten().collect());
        }
        engine.submit(batch)
    });

    /// what comes with a claim that was lost is applied in the broker's name
    "ATO-06" a_lost_claim_loses_nothing_else: honest().refusals(|engine, batch, error| {
        if let (ErrorKind::Conflict, Author::Claim(_)) = (error.kind(), &batch.author) {
            let published = batch.ops.iter().filter(|op| matches!(op, Op::Enqueue { .. } | Op::Retain(_)));
            engine.administer(batch.now, published.cloned());
        }
        Err(error)
    });

    /// a durability that is not offered is weakened in silence
    "ATO-07" a_durability_that_is_not_offered_is_weakened: honest().batches(|_, batch| {
        batch.durability = Durability::Memory;
    });

    /// numbers are given before a batch is refused
    "ATO-08" a_refused_batch_takes_numbers: honest().refusals(|engine, batch, error| {
        for op in &batch.ops {
            let Op::Enqueue { targets, .. } = op else { continue };
            for target in targets {
                engine.administer(batch.now, [op.clone()]);
                if let Some(last) = engine.entries(target.session).last() {
                    engine.write(target.session, batch.now, [Op::Settle(last.seq)]);
                }
            }
        }
        Err(error)
    });

    /// an operation that finds nothing fails its batch
    "ATO-09" what_is_absent_fails_the_batch: honest().submit(|engine, batch| match engine.submit(batch)? {
        outcomes if outcomes.len() > 1 && outcomes.contains(&Outcome::Absent) => Err(not_normal()),
        outcomes => Ok(outcomes),
    });

    /// a drop fails its batch
    "ATO-10" a_drop_fails_the_batch: honest().submit(|engine, batch| {
        let outcomes = engine.submit(batch)?;
        let dropped = |target: &TargetOutcome| {
            matches!(target, TargetOutcome::Dropped(DropReason::QueueItems | DropReason::QueueBytes))
        };
        let any = outcomes.iter().any(|outcome| matches!(outcome, Outcome::Enqueued(all) if all.iter().any(dropped)));
        if any && outcomes.len() > 1 { Err(not_normal()) } else { Ok(outcomes) }
    });

    /// what removes is applied before what writes
    "ATO-11" removals_of_a_batch_come_first: honest().submit(|engine, batch| {
        let removes = |op: &Op| matches!(op, Op::Settle(_) | Op::Unretain(_) | Op::DeleteInbound(_));
        let mut order: Vec<usize> = (0..batch.ops.len()).collect();
        order.sort_by_key(|index| !removes(&batch.ops[*index]));
        let ops = order.iter().map(|index| batch.ops[*index].clone()).collect();
        let mut outcomes: Vec<_> = order.into_iter().zip(engine.submit(Batch { ops, ..batch })?).collect();
        outcomes.sort_by_key(|(index, _)| *index);
        Ok(outcomes.into_iter().map(|(_, outcome)| outcome).collect())
    });

    /// a batch without operations is refused
    "ATO-12" an_empty_batch_is_refused: honest().submit(|engine, batch| match batch.ops.is_empty() {
        true => Err(StoreError::not_applied(ErrorKind::Unsupported, "a batch has operations")),
        false => engine.submit(batch),
    });

    /// a batch whose receipt is dropped is taken back
    "ATO-13" a_dropped_receipt_takes_its_batch_back: {
        let (pending, store) = watching_receipts();
        store.reopen(move |engine| {
            for batch in pending.lock().expect("nobody panics with it").drain(..) {
                for op in batch.ops {
                    match op {
                        Op::Retain(message) => engine.administer(batch.now, [Op::Unretain(message.topic.clone())]),
                        Op::Enqueue { targets, .. } => {
                            for target in targets {
                                let last = engine.entries(target.session).pop();
                                engine.write(target.session, batch.now, last.map(|entry| Op::Settle(entry.seq)));
                            }
                        }
                        _ => {}
                    }
                }
            }
        })
    };

    /// a submit is carried out when it is called, though nobody awaits it
    "ATO-14" a_submit_runs_before_it_is_awaited: Behaviour { eager: true, ..honest() };
}
