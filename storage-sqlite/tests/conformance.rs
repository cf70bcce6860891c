//! The contract's cases on the SQLite store.

use opifex_conformance::persistence_suite;

#[path = "conformance/factory.rs"]
mod factory;

use factory::Sqlite;

persistence_suite!(Sqlite);
