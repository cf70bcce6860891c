//! The short road to a backend: any engine that keeps keys in order, in about 100 lines.
//!
//! An engine implements [`OrderedKv`]: a snapshot to read from (a key, or a range of keys in order), one atomic write
//! batch, and a sync. [`KvPersistence`](crate::KvPersistence) makes a [`Persistence`](crate::Persistence) of it: it
//! brings the records and keys ([`crate::encoding`]), the rules of the contract, the writer thread with group commit,
//! and back-pressure. An engine knows nothing of MQTT: keys and values are bytes to it.
//!
//! All calls may block; they are made from threads of [`KvPersistence`](crate::KvPersistence), reads also from the
//! caller's thread when the engine says that they are quick. Only one thread writes.
//!
//! # A whole engine
//!
//! ```
//! use std::collections::BTreeMap;
//! use std::sync::{RwLock, RwLockReadGuard};
//!
//! use bytes::Bytes;
//! use opifex_storage::{
//!     Durability, KvCapabilities, KvPersistence, KvRange, KvSnapshot, OrderedKv, Result, WriteBatch,
//! };
//!
//! #[derive(Default)]
//! struct Tree(RwLock<BTreeMap<Bytes, Bytes>>);
//!
//! struct Seen<'a>(RwLockReadGuard<'a, BTreeMap<Bytes, Bytes>>);
//!
//! impl OrderedKv for Tree {
//!     type Snapshot<'a> = Seen<'a>;
//!
//!     fn capabilities(&self) -> KvCapabilities {
//!         KvCapabilities { quick_reads: true, ..KvCapabilities::new("tree", Durability::Memory) }
//!     }
//!     fn snapshot(&self) -> Result<Seen<'_>> {
//!         Ok(Seen(self.0.read().expect("no writer panics")))
//!     }
//!     fn has_room(&self, _bytes: usize) -> bool {
//!         true
//!     }
//!     fn write(&self, batch: &WriteBatch) -> Result<()> {
//!         let mut tree = self.0.write().expect("no writer panics");
//!         for (key, value) in batch.changes() {
//!             match value {
//!                 Some(value) => tree.insert(key.clone(), value.clone()),
//!                 None => tree.remove(key),
//!             };
//!         }
//!         Ok(())
//!     }
//!     fn sync(&self) -> Result<()> {
//!         Ok(())
//!     }
//! }
//!
//! impl KvSnapshot for Seen<'_> {
//!     fn get(&self, key: &[u8]) -> Result<Option<Bytes>> {
//!         Ok(self.0.get(key).cloned())
//!     }
//!     fn range(&self, from: &[u8], to: &[u8]) -> KvRange<'_> {
//!         let rows = self.0.range(Bytes::copy_from_slice(from)..Bytes::copy_from_slice(to));
//!         Box::new(rows.map(|(key, value)| Ok((key.clone(), value.clone()))))
//!     }
//! }
//!
//! let store = KvPersistence::open(Tree::default())?;
//! # Ok::<(), opifex_storage::StoreError>(())
//! ```
//!
//! A real one, redb, is `examples/custom-backend` in the repository, with the tests that prove it and a guide.
//!
//! Prove yours with `opifex_conformance::persistence_suite!`. What an engine has to get right, and most get wrong once:
//!
//! - `range` is bounded and in order of unsigned bytes; keys are up to 65,560 bytes long.
//! - [`OrderedKv::write`] is all or nothing *at every crash point*, not only in the process.
//! - [`OrderedKv::sync`] returns when the level that is declared is reached; `flush` in an engine's words is often less.
//! - A full disk is `Full` with `NotApplied`, and nothing is lost of what was there.
//! - An engine without snapshots takes a lock instead, as the example does: one lives no longer than a page.

use bytes::Bytes;

use crate::{Durability, Result};

/// Rows in order of their keys. An error of kind `Corrupt` stands for rows that cannot be read: an engine that can goes on
/// behind them, one that cannot ends there. Any other error ends it.
pub type KvRange<'a> = Box<dyn Iterator<Item = Result<(Bytes, Bytes)>> + 'a>;

/// An engine that keeps rows in order of their keys. See the module's documentation for a whole one.
pub trait OrderedKv: Send + Sync + 'static {
    /// What reads see.
    type Snapshot<'a>: KvSnapshot
    where
        Self: 'a;

    /// What the engine declares; asked once, when it is opened.
    fn capabilities(&self) -> KvCapabilities;

    /// The rows as they are now: whole batches, those that are not synced too. It stays as it is until it is dropped,
    /// whatever is written meanwhile; an engine without snapshots may hold writers up for so long, which is short.
    fn snapshot(&self) -> Result<Self::Snapshot<'_>>;

    /// Whether there is room for so many bytes more. Asked before each group that is ordered: without room, what stores
    /// something new is refused as `Full`, and what settles and removes is still written, which needs space, too: an
    /// engine keeps some in reserve. One that cannot know says yes and answers `Full` when it writes.
    fn has_room(&self, bytes: usize) -> bool;

    /// Applies all changes or none, at every crash point. An error of kind `Retry` or `Full` with certainty
    /// `NotApplied` says that nothing happened, and the store goes on; after any other it is closed.
    fn write(&self, batch: &WriteBatch) -> Result<()>;

    /// Returns when everything that was written has reached the declared level of durability. Nothing is written meanwhile,
    /// and snapshots are taken. An error is fatal: the store answers `Closed` until it is opened again.
    fn sync(&self) -> Result<()>;
}

/// Rows as they were at one moment.
pub trait KvSnapshot {
    /// The value of a key.
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>>;

    /// The rows from a key on (included) to another (excluded), ascending. Read lazily: most are not read to the end.
    fn range(&self, from: &[u8], to: &[u8]) -> KvRange<'_>;
}

/// What an engine declares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KvCapabilities {
    /// The backend's short name, as in configuration.
    pub name: &'static str,
    /// What a sync survives.
    pub durability: Durability,
    /// Whether reads are so quick (no disk, no long wait for a lock) that they may be made on the caller's thread.
    /// Otherwise a reader thread makes them.
    pub quick_reads: bool,
    /// The largest message, in bytes (topic, properties and payload together).
    pub max_message_bytes: usize,
    /// The most operations a batch; each target of an enqueue counts as one more.
    pub max_batch_ops: usize,
    /// The most bytes of messages a batch.
    pub max_batch_bytes: usize,
    /// The most retained messages; `None`: as many as there is room for.
    pub max_retained_messages: Option<usize>,
    /// How many batches may wait for the writer, and how many bytes of messages: what exceeds either makes `submit`
    /// wait. A store may hold three times as much: what waits, and the group that is ordered while another is synced, which is
    /// full when it has as many and may have come to that by a last lot of as many.
    pub max_waiting_batches: usize,
    /// See `max_waiting_batches`. A batch that exceeds it by itself waits for an empty queue.
    pub max_waiting_bytes: usize,
}

impl KvCapabilities {
    /// Of a name and a level, with the usual limits: messages of 16 MiB, batches of 65,536 operations and 32 MiB, of
    /// which 1,024 with 64 MiB wait; reads on a thread of their own.
    pub fn new(name: &'static str, durability: Durability) -> KvCapabilities {
        KvCapabilities {
            name,
            durability,
            quick_reads: false,
            max_message_bytes: 16 << 20,
            max_batch_ops: 1 << 16,
            max_batch_bytes: 32 << 20,
            max_retained_messages: None,
            max_waiting_batches: 1024,
            max_waiting_bytes: 64 << 20,
        }
    }
}

/// Changes that are applied together; each key appears once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WriteBatch(pub(crate) Vec<(Bytes, Option<Bytes>)>);

impl WriteBatch {
    /// The changes in order of their keys: a value to put, or `None` to remove the key (which may not be there).
    pub fn changes(&self) -> impl Iterator<Item = (&Bytes, Option<&Bytes>)> {
        self.0.iter().map(|(key, value)| (key, value.as_ref()))
    }

    /// How many keys change.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether nothing changes.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
