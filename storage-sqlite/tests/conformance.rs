//! The contract's cases on the SQLite store.

use opifex_conformance::{Factory, persistence_suite};
use opifex_storage::Result;
use opifex_storage_sqlite::{SqliteOptions, SqliteStore};
use tempfile::TempDir;

struct Sqlite;

impl Factory for Sqlite {
    type Store = SqliteStore;
    type Place = TempDir;

    fn place(&self) -> TempDir {
        tempfile::tempdir().expect("the directory for temporary files takes another one")
    }

    async fn open(&self, place: &TempDir) -> Result<SqliteStore> {
        SqliteStore::open(SqliteOptions {
            max_message_bytes: 3 << 20,
            max_batch_ops: 20_000,
            max_batch_bytes: 12 << 20,
            ..SqliteOptions::new(place.path())
        })
    }
}

persistence_suite!(Sqlite);
