//! Benchmarks that are the same for every backend: what each call costs, at a level of durability that all compared offer,
//! and what a store makes of its disk. They judge nothing; what is right is the suite's.
//!
//! A file `benches/backends.rs` (in `Cargo.toml`: `[[bench]]`, `name = "backends"`, `harness = false`) with the factories that
//! the suite runs on:
//!
//! ```
//! # use opifex_conformance::Factory;
//! # use opifex_storage_memory::MemoryStore;
//! # struct Mine;
//! # impl Factory for Mine {
//! #     type Store = MemoryStore;
//! #     type Place = MemoryStore;
//! #     fn place(&self) -> MemoryStore { MemoryStore::new() }
//! #     async fn open(&self, place: &MemoryStore) -> opifex_storage::Result<MemoryStore> { Ok(place.reopen()) }
//! # }
//! # mod hidden {
//! # use super::Mine;
//! opifex_conformance::persistence_bench!(Mine); // or several: one run compares them
//! # }
//! # fn main() {}
//! ```
//!
//! `cargo bench` runs everything; `cargo bench -- 'group commit'` what has these words in its name. Criterion leaves its pages
//! in `target/criterion/report/index.html`, and the derived figures stand beside them in `derived.md`.
//!
//! A group of what is written has its level in its name, `submit, process`. For each level that some backend has as its
//! highest there is one, with all backends that offer it; so a time of `disk` is never compared with one of `memory`. A store
//! that offers more than it was asked for may still do more: then that is what it costs.

mod contender;
mod derived;
mod work;

use std::time::Duration;

use criterion::{Criterion, Throughput};
use opifex_storage::Durability;

use crate::Factory;
use contender::{Contender, Of};
use work::Work;

/// Makes the whole program of a benchmark, for one factory or several to compare. See [`crate::bench`].
#[macro_export]
macro_rules! persistence_bench {
    ($($factory:expr),+ $(,)?) => {
        fn main() {
            let mut bench = $crate::bench::Bench::default();
            $(bench.add($factory);)+
            bench.run();
        }
    };
}

/// The backends of one run.
#[derive(Default)]
pub struct Bench {
    contenders: Vec<Box<dyn Contender>>,
}

impl Bench {
    /// One more backend.
    ///
    /// # Panics
    ///
    /// When there is one of this name, or its store cannot be opened.
    pub fn add<F: Factory>(&mut self, factory: F) {
        let new = Of::new(factory);
        let is_there = self.contenders.iter().any(|contender| contender.name() == new.name());
        assert!(!is_there, "two factories are called {}; let Factory::name tell them apart", new.name());
        self.contenders.push(Box::new(new));
    }

    /// Measures all of them, as the program's arguments say.
    pub fn run(self) {
        if derived::obey(&self.contenders) {
            return;
        }
        let mut criterion = Criterion::default()
            .sample_size(10)
            .warm_up_time(Duration::from_millis(200))
            .measurement_time(Duration::from_millis(800))
            .nresamples(10_000)
            .configure_from_args();
        let levels = levels(&self.contenders);
        for (title, works) in Work::groups() {
            match works.iter().any(Work::writes) {
                true => levels.iter().for_each(|level| {
                    self.compare(&mut criterion, &format!("{title}, {level}"), &works, *level);
                }),
                false => self.compare(&mut criterion, title, &works, Durability::Memory),
            }
        }
        criterion.final_summary();
        // Criterion was asked to list or to try its benchmarks, or for some of them.
        if std::env::args().skip(1).all(|argument| argument == "--bench") {
            derived::write(&self.contenders, &levels);
        }
    }

    fn compare(&self, criterion: &mut Criterion, title: &str, works: &[Work], level: Durability) {
        let mut group = criterion.benchmark_group(title);
        for contender in self.contenders.iter().filter(|contender| contender.offers() >= level) {
            for work in works {
                group.throughput(Throughput::Elements(work.elements()));
                contender.measure(&mut group, *work, level);
            }
        }
        group.finish();
    }
}

/// The levels that some contender has as its highest, ascending.
fn levels(contenders: &[Box<dyn Contender>]) -> Vec<Durability> {
    let mut levels: Vec<_> = contenders.iter().map(|contender| contender.offers()).collect();
    levels.sort();
    levels.dedup();
    levels
}
