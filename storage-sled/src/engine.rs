//! sled as an ordered key-value engine: its words for ours, and the lock that makes a snapshot.

use std::sync::Arc;

use bytes::Bytes;
use opifex_storage::{DataDir, KvCapabilities, KvRange, KvSnapshot, OrderedKv, Result, WriteBatch};
use parking_lot::{RwLock, RwLockReadGuard};

use crate::guard::{drop_guarded, guarded};
use crate::mark::{self, Mark};
use crate::reserve::Reserve;
use crate::walk::Walk;
use crate::watch::Watch;

/// Where the rows of the store begin.
const BEHIND_MARK: &[u8] = &[1];

/// The engine. sled has no snapshots: a read of several rows may see half a batch, so that readers hold the lock for
/// as long as a page takes, and the writer for as long as it takes to apply a batch in memory (never for a flush).
pub(crate) struct Sled {
    db: Option<sled::Db>,
    lock: RwLock<()>,
    watch: Option<Watch>,
    mark: Mark,
    reserve: Arc<Reserve>,
    capabilities: KvCapabilities,
    // Given back last: until then sled's threads may write.
    _directory: DataDir,
}

impl Sled {
    pub(crate) fn new(
        db: sled::Db,
        mark: Mark,
        reserve: Arc<Reserve>,
        capabilities: KvCapabilities,
        directory: DataDir,
    ) -> Result<Sled> {
        let watch = Some(Watch::start(&db)?);
        Ok(Sled {
            db: Some(db),
            lock: RwLock::new(()),
            watch,
            mark,
            reserve,
            capabilities,
            _directory: directory,
        })
    }

    fn db(&self) -> &sled::Db {
        self.db.as_ref().expect("it is taken when this is dropped, and not before")
    }
}

impl Drop for Sled {
    fn drop(&mut self) {
        // The watch holds the database, too.
        self.watch.take();
        drop_guarded(self.db.take());
    }
}

/// How much of the log is free for what is written next, about. As long as much of it is in use, sled rather makes it
/// longer than that it tidies it up; below a quarter it finds a place inside.
fn free_inside(db: &sled::Db) -> u64 {
    let size = guarded("measure the log", || db.size_on_disk()).unwrap_or(0);
    let a_used_byte = guarded("measure the log", || db.space_amplification()).unwrap_or(1.0).max(1.0);
    let used = (size as f64 / a_used_byte) as u64;
    size.saturating_sub(4 * used)
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
        Ok(Seen { db: self.db(), _lock: self.lock.read() })
    }

    fn has_room(&self, bytes: usize) -> bool {
        self.reserve.has_room(bytes as u64, || free_inside(self.db()))
    }

    fn write(&self, batch: &WriteBatch) -> Result<()> {
        let mut changes = sled::Batch::default();
        changes.insert(mark::KEY, self.mark.next(batch));
        for (key, value) in batch.changes() {
            match value {
                Some(value) => changes.insert(&key[..], &value[..]),
                None => changes.remove(&key[..]),
            }
        }
        let _alone = self.lock.write();
        guarded("write", || self.db().apply_batch(changes))
    }

    fn sync(&self) -> Result<()> {
        match &self.watch {
            Some(watch) => watch.flush(self.db())?,
            None => return Ok(()),
        }
        self.mark.flushed();
        Ok(())
    }
}

impl KvSnapshot for Seen<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>> {
        let value = guarded("read", || self.db.get(key))?;
        Ok(value.map(|value| Bytes::copy_from_slice(&value)))
    }

    fn range(&self, from: &[u8], to: &[u8]) -> KvRange<'_> {
        Box::new(Walk::new(self.db, from.max(BEHIND_MARK)..to))
    }
}
