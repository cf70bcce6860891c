//! The memory backend of the storage contract: complete, fast, and gone with the process.
//!
//! Everything lies behind one lock that is held for the length of one batch or one page and never over an await, so a
//! batch is all or nothing by construction, and a receipt is durable (at [`opifex_storage::Durability::Memory`]) when
//! it is given. There is no engine here, no task and no clock.
//!
//! Reading order: [`MemoryStore`] (`store.rs`), then `state.rs` and `batch.rs`, which decide, then the records.

mod store;

mod batch;
mod state;

mod due;
mod inbound;
mod queue;
mod restore;
mod retained;
mod scan;
mod session;
mod subscription;
mod will;

pub use store::{MemoryOptions, MemoryStore};
