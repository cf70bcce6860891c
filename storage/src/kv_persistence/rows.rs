//! Reading records instead of bytes, from a snapshot or from a transaction over one.

use bytes::Bytes;

use super::page::next_row;
use crate::encoding::{StoredRecord, unseal};
use crate::{ErrorKind, KvSnapshot, Result, StoreError};

/// What is found in a row.
pub(super) enum Found<R> {
    Absent,
    Whole(R),
    Damaged(StoreError),
}

/// Reading records instead of bytes.
pub(super) trait Rows: KvSnapshot {
    /// The record in the row with this key.
    fn record<R: StoredRecord>(&self, key: &[u8]) -> Result<Option<R>> {
        self.get(key)?.map(|value| unseal(key, &value)).transpose()
    }

    /// The same for those who go on when the record is damaged: to replace it, to remove it, to leave it out.
    fn look<R: StoredRecord>(&self, key: &[u8]) -> Result<Found<R>> {
        match self.record(key) {
            Ok(None) => Ok(Found::Absent),
            Ok(Some(record)) => Ok(Found::Whole(record)),
            Err(error) if error.kind() == ErrorKind::Corrupt => Ok(Found::Damaged(error)),
            Err(error) => Err(error),
        }
    }

    /// Whether the row is there, whole or damaged.
    fn has(&self, key: &[u8]) -> Result<bool> {
        Ok(self.get(key)?.is_some())
    }

    /// Up to so many keys of a range, of those that the engine can read.
    fn keys(&self, (from, to): &(Bytes, Bytes), limit: usize) -> Result<Vec<Bytes>> {
        let mut range = self.range(from, to);
        let (mut keys, mut unreadable) = (Vec::new(), Vec::new());
        while keys.len() < limit
            && let Some((key, _)) = next_row(&mut range, &mut unreadable)?
        {
            keys.push(key);
        }
        Ok(keys)
    }
}

impl<S: KvSnapshot> Rows for S {}
