//! The store that the configuration names, opened. Only here stand the backends' names beside their types.

use std::future::Future;
use std::path::Path;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use anyhow::anyhow;

use opifex_storage::{Durability, ErrorKind, Persistence, StoreError};
use tokio::runtime::Runtime;

use crate::config::{Backend, StorageConfig};
use crate::failure::Failure;

/// How often the log hears of a store that takes long to open.
const SAY_EVERY: Duration = Duration::from_secs(1);

/// What is done with a store, whichever it is.
pub(crate) trait StoreTask {
    /// Does it.
    fn run<P: Persistence>(self, store: P) -> impl Future<Output = Result<(), Failure>>;
}

/// Opens the store of the configuration and does something with it.
pub(crate) fn with_store(
    config: &StorageConfig,
    max_retained_messages: usize,
    runtime: &Runtime,
    task: impl StoreTask,
) -> Result<(), Failure> {
    refuse_another_backends(config)?;
    match config.backend {
        #[cfg(feature = "sqlite")]
        Backend::Sqlite => {
            let mut options = opifex_storage_sqlite::SqliteOptions::new(&config.data_dir);
            // Below what the engine offers, its lowest does.
            options.durability = config.durability().max(Durability::Process);
            options.max_retained_messages = Some(max_retained_messages);
            let open = || opifex_storage_sqlite::SqliteStore::open(options);
            let store = opened(&config.data_dir, open)?;
            runtime.block_on(task.run(store))
        }
        #[cfg(feature = "sled")]
        Backend::Sled => {
            let options = opifex_storage_sled::SledOptions {
                max_retained_messages: Some(max_retained_messages),
                ..opifex_storage_sled::SledOptions::default()
            };
            let open = || opifex_storage_sled::SledStore::open_with(&config.data_dir, options);
            let store = opened(&config.data_dir, open)?;
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

/// A directory that holds the store of one backend is not given a second one, which would begin empty beside it.
fn refuse_another_backends(config: &StorageConfig) -> Result<(), Failure> {
    let (backend, data_dir) = (config.backend, &config.data_dir);
    if !backend.has_files() || backend.has_store_in(data_dir) {
        return Ok(());
    }
    let Some(other) = Backend::store_in(data_dir) else { return Ok(()) };
    Err(Failure::runtime(anyhow!(
        "{} holds a {other} store, not a {backend} one: choose --storage {other} or another --data-dir \
         (`opifex store export` and `import` move everything)",
        data_dir.display()
    )))
}

/// Opens a store, which may have much to read, and says each second that it still does.
#[cfg_attr(
    not(any(feature = "sled", feature = "sqlite")),
    expect(dead_code, reason = "a store in memory is open at once")
)]
fn opened<T>(data_dir: &Path, open: impl FnOnce() -> Result<T, StoreError>) -> Result<T, Failure> {
    let (opened, wait) = channel::<()>();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let begun = Instant::now();
            while wait.recv_timeout(SAY_EVERY) == Err(RecvTimeoutError::Timeout) {
                let secs = begun.elapsed().as_secs();
                tracing::info!(data_dir = %data_dir.display(), secs, "opening the store");
            }
        });
        let store = open();
        drop(opened);
        store.map_err(not_opened)
    })
}

/// What a person can do about a store that another process has.
fn not_opened(error: StoreError) -> Failure {
    if error.kind() == ErrorKind::Retry && !error.to_string().contains("--data-dir") {
        return Failure::runtime(anyhow!("{error}: stop it, or choose another directory with --data-dir"));
    }
    Failure::runtime(error)
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
