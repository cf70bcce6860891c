//! The tables inside one transaction: how statements are run, and the numbers that are read and written.
//!
//! How the tables change is in `batch.rs` (batches) and `session.rs` (opening and ending sessions); each table has a
//! file of its own. Beginning and committing is the writer's and the readers' business.

use opifex_storage::{Epoch, RecordVersion, Timestamp};
use rusqlite::{Connection, OptionalExtension, Params, Row};

use crate::fault::{Result, corrupt};

/// The tables, as one transaction sees them.
#[derive(Copy, Clone)]
pub(crate) struct State<'db> {
    pub(crate) db: &'db Connection,
}

impl State<'_> {
    /// Runs a statement; answers how many rows it changed.
    pub(crate) fn execute(&self, sql: &str, params: impl Params) -> Result<usize> {
        Ok(self.db.prepare_cached(sql)?.execute(params)?)
    }

    /// The row that a query finds, if there is one.
    pub(crate) fn find<T>(
        &self,
        sql: &str,
        params: impl Params,
        read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Option<T>> {
        Ok(self.db.prepare_cached(sql)?.query_row(params, read).optional()?)
    }

    /// Whether a query finds a row.
    pub(crate) fn exists(&self, sql: &str, params: impl Params) -> Result<bool> {
        Ok(self.db.prepare_cached(sql)?.exists(params)?)
    }

    pub(crate) fn next_epoch(&self) -> Result<Epoch> {
        self.count("epoch").map(Epoch)
    }

    pub(crate) fn next_version(&self) -> Result<RecordVersion> {
        self.count("version").map(RecordVersion)
    }

    fn count(&self, name: &str) -> Result<u64> {
        let sql = "UPDATE counters SET value = value + 1 WHERE name = ?1 RETURNING value";
        let value = self.find(sql, [name], |row| uint(row, 0))?;
        value.ok_or_else(|| corrupt(format_args!("there is no counter {name:?}")))
    }
}

/// A number as SQLite holds it. What exceeds its 63 bits is the largest one: no time comes and no number is given
/// that is so large.
pub(crate) fn int(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A number that is not negative.
pub(crate) fn uint(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    let value: i64 = row.get(column)?;
    u64::try_from(value).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(column, value))
}

/// A number that is not negative, or NULL.
pub(crate) fn optional_uint(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<u64>> {
    let Some(value) = row.get::<_, Option<i64>>(column)? else { return Ok(None) };
    u64::try_from(value).map(Some).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(column, value))
}

/// A time, or NULL.
pub(crate) fn optional_time(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Timestamp>> {
    Ok(optional_uint(row, column)?.map(Timestamp))
}

/// A time as SQLite holds it.
pub(crate) fn time(at: Timestamp) -> i64 {
    int(at.0)
}
