//! How far the store had come, outside of sled's log.
//!
//! sled reads its log up to the first entry that is not whole, and takes what lies behind for what a kill cut off. When
//! it was damage that cut it, what is lost had been told to be durable, and nobody would know. So each write carries
//! its number, and the last one that a flush has covered stands in a file of its own, written after the flush.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::path::Path;

use opifex_storage::{ErrorKind, Result, StoreError};
use parking_lot::Mutex;

use crate::guard::guarded;

/// The file in the data directory.
pub(crate) const FILE: &str = "opifex.mark";

/// The row with the number of the last write: before all rows of the store, which do not show it.
pub(crate) const KEY: &[u8] = &[0];

/// The number of the last write, and the file with that of the last flush.
pub(crate) struct Mark {
    last_write: Mutex<u64>,
    file: Mutex<File>,
}

impl Mark {
    /// Reads both; answers what is to be said when the log is behind the file, too.
    pub(crate) fn open(directory: &Path, db: &sled::Db) -> Result<(Mark, Option<StoreError>)> {
        let path = directory.join(FILE);
        let cannot = |error: std::io::Error| {
            let what = format!("cannot use {}: {error}", path.display());
            StoreError::not_applied(ErrorKind::Fatal, what)
        };
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true).create(true).truncate(false);
        let mut file = options.open(&path).map_err(cannot)?;
        let mut text = String::new();
        // One that is not a number says nothing.
        let _ = file.read_to_string(&mut text);
        let flushed = text.trim().parse().unwrap_or(0);
        let row = guarded("read", || db.get(KEY))?;
        let written = row.and_then(|row| Some(u64::from_be_bytes(*row.first_chunk()?))).unwrap_or(0);
        let lost = (written < flushed).then(|| {
            let what = format!(
                "the last {} writes that were durable are not in sled's log any more: it is cut short",
                flushed - written
            );
            StoreError::not_applied(ErrorKind::Corrupt, what)
        });
        Ok((Mark { last_write: Mutex::new(written.max(flushed)), file: Mutex::new(file) }, lost))
    }

    /// The number of the next write, which only one thread does.
    pub(crate) fn next(&self) -> [u8; 8] {
        let mut last = self.last_write.lock();
        *last += 1;
        last.to_be_bytes()
    }

    /// A flush has covered the last write. That this is not written down costs nothing but the warning.
    pub(crate) fn flushed(&self) {
        let text = format!("{:020}\n", *self.last_write.lock());
        let mut file = self.file.lock();
        let _ = file.rewind().and_then(|()| file.write_all(text.as_bytes()));
    }
}
