//! An ordered key-value engine in memory that remembers what was written between which syncs, and says what a power
//! loss at each of them would have left. It is right; what is to be found wrong wraps it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use opifex_storage::{Durability, KvCapabilities, KvRange, KvSnapshot, OrderedKv, Result, WriteBatch};

/// Rows in order of their keys.
pub type Rows = BTreeMap<Bytes, Bytes>;

/// A sync takes a moment, so that what is told before its end is told before its end.
const SYNC: Duration = Duration::from_micros(200);

/// The engine. Clones are handles to the same rows and the same record.
#[derive(Clone, Debug, Default)]
pub struct Recording {
    rows: Arc<RwLock<Rows>>,
    record: Arc<Mutex<Record>>,
}

#[derive(Debug, Default)]
struct Record {
    /// What was there before anything was recorded.
    first: Rows,
    events: Vec<Event>,
}

#[derive(Clone, Debug)]
enum Event {
    Written(WriteBatch),
    SyncBegins,
    SyncEnds,
}

impl Recording {
    /// An engine with these rows, all of them synced, and an empty record.
    pub fn of(rows: Rows) -> Recording {
        let record = Record { first: rows.clone(), events: Vec::new() };
        Recording { rows: Arc::new(RwLock::new(rows)), record: Arc::new(Mutex::new(record)) }
    }

    /// How many events there are: a place in the record.
    pub fn place(&self) -> usize {
        self.record().events.len()
    }

    /// What power losses leave, in order: one just before the end of each sync, and one now.
    pub fn power_losses(&self) -> Vec<PowerLoss> {
        let record = self.record();
        let (mut synced, mut pending, mut covered) = (record.first.clone(), Vec::new(), 0);
        let mut losses = Vec::new();
        for (place, event) in record.events.iter().enumerate() {
            match event {
                Event::Written(batch) => pending.push(batch.clone()),
                Event::SyncBegins => covered = pending.len(),
                Event::SyncEnds => {
                    losses.push(PowerLoss { place, synced: synced.clone(), pending: pending.clone() });
                    pending.drain(..covered).for_each(|batch| apply(&batch, &mut synced));
                }
            }
        }
        losses.push(PowerLoss { place: record.events.len(), synced, pending });
        losses
    }

    fn record(&self) -> MutexGuard<'_, Record> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A power loss at one place of a record.
#[derive(Clone, Debug)]
pub struct PowerLoss {
    /// Events from here on have not happened.
    pub place: usize,
    synced: Rows,
    pending: Vec<WriteBatch>,
}

impl PowerLoss {
    /// How many writes were not synced.
    pub fn pending(&self) -> usize {
        self.pending.len()
    }

    /// What is left when so many of the writes that were not synced have reached the disk, the first ones.
    pub fn left_with(&self, writes: usize) -> Rows {
        let mut rows = self.synced.clone();
        self.pending.iter().take(writes).for_each(|batch| apply(batch, &mut rows));
        rows
    }
}

fn apply(batch: &WriteBatch, rows: &mut Rows) {
    for (key, value) in batch.changes() {
        match value {
            Some(value) => rows.insert(key.clone(), value.clone()),
            None => rows.remove(key),
        };
    }
}

/// The rows while nobody writes.
#[derive(Debug)]
pub struct Seen<'a>(RwLockReadGuard<'a, Rows>);

impl OrderedKv for Recording {
    type Snapshot<'a> = Seen<'a>;

    fn capabilities(&self) -> KvCapabilities {
        KvCapabilities {
            quick_reads: true,
            max_message_bytes: 3 << 20,
            max_batch_ops: 20_000,
            max_batch_bytes: 12 << 20,
            ..KvCapabilities::new("recording", Durability::Disk)
        }
    }

    fn snapshot(&self) -> Result<Seen<'_>> {
        Ok(Seen(self.rows.read().unwrap_or_else(PoisonError::into_inner)))
    }

    fn has_room(&self, _bytes: usize) -> bool {
        true
    }

    fn write(&self, batch: &WriteBatch) -> Result<()> {
        self.record().events.push(Event::Written(batch.clone()));
        apply(batch, &mut self.rows.write().unwrap_or_else(PoisonError::into_inner));
        Ok(())
    }

    fn sync(&self) -> Result<()> {
        self.record().events.push(Event::SyncBegins);
        thread::sleep(SYNC);
        self.record().events.push(Event::SyncEnds);
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
