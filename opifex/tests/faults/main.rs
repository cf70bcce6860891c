//! Faults below the engine, under the real program: a full disk, writes and syncs that fail, a disk that hangs, short
//! writes. In each nothing acknowledged is lost on the healed disk, nothing hangs, no answer is wrong, and the log has a
//! clear line. The faults are made by the kit's `power/shim.c`.
//!
//! `OPIFEX_FAULTS=all` fails every call of the scene once, not some of them.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

#[path = "../shim/acknowledged.rs"]
mod acknowledged;
#[path = "../shim/shim.rs"]
#[allow(dead_code, unused_imports, reason = "shared with the other tests")]
mod shim;
#[path = "../shim/token.rs"]
#[allow(dead_code, reason = "shared with the other tests")]
mod token;
#[path = "../shim/trace.rs"]
mod trace;

#[path = "../shim/found.rs"]
mod found;

mod kth_call;
mod process;
mod scene;

mod damaged;
mod failing;
mod full;
#[cfg(feature = "sled")]
mod sled;
mod slow;

const SQLITE: [&str; 4] = ["--storage", "sqlite", "--durability", "disk"];

fn everything() -> bool {
    std::env::var_os("OPIFEX_FAULTS").is_some_and(|mode| mode == "all")
}
