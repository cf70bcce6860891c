//! What a backend gives the kit: places to put a store in, and how one is opened.

use std::future::Future;

use opifex_storage::{Persistence, Result};

/// Makes the stores that the cases run on.
///
/// Where the backend's limits are options, choose modest ones: cases go up to the declared limits and one beyond.
/// They ask for batches of at least 256 operations, messages of at least 2 MiB, and at least 101,000 retained messages.
pub trait Factory: Send + Sync + 'static {
    /// The backend.
    type Store: Persistence;

    /// Where one store lies: a directory, a database, a name. It is a guard: dropping it destroys what lies there.
    type Place: Send + Sync;

    /// Makes an empty place that no other case knows. It panics with a message that says what was tried.
    fn place(&self) -> Self::Place;

    /// Opens the store of a place. The kit opens a place again after it closed and dropped the store that it had.
    fn open(&self, place: &Self::Place) -> impl Future<Output = Result<Self::Store>> + Send;

    /// Waits for a case. A backend that needs a runtime around its futures brings it here.
    fn block_on<T>(&self, case: impl Future<Output = T>) -> T {
        crate::block_on(case)
    }
}
