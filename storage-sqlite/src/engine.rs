//! The database as the writer has it: its connection and those of the readers, the length of the log, and room on the
//! disk. Which transactions there are is not known here.
//!
//! **A write or a sync that fails.** What is on the disk is not known then: the system may hold pages for clean that it
//! never wrote, and say so once. What had to be synced before is on the disk, though, in the log up to its last commit,
//! or in the database. So all connections are closed, the log is cut off behind its last commit, all of it is copied into
//! the database once more, and synced, and the log begins anew; until that has succeeded nothing is read or written. A
//! transaction that failed is not there after that, whatever of it had reached the log.
//!
//! **A full disk.** The reserve is given up, and the log copied into the database and cut off. While the reserve is not
//! there again nothing that grows may be written, and free pages go back to the file system at once.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use opifex_storage::{ErrorKind, Result, StoreError};
use parking_lot::Mutex;
use rusqlite::config::DbConfig;
use rusqlite::ffi::{SQLITE_IOERR_SHMMAP, SQLITE_IOERR_SHMOPEN, SQLITE_IOERR_SHMSIZE};
use rusqlite::hooks::Wal;
use rusqlite::{Connection, ErrorCode};

use crate::fault::Fault;
use crate::reserve::Reserve;
use crate::schema;

/// The log is copied into the database when it has become half as long as the reserve, which must be enough to copy it
/// with: at least from so many pages on, and at most. While the disk is full, far sooner.
const LOG_PAGES: std::ops::RangeInclusive<u64> = 500..=10_000;
const LOG_PAGES_WHEN_FULL: usize = 100;

/// Or after so many commits, which a start would have to look through.
const LOG_COMMITS: usize = 500;

/// And when it has become so much longer, since readers were in the way, they are waited for.
const TOO_LONG: usize = 4;

/// A log begins with a header, and each of its pages, too.
const LOG_HEADER: u64 = 32;
const LOG_PAGE_HEADER: u64 = 24;

/// Free pages are given back from so many on, and only when they are a quarter of the database: a queue that fills and
/// empties needs the same pages again.
const FREE_PAGES: i64 = 256;
const FREE_PAGES_WHEN_FULL: i64 = 16;

/// While a full disk is being drained, from so many on between transactions.
const FREE_PAGES_AT_WORK: i64 = 64;

/// The file of the log is cut off from so many bytes on, when nobody wants anything.
const LONG_FILE: u64 = 1 << 20;

/// So many in a step.
const GIVE_BACK: &str = "PRAGMA incremental_vacuum(512)";

/// How often it is tried to open a database again that could not be.
const REOPEN_EVERY: Duration = Duration::from_millis(200);

/// The connection of a reader; `None` while the database is closed.
pub(crate) type Slot = Arc<Mutex<Option<Connection>>>;

/// See the module's documentation.
pub(crate) struct Engine {
    path: PathBuf,
    /// `None`: it was closed after a failure, and could not be opened again yet.
    db: Option<Connection>,
    readers: Vec<Slot>,
    page_size: u64,
    /// Pages of the log up to its last commit, when they are not all in the database.
    log_pages: Arc<AtomicUsize>,
    /// Commits since it was last copied.
    log_commits: Arc<AtomicUsize>,
    /// The same up to the last commit that has come to what was asked of it: it is synced where it was to be.
    settled_pages: usize,
    reserve: Reserve,
    tried: Option<Instant>,
}

impl Engine {
    /// Opens the database of a directory, with so many connections for readers. The log is empty then.
    pub(crate) fn open(path: &Path, readers: usize, reserve_bytes: u64) -> Result<Engine> {
        let mut engine = Engine {
            path: path.to_owned(),
            db: None,
            readers: (0..readers).map(|_| Slot::default()).collect(),
            page_size: 0,
            log_pages: Arc::default(),
            log_commits: Arc::default(),
            settled_pages: 0,
            reserve: Reserve::take(path.with_extension("reserve"), reserve_bytes),
            tried: None,
        };
        let opened = engine.open_all()?;
        engine.readers.iter().zip(opened).for_each(|(slot, reader)| *slot.lock() = Some(reader));
        Ok(engine)
    }

    /// The connections for readers.
    pub(crate) fn readers(&self) -> &[Slot] {
        &self.readers
    }

    /// The writer's connection, to be asked for only after [`Engine::is_open`] was.
    pub(crate) fn db(&self) -> &Connection {
        self.db.as_ref().expect("whoever works with it looks at `is_open` before")
    }

    /// Whether there is a connection.
    pub(crate) fn is_open(&self) -> bool {
        self.db.is_some()
    }

    /// Whether there is none, and nobody has tried just now to have one again.
    pub(crate) fn is_to_be_opened(&self) -> bool {
        self.db.is_none() && self.tried.is_none_or(|tried| tried.elapsed() >= REOPEN_EVERY)
    }

    /// All commits so far have come to what was asked of them.
    pub(crate) fn note_settled(&mut self) {
        self.settled_pages = self.log_pages.load(Ordering::Relaxed);
    }

    /// Closes everything and begins anew with what was committed; see the module's documentation. An error leaves the
    /// database closed.
    pub(crate) fn reopen(&mut self) -> Result<()> {
        self.tried = Some(Instant::now());
        let slots = self.readers.clone();
        // A reader keeps its connection for a page at most, and waits for the next one.
        let mut slots: Vec<_> = slots.iter().map(|slot| slot.lock()).collect();
        slots.iter_mut().for_each(|slot| drop(slot.take()));
        if let Some(db) = self.db.take() {
            // The log is not to be copied in the state in which it is. Where this fails the same is tried below.
            let _ = db.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true);
        }
        self.cut_log().map_err(|error| {
            let what = format!("cannot cut off {}: {error}", self.log_path().display());
            StoreError::not_applied(ErrorKind::Retry, what)
        })?;
        let opened = self.open_all()?;
        slots.iter_mut().zip(opened).for_each(|(slot, reader)| **slot = Some(reader));
        Ok(())
    }

    /// Opens the database, and copies all of the log into it. A full disk gives up its reserve for that. Answers the
    /// connections for readers.
    fn open_all(&mut self) -> Result<Vec<Connection>> {
        match self.try_to_open_all() {
            Err(error) if self.reserve.is_held() && wants_room(&error) => {
                self.reserve.release();
                let opened = self.try_to_open_all();
                self.reserve.take_again();
                opened
            }
            opened => opened,
        }
        .map_err(|error| self.told(error))
    }

    fn try_to_open_all(&mut self) -> crate::fault::Result<Vec<Connection>> {
        let mut db = schema::open_for_writing(&self.path)?;
        self.page_size = db.pragma_query_value(None, "page_size", |row| row.get::<_, u32>(0))?.into();
        let (pages, commits) = (Arc::clone(&self.log_pages), Arc::clone(&self.log_commits));
        db.wal_hook(Some(move |_: &mut Wal, so_far| {
            pages.store(usize::try_from(so_far).unwrap_or(0), Ordering::Relaxed);
            commits.fetch_add(1, Ordering::Relaxed);
            Ok(())
        }))?;
        self.log_pages.store(truncate_log(&db)?, Ordering::Relaxed);
        self.note_settled();
        let readers =
            self.readers.iter().map(|_| schema::open_for_reading(&self.path)).collect::<Result<_, _>>()?;
        self.db = Some(db);
        Ok(readers)
    }

    fn log_path(&self) -> PathBuf {
        self.path.with_extension("db-wal")
    }

    /// Cuts the log off behind its last good commit: what follows failed, and would be there again.
    fn cut_log(&self) -> io::Result<()> {
        let log = match File::options().write(true).open(self.log_path()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            opened => opened?,
        };
        let pages = self.settled_pages as u64;
        let len = if pages == 0 { 0 } else { LOG_HEADER + pages * (LOG_PAGE_HEADER + self.page_size) };
        if log.metadata()?.len() > len {
            log.set_len(len)?;
        }
        log.sync_all()
    }

    /// Says which file it is.
    fn told(&self, fault: Fault) -> StoreError {
        let hint = if wants_room(&fault) { ": there may be no room on the disk" } else { "" };
        let error = StoreError::from(fault);
        let path = self.path.display().to_string();
        if error.to_string().contains(&path) {
            return error;
        }
        StoreError::not_applied(error.kind(), format!("{path}: {error}{hint}"))
    }

    /// Whether the disk has no room for what grows; it is asked whether it has room again, but not all the time.
    pub(crate) fn is_full(&mut self) -> bool {
        if !self.reserve.is_held() {
            self.reserve.ask_again();
        }
        !self.reserve.is_held()
    }

    /// How much a transaction may bring and be written from the reserve all the same.
    pub(crate) fn reserve_bytes(&self) -> u64 {
        self.reserve.bytes()
    }

    /// The disk had no room: gives up the reserve, and the room that the log takes.
    pub(crate) fn make_room(&mut self) -> rusqlite::Result<()> {
        self.reserve.release();
        self.shorten_log()
    }

    /// Pages of a log that is long.
    fn long_log(&self) -> usize {
        let half_of_reserve = self.reserve.bytes() / 2 / self.page_size.max(1);
        half_of_reserve.clamp(*LOG_PAGES.start(), *LOG_PAGES.end()) as usize
    }

    /// Whether the log is long.
    pub(crate) fn wants_checkpoint(&self) -> bool {
        let long = if self.reserve.is_held() { self.long_log() } else { LOG_PAGES_WHEN_FULL };
        self.log_pages.load(Ordering::Relaxed) >= long
            || self.log_commits.load(Ordering::Relaxed) >= LOG_COMMITS
    }

    /// Copies the log into the database: after the answers were given, so that nobody waits for it but who comes next.
    pub(crate) fn checkpoint(&mut self) -> rusqlite::Result<()> {
        self.log_commits.store(0, Ordering::Relaxed);
        if self.log_pages.load(Ordering::Relaxed) >= self.long_log() * TOO_LONG {
            return self.shorten_log();
        }
        // Who is in its way leaves a longer log, and it is tried again.
        self.log_pages.store(checkpoint(self.db(), "PASSIVE")?, Ordering::Relaxed);
        Ok(())
    }

    /// Copies the log into the database and cuts it off, if no other process is in the way. Readers are waited for.
    fn shorten_log(&mut self) -> rusqlite::Result<()> {
        let readers: Vec<_> = self.readers.iter().map(|reader| reader.lock()).collect();
        let left = truncate_log(self.db());
        drop(readers);
        self.log_pages.store(left?, Ordering::Relaxed);
        Ok(())
    }

    /// Whether a full disk gets room from the pages that are free in the database.
    pub(crate) fn has_room_inside(&self) -> bool {
        !self.reserve.is_held() && self.free_pages().is_ok_and(|(free, _)| free >= FREE_PAGES_AT_WORK)
    }

    /// Gives some of the database's free pages back to the file system, when they are many, and the room of a long log: a
    /// step that is short. Answers whether there is more to do.
    pub(crate) fn give_back_some(&mut self) -> rusqlite::Result<bool> {
        let (free, all) = self.free_pages()?;
        let many = if self.reserve.is_held() {
            free >= FREE_PAGES && free * 4 >= all
        } else {
            free >= FREE_PAGES_WHEN_FULL
        };
        if !many {
            if std::fs::metadata(self.log_path()).is_ok_and(|log| log.len() > LONG_FILE) {
                self.shorten_log()?;
            }
            return Ok(false);
        }
        let mut statement = self.db().prepare_cached(GIVE_BACK)?;
        let mut steps = statement.query([])?;
        while steps.next()?.is_some() {}
        drop(steps);
        drop(statement);
        // Only with that the file becomes shorter.
        self.shorten_log()?;
        if !self.reserve.is_held() {
            self.reserve.ask_again();
        }
        let (left, _) = self.free_pages()?;
        Ok(left < free)
    }

    /// How many pages of the database are free, and how many there are.
    fn free_pages(&self) -> rusqlite::Result<(i64, i64)> {
        let count = |pragma: &str| self.db().pragma_query_value(None, pragma, |row| row.get::<_, i64>(0));
        Ok((count("freelist_count")?, count("page_count")?))
    }
}

impl Drop for Engine {
    /// The log goes with the last connection; what was ordered is durable without that.
    fn drop(&mut self) {
        if let Some(db) = &self.db {
            let _ = truncate_log(db);
        }
    }
}

/// Copies the log into the database and cuts it off. Another process may read for long, and nobody waits for that: it is
/// cut off another time. Answers how many pages are left.
fn truncate_log(db: &Connection) -> rusqlite::Result<usize> {
    db.busy_timeout(Duration::ZERO)?;
    let left = checkpoint(db, "TRUNCATE");
    db.busy_timeout(schema::BUSY_TIMEOUT)?;
    left
}

/// Copies the log into the database. Answers its pages if that was not all of it, else 0: they are not needed any more.
fn checkpoint(db: &Connection, mode: &str) -> rusqlite::Result<usize> {
    db.query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], |row| {
        let (pages, copied): (i64, i64) = (row.get(1)?, row.get(2)?);
        Ok(if pages == copied { 0 } else { usize::try_from(pages).unwrap_or(0) })
    })
}

/// Whether opening may have failed for want of room: files are made, and memory that is shared by one.
fn wants_room(fault: &Fault) -> bool {
    let Fault::Engine(error) = fault else { return false };
    let extended = error.sqlite_error().map(|error| error.extended_code);
    matches!(error.sqlite_error_code(), Some(ErrorCode::DiskFull | ErrorCode::CannotOpen))
        || matches!(extended, Some(SQLITE_IOERR_SHMSIZE | SQLITE_IOERR_SHMMAP | SQLITE_IOERR_SHMOPEN))
}

#[cfg(test)]
mod tests;
