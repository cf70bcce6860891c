//! Makes redb stores for the kit: its tests, and its benchmarks.

use custom_backend::{Redb, open_with};
use opifex_conformance::{InDirectory, in_directory};
use opifex_storage::{KvCapabilities, KvPersistence};

pub(crate) fn over_redb() -> InDirectory<KvPersistence<Redb>> {
    in_directory("redb", |directory| {
        // Cases go up to the limits and one beyond, so that small ones are quick.
        let limits = KvCapabilities {
            max_message_bytes: 3 << 20,
            max_batch_ops: 20_000,
            max_batch_bytes: 12 << 20,
            max_retained_messages: Some(101_000),
            ..Redb::limits()
        };
        open_with(directory.join("store.redb"), limits)
    })
}
