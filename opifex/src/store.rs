//! The store that the configuration names, opened. Only here stand the backends' names beside their types.

use std::future::Future;

use opifex_storage::{Durability, Persistence};
use tokio::runtime::Runtime;

use crate::config::{Backend, StorageConfig};
use crate::failure::Failure;

/// What is done with a store, whichever it is.
pub(crate) trait StoreTask {
    /// Does it.
    fn run<P: Persistence>(self, store: P) -> impl Future<Output = Result<(), Failure>>;
}

/// Opens the store of the configuration and does something with it.
#[cfg_attr(
    not(feature = "memory"),
    expect(unused_variables, reason = "the limit of retained messages is the memory backend's")
)]
pub(crate) fn with_store(
    config: &StorageConfig,
    max_retained_messages: usize,
    runtime: &Runtime,
    task: impl StoreTask,
) -> Result<(), Failure> {
    match config.backend {
        #[cfg(feature = "sqlite")]
        Backend::Sqlite => {
            let mut options = opifex_storage_sqlite::SqliteOptions::new(&config.data_dir);
            // Below what the engine offers, its lowest does.
            options.durability = config.durability().max(Durability::Process);
            let store = opifex_storage_sqlite::SqliteStore::open(options).map_err(Failure::runtime)?;
            runtime.block_on(task.run(store))
        }
        #[cfg(feature = "sled")]
        Backend::Sled => {
            let store = opifex_storage_sled::SledStore::open(&config.data_dir).map_err(Failure::runtime)?;
            runtime.block_on(task.run(store))
        }
        #[cfg(feature = "memory")]
        Backend::Memory => {
            let options = opifex_storage_memory::MemoryOptions {
                max_retained_messages,
                ..opifex_storage_memory::MemoryOptions::default()
            };
            runtime.block_on(task.run(opifex_storage_memory::MemoryStore::with_options(options)))
        }
    }
}

/// What acknowledged messages of durable sessions survive, as a sentence for the log.
pub(crate) fn survives(durability: Durability) -> &'static str {
    match durability {
        Durability::Memory => "acknowledged messages and sessions can be lost with this process",
        Durability::Process => {
            "acknowledged messages and sessions survive the end of this process (kill -9), not power loss"
        }
        Durability::Disk => "acknowledged messages and sessions survive power loss",
        Durability::Quorum => "acknowledged messages and sessions survive the loss of a node",
    }
}
