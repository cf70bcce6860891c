//! The tables inside one transaction: how statements are run, and the numbers that are read and written.
//!
//! How the tables change is in `batch.rs` (batches) and `session.rs` (opening and ending sessions); each table has a
//! file of its own. Beginning and committing is the writer's and the readers' business.

use std::cell::{Cell, RefCell};

use opifex_storage::{Seq, SessionId, StoreError, Timestamp};
use rusqlite::{CachedStatement, Connection, OptionalExtension, Params, Row, params_from_iter};

use crate::checksum::{Field, Table};
use crate::counters::Counters;
use crate::fault::{Result, note_damage};
use crate::given::Spent;
use crate::held::Held;
use crate::session_row::SessionRows;
use crate::tally::Tally;

/// The tables, as one transaction sees them.
pub(crate) struct State<'db> {
    db: &'db Connection,
    /// Rows that wait to be inserted, and whether any may; only a writer's.
    pub(crate) held: RefCell<Held>,
    pub(crate) holds: Option<&'db Cell<bool>>,
    pub(crate) lost_held: Cell<bool>,
    pub(crate) sessions: SessionRows,
    pub(crate) counters: Counters,
    /// Whether something was changed since this was last asked.
    changed: Cell<bool>,
    /// How many rows the connection had changed when the transaction began.
    pub(crate) changes_before: u64,
    /// What is there, before the transaction and now; only a writer's counts.
    pub(crate) tally_before: Tally,
    pub(crate) tally: Cell<Tally>,
    /// The most retained messages.
    pub(crate) max_retained: Option<usize>,
    /// Numbers that are not given again; only a writer's.
    pub(crate) spent: Option<&'db Spent>,
    /// The sessions that count on from such numbers, and from where.
    pub(crate) raised: RefCell<Vec<(SessionId, Seq)>>,
    /// Statements that the transaction has used: a handful, found sooner here than in the connection's cache.
    statements: RefCell<Vec<(&'static str, CachedStatement<'db>)>>,
}

impl<'db> State<'db> {
    pub(crate) fn new(db: &'db Connection, tally: Tally) -> State<'db> {
        State {
            db,
            held: RefCell::default(),
            holds: None,
            lost_held: Cell::new(false),
            sessions: SessionRows::default(),
            counters: Counters::default(),
            changed: Cell::new(false),
            changes_before: db.total_changes(),
            statements: RefCell::default(),
            tally_before: tally,
            tally: Cell::new(tally),
            max_retained: None,
            spent: None,
            raised: RefCell::default(),
        }
    }

    /// The same for so many retained messages at most.
    pub(crate) fn with_at_most(self, max_retained: Option<usize>) -> State<'db> {
        State { max_retained, ..self }
    }

    /// The same without these numbers.
    pub(crate) fn without(self, spent: &'db Spent) -> State<'db> {
        State { spent: Some(spent), ..self }
    }

    /// The same, which holds rows back as long as that is so.
    pub(crate) fn holding_while(self, holds: &'db Cell<bool>) -> State<'db> {
        State { holds: Some(holds), ..self }
    }

    /// The database, with all that the transaction has written so far.
    pub(crate) fn db(&self) -> rusqlite::Result<&'db Connection> {
        self.write_held()?;
        Ok(self.db)
    }

    /// Runs something with a prepared statement, without a look at the rows that wait: for whoever has written them, or is
    /// about to. Everybody else takes [`State::execute`].
    pub(crate) fn without_held<T>(
        &self,
        sql: &'static str,
        run: impl FnOnce(&mut CachedStatement<'db>) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<T> {
        let mut used = self.statements.borrow_mut();
        let kept =
            used.iter().position(|(other, _)| std::ptr::eq(*other, sql)).map(|at| used.swap_remove(at).1);
        // Not while it runs: it may ask for others.
        drop(used);
        let mut statement = kept.map_or_else(|| self.db.prepare_cached(sql), Ok)?;
        let result = run(&mut statement);
        self.statements.borrow_mut().push((sql, statement));
        result
    }

    /// Whether something was changed since this was last asked.
    pub(crate) fn take_changed(&self) -> bool {
        self.changed.take()
    }

    pub(crate) fn note_change(&self) {
        self.changed.set(true);
    }

    /// Writes what the transaction holds back until its end. Answers what is there after it, if it changes something.
    pub(crate) fn finish(&self) -> Result<Option<Tally>> {
        self.write_held()?;
        self.write_sessions()?;
        self.write_counters()?;
        self.write_tally()
    }

    /// Runs a statement that changes; answers how many rows it changed.
    pub(crate) fn execute(&self, sql: &'static str, params: impl Params) -> Result<usize> {
        self.note_change();
        self.write_held()?;
        Ok(self.without_held(sql, |statement| statement.execute(params))?)
    }

    /// Writes a row with its checksum, which is the statement's last parameter; answers how many rows it changed.
    pub(crate) fn write(&self, table: &Table, sql: &'static str, fields: &[Field<'_>]) -> Result<usize> {
        let checksum = Field::from(table.checksum(fields.iter().copied()));
        self.execute(sql, params_from_iter(fields.iter().chain([&checksum])))
    }

    /// The record in the row that a query finds, if there is one.
    pub(crate) fn record<T>(
        &self,
        sql: &str,
        params: impl Params,
        read: impl FnOnce(&Row<'_>) -> Result<T>,
    ) -> Result<Option<T>> {
        let mut statement = self.db()?.prepare_cached(sql)?;
        let mut rows = statement.query(params)?;
        rows.next()?.map(read).transpose()
    }

    /// Removes the row that a statement names, and answers the record that was in it. One that is damaged goes, too, and
    /// answers with nothing in it.
    pub(crate) fn remove<T>(
        &self,
        sql: &str,
        params: impl Params,
        read: impl FnOnce(&Row<'_>) -> Result<T>,
    ) -> Result<Option<Option<T>>> {
        self.note_change();
        self.record(sql, params, |row| note_damage(read(row), &mut Vec::new()))
    }

    /// The row that a query finds, if there is one.
    pub(crate) fn find<T>(
        &self,
        sql: &str,
        params: impl Params,
        read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Option<T>> {
        Ok(self.db()?.prepare_cached(sql)?.query_row(params, read).optional()?)
    }

    /// Looks at the row before the place where a walk begins. A damaged key misleads the search for that place only to
    /// the place right behind itself.
    pub(crate) fn check_before(
        &self,
        table: &Table,
        place: &[Field<'_>],
        damaged: &mut Vec<StoreError>,
    ) -> Result<()> {
        let mut statement = self.db()?.prepare_cached(&table.row_before())?;
        let mut rows = statement.query(params_from_iter(place))?;
        if let Some(row) = rows.next()? {
            note_damage(table.read(row, 0, || Ok(())), damaged)?;
        }
        Ok(())
    }

    /// Whether a query finds a row.
    pub(crate) fn exists(&self, sql: &str, params: impl Params) -> Result<bool> {
        Ok(self.db()?.prepare_cached(sql)?.exists(params)?)
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
