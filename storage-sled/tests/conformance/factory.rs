//! Makes sled stores for the kit.

use std::path::Path;

use opifex_conformance::{Directory, Factory, Tier};
use opifex_storage::Result;
use opifex_storage_sled::{SledOptions, SledStore};

pub(crate) struct Sled;

impl Factory for Sled {
    type Store = SledStore;
    type Place = Directory;

    fn place(&self) -> Directory {
        Directory::new()
    }

    async fn open(&self, place: &Directory) -> Result<SledStore> {
        let options = SledOptions {
            max_message_bytes: 3 << 20,
            max_batch_ops: 20_000,
            max_batch_bytes: 12 << 20,
            max_retained_messages: Some(Tier::of(8_000, 101_000)),
            cache_bytes: 16 << 20,
            reserve_bytes: 0,
        };
        SledStore::open_with(place.path().join("store"), options)
    }

    fn directory<'a>(&self, place: &'a Directory) -> Option<&'a Path> {
        Some(place.path())
    }

    fn adopt(&self, directory: &Path) -> Option<Directory> {
        Some(Directory::adopt(directory))
    }
}
