//! The contract's cases on a store that is known as `DynPersistence` alone, and shared in an `Arc`.

use std::sync::Arc;

use opifex_conformance::{Factory, persistence_suite};
use opifex_storage::{DynPersistence, Result};
use opifex_storage_memory::{MemoryOptions, MemoryStore};

struct Boxed;

impl Factory for Boxed {
    type Store = DynPersistence;
    /// What the store of the place holds, whether somebody has it open or not.
    type Place = MemoryStore;

    fn place(&self) -> MemoryStore {
        MemoryStore::with_options(MemoryOptions {
            max_message_bytes: 3 << 20,
            max_batch_ops: 20_000,
            max_batch_bytes: 12 << 20,
            max_retained_messages: 101_000,
        })
    }

    async fn open(&self, place: &MemoryStore) -> Result<DynPersistence> {
        Ok(DynPersistence::new(Arc::new(place.reopen())))
    }
}

persistence_suite!(Boxed);
