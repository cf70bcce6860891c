//! The number of the last write: in a row of each batch, and after each flush in the store's mark.
//!
//! sled reads its log up to the first entry that is not whole, and takes what lies behind for what a kill cut off. When
//! it was damage that cut it, the mark tells. And it leaves out single entries that are damaged: so the row holds the seal of
//! the store's counters as they were written with it, which have to be there still.

use std::path::Path;

use opifex_storage::encoding::{key, seal_of};
use opifex_storage::{CommitMark, ErrorKind, Result, StoreError, WriteBatch};
use parking_lot::Mutex;

use crate::guard::guarded;

/// The row with the number of the last write: before all rows of the store, which do not show it.
pub(crate) const KEY: &[u8] = &[0];

const NUMBER_BYTES: usize = 8;

/// The number of the last write, and the file with that of the last flush.
pub(crate) struct Mark {
    last_write: Mutex<u64>,
    flushed: Mutex<CommitMark>,
}

impl Mark {
    /// Reads both; answers what is to be said when the log is behind the file, too. A row that cannot be read is said, and the
    /// file's number stands for it: what else there is can be read all the same.
    pub(crate) fn open(directory: &Path, db: &sled::Db) -> Result<(Mark, Option<StoreError>)> {
        let flushed = CommitMark::open(directory)?;
        let (written, lost) = match guarded("read", || db.get(KEY)) {
            Ok(row) => {
                let row = row.unwrap_or_default();
                let written = row.first_chunk().map_or(0, |number| u64::from_be_bytes(*number));
                (
                    written,
                    flushed.missing_from(written).or_else(|| other_counters(db, row.get(NUMBER_BYTES..)?)),
                )
            }
            Err(error) if error.kind() == ErrorKind::Corrupt => (0, Some(error)),
            Err(error) => return Err(error),
        };
        Ok((Mark { last_write: Mutex::new(flushed.last(written)), flushed: Mutex::new(flushed) }, lost))
    }

    /// The row of the next write, which only one thread does.
    pub(crate) fn next(&self, batch: &WriteBatch) -> Vec<u8> {
        let mut last = self.last_write.lock();
        *last += 1;
        let mut row = last.to_be_bytes().to_vec();
        let counters = key::counters();
        let written = batch.changes().find(|(key, _)| **key == counters).and_then(|(_, value)| value);
        row.extend(written.into_iter().flat_map(|value| seal_of(value).to_le_bytes()));
        row
    }

    /// A flush has covered the last write.
    pub(crate) fn flushed(&self) {
        let last = *self.last_write.lock();
        self.flushed.lock().set(last);
    }
}

/// What is to be said when the counters are not those of the last write. Whoever wrote no seal says nothing, and counters that
/// cannot be read are told by those who need them.
fn other_counters(db: &sled::Db, seal: &[u8]) -> Option<StoreError> {
    let counters = guarded("read", || db.get(key::counters())).ok().flatten()?;
    if seal.is_empty() || seal_of(&counters).to_le_bytes() == seal {
        return None;
    }
    let what = "the store's counters are not those of the last write: what was written with them may be missing, too";
    Some(StoreError::not_applied(ErrorKind::Corrupt, what))
}
