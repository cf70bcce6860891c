//! Makes redb stores for the kit: its tests, and its benchmarks.

use std::path::Path;

use custom_backend::{Redb, open_with};
use opifex_conformance::{Directory, Factory};
use opifex_storage::{KvCapabilities, KvPersistence, Result};

pub(crate) struct OverRedb;

impl Factory for OverRedb {
    type Store = KvPersistence<Redb>;
    type Place = Directory;

    fn place(&self) -> Directory {
        Directory::new()
    }

    async fn open(&self, place: &Directory) -> Result<KvPersistence<Redb>> {
        let limits = KvCapabilities {
            max_message_bytes: 3 << 20,
            max_batch_ops: 20_000,
            max_batch_bytes: 12 << 20,
            max_retained_messages: Some(101_000),
            ..Redb::limits()
        };
        open_with(place.path().join("store.redb"), limits)
    }

    fn directory<'a>(&self, place: &'a Directory) -> Option<&'a Path> {
        Some(place.path())
    }

    fn adopt(&self, directory: &Path) -> Option<Directory> {
        Some(Directory::adopt(directory))
    }
}
