//! Makes sled stores for the kit.

use opifex_conformance::{InDirectory, Tier, in_directory};
use opifex_storage_sled::{SledOptions, SledStore};

pub(crate) fn sled() -> InDirectory<SledStore> {
    in_directory("Sled", |directory| {
        let options = SledOptions {
            max_message_bytes: 3 << 20,
            max_batch_ops: 20_000,
            max_batch_bytes: 12 << 20,
            max_retained_messages: Some(Tier::of(8_000, 101_000)),
            cache_bytes: 16 << 20,
            reserve_bytes: 0,
        };
        SledStore::open_with(directory.join("store"), options)
    })
}
