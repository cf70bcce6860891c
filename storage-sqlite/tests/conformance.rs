//! The contract's cases on the SQLite store.

use opifex_conformance::persistence_suite;

#[path = "conformance/factory.rs"]
mod factory;

use factory::sqlite;

persistence_suite!(sqlite());
