//! A backend in a run of benchmarks, whatever its type. What is done with it is not here, but in `work`.

use std::sync::Arc;
use std::time::Duration;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId};
use opifex_storage::{Durability, Persistence};

use super::derived::{Child, Told};
use super::work::{State, Work};
use crate::{Directory, Factory, Subject};

/// A backend that is measured.
pub(super) trait Contender {
    /// What the report calls it.
    fn name(&self) -> &str;

    /// Its highest level.
    fn offers(&self) -> Durability;

    /// Measures one piece of work, at this level.
    fn measure(&self, group: &mut BenchmarkGroup<'_, WallTime>, work: Work, level: Durability);

    /// Whether its files can be looked at from outside.
    fn has_files(&self) -> bool;

    /// Does what the derived figures are about, in the process that is watched.
    fn obey(&self, child: &Child) -> Told;
}

/// The backend of a factory.
pub(super) struct Of<F> {
    factory: Arc<F>,
    name: String,
    offers: Durability,
}

impl<F: Factory> Of<F> {
    /// Opens a store once, to ask what it offers.
    pub(super) fn new(factory: F) -> Of<F> {
        let factory = Arc::new(factory);
        let subject = factory.block_on(Subject::new(Arc::clone(&factory)));
        let offers = subject.capabilities().max_durability;
        Of { name: factory.name(), offers, factory }
    }
}

impl<F: Factory> Contender for Of<F> {
    fn name(&self) -> &str {
        &self.name
    }

    fn offers(&self) -> Durability {
        self.offers
    }

    fn measure(&self, group: &mut BenchmarkGroup<'_, WallTime>, work: Work, level: Durability) {
        let factory = &self.factory;
        // Made when it is needed: a benchmark that was not asked for is never run.
        let mut ready: Option<(Subject<F>, State)> = None;
        group.bench_function(BenchmarkId::new(&self.name, work), |bencher| {
            let (subject, state) = ready.get_or_insert_with(|| {
                factory.block_on(async {
                    let subject = Subject::new(Arc::clone(factory)).await;
                    let state = work.prepare(&subject, level).await;
                    (subject, state)
                })
            });
            bencher.iter_custom(|times| {
                factory.block_on(async {
                    let mut spent = Duration::ZERO;
                    for _ in 0..times {
                        spent += work.once(subject, state, level).await;
                    }
                    spent
                })
            });
        });
        if let Some((subject, _)) = ready {
            factory.block_on(subject.store().close()).expect("an open store can be closed");
        }
    }

    fn has_files(&self) -> bool {
        let place = self.factory.adopt(Directory::new().path());
        place.is_some_and(|place| self.factory.directory(&place).is_some())
    }

    fn obey(&self, child: &Child) -> Told {
        self.factory.block_on(child.work(&*self.factory))
    }
}
