//! What a power loss leaves: a recorder below a program's feet, and a disk that is rebuilt from the record.
//!
//! [`shim`] puts a small library (`power/shim.c`, built when a test runs) between a process and its files; it writes down
//! every write, sync and change of a name. [`record`] reads that back, [`disk`] is the worst disk that POSIX allows,
//! fed with it: at every moment it answers what a power loss could have left. What must be there then is not here, but
//! with those who know what was promised.

#[cfg(unix)]
pub mod control;
pub mod disk;
pub mod record;
#[cfg(unix)]
pub mod shim;
