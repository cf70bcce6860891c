//! Broken stores: what is declared and what is done about it.

use opifex_storage::{Batch, Capabilities, Durability, ErrorKind, Op, StoreError};
use opifex_storage_memory::MemoryOptions;

use crate::broken::{Behaviour, honest};
use crate::mutant::mutants;

/// A store that takes more than it declares.
fn taking_more(more: fn(&mut MemoryOptions), declared: fn(&mut Capabilities)) -> Behaviour {
    let mut store = honest();
    more(&mut store.limits);
    Behaviour { declared, ..store }
}

fn too_large() -> StoreError {
    StoreError::not_applied(ErrorKind::TooLarge, "too large")
}

mutants! {
    /// a store declares less than a packet holds
    "LIM-01" a_message_of_a_megabyte_is_too_large: taking_more(|_| {}, |declared| declared.max_message_bytes = 1 << 20);

    /// a message of the largest size is refused
    "LIM-02" the_largest_message_is_refused: honest().submit(|engine, batch| {
        let meets = |op: &Op| match op {
            Op::Enqueue { message, .. } | Op::Retain(message) => message.size_bytes() == 3 << 20,
            _ => false,
        };
        if batch.ops.iter().any(meets) { Err(too_large()) } else { engine.submit(batch) }
    });

    /// messages may be as large as they like
    "LIM-03" messages_have_no_limit:
        taking_more(|limits| limits.max_message_bytes *= 2, |declared| declared.max_message_bytes = 3 << 20);

    /// an open whose will is too large has taken the session over
    "LIM-04" a_refused_open_has_taken_over: honest().open(|engine, open| match engine.open(open.clone()) {
        Err(error) if error.kind() == ErrorKind::TooLarge => {
            let _ = engine.open(opifex_storage::OpenSession { will: None, ..open });
            Err(error)
        }
        other => other,
    });

    /// a batch of the most operations is refused
    "LIM-05" the_largest_batch_is_refused: honest().submit(|engine, batch| match batch.ops.len() {
        20_000 => Err(too_large()),
        _ => engine.submit(batch),
    });

    /// batches may be as long as they like
    "LIM-06" batches_have_no_limit:
        taking_more(|limits| limits.max_batch_ops *= 2, |declared| declared.max_batch_ops = 20_000);

    /// targets do not count as operations
    "LIM-07" targets_do_not_count: {
        let more = |limits: &mut MemoryOptions| limits.max_batch_ops *= 2;
        taking_more(more, |declared| declared.max_batch_ops = 20_000).submit(|engine, batch| {
            if batch.ops.len() > 20_000 { Err(too_large()) } else { engine.submit(batch) }
        })
    };

    /// the bytes of a batch are not counted
    "LIM-08" the_bytes_of_a_batch_have_no_limit:
        taking_more(|limits| limits.max_batch_bytes *= 2, |declared| declared.max_batch_bytes = 12 << 20);

    /// what is declared to survive power loss is in memory, and says so when it is asked
    "LIM-09" a_level_is_declared_and_not_reached: Behaviour {
        declared: |declared| declared.max_durability = Durability::Disk,
        ..honest()
            .batches(|_, batch| batch.durability = Durability::Memory)
            .opens(|_, open| open.durability = Durability::Memory)
    };

    /// an open takes any durability, and a batch does not
    "LIM-10" an_open_takes_any_durability: honest().opens(|_, open| open.durability = Durability::Memory);

    /// there may be as many retained messages as there are
    "LIM-11" retained_messages_have_no_limit: taking_more(
        |limits| limits.max_retained_messages *= 2,
        |declared| declared.max_retained_messages = Some(8_000),
    );

    /// a store that is full refuses what replaces
    "LIM-11" a_full_store_replaces_nothing: honest().submit(|engine, batch| {
        let retains = batch.ops.iter().any(|op| matches!(op, Op::Retain(_)));
        match batch.ops.len() == 1 && retains && engine.kept().len() >= 8_000 {
            true => Err(StoreError::not_applied(ErrorKind::Full, "the store is full")),
            false => engine.submit(batch),
        }
    });

    /// a store that is full refuses what settles: it can never be drained
    "LIM-11" a_full_store_settles_nothing: honest().submit(|engine, batch: Batch| {
        let settles = batch.ops.iter().any(|op| matches!(op, Op::Settle(_)));
        match settles && engine.kept().len() >= 8_000 {
            true => Err(StoreError::not_applied(ErrorKind::Full, "the store is full")),
            false => engine.submit(batch),
        }
    });
}
