//! What a backend gives the kit: places to put a store in, and how one is opened.

use std::future::Future;
use std::path::Path;

use opifex_storage::{Persistence, Result};

use crate::Waiver;
use crate::power::{Recording, Rows};

/// Makes the stores that the cases run on.
///
/// Where the backend's limits are options, choose modest ones: cases go up to the declared limits and one beyond.
/// They ask for batches of at least 256 operations, messages of at least 2 MiB, and at least 8,000 retained messages (in
/// the long tier 101,000).
pub trait Factory: Send + Sync + 'static {
    /// The backend.
    type Store: Persistence;

    /// Where one store lies: a directory ([`crate::Directory`]), a database, a name. It is a guard: dropping it destroys
    /// what lies there.
    type Place: Send + Sync;

    /// Makes an empty place that no other case knows. It panics with a message that says what was tried.
    fn place(&self) -> Self::Place;

    /// Opens the store of a place. The kit opens a place again after it closed and dropped the store that it had.
    fn open(&self, place: &Self::Place) -> impl Future<Output = Result<Self::Store>> + Send;

    /// Waits for a case. A backend that needs a runtime around its futures brings it here.
    fn block_on<T>(&self, case: impl Future<Output = T>) -> T {
        crate::block_on(case)
    }

    /// The directory that holds all of a place's state, for an engine that has one: what the suites of crashes and power
    /// loss look at from outside. An engine that claims more than [`opifex_storage::Durability::Memory`] without one is
    /// reported as claimed and not verified.
    fn directory<'a>(&self, _place: &'a Self::Place) -> Option<&'a Path> {
        None
    }

    /// A place over a directory that exists and stays when the guard goes: one that a child process has written, a disk
    /// that was rebuilt. Given together with [`Factory::directory`].
    fn adopt(&self, _directory: &Path) -> Option<Self::Place> {
        None
    }

    /// The engine of a place, for a store over a [`Recording`]: its power losses are simulated, without files.
    fn recording<'a>(&self, _place: &'a Self::Place) -> Option<&'a Recording> {
        None
    }

    /// A place whose [`Recording`] begins with these rows. Given together with [`Factory::recording`].
    fn place_with(&self, _rows: Rows) -> Option<Self::Place> {
        None
    }

    /// Holds the engine of a place that is open: until what this answers is called, nothing is written or synced there,
    /// and whoever waits for it waits. With it a case can see that only those wait. `None`: not possible.
    fn hold(&self, _place: &Self::Place) -> Option<Box<dyn FnOnce() + Send>> {
        None
    }

    /// Cases that this backend is let off, each with its reason. They do not run, and the report says so.
    fn waivers(&self) -> &'static [Waiver] {
        &[]
    }

    /// What the report calls this factory, and its files: by default the name of the type, `Sqlite`. Factories of one
    /// type that differ have to differ here.
    fn name(&self) -> String {
        let path = std::any::type_name::<Self>();
        let plain = path.split('<').next().unwrap_or(path);
        plain.rsplit("::").next().unwrap_or(plain).to_owned()
    }
}
