//! The SQLite backend of the storage contract: what is acknowledged is on disk, in tables that a person can query.
//!
//! One thread owns the writing connection; it drains what waits into one transaction, so many batches share one sync.
//! A few threads read beside it, in snapshots. Callers wait on futures of std alone: any executor will do, and none is
//! started here. A lock file keeps the directory to one process, while `sqlite3 -readonly DIR/opifex.db` works.
//!
//! | level | what a commit waits for |
//! | --- | --- |
//! | [`Disk`](opifex_storage::Durability::Disk) | the sync of the write-ahead log: survives power loss |
//! | [`Process`](opifex_storage::Durability::Process) | its write: survives the death of the process |
//!
//! Reading order: [`SqliteStore`] (`store.rs`), `writer.rs`, `schema.sql`, then `batch.rs`, which decides, and the
//! records.

mod store;

mod command;
mod engine;
mod group;
mod reader;
mod reserve;
mod writer;

mod log;
mod schema;

mod batch;
mod census;
mod checksum;
mod counters;
mod given;
mod held;
mod session_row;
mod state;
mod tally;

mod due;
mod inbound;
mod inspect;
mod message;
mod queue;
mod queue_row;
mod restore;
mod retained;
mod scan;
mod session;
mod subscription;
mod sync;
mod will;

mod answer;
mod channel;
mod fault;
mod pace;

pub use store::{SqliteOptions, SqliteStore};
