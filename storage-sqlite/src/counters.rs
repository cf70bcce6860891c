//! The last numbers given out: read once a transaction, written once before its commit.

use std::cell::Cell;

use opifex_storage::{Epoch, RecordVersion};

use crate::checksum::COUNTERS;
use crate::fault::{Result, corrupt};
use crate::state::{State, int, uint};
use crate::tally::{Counted, Tally};

/// A number that counts up, as the open transaction has it.
#[derive(Copy, Clone)]
struct Counter {
    value: u64,
    changed: bool,
}

/// Those that the transaction has needed.
#[derive(Default)]
pub(crate) struct Counters {
    epoch: Cell<Option<Counter>>,
    version: Cell<Option<Counter>>,
    /// The number of the last body; not kept, since no row but its own needs it to be new.
    message: Cell<Option<i64>>,
}

impl State<'_> {
    pub(crate) fn next_epoch(&self) -> Result<Epoch> {
        self.next("epoch", &self.counters.epoch).map(Epoch)
    }

    pub(crate) fn next_version(&self) -> Result<RecordVersion> {
        self.next("version", &self.counters.version).map(RecordVersion)
    }

    /// A number that no stored body has.
    pub(crate) fn next_message(&self) -> Result<i64> {
        let last = match self.counters.message.get() {
            Some(last) => last,
            None => self
                .db()?
                .prepare_cached("SELECT ifnull(max(id), 0) FROM messages")?
                .query_row([], |row| row.get(0))?,
        };
        self.counters.message.set(Some(last + 1));
        Ok(last + 1)
    }

    /// Writes those that have counted.
    pub(crate) fn write_counters(&self) -> Result<()> {
        for (name, cell) in [("epoch", &self.counters.epoch), ("version", &self.counters.version)] {
            let Some(Counter { value, changed: true }) = cell.get() else { continue };
            let sql = "UPDATE counters SET value = ?2, checksum = ?3 WHERE name = ?1";
            self.write(&COUNTERS, sql, &[name.into(), int(value).into()])?;
            cell.set(Some(Counter { value, changed: false }));
        }
        Ok(())
    }

    /// Writes the tally after the transaction, if it changes something. A row that is not there yet (the store is of a
    /// program that did not count, or new) comes with its first change. Answers the tally.
    pub(crate) fn write_tally(&self) -> Result<Option<Tally>> {
        if self.db()?.total_changes() == self.changes_before {
            return Ok(None);
        }
        let mut tally = self.tally.get();
        tally.commit += 1;
        self.put_counter("commit", tally.commit)?;
        for counted in Counted::ALL {
            if tally.rows(counted) != self.tally_before.rows(counted) {
                self.put_counter(counted.name(), tally.rows(counted))?;
            }
        }
        Ok(Some(tally))
    }

    fn put_counter(&self, name: &str, value: u64) -> Result<()> {
        let sql = "INSERT OR REPLACE INTO counters (name, value, checksum) VALUES (?1, ?2, ?3)";
        self.write(&COUNTERS, sql, &[name.into(), int(value).into()])?;
        Ok(())
    }

    /// So many rows of a table more, or fewer.
    pub(crate) fn count_rows(&self, of: Counted, more: usize, fewer: usize) {
        let mut tally = self.tally.get();
        tally.set(of, (tally.rows(of) + more as u64).saturating_sub(fewer as u64));
        self.tally.set(tally);
    }

    /// Sees to it that epochs given later are higher than this.
    pub(crate) fn raise_epoch(&self, least: Epoch) -> Result<()> {
        self.raise("epoch", &self.counters.epoch, least.0)
    }

    /// Sees to it that versions given later are higher than this.
    pub(crate) fn raise_version(&self, least: RecordVersion) -> Result<()> {
        self.raise("version", &self.counters.version, least.0)
    }

    fn raise(&self, name: &str, cell: &Cell<Option<Counter>>, least: u64) -> Result<()> {
        let last = self.last(name, cell)?;
        if last < least {
            self.note_change();
            cell.set(Some(Counter { value: least, changed: true }));
        }
        Ok(())
    }

    fn next(&self, name: &str, cell: &Cell<Option<Counter>>) -> Result<u64> {
        let next = self.last(name, cell)? + 1;
        self.note_change();
        cell.set(Some(Counter { value: next, changed: true }));
        Ok(next)
    }

    fn last(&self, name: &str, cell: &Cell<Option<Counter>>) -> Result<u64> {
        match cell.get() {
            Some(counter) => Ok(counter.value),
            None => {
                let value = self.stored_counter(name)?;
                let value = value.ok_or_else(|| corrupt(format_args!("there is no counter {name:?}")))?;
                Ok(value.max(self.spent.map_or(0, |spent| spent.counted(name))))
            }
        }
    }

    /// The value in a row of `counters`, as it was written.
    pub(crate) fn stored_counter(&self, name: &str) -> Result<Option<u64>> {
        let sql = "SELECT name, value, checksum FROM counters WHERE name = ?1";
        self.record(sql, [name], |row| COUNTERS.read(row, 0, || Ok(uint(row, 1)?)))
    }
}
