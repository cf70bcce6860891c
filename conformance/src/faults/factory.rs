//! The stores of any factory, wrapped so that they fail on command.

use std::future::Future;
use std::path::Path;
use std::sync::Arc;

use opifex_storage::Result;

use super::{Fault, Faults, Faulty, Intercepted};
use crate::Factory;

/// Makes the stores of another factory, each [`Faulty`]; all of them share their faults, so that a store which is opened
/// again goes on to fail.
pub(crate) struct FaultyStores<F> {
    inner: Arc<F>,
    faults: Faults,
}

impl<F: Factory> FaultyStores<F> {
    pub(crate) fn of(inner: Arc<F>, faults: impl IntoIterator<Item = Fault>) -> FaultyStores<F> {
        let shared = Faults::default();
        shared.set(faults);
        FaultyStores { inner, faults: shared }
    }

    /// Fails no more; answers how often it has.
    pub(crate) fn mend(&self) -> usize {
        self.faults.set([])
    }
}

impl<F: Factory> Factory for FaultyStores<F> {
    type Store = Faulty<F::Store>;
    type Place = F::Place;

    fn place(&self) -> F::Place {
        self.inner.place()
    }

    async fn open(&self, place: &F::Place) -> Result<Faulty<F::Store>> {
        Ok(Intercepted::new(self.inner.open(place).await?, self.faults.clone()))
    }

    fn block_on<T>(&self, case: impl Future<Output = T>) -> T {
        self.inner.block_on(case)
    }

    fn directory<'a>(&self, place: &'a F::Place) -> Option<&'a Path> {
        self.inner.directory(place)
    }

    fn hold(&self, place: &F::Place) -> Option<Box<dyn FnOnce() + Send>> {
        self.inner.hold(place)
    }

    fn name(&self) -> String {
        self.inner.name()
    }
}
