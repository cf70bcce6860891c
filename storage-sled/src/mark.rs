//! The number of the last write: in a row of each batch, and after each flush in the store's mark.
//!
//! sled reads its log up to the first entry that is not whole, and takes what lies behind for what a kill cut off. When
//! it was damage that cut it, the mark tells.

use std::path::Path;

use opifex_storage::{CommitMark, Result, StoreError};
use parking_lot::Mutex;

use crate::guard::guarded;

/// The row with the number of the last write: before all rows of the store, which do not show it.
pub(crate) const KEY: &[u8] = &[0];

/// The number of the last write, and the file with that of the last flush.
pub(crate) struct Mark {
    last_write: Mutex<u64>,
    flushed: Mutex<CommitMark>,
}

impl Mark {
    /// Reads both; answers what is to be said when the log is behind the file, too.
    pub(crate) fn open(directory: &Path, db: &sled::Db) -> Result<(Mark, Option<StoreError>)> {
        let flushed = CommitMark::open(directory)?;
        let row = guarded("read", || db.get(KEY))?;
        let written = row.and_then(|row| Some(u64::from_be_bytes(*row.first_chunk()?))).unwrap_or(0);
        let lost = flushed.missing_from(written);
        Ok((Mark { last_write: Mutex::new(flushed.last(written)), flushed: Mutex::new(flushed) }, lost))
    }

    /// The number of the next write, which only one thread does.
    pub(crate) fn next(&self) -> [u8; 8] {
        let mut last = self.last_write.lock();
        *last += 1;
        last.to_be_bytes()
    }

    /// A flush has covered the last write.
    pub(crate) fn flushed(&self) {
        let last = *self.last_write.lock();
        self.flushed.lock().set(last);
    }
}
