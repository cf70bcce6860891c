//! Makes SQLite stores for the kit.

use opifex_conformance::{InDirectory, Tier, in_directory};
use opifex_storage_sqlite::{SqliteOptions, SqliteStore};

pub(crate) fn sqlite() -> InDirectory<SqliteStore> {
    in_directory("Sqlite", |directory| {
        SqliteStore::open(SqliteOptions {
            max_message_bytes: 3 << 20,
            max_batch_ops: 20_000,
            max_batch_bytes: 12 << 20,
            max_retained_messages: Some(Tier::of(8_000, 101_000)),
            // Small, since it is in each of many directories.
            reserve_bytes: 1 << 16,
            ..SqliteOptions::new(directory)
        })
    })
}
