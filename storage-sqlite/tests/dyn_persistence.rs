//! The contract's cases on a SQLite store that is known as `DynPersistence` alone. By name only (`--test dyn_persistence`): the
//! memory store's do the same on every run.

use opifex_conformance::{over_dyn, persistence_suite};

#[path = "conformance/factory.rs"]
mod factory;

use factory::sqlite;

persistence_suite!(over_dyn(sqlite()));
