//! The kit that proves a storage backend: the cases of the contract, and a macro that makes one test of each.
//!
//! # Prove a backend
//!
//! Somebody who has written an [`opifex_storage::Persistence`] outside this repository adds this crate to the
//! `[dev-dependencies]` and one file, `tests/conformance.rs`. It says where a store lies and how it is opened:
//!
//! ```
//! # mod my_backend {
//! #     pub use opifex_storage_memory::MemoryStore as MyStore;
//! #     pub fn open(_: &std::path::Path) -> opifex_storage::Result<MyStore> { Ok(MyStore::new()) }
//! # }
//! use opifex_conformance::{in_directory, persistence_suite};
//!
//! // A new directory for each test, removed when it is over.
//! persistence_suite!(in_directory("Mine", |directory| my_backend::open(directory)));
//! # opifex_conformance::run_by_id(in_directory("Mine", |directory| my_backend::open(directory)), "SES-01");
//! ```
//!
//! A store that lies elsewhere (a database, a name), that is opened by awaiting, or that needs a runtime has a factory of
//! its own, some 25 lines:
//!
//! ```
//! # mod my_backend {
//! #     pub use opifex_storage_memory::MemoryStore as MyStore;
//! #     pub async fn open(_: &std::path::Path) -> opifex_storage::Result<MyStore> { Ok(MyStore::new()) }
//! # }
//! use std::path::Path;
//!
//! use opifex_conformance::{Directory, Factory, persistence_suite};
//! use opifex_storage::Result;
//!
//! struct Mine;
//!
//! impl Factory for Mine {
//!     type Store = my_backend::MyStore;
//!     type Place = Directory; // removed when the case is over
//!
//!     fn place(&self) -> Directory {
//!         Directory::new()
//!     }
//!
//!     async fn open(&self, place: &Directory) -> Result<my_backend::MyStore> {
//!         my_backend::open(place.path()).await
//!     }
//!
//!     // These two let the crash and power-loss suites look at the files from outside.
//!     fn directory<'a>(&self, place: &'a Directory) -> Option<&'a Path> {
//!         Some(place.path())
//!     }
//!
//!     fn adopt(&self, directory: &Path) -> Option<Directory> {
//!         Some(Directory::adopt(directory))
//!     }
//! }
//!
//! persistence_suite!(Mine);
//! # opifex_conformance::run_by_id(Mine, "SES-01");
//! ```
//!
//! Every case becomes a `#[test]` called `group::what_it_says`, with an id that stays:
//!
//! | command | what it does |
//! | --- | --- |
//! | `cargo test --test conformance` | everything, in the quick tier |
//! | `cargo test --test conformance queue::` | one group |
//! | `OPIFEX_CONFORMANCE_TIER=long cargo test --release --test conformance` | the same cases with all that there is: a million messages, more histories, more crashes |
//! | `OPIFEX_CONFORMANCE_REPORT=/tmp/report cargo test --test conformance` | writes `/tmp/report/mine.json` and `mine.md` as well. A relative folder begins at the crate |
//! | `OPIFEX_CONFORMANCE_SEED=7 cargo test --test conformance model::` | one history at random, or the moments of one run of kills, once more, as a failure names them |
//! | `OPIFEX_CONFORMANCE_SHRINK=600 cargo test --test conformance model::` | makes a history that disagrees shorter for up to ten minutes; one without, with 0 not at all |
//!
//! # What a verdict means
//!
//! A case holds for every backend. What a backend declares in its [`opifex_storage::Capabilities`] is tested; what it
//! does not declare is tested to be refused; nothing is skipped. So a report knows five [`Verdict`]s:
//!
//! - *passed* and *failed*;
//! - *refused as declared*: the backend does not claim what the case is about, and refuses it as it has to;
//! - *claimed, not verified*: it claims something that could not be checked on this machine. The test is green, so look
//!   for these in the report;
//! - *waived*: the factory lets the backend off ([`Factory::waivers`]), and says why.
//!
//! A failed case says what it saw. Its body, in `src/contract/GROUP.rs` of this crate, is a dozen lines that read as the
//! conversation that went wrong. [`run_by_id`] runs one case from a debugger or a test of your own.
//!
//! There is no backend and no broker in the `[dependencies]`, and no runtime: a case is a plain async function over a
//! [`Subject`], and waits on [`block_on()`] unless the factory brings a runtime ([`Factory::block_on`]). What goes through
//! [`opifex_storage::DynPersistence`] is proved the same: [`over_dyn`].
//!
//! Cargo features: `suite` (default) is all of that; without it the crate has [`Factory`], [`Subject`] and [`script`] alone.
//! `bench` adds benchmarks over the same factories, with criterion: the module `bench`. `statements` adds something else:
//! the runner of MQTT's normative statements against any broker, in the module `statements`.
//!
//! Reading order: [`Factory`], [`Subject`], [`script`] (the words that cases are written in), then [`contract`].
//! [`faults`] stands apart: stores that fail on command, for the tests of whoever calls a store. So do [`small_disk`] and
//! [`Backlog`], for tests of what a backend does without room.

mod backlog;
#[cfg(feature = "bench")]
pub mod bench;
mod block_on;
mod chance;
mod directory;
mod dynamic;
mod factory;
mod in_directory;
pub mod power;
pub mod script;
pub mod small_disk;
#[cfg(feature = "statements")]
pub mod statements;
mod subject;
mod tier;
mod verdict;

#[cfg(feature = "suite")]
pub mod contract;
#[cfg(feature = "suite")]
mod crash;
pub mod faults;
#[cfg(feature = "suite")]
mod model;
#[cfg(feature = "suite")]
mod report;
#[cfg(feature = "suite")]
mod suite;
mod waiver;

pub use backlog::Backlog;
pub use block_on::block_on;
pub use chance::Chance;
pub use directory::Directory;
pub use dynamic::{Dynamic, over_dyn};
pub use factory::Factory;
pub use in_directory::{InDirectory, in_directory};
pub use subject::Subject;
#[cfg(feature = "suite")]
pub use suite::{Case, cases, judge, judge_by_id, run, run_by_id};
pub use tier::{Tier, tier};
pub use verdict::{Judgement, Verdict};
pub use waiver::Waiver;
