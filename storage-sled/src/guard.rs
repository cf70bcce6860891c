//! Calls of sled: its errors in the contract's words, and its panics as errors.
//!
//! sled asserts what it expects of its files; on damaged ones that fails here and there. The panic's message still goes
//! to the program's panic hook; the caller gets an error instead of an unwinding thread.

use std::any::Any;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};

use opifex_storage::{ErrorKind, Result, StoreError};

/// Calls sled. After an error of a write the state of the database is unknown, and the store closes.
pub(crate) fn guarded<T>(what: &str, call: impl FnOnce() -> sled::Result<T>) -> Result<T> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(result) => result.map_err(|error| failed(what, error)),
        Err(panic) => {
            let message = format!("sled cannot {what}: it panicked: {}", text_of(&*panic));
            Err(StoreError::unknown(ErrorKind::Fatal, message))
        }
    }
}

/// Opens a database; while sled's own lock is held elsewhere, the error is `Retry`.
pub(crate) fn guarded_open(open: impl FnOnce() -> sled::Result<sled::Db>) -> Result<sled::Db> {
    let mut is_locked = false;
    let opened =
        guarded("open the database", || open().inspect_err(|error| is_locked = tells_of_a_lock(error)));
    opened.map_err(|error| match is_locked {
        true => StoreError::not_applied(ErrorKind::Retry, format!("it is open elsewhere ({error})")),
        false => error,
    })
}

/// sled reports a lock that is held as an I/O error of no kind, told by its text alone.
fn tells_of_a_lock(error: &sled::Error) -> bool {
    let sled::Error::Io(io) = error else { return false };
    io.to_string().contains("could not acquire lock")
}

/// Drops what is sled's: it flushes then, and panics when that fails. Nobody is left to tell.
pub(crate) fn drop_guarded<T>(value: T) {
    let _ = catch_unwind(AssertUnwindSafe(|| drop(value)));
}

/// sled's error in the contract's words. Whether a failed write was applied, sled does not say.
fn failed(what: &str, error: sled::Error) -> StoreError {
    let kind = match &error {
        sled::Error::Corruption { .. } => ErrorKind::Corrupt,
        // The file of a large value is missing or cut short.
        sled::Error::Io(error)
            if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::UnexpectedEof) =>
        {
            ErrorKind::Corrupt
        }
        sled::Error::CollectionNotFound(_)
        | sled::Error::Unsupported(_)
        | sled::Error::ReportableBug(_)
        | sled::Error::Io(_) => ErrorKind::Fatal,
    };
    StoreError::unknown(kind, format!("sled cannot {what}: {error}"))
}

fn text_of(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("without a message")
}
