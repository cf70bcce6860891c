//! The contract's cases on the guest engine.

use opifex_conformance::{Factory, persistence_suite};
use opifex_example_storage_redb::{Redb, open_with};
use opifex_storage::{KvCapabilities, KvPersistence, Result};
use tempfile::TempDir;

struct OverRedb;

impl Factory for OverRedb {
    type Store = KvPersistence<Redb>;
    type Place = TempDir;

    fn place(&self) -> TempDir {
        TempDir::new().expect("a directory for a test can be made")
    }

    async fn open(&self, place: &TempDir) -> Result<KvPersistence<Redb>> {
        let limits = KvCapabilities {
            max_message_bytes: 3 << 20,
            max_batch_ops: 20_000,
            max_batch_bytes: 12 << 20,
            max_retained_messages: Some(101_000),
            ..Redb::limits()
        };
        open_with(place.path().join("store.redb"), limits)
    }
}

persistence_suite!(OverRedb);
