//! sled as an ordered key-value engine: its words for ours, and the lock that makes a snapshot.

use bytes::Bytes;
use opifex_storage::{
    ErrorKind, KvCapabilities, KvRange, KvSnapshot, OrderedKv, Result, StoreError, WriteBatch,
};
use parking_lot::{RwLock, RwLockReadGuard};

/// The engine. sled has no snapshots: a read of several rows may see half a batch, so that readers hold the lock for
/// as long as a page takes, and the writer for as long as it takes to apply a batch in memory (never for a flush).
pub(crate) struct Sled {
    pub(crate) db: sled::Db,
    pub(crate) lock: RwLock<()>,
    pub(crate) capabilities: KvCapabilities,
}

/// The rows while nobody writes.
pub(crate) struct Seen<'a> {
    db: &'a sled::Db,
    _lock: RwLockReadGuard<'a, ()>,
}

impl OrderedKv for Sled {
    type Snapshot<'a> = Seen<'a>;

    fn capabilities(&self) -> KvCapabilities {
        self.capabilities.clone()
    }

    fn snapshot(&self) -> Result<Seen<'_>> {
        Ok(Seen { db: &self.db, _lock: self.lock.read() })
    }

    fn write(&self, batch: &WriteBatch) -> Result<()> {
        let mut changes = sled::Batch::default();
        for (key, value) in batch.changes() {
            match value {
                Some(value) => changes.insert(&key[..], &value[..]),
                None => changes.remove(&key[..]),
            }
        }
        let _alone = self.lock.write();
        self.db.apply_batch(changes).map_err(|error| failed("write", error))
    }

    fn sync(&self) -> Result<()> {
        self.db.flush().map(|_bytes| ()).map_err(|error| failed("flush", error))
    }
}

impl KvSnapshot for Seen<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>> {
        let value = self.db.get(key).map_err(|error| failed("read", error))?;
        Ok(value.map(|value| Bytes::copy_from_slice(&value)))
    }

    fn range(&self, from: &[u8], to: &[u8]) -> KvRange<'_> {
        Box::new(self.db.range(from..to).map(|row| match row {
            Ok((key, value)) => Ok((Bytes::copy_from_slice(&key), Bytes::copy_from_slice(&value))),
            Err(error) => Err(failed("read", error)),
        }))
    }
}

/// sled's error in the contract's words. Whether a failed write was applied, sled does not say.
pub(crate) fn failed(what: &str, error: sled::Error) -> StoreError {
    let kind = match &error {
        sled::Error::Corruption { .. } => ErrorKind::Corrupt,
        sled::Error::CollectionNotFound(_)
        | sled::Error::Unsupported(_)
        | sled::Error::ReportableBug(_)
        | sled::Error::Io(_) => ErrorKind::Fatal,
    };
    StoreError::unknown(kind, format!("sled cannot {what}: {error}"))
}
