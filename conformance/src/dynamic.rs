//! Any factory's stores behind `DynPersistence`: the same suite over the boxed twin of the contract.

use std::future::Future;
use std::path::Path;
use std::sync::Arc;

use opifex_storage::{DynPersistence, Result};

use crate::power::{Recording, Rows};
use crate::{Factory, Waiver};

/// A factory whose stores are known as [`DynPersistence`] alone, and shared in an `Arc`.
///
/// `persistence_suite!(over_dyn(Sqlite))` runs every case of `persistence_suite!(Sqlite)` once more.
#[derive(Clone, Debug)]
pub struct Dynamic<F>(F);

/// Has the stores of a factory go through [`DynPersistence`].
pub fn over_dyn<F: Factory>(factory: F) -> Dynamic<F> {
    Dynamic(factory)
}

impl<F: Factory> Factory for Dynamic<F> {
    type Store = DynPersistence;
    type Place = F::Place;

    fn place(&self) -> F::Place {
        self.0.place()
    }

    async fn open(&self, place: &F::Place) -> Result<DynPersistence> {
        Ok(DynPersistence::new(Arc::new(self.0.open(place).await?)))
    }

    fn block_on<T>(&self, case: impl Future<Output = T>) -> T {
        self.0.block_on(case)
    }

    fn directory<'a>(&self, place: &'a F::Place) -> Option<&'a Path> {
        self.0.directory(place)
    }

    fn adopt(&self, directory: &Path) -> Option<F::Place> {
        self.0.adopt(directory)
    }

    fn hold(&self, place: &F::Place) -> Option<Box<dyn FnOnce() + Send>> {
        self.0.hold(place)
    }

    fn recording<'a>(&self, place: &'a F::Place) -> Option<&'a Recording> {
        self.0.recording(place)
    }

    fn place_with(&self, rows: Rows) -> Option<F::Place> {
        self.0.place_with(rows)
    }

    fn waivers(&self) -> &'static [Waiver] {
        self.0.waivers()
    }

    fn name(&self) -> String {
        format!("dyn {}", self.0.name())
    }
}
