//! The built-in backends, compared: `cargo bench -p opifex-conformance`. As they ship: the factories of their suites, which
//! look like these, have small limits, reserves and caches.

use std::path::Path;

use opifex_conformance::{Directory, Factory, persistence_bench};
use opifex_storage::Result;
use opifex_storage_memory::MemoryStore;
use opifex_storage_sled::SledStore;
use opifex_storage_sqlite::{SqliteOptions, SqliteStore};

struct Memory;

impl Factory for Memory {
    type Store = MemoryStore;
    type Place = MemoryStore;

    fn place(&self) -> MemoryStore {
        MemoryStore::new()
    }

    async fn open(&self, place: &MemoryStore) -> Result<MemoryStore> {
        Ok(place.reopen())
    }
}

struct Sqlite;

impl Factory for Sqlite {
    type Store = SqliteStore;
    type Place = Directory;

    fn place(&self) -> Directory {
        Directory::new()
    }

    async fn open(&self, place: &Directory) -> Result<SqliteStore> {
        SqliteStore::open(SqliteOptions::new(place.path()))
    }

    fn directory<'a>(&self, place: &'a Directory) -> Option<&'a Path> {
        Some(place.path())
    }

    fn adopt(&self, directory: &Path) -> Option<Directory> {
        Some(Directory::adopt(directory))
    }
}

struct Sled;

impl Factory for Sled {
    type Store = SledStore;
    type Place = Directory;

    fn place(&self) -> Directory {
        Directory::new()
    }

    async fn open(&self, place: &Directory) -> Result<SledStore> {
        SledStore::open(place.path().join("store"))
    }

    fn directory<'a>(&self, place: &'a Directory) -> Option<&'a Path> {
        Some(place.path())
    }

    fn adopt(&self, directory: &Path) -> Option<Directory> {
        Some(Directory::adopt(directory))
    }
}

persistence_bench!(Memory, Sqlite, Sled);
