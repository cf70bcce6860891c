//! Broken stores: right until something fails, and then one of two: not where they were, or not as they say.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use opifex_storage::{ErrorKind, Op, StoreError};

use crate::broken::{Behaviour, honest};
use crate::mutant::{Found, judge, mutants};

mutants! {
    /// what was unretained last is retained again when the store is opened again
    "FAU-01" what_was_unretained_comes_back: {
        let unretained = Arc::new(Mutex::new(None));
        let also = Arc::clone(&unretained);
        honest()
            .batches(move |engine, batch| {
                for op in &batch.ops {
                    let Op::Unretain(topic) = op else { continue };
                    if let Some(kept) = engine.kept_on(topic) {
                        *unretained.lock().expect("nobody panics with it") = Some((batch.now, kept.message));
                    }
                }
            })
            .reopen(move |engine| {
                if let Some((at, message)) = also.lock().expect("nobody panics with it").take() {
                    engine.administer(at, [Op::Retain(message)]);
                }
            })
    };

    /// of the batch that was written last, what it retains is not there when the store is opened again
    "FAU-03" half_of_the_last_batch_is_lost: {
        let last = Arc::new(Mutex::new(None));
        let also = Arc::clone(&last);
        honest()
            .outcomes(move |_, batch, _| *last.lock().expect("nobody panics with it") = Some(batch.clone()))
            .reopen(move |engine| {
                let Some(batch) = also.lock().expect("nobody panics with it").take() else { return };
                for op in batch.ops.iter().filter(|_| batch.ops.len() > 1) {
                    if let Op::Retain(message) = op {
                        engine.administer(batch.now, [Op::Unretain(message.topic.clone())]);
                    }
                }
            })
    };

    /// each fifth batch is applied, and answered as if it had not been
    "FAU-05" what_was_applied_is_said_to_be_refused: {
        let count = AtomicUsize::new(0);
        honest().submit(move |engine, batch| {
            let outcomes = engine.submit(batch)?;
            match count.fetch_add(1, Ordering::Relaxed) % 5 {
                4 => Err(StoreError::not_applied(ErrorKind::Retry, "the engine is busy")),
                _ => Ok(outcomes),
            }
        })
    };
}

/// A store whose engine is busy now and then, and which says so.
fn busy() -> Behaviour {
    let count = AtomicUsize::new(0);
    honest().submit(move |engine, batch| match count.fetch_add(1, Ordering::Relaxed) % 5 {
        4 => Err(StoreError::not_applied(ErrorKind::Retry, "the engine is busy")),
        _ => engine.submit(batch),
    })
}

#[test]
fn a_store_that_fails_and_says_so_ends_where_the_model_does() {
    assert_eq!(judge(busy, "FAU-05"), Found::Passed);
}
