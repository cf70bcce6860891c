//! Broken stores: batches that come twice. What declares that an outcome can be unknown keeps keys; the memory store
//! does not, so a store that does stands here first.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use opifex_storage::{Batch, IdempotencyKey, Outcome};

use crate::broken::{Behaviour, honest};
use crate::mutant::mutants;

/// The first outcomes of each writer's batches.
pub(crate) type Kept = Arc<Mutex<HashMap<IdempotencyKey, Vec<Outcome>>>>;

/// A store that declares that outcomes can be unknown, and keeps the first ones under what this makes of a key.
pub(crate) fn keeping(kept: &Kept, under: fn(IdempotencyKey) -> IdempotencyKey) -> Behaviour {
    let kept = Arc::clone(kept);
    let store = honest().submit(move |engine, batch: Batch| {
        let Some(key) = batch.key else { return engine.submit(batch) };
        // What its writer knows is forgotten.
        let mut kept = kept.lock().expect("nobody panics with it");
        kept.retain(|other, _| other.writer != key.writer || other.n >= key.known_below);
        let place = under(IdempotencyKey { known_below: 0, ..key });
        if let Some(first) = kept.get(&place) {
            return Ok(first.clone());
        }
        let outcomes = engine.submit(batch)?;
        kept.insert(place, outcomes.clone());
        Ok(outcomes)
    });
    Behaviour { declared: |declared| declared.unknown_outcomes = true, ..store }
}

/// A store that keeps keys and its word.
pub(crate) fn honest_with_keys() -> Behaviour {
    keeping(&Kept::default(), |key| key)
}

mutants! {
    /// unknown outcomes are declared, and no keys are kept
    "IDE-01" keys_are_declared_and_not_kept:
        Behaviour { declared: |declared| declared.unknown_outcomes = true, ..honest() };

    /// keys are kept, which is not declared
    "IDE-01" keys_are_kept_and_not_declared: Behaviour { declared: |_| {}, ..honest_with_keys() };

    /// a batch that comes again is answered as absent
    "IDE-01" a_batch_that_comes_again_finds_nothing: {
        let kept = Mutex::new(HashMap::new());
        let store = honest().submit(move |engine, batch| {
            let Some(key) = batch.key else { return engine.submit(batch) };
            let mut kept = kept.lock().expect("nobody panics with it");
            let (ops, place) = (batch.ops.len(), (key.writer, key.n));
            match kept.insert(place, ops) {
                Some(ops) => Ok(vec![Outcome::Absent; ops]),
                None => engine.submit(batch),
            }
        });
        Behaviour { declared: |declared| declared.unknown_outcomes = true, ..store }
    };

    /// all writers count as one
    "IDE-02" writers_share_their_numbers: keeping(&Kept::default(), |key| IdempotencyKey { writer: 0, ..key });

    /// of a writer's name 32 bits count
    "IDE-02" writers_have_32_bits: keeping(&Kept::default(), |key| {
        IdempotencyKey { writer: key.writer & 0xffff_ffff, ..key }
    });

    /// of a batch's number four bits count
    "IDE-03" numbers_begin_anew_after_16: {
        let kept = Kept::default();
        let store = keeping(&kept, |key| IdempotencyKey { n: key.n % 16, ..key });
        store.batches(|_, batch| {
            if let Some(key) = &mut batch.key {
                key.known_below = 0;
            }
        })
    };

    /// a batch that was refused has used its key up
    "IDE-04" a_refused_batch_uses_its_key_up: {
        let used = Arc::new(Mutex::new(HashMap::new()));
        let also = Arc::clone(&used);
        let next = honest_with_keys().refusals(move |_, batch, error| {
            used.lock().expect("nobody panics with it").insert(batch.key, error.clone());
            Err(error)
        });
        let submit = next.submit;
        Behaviour {
            submit: Box::new(move |engine, batch| {
                let first = also.lock().expect("nobody panics with it").get(&batch.key).cloned();
                first.map_or_else(|| submit(engine, batch), Err)
            }),
            ..next
        }
    };

    /// keys are kept in memory alone
    "IDE-05" reopening_forgets_keys: {
        let kept = Kept::default();
        keeping(&kept, |key| key).reopen(move |_| kept.lock().expect("nobody panics with it").clear())
    };
}

#[test]
fn a_store_that_keeps_keys_passes_what_is_said_of_keys() {
    for case in ["IDE-01", "IDE-02", "IDE-03", "IDE-04", "IDE-05", "FAU-04", "MOD-01"] {
        assert_eq!(crate::mutant::judge(honest_with_keys, case), crate::mutant::Found::Passed, "{case}");
    }
}
