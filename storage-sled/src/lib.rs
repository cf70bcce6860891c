//! A backend on sled: pure Rust, no C compiler, one directory.
//!
//! The contract's rules, the records and the group commit are `opifex_storage`'s ([`opifex_storage::KvPersistence`]);
//! here is the engine alone. Values of some 100 KB and more are files of their own below `blobs/`, which is sled's way.
//!
//! # What it survives
//!
//! The death of the process (`Process`), and no power loss. Who needs `Disk` takes another backend. Why it is not
//! claimed, although a few syncs after each flush seem to be all that is missing:
//!
//! - On Linux sled's `flush` is `sync_file_range`: it hands pages to the disk, waits, and makes neither the disk write
//!   its cache nor the file system its journal. Large values' files and both directories are never synced.
//! - A real sync behind each flush comes too late. sled's log is made of segments that are used again as soon as what
//!   replaced their contents is *stable*, and stable means `sync_file_range`. Between two syncs of ours it overwrites
//!   segments, and removes files of large values, whose successors may be in the disk's cache only. A power loss then
//!   takes what was acknowledged long before. The order would have to be kept inside of sled.
//!
//! # What happens when
//!
//! - *The disk is full*: sled cannot take back a write that failed, and works no more until it is opened again. So a
//!   reserve is kept ([`SledOptions::reserve_bytes`]): when space runs out, what grows is refused as `Full` and not
//!   applied, and settling, removing and ending go on. When somebody else takes even the last byte, the store answers
//!   `Fatal` and is closed; opened again with space, it has everything that it had told.
//! - *A file is damaged*: opening it fails with a line that names the directory. A page of sled's that is damaged is named
//!   by its place, and walks go on behind it: some ten to a hundred records are left out with it. Records that sled reads
//!   and whose checksum differs are left out and named one by one. What sled asserts instead becomes `Fatal`, and ends a
//!   walk.
//! - *The process was killed*: sled reads its log up to the last whole entry. When damage has cut it before what was
//!   durable, the store opens with what is there, and the first page of a scan of sessions names the loss.
//! - *Both*: of the part of its log that sled has to read again after a kill it leaves single damaged entries out without
//!   a word, and records in them are lost or as they were before. All rows are counted when the store opens, and held
//!   against what the last write counted: that tells how many are missing, of which kind and of which session.
//! - *A second process* is refused by a lock file, which names the first one.
//!
//! Space inside of the log is used again; the file itself does not become shorter while the store is open: 100,000
//! messages of 256 bytes make 56 MB, which are 67 MB when they were settled and replaced twice
//! (`examples/drain.rs`). Retained messages are not counted, and so have no limit but the room on the disk.

mod directory;
mod engine;
mod guard;
mod mark;
mod reserve;
mod store;
mod walk;
mod watch;

pub use store::{SledOptions, SledStore};
