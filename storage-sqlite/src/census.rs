//! The census of a database that is opened: whether tables have as many rows as were counted, and whether the indices of
//! deadlines lead to all that has one. A damaged page can hide rows without making one of them look damaged, and an index
//! has no checksums; both show here. Bodies are not looked at, so it costs the small rows alone.
//!
//! An index that disagrees with its table is made again, since nothing is lost with it. The rest is only said.

use opifex_storage::{CommitMark, ErrorKind, StoreError};
use rusqlite::Connection;
use rusqlite::types::ValueRef;

use crate::fault::{Fault, Result, note_damage};
use crate::state::State;
use crate::tally::{Counted, Tally};

/// An index of deadlines, with the columns that its entries hold, in their order.
struct Deadlines {
    table: &'static str,
    index: &'static str,
    columns: &'static str,
}

const DEADLINES: [Deadlines; 4] = [
    Deadlines { table: "sessions", index: "sessions_due", columns: "due_at, id" },
    Deadlines { table: "queue", index: "queue_due", columns: "expires_at, session, seq" },
    Deadlines { table: "retained", index: "retained_due", columns: "expires_at, key" },
    Deadlines { table: "wills", index: "wills_due", columns: "due_at, session, epoch" },
];

/// What is there now, as a reader sees it, with what is wrong about it; the writer makes indices again.
pub(crate) fn take(
    db: &Connection,
    writer: &Connection,
    mark: &CommitMark,
    damaged: &mut Vec<StoreError>,
) -> Result<Tally> {
    if !note(client_index_leads_to_all(db), damaged)?.unwrap_or(true) {
        made_again(writer, "sessions_by_client", damaged)?;
    }
    for deadlines in &DEADLINES {
        if !note(deadlines.agree(db), damaged)?.unwrap_or(true) {
            made_again(writer, deadlines.index, damaged)?;
        }
    }
    let state = State::new(db, Tally::default());
    let mut tally = Tally::default();
    let stored = note_damage(state.stored_counter("commit"), damaged)?;
    // A damaged number has been named, and no other one is missing for that.
    damaged.extend(stored.and_then(|stored| mark.missing_from(stored.unwrap_or(0))));
    tally.commit = mark.last(stored.flatten().unwrap_or(0));
    for counted in Counted::ALL {
        let name = counted.name();
        let sql = format!("SELECT count(*) FROM {name}");
        let rows = db.query_row(&sql, [], |row| row.get::<_, i64>(0)).map_err(Fault::from);
        let rows = note(rows, damaged)?.map_or(0, |rows| rows as u64);
        // A store that nobody has counted yet says nothing.
        let told = note_damage(state.stored_counter(name), damaged)?.flatten();
        if told.is_some_and(|told| told != rows) {
            let told = told.unwrap_or(0);
            let what =
                format!("table {name} is damaged: {told} rows were counted there, and {rows} are found");
            damaged.push(StoreError::not_applied(ErrorKind::Corrupt, what));
        }
        tally.set(counted, rows);
    }
    Ok(tally)
}

impl Deadlines {
    /// Whether the index holds what the table does, in its order.
    fn agree(&self, db: &Connection) -> Result<bool> {
        let Deadlines { table, index, columns } = self;
        let at = columns.split(',').next().unwrap_or(columns);
        // The sign keeps the index out; `NOT INDEXED` does not where there is no rowid.
        let there = Sum::of(db, &format!("SELECT {columns} FROM {table} WHERE +{at} IS NOT NULL"))?;
        let sql = format!("SELECT {columns} FROM {table} INDEXED BY {index} WHERE {at} IS NOT NULL");
        let indexed = Sum::of(db, &sql)?;
        Ok(indexed.in_order && (there.rows, there.sum) == (indexed.rows, indexed.sum))
    }
}

/// Rows as a number that does not depend on their order.
struct Sum {
    rows: u64,
    sum: u64,
    /// Whether they came in the order of their columns.
    in_order: bool,
}

impl Sum {
    fn of(db: &Connection, sql: &str) -> Result<Sum> {
        let mut sum = Sum { rows: 0, sum: 0, in_order: true };
        let mut statement = db.prepare(sql)?;
        let columns = statement.column_count();
        let mut rows = statement.query([])?;
        // As SQLite compares: numbers, and the topics of one deadline.
        let mut last: (i64, Vec<u8>) = (i64::MIN, Vec::new());
        let mut rest = Vec::new();
        while let Some(row) = rows.next()? {
            rest.clear();
            let at = row.get_ref(0)?.as_i64().unwrap_or(i64::MIN);
            for column in 1..columns {
                match row.get_ref(column)? {
                    ValueRef::Integer(number) => rest.extend_from_slice(&number.to_be_bytes()),
                    ValueRef::Blob(bytes) => rest.extend_from_slice(bytes),
                    // Of none that we wrote.
                    other => rest.extend_from_slice(format!("{other:?}").as_bytes()),
                }
            }
            sum.in_order &= sum.rows == 0 || (last.0, &last.1) < (at, &rest);
            last.0 = at;
            std::mem::swap(&mut last.1, &mut rest);
            sum.rows += 1;
            sum.sum = sum.sum.wrapping_add(mixed(at, &last.1));
        }
        Ok(sum)
    }
}

/// Two checksums of a row: a sum of these is not right by chance.
fn mixed(at: i64, rest: &[u8]) -> u64 {
    let one = crc32c::crc32c_append(crc32c::crc32c(&at.to_le_bytes()), rest);
    let other = crc32c::crc32c_append(one ^ 0x9e37_79b9, rest);
    (u64::from(one) << 32 | u64::from(other)).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// Clients find their session by an index, which is asked here as it is asked for them.
fn client_index_leads_to_all(db: &Connection) -> Result<bool> {
    let sql = "SELECT NOT EXISTS (SELECT 1 FROM sessions AS s NOT INDEXED WHERE s.ended_at IS NULL AND s.id IS NOT \
               (SELECT i.id FROM sessions AS i INDEXED BY sessions_by_client \
                WHERE i.client_id = s.client_id AND i.ended_at IS NULL))";
    Ok(db.query_row(sql, [], |row| row.get(0))?)
}

fn made_again(db: &Connection, index: &str, damaged: &mut Vec<StoreError>) -> Result<()> {
    let made = db.execute_batch(&format!("REINDEX {index}")).map_err(Fault::from);
    let what = match note(made, damaged)? {
        Some(()) => {
            format!("index {index} was damaged, and was made again from its table: nothing is lost with it")
        }
        None => format!("index {index} is damaged, and cannot be made again: what it led to is not found"),
    };
    damaged.push(StoreError::not_applied(ErrorKind::Corrupt, what));
    Ok(())
}

/// As [`note_damage`], also of what the engine itself calls damaged: here it hides nothing but what is told.
fn note<T>(found: Result<T>, damaged: &mut Vec<StoreError>) -> Result<Option<T>> {
    let found = found.map_err(|fault| Fault::Refused(fault.into()));
    note_damage(found, damaged)
}
