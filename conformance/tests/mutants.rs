//! Stores that are broken on purpose, each in a few lines over the memory store: what the kit is worth is how many of
//! them it catches, and by which case.
//!
//! Each is listed with what it breaks and with the case that is there to notice. The tests here run each against that
//! case, which must fail, while a store that is whole passes it. A case is run on a thread of its own, so that one that
//! hangs is told from one that passes.

use std::collections::BTreeSet;

#[path = "mutants/broken.rs"]
mod broken;
#[path = "mutants/engine.rs"]
mod engine;
#[path = "mutants/mutant.rs"]
mod mutant;

#[path = "crash/log_engine.rs"]
mod log_engine;
#[path = "broken_calls/stores.rs"]
mod stores;

#[path = "mutants/atomicity.rs"]
mod atomicity;
#[path = "mutants/cleanup.rs"]
mod cleanup;
#[path = "mutants/closing.rs"]
mod closing;
#[path = "mutants/concurrency.rs"]
mod concurrency;
#[path = "mutants/epochs.rs"]
mod epochs;
#[path = "mutants/expiry.rs"]
mod expiry;
#[path = "mutants/faults.rs"]
mod faults;
#[path = "mutants/fidelity.rs"]
mod fidelity;
#[path = "mutants/guards.rs"]
mod guards;
#[path = "mutants/histories.rs"]
mod histories;
#[path = "mutants/idempotency.rs"]
mod idempotency;
#[path = "mutants/inbound.rs"]
mod inbound;
#[path = "mutants/inflight.rs"]
mod inflight;
#[path = "mutants/limits.rs"]
mod limits;
#[path = "mutants/matrix.rs"]
mod matrix;
#[path = "mutants/oracles.rs"]
mod oracles;
#[path = "mutants/paging.rs"]
mod paging;
#[path = "mutants/queue.rs"]
mod queue;
#[path = "mutants/restoring.rs"]
mod restoring;
#[path = "mutants/retained.rs"]
mod retained;
#[path = "mutants/sessions.rs"]
mod sessions;
#[path = "mutants/subscriptions.rs"]
mod subscriptions;
#[path = "mutants/wills.rs"]
mod wills;

use mutant::Mutant;

/// All of them.
fn table() -> impl Iterator<Item = &'static Mutant> {
    [
        sessions::TABLE,
        epochs::TABLE,
        subscriptions::TABLE,
        queue::TABLE,
        inflight::TABLE,
        inbound::TABLE,
        retained::TABLE,
        restoring::TABLE,
        wills::TABLE,
        expiry::TABLE,
        cleanup::TABLE,
        atomicity::TABLE,
        guards::TABLE,
        idempotency::TABLE,
        paging::TABLE,
        limits::TABLE,
        fidelity::TABLE,
        closing::TABLE,
        concurrency::TABLE,
        faults::TABLE,
        histories::TABLE,
    ]
    .into_iter()
    .flatten()
}

#[test]
fn no_two_mutants_have_one_name() {
    let names: BTreeSet<_> = table().map(|mutant| mutant.name).collect();
    assert_eq!(names.len(), table().count());
}
