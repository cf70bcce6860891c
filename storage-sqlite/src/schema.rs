//! The database file: whether it is ours, the version of its tables, and how they are made and brought up to date.
//!
//! A file that is not ours is refused before anything is written to it.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::time::Duration;

use opifex_storage::{ErrorKind, StoreError};
use rusqlite::functions::FunctionFlags;
use rusqlite::{Connection, OpenFlags};

use crate::checksum::{Field, TABLES};
use crate::fault::Result;

/// "Opfx": what `file` and other programs see in the file's header.
pub(crate) const APPLICATION_ID: i32 = 0x4f70_6678;

/// The tables of the newest version, for a database that has none.
const NEWEST: &str = include_str!("schema.sql");

/// What brings a database from version n, its place in the list plus 1, to the next.
const UPGRADES: &[&str] = &[include_str!("upgrade_1_to_2.sql")];

/// The version of [`NEWEST`].
const VERSION: usize = UPGRADES.len() + 1;

/// How long another process may be in the way: a person at work on the tables.
pub(crate) const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

const MAGIC: &[u8; 16] = b"SQLite format 3\0";

/// Opens the database for writing, made or brought up to date where needed.
pub(crate) fn open_for_writing(path: &Path) -> Result<Connection> {
    check_magic(path)?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_PRIVATE_CACHE;
    let db = Connection::open_with_flags(path, flags)?;
    db.busy_timeout(BUSY_TIMEOUT)?;
    let version = check_owner(&db, path)?;
    if version == 0 {
        // Space of what was settled can be given back later; this is only to be had before the first table.
        db.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
    }
    let mode: String = db.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
    if mode != "wal" {
        let what = format!("{}: the file system does not allow a write-ahead log", path.display());
        return Err(StoreError::not_applied(ErrorKind::Unsupported, what).into());
    }
    db.pragma_update(None, "synchronous", "FULL")?;
    upgrade(&db, version)?;
    // The statements here keep them; a look at the parent for each row costs, and is the tests' business.
    db.pragma_update(None, "foreign_keys", false)?;
    db.pragma_update(None, "temp_store", "MEMORY")?;
    db.pragma_update(None, "cache_size", -16_000)?;
    // Commits are synced outside of the engine (`sync.rs`); it syncs around checkpoints.
    db.pragma_update(None, "synchronous", "NORMAL")?;
    // The writer does it itself when nobody waits for it.
    db.pragma_update(None, "wal_autocheckpoint", 0)?;
    db.set_prepared_statement_cache_capacity(128);
    Ok(db)
}

/// Opens the database, which a writer has open, for reading.
pub(crate) fn open_for_reading(path: &Path) -> Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_PRIVATE_CACHE;
    let db = Connection::open_with_flags(path, flags)?;
    db.busy_timeout(BUSY_TIMEOUT)?;
    db.pragma_update(None, "temp_store", "MEMORY")?;
    db.pragma_update(None, "cache_size", -4_000)?;
    db.set_prepared_statement_cache_capacity(64);
    Ok(db)
}

/// A file that begins otherwise is not opened by the engine at all. But one beside its journal is: a power loss while the
/// database was made has left half of it, and the engine takes that back.
fn check_magic(path: &Path) -> Result<()> {
    let mut journal = path.as_os_str().to_owned();
    journal.push("-journal");
    if Path::new(&journal).exists() {
        return Ok(());
    }
    let Ok(mut file) = File::open(path) else { return Ok(()) };
    let mut start = Vec::new();
    file.by_ref()
        .take(16)
        .read_to_end(&mut start)
        .map_err(|error| refused(path, format_args!("cannot be read: {error}")))?;
    if start.is_empty() || start == MAGIC {
        return Ok(());
    }
    Err(refused(path, "is not an SQLite database").into())
}

/// Whether the database is ours, or empty; answers the version of its tables.
fn check_owner(db: &Connection, path: &Path) -> Result<usize> {
    let unreadable = |error: rusqlite::Error| -> crate::fault::Fault {
        match crate::fault::kind_of(&error) {
            ErrorKind::Corrupt => refused(path, format_args!("is damaged: {error}")).into(),
            _ => error.into(),
        }
    };
    let application: i32 =
        db.pragma_query_value(None, "application_id", |row| row.get(0)).map_err(unreadable)?;
    let version: i64 = db.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(unreadable)?;
    let tables: i64 =
        db.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).map_err(unreadable)?;
    if application == 0 && version == 0 && tables == 0 {
        return Ok(0);
    }
    if application != APPLICATION_ID {
        let what = format!("is the database of another program (application_id {application:#x})");
        return Err(refused(path, what).into());
    }
    match usize::try_from(version) {
        Ok(known) if (1..=VERSION).contains(&known) => Ok(known),
        _ => {
            let what = format!(
                "has tables of version {version}, this program knows them up to {VERSION}: use a newer one"
            );
            Err(refused(path, what).into())
        }
    }
}

/// Makes the tables, or brings them up to date: all of it or nothing.
fn upgrade(db: &Connection, from: usize) -> Result<()> {
    if from == VERSION {
        return Ok(());
    }
    let step = db.unchecked_transaction()?;
    if from == 0 {
        step.execute_batch(NEWEST)?;
    } else {
        UPGRADES[from - 1..].iter().try_for_each(|sql| step.execute_batch(sql))?;
    }
    seal_rows(&step)?;
    step.pragma_update(None, "application_id", APPLICATION_ID)?;
    step.pragma_update(None, "user_version", VERSION as i64)?;
    step.commit()?;
    Ok(())
}

/// Gives every row its checksum.
fn seal_rows(db: &Connection) -> Result<()> {
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC;
    for table in TABLES {
        db.create_scalar_function("opifex_checksum", table.columns.len() as i32, flags, |context| {
            Ok(table.checksum((0..context.len()).map(|column| Field(context.get_raw(column)))))
        })?;
        let columns = table.columns.join(", ");
        db.execute(&format!("UPDATE {} SET checksum = opifex_checksum({columns})", table.name), [])?;
        db.remove_function("opifex_checksum", table.columns.len() as i32)?;
    }
    Ok(())
}

fn refused(path: &Path, why: impl std::fmt::Display) -> StoreError {
    StoreError::not_applied(ErrorKind::Unsupported, format!("{} {why}", path.display()))
}
