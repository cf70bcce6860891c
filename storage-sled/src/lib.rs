//! A backend on sled: pure Rust, no C compiler, one directory.
//!
//! It survives the death of the process (`Process`), and claims no more: on Linux sled's `flush` is `sync_file_range`,
//! which does not make the disk write its cache, so that a power cut can lose what was flushed. Who needs `Disk` takes
//! another backend.
//!
//! The contract's rules, the records and the group commit are `opifex_storage`'s ([`opifex_storage::KvPersistence`]);
//! here is the engine alone. Values of some 100 KB and more are files of their own below `blobs/`, which is sled's way.

mod engine;
mod store;

pub use store::{SledOptions, SledStore};
