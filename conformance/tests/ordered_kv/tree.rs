//! A `BTreeMap` as an ordered key-value engine.

#![allow(dead_code, reason = "each of the tests that share this uses a part of it")]

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, RwLock, RwLockReadGuard};

use bytes::Bytes;
use opifex_conformance::Tier;
use opifex_storage::{Durability, KvCapabilities, KvRange, KvSnapshot, OrderedKv, Result, WriteBatch};

pub(crate) type Map = BTreeMap<Bytes, Bytes>;

/// Clones are handles to the same rows.
#[derive(Clone)]
pub(crate) struct Tree {
    rows: Arc<RwLock<Map>>,
    quick_reads: bool,
    /// Whether writes wait.
    held: Arc<(Mutex<bool>, Condvar)>,
}

pub(crate) struct Seen<'a>(RwLockReadGuard<'a, Map>);

impl Tree {
    pub(crate) fn new(quick_reads: bool) -> Tree {
        Tree { rows: Arc::default(), quick_reads, held: Arc::default() }
    }

    /// The first byte of each key, in order: how many rows of which kind there are.
    pub(crate) fn kinds(&self) -> String {
        self.rows.read().expect("no writer panics").keys().map(|key| key[0] as char).collect()
    }

    /// An engine with these rows.
    pub(crate) fn of(rows: Map) -> Tree {
        Tree { rows: Arc::new(RwLock::new(rows)), ..Tree::new(true) }
    }

    /// From here on writes wait, or do so no longer.
    pub(crate) fn hold(&self, held: bool) {
        *self.held.0.lock().expect("nobody panics with it") = held;
        self.held.1.notify_all();
    }

    /// All rows.
    pub(crate) fn rows(&self) -> Map {
        self.rows.read().expect("no writer panics").clone()
    }

    /// Damages the value of a key.
    pub(crate) fn flip_a_bit(&self, key: &[u8]) {
        let mut rows = self.rows.write().expect("no writer panics");
        let value = rows.get_mut(key).expect("the row is there");
        let mut damaged = value.to_vec();
        damaged[1] ^= 1;
        *value = damaged.into();
    }

    /// Returns when nobody has a snapshot.
    pub(crate) fn waits_until_nobody_reads(&self) {
        drop(self.rows.write().expect("no writer panics"));
    }

    /// Puts a row there behind the store's back.
    pub(crate) fn insert(&self, key: &'static str, value: &'static str) {
        let row = (Bytes::from_static(key.as_bytes()), Bytes::from_static(value.as_bytes()));
        self.rows.write().expect("no writer panics").extend([row]);
    }
}

impl OrderedKv for Tree {
    type Snapshot<'a> = Seen<'a>;

    fn capabilities(&self) -> KvCapabilities {
        KvCapabilities {
            quick_reads: self.quick_reads,
            max_message_bytes: 3 << 20,
            max_batch_ops: 20_000,
            max_batch_bytes: 12 << 20,
            max_retained_messages: Some(Tier::of(8_000, 101_000)),
            ..KvCapabilities::new("tree", Durability::Memory)
        }
    }

    fn snapshot(&self) -> Result<Seen<'_>> {
        Ok(Seen(self.rows.read().expect("no writer panics")))
    }

    fn has_room(&self, _bytes: usize) -> bool {
        true
    }

    fn write(&self, batch: &WriteBatch) -> Result<()> {
        let held = self.held.0.lock().expect("nobody panics with it");
        drop(self.held.1.wait_while(held, |held| *held).expect("nobody panics with it"));
        let mut rows = self.rows.write().expect("no writer panics");
        for (key, value) in batch.changes() {
            match value {
                Some(value) => rows.insert(key.clone(), value.clone()),
                None => rows.remove(key),
            };
        }
        Ok(())
    }

    fn sync(&self) -> Result<()> {
        Ok(())
    }
}

impl KvSnapshot for Seen<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>> {
        Ok(self.0.get(key).cloned())
    }

    fn range(&self, from: &[u8], to: &[u8]) -> KvRange<'_> {
        let rows = self.0.range(Bytes::copy_from_slice(from)..Bytes::copy_from_slice(to));
        Box::new(rows.map(|(key, value)| Ok((key.clone(), value.clone()))))
    }
}
