//! What a power loss leaves, at every moment of a history: only what was synced is certain.
//!
//! Two roads. An engine with files is recorded from below: [`shim`] puts a small library (`power/shim.c`, built when a
//! test runs) between a process and its files, which writes down every write, sync and change of a name; [`record`] reads
//! that back, and [`disk`], the worst disk that POSIX allows, is fed with it and answers what a power loss could have
//! left. What runs over an ordered-KV engine alone is given a [`Recording`] instead, an engine in memory that remembers
//! what was written between which syncs.
//!
//! What must be there then is not here, but with those who know what was promised.

#[cfg(unix)]
pub mod control;
pub mod disk;
pub mod record;
mod recording;
pub mod shim;

#[cfg(feature = "suite")]
pub(crate) mod replay;
#[cfg(feature = "suite")]
pub(crate) mod simulated;

pub use recording::{Recording, Rows};
