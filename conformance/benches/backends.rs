//! The built-in backends, compared: `cargo bench -p opifex-conformance`. As they ship: the factories of their suites, which
//! look like these, have small limits, reserves and caches.

use opifex_conformance::{in_directory, persistence_bench};
use opifex_storage_sled::SledStore;
use opifex_storage_sqlite::{SqliteOptions, SqliteStore};

#[path = "../tests/memory/factory.rs"]
mod memory;

persistence_bench!(
    memory::Memory::default(),
    in_directory("Sqlite", |directory| SqliteStore::open(SqliteOptions::new(directory))),
    in_directory("Sled", |directory| SledStore::open(directory.join("store"))),
);
