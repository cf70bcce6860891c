//! Makes SQLite stores for the kit.

use std::path::Path;

use opifex_conformance::{Directory, Factory, Tier};
use opifex_storage::Result;
use opifex_storage_sqlite::{SqliteOptions, SqliteStore};

pub(crate) struct Sqlite;

impl Factory for Sqlite {
    type Store = SqliteStore;
    type Place = Directory;

    fn place(&self) -> Directory {
        Directory::new()
    }

    async fn open(&self, place: &Directory) -> Result<SqliteStore> {
        SqliteStore::open(SqliteOptions {
            max_message_bytes: 3 << 20,
            max_batch_ops: 20_000,
            max_batch_bytes: 12 << 20,
            max_retained_messages: Some(Tier::of(8_000, 101_000)),
            // Small, since it is in each of many directories.
            reserve_bytes: 1 << 16,
            ..SqliteOptions::new(place.path())
        })
    }

    fn directory<'a>(&self, place: &'a Directory) -> Option<&'a Path> {
        Some(place.path())
    }

    fn adopt(&self, directory: &Path) -> Option<Directory> {
        Some(Directory::adopt(directory))
    }
}
