//! The kit that proves a storage backend: the cases of the contract, and a macro that makes one test of each.
//!
//! A backend implements [`Factory`] in a test file of its own and writes
//! `opifex_conformance::persistence_suite!(MyFactory);`. Every case becomes a `#[test]` that is called
//! `group::what_it_says`, so that `cargo test queue::` runs one group.
//!
//! A case holds for every backend. What a backend declares in its [`opifex_storage::Capabilities`] is tested; what it
//! does not declare is tested to be refused; nothing is skipped. There is no backend, no broker and no runtime here:
//! a case is a plain async function over a [`Subject`], and waits on [`block_on()`] unless the factory brings a runtime.
//!
//! Reading order: [`Factory`], [`Subject`], [`script`] (the words that cases are written in), then [`contract`].
//! [`faults`] stands apart: stores that fail on command, for the tests of whoever calls a store.

mod block_on;
mod chance;
mod directory;
mod factory;
pub mod power;
pub mod script;
mod subject;
mod tier;
mod verdict;

#[cfg(feature = "suite")]
pub mod contract;
pub mod faults;
#[cfg(feature = "suite")]
mod report;
#[cfg(feature = "suite")]
mod suite;
mod waiver;

pub use block_on::block_on;
pub use chance::Chance;
pub use directory::Directory;
pub use factory::Factory;
pub use subject::Subject;
#[cfg(feature = "suite")]
pub use suite::{Case, cases, judge, judge_by_id, run, run_by_id};
pub use tier::{Tier, tier};
pub use verdict::{Judgement, Verdict};
pub use waiver::Waiver;
