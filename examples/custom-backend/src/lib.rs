//! A backend of somebody else's: redb under the Opifex broker, on the ordered-KV road. What a backend author writes is
//! all here; `tests/conformance.rs` proves it with the kit, and `README.md` is the guide.
//!
//! Left out, since redb's authors know better: a reserve for a full disk, tuning, and a lock file that names the holder.

use std::fs::{self, File};
use std::path::Path;

use bytes::Bytes;
use opifex_storage::{
    Durability, ErrorKind, KvCapabilities, KvPersistence, KvRange, KvSnapshot, OrderedKv, Result, StoreError,
    WriteBatch,
};
use redb::{Database, ReadOnlyTable, ReadableDatabase, TableDefinition};

const ROWS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("opifex");

/// Opens the store in a file, or begins one: `Broker::builder(custom_backend::open("./data.redb")?)`.
pub fn open(file: impl AsRef<Path>) -> Result<KvPersistence<Redb>> {
    open_with(file, Redb::limits())
}

/// The same with other limits.
pub fn open_with(file: impl AsRef<Path>, limits: KvCapabilities) -> Result<KvPersistence<Redb>> {
    let file = file.as_ref();
    if !file.exists() {
        create(file)?;
    }
    let database = Database::open(file).map_err(failed)?;
    KvPersistence::open(Redb { database, limits })
}

/// A power loss while redb makes a file leaves one that redb refuses, so that a file gets its name when it is whole.
fn create(file: &Path) -> Result<()> {
    let new = file.with_extension("new");
    let io = |error| failed(redb::Error::Io(error));
    if new.exists() {
        fs::remove_file(&new).map_err(io)?;
    }
    let database = Database::create(&new).map_err(failed)?;
    // A table is there from its first writing on, and reading wants it there.
    let write = database.begin_write().map_err(failed)?;
    write.open_table(ROWS).map_err(failed)?;
    write.commit().map_err(failed)?;
    drop(database);
    fs::rename(&new, file).map_err(io)?;
    let directory = file.parent().filter(|path| !path.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(directory).and_then(|directory| directory.sync_all()).map_err(io)
}

/// The engine.
pub struct Redb {
    database: Database,
    limits: KvCapabilities,
}

impl Redb {
    /// What it declares: redb syncs what it commits durably.
    pub fn limits() -> KvCapabilities {
        KvCapabilities::new("redb", Durability::Disk)
    }
}

/// The rows of a read transaction.
pub struct Seen(ReadOnlyTable<&'static [u8], &'static [u8]>);

impl OrderedKv for Redb {
    type Snapshot<'a> = Seen;

    fn capabilities(&self) -> KvCapabilities {
        self.limits.clone()
    }

    fn snapshot(&self) -> Result<Seen> {
        let read = self.database.begin_read().map_err(failed)?;
        read.open_table(ROWS).map(Seen).map_err(failed)
    }

    fn has_room(&self, _bytes: usize) -> bool {
        true
    }

    /// Whole batches, which the next sync makes durable.
    fn write(&self, batch: &WriteBatch) -> Result<()> {
        let mut write = self.database.begin_write().map_err(failed)?;
        write.set_durability(redb::Durability::None).map_err(failed)?;
        let mut rows = write.open_table(ROWS).map_err(failed)?;
        for (key, value) in batch.changes() {
            match value {
                Some(value) => drop(rows.insert(&key[..], &value[..]).map_err(failed)?),
                None => drop(rows.remove(&key[..]).map_err(failed)?),
            }
        }
        drop(rows);
        write.commit().map_err(failed)
    }

    /// A durable commit of nothing takes all those before it with it.
    fn sync(&self) -> Result<()> {
        self.database.begin_write().map_err(failed)?.commit().map_err(failed)
    }
}

impl KvSnapshot for Seen {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>> {
        let value = self.0.get(key).map_err(failed)?;
        Ok(value.map(|value| Bytes::copy_from_slice(value.value())))
    }

    fn range(&self, from: &[u8], to: &[u8]) -> KvRange<'_> {
        match self.0.range(from..to) {
            Ok(rows) => Box::new(rows.map(|row| {
                let (key, value) = row.map_err(failed)?;
                Ok((Bytes::copy_from_slice(key.value()), Bytes::copy_from_slice(value.value())))
            })),
            Err(error) => Box::new(std::iter::once(Err(failed(error)))),
        }
    }
}

/// redb's errors in the contract's words. After one of a write nobody knows whether it was applied.
fn failed(error: impl Into<redb::Error>) -> StoreError {
    let error = error.into();
    let kind = match &error {
        redb::Error::Corrupted(_) => ErrorKind::Corrupt,
        redb::Error::DatabaseAlreadyOpen => ErrorKind::Retry,
        _ => ErrorKind::Fatal,
    };
    StoreError::unknown(kind, format!("redb: {error}"))
}

/// The guide's examples are compiled and run.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
