//! The smallest engine that survives a power loss: all rows in memory, and a log of the batches in a file. It can be made
//! wrong in the ways that the oracles of crashes are there for.

#![allow(dead_code, reason = "each of the tests that share this uses a part of it")]

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::hash::{DefaultHasher, Hasher};
use std::io::{Read, Write};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, RwLock, RwLockReadGuard};

use bytes::Bytes;
use opifex_conformance::{Directory, Factory};
use opifex_storage::{
    Durability, ErrorKind, KvCapabilities, KvPersistence, KvRange, KvSnapshot, OrderedKv, Result, StoreError,
    WriteBatch,
};

/// What is wrong with it.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Flaw {
    /// Nothing.
    None,
    /// A sync does nothing: what was written survives the process, and no power loss.
    NoSync,
    /// What is said to be written waits in the process, up to thirty batches. It claims no more than to survive a kill.
    Late,
    /// Each change is a record of its own, so that half a batch may be read back.
    Torn,
    /// The name of the file is not made durable.
    NoName,
}

/// Over a log in a file.
pub(crate) struct OverLog(pub(crate) Flaw);

impl Factory for OverLog {
    type Store = KvPersistence<LogEngine>;
    type Place = Directory;

    fn place(&self) -> Directory {
        Directory::new()
    }

    async fn open(&self, place: &Directory) -> Result<Self::Store> {
        KvPersistence::open(LogEngine::open(place.path(), self.0)?)
    }

    fn directory<'a>(&self, place: &'a Directory) -> Option<&'a Path> {
        Some(place.path())
    }

    fn adopt(&self, directory: &Path) -> Option<Directory> {
        Some(Directory::adopt(directory))
    }
}

type Map = BTreeMap<Bytes, Bytes>;

pub(crate) struct LogEngine {
    flaw: Flaw,
    rows: RwLock<Map>,
    log: Mutex<Log>,
}

struct Log {
    file: File,
    waiting: Vec<Vec<u8>>,
}

impl Log {
    fn write_waiting(&mut self) -> std::io::Result<()> {
        self.waiting.drain(..).try_for_each(|record| self.file.write_all(&record))
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.write_waiting().expect("the file takes what is appended");
    }
}

impl LogEngine {
    pub(crate) fn open(directory: &Path, flaw: Flaw) -> Result<LogEngine> {
        let path = directory.join("log");
        let mut options = OpenOptions::new();
        let mut file = options.read(true).append(true).create(true).open(path).map_err(failed)?;
        if file.try_lock().is_err() {
            return Err(StoreError::not_applied(ErrorKind::Retry, "another process has the log open"));
        }
        if flaw != Flaw::NoName {
            File::open(directory).and_then(|directory| directory.sync_all()).map_err(failed)?;
        }
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(failed)?;
        let (mut rows, mut rest) = (Map::new(), &bytes[..]);
        while let Some((record, behind)) = next_record(rest) {
            read_changes(record, &mut rows);
            rest = behind;
        }
        // What was torn goes, so that nothing is written behind it.
        file.set_len((bytes.len() - rest.len()) as u64).map_err(failed)?;
        file.sync_all().map_err(failed)?;
        Ok(LogEngine { flaw, rows: RwLock::new(rows), log: Mutex::new(Log { file, waiting: Vec::new() }) })
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().expect("no writer panics")
    }
}

fn failed(error: std::io::Error) -> StoreError {
    StoreError::unknown(ErrorKind::Fatal, format!("the log: {error}"))
}

fn checksum(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(bytes);
    hasher.finish()
}

fn put(bytes: &[u8], record: &mut Vec<u8>) {
    record.extend((bytes.len() as u32).to_le_bytes());
    record.extend(bytes);
}

fn put_change(key: &[u8], value: Option<&Bytes>, record: &mut Vec<u8>) {
    put(key, record);
    record.push(u8::from(value.is_some()));
    put(value.map_or(&[], |value| &value[..]), record);
}

/// Length, checksum, changes.
fn sealed(changes: &[u8]) -> Vec<u8> {
    let mut record = Vec::new();
    record.extend(checksum(changes).to_le_bytes());
    put(changes, &mut record);
    record
}

fn take(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (len, rest) = bytes.split_first_chunk::<4>()?;
    rest.split_at_checked(u32::from_le_bytes(*len) as usize)
}

fn next_record(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (sum, rest) = bytes.split_first_chunk::<8>()?;
    let (changes, rest) = take(rest)?;
    // Zeros, where a file grew and its bytes did not arrive, are no record.
    (!changes.is_empty() && u64::from_le_bytes(*sum) == checksum(changes)).then_some((changes, rest))
}

fn read_changes(mut changes: &[u8], rows: &mut Map) {
    while let Some((key, rest)) = take(changes) {
        let (is_put, rest) = rest.split_first().expect("the checksum was right");
        let (value, rest) = take(rest).expect("the checksum was right");
        let key = Bytes::copy_from_slice(key);
        match is_put {
            1 => drop(rows.insert(key, Bytes::copy_from_slice(value))),
            _ => drop(rows.remove(&key)),
        }
        changes = rest;
    }
}

pub(crate) struct Seen<'a>(RwLockReadGuard<'a, Map>);

impl OrderedKv for LogEngine {
    type Snapshot<'a> = Seen<'a>;

    fn capabilities(&self) -> KvCapabilities {
        let durability = if self.flaw == Flaw::Late { Durability::Process } else { Durability::Disk };
        KvCapabilities {
            quick_reads: true,
            max_message_bytes: 3 << 20,
            max_batch_ops: 20_000,
            max_batch_bytes: 12 << 20,
            ..KvCapabilities::new("log", durability)
        }
    }

    fn snapshot(&self) -> Result<Seen<'_>> {
        Ok(Seen(self.rows.read().expect("no writer panics")))
    }

    fn has_room(&self, _bytes: usize) -> bool {
        true
    }

    fn write(&self, batch: &WriteBatch) -> Result<()> {
        let mut record = Vec::new();
        for (key, value) in batch.changes() {
            let mut change = Vec::new();
            put_change(key, value, &mut change);
            match self.flaw {
                Flaw::Torn => record.extend(sealed(&change)),
                _ => record.extend(change),
            }
        }
        if self.flaw != Flaw::Torn {
            record = sealed(&record);
        }
        let mut log = self.log();
        log.waiting.push(record);
        if self.flaw != Flaw::Late || log.waiting.len() > 30 {
            log.write_waiting().map_err(failed)?;
        }
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
        match self.flaw {
            Flaw::NoSync => Ok(()),
            _ => self.log().file.sync_data().map_err(failed),
        }
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
