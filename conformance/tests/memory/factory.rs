//! Memory stores for what is tested of the kit itself: with a name, limits and waivers as a test wants them.

use opifex_conformance::{Factory, Waiver};
use opifex_storage::Result;
use opifex_storage_memory::{MemoryOptions, MemoryStore};

#[derive(Clone, Debug)]
pub(crate) struct Memory {
    pub(crate) name: &'static str,
    pub(crate) options: MemoryOptions,
    pub(crate) waivers: &'static [Waiver],
}

impl Default for Memory {
    fn default() -> Memory {
        Memory { name: "Memory", options: MemoryOptions::default(), waivers: &[] }
    }
}

impl Factory for Memory {
    type Store = MemoryStore;
    /// What the store of the place holds, whether somebody has it open or not.
    type Place = MemoryStore;

    fn place(&self) -> MemoryStore {
        MemoryStore::with_options(self.options.clone())
    }

    async fn open(&self, place: &MemoryStore) -> Result<MemoryStore> {
        Ok(place.reopen())
    }

    fn waivers(&self) -> &'static [Waiver] {
        self.waivers
    }

    fn name(&self) -> String {
        self.name.to_owned()
    }
}
