//! Makes memory stores for the kit.

use opifex_conformance::{Factory, Tier};
use opifex_storage::Result;
use opifex_storage_memory::{MemoryOptions, MemoryStore};

pub(crate) struct Memory;

impl Factory for Memory {
    type Store = MemoryStore;
    /// What the store of the place holds, whether somebody has it open or not.
    type Place = MemoryStore;

    fn place(&self) -> MemoryStore {
        MemoryStore::with_options(MemoryOptions {
            max_message_bytes: 3 << 20,
            max_batch_ops: 20_000,
            max_batch_bytes: 12 << 20,
            max_retained_messages: Tier::of(8_000, 101_000),
        })
    }

    async fn open(&self, place: &MemoryStore) -> Result<MemoryStore> {
        Ok(place.reopen())
    }
}
