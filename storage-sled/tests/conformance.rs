//! The contract's cases on sled.

use opifex_conformance::{Factory, persistence_suite};
use opifex_storage::Result;
use opifex_storage_sled::{SledOptions, SledStore};
use tempfile::TempDir;

struct Sled;

impl Factory for Sled {
    type Store = SledStore;
    type Place = TempDir;

    fn place(&self) -> TempDir {
        TempDir::new().expect("a directory for a test can be made")
    }

    async fn open(&self, place: &TempDir) -> Result<SledStore> {
        let options = SledOptions {
            max_message_bytes: 3 << 20,
            max_batch_ops: 20_000,
            max_batch_bytes: 12 << 20,
            cache_bytes: 16 << 20,
            reserve_bytes: 0,
        };
        SledStore::open_with(place.path().join("store"), options)
    }
}

persistence_suite!(Sled);
