//! What all walks have in common: how much a page takes and looks at.

use bytes::Bytes;

use crate::{ErrorKind, KvRange, PageLimit, Result, StoreError};

/// A page looks at no more rows than this, whatever it finds: a snapshot may hold writers up.
pub(super) const MAX_EXAMINED: usize = 1024;

/// Whether a page with so many items and bytes takes no more.
pub(super) fn is_full(items: usize, bytes: usize, limit: &PageLimit) -> bool {
    items >= limit.items.max(1) || (items > 0 && bytes >= limit.bytes)
}

/// What a walk makes of a record: a damaged one is noted, and the walk goes past it.
pub(super) fn go_past<T>(damaged: &mut Vec<StoreError>, read: Result<T>) -> Result<Option<T>> {
    match read {
        Ok(record) => Ok(Some(record)),
        Err(error) if error.kind() == ErrorKind::Corrupt => {
            damaged.push(error);
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// The same error again is no other damage.
fn note(damaged: &mut Vec<StoreError>, error: StoreError) {
    if damaged.last() != Some(&error) {
        damaged.push(error);
    }
}

/// The next row of a range that the engine can read; what it cannot is noted. An engine that does not come behind it, and
/// says so for ever, is not followed for ever.
pub(super) fn next_row(
    range: &mut KvRange<'_>,
    damaged: &mut Vec<StoreError>,
) -> Result<Option<(Bytes, Bytes)>> {
    for _ in 0..MAX_EXAMINED {
        match range.next().transpose() {
            Err(error) if error.kind() == ErrorKind::Corrupt => note(damaged, error),
            row => return row,
        }
    }
    range.next().transpose()
}

/// What is answered to a cursor that this store did not make.
pub(super) fn bad_cursor() -> StoreError {
    StoreError::not_applied(ErrorKind::Unsupported, "the cursor is not one of this store and walk")
}
