//! Histories on stores whose limits they meet: small batches, short messages, few retained messages. What is beyond a
//! limit is refused whole, what replaces or removes is not, and what expired makes room.

#[path = "memory/factory.rs"]
mod memory;

use memory::Memory;
use opifex_conformance::{Factory, Verdict, in_directory, judge_by_id};
use opifex_storage_memory::MemoryOptions;
use opifex_storage_sled::{SledOptions, SledStore};
use opifex_storage_sqlite::{SqliteOptions, SqliteStore};

/// Of what histories write, some is larger.
const MESSAGE_BYTES: usize = 50;
const BATCH_BYTES: usize = 80;
const BATCH_OPS: usize = 6;
/// There are seven topics.
const RETAINED: usize = 3;

#[track_caller]
fn passes(factory: impl Factory) {
    let judgement = judge_by_id(factory, "MOD-01");
    assert_eq!(judgement.verdict, Verdict::Passed, "{judgement:?}");
}

#[test]
fn the_memory_store_keeps_to_small_limits() {
    let options = MemoryOptions {
        max_message_bytes: MESSAGE_BYTES,
        max_batch_ops: BATCH_OPS,
        max_batch_bytes: BATCH_BYTES,
        max_retained_messages: RETAINED,
    };
    passes(Memory { options, ..Memory::default() });
}

#[test]
fn the_sqlite_store_keeps_to_small_limits() {
    passes(in_directory("Small", |directory| {
        SqliteStore::open(SqliteOptions {
            max_message_bytes: MESSAGE_BYTES,
            max_batch_ops: BATCH_OPS,
            max_batch_bytes: BATCH_BYTES,
            max_retained_messages: Some(RETAINED),
            reserve_bytes: 1 << 16,
            ..SqliteOptions::new(directory)
        })
    }));
}

#[test]
fn the_sled_store_keeps_to_small_limits() {
    passes(in_directory("Small", |directory| {
        let options = SledOptions {
            max_message_bytes: MESSAGE_BYTES,
            max_batch_ops: BATCH_OPS,
            max_batch_bytes: BATCH_BYTES,
            max_retained_messages: Some(RETAINED),
            cache_bytes: 16 << 20,
            reserve_bytes: 0,
        };
        SledStore::open_with(directory.join("store"), options)
    }));
}
