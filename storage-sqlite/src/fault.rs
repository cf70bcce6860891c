//! Why work on the tables failed: a refusal of ours, or an error of the engine that becomes one at the crate's edge.

use opifex_storage::{ErrorKind, StoreError};
use rusqlite::ErrorCode;

/// What work on the tables fails with.
#[derive(Debug)]
pub(crate) enum Fault {
    /// The contract refuses it; nothing was changed.
    Refused(StoreError),
    /// SQLite failed.
    Engine(rusqlite::Error),
}

/// The result of work on the tables.
pub(crate) type Result<T, E = Fault> = std::result::Result<T, E>;

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Fault {
        Fault::Refused(error)
    }
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Fault {
        Fault::Engine(error)
    }
}

impl From<Fault> for StoreError {
    /// For work that left no trace: reads, and batches that were rolled back.
    fn from(fault: Fault) -> StoreError {
        match fault {
            Fault::Refused(error) => error,
            Fault::Engine(error) => StoreError::not_applied(kind_of(&error), format!("sqlite: {error}")),
        }
    }
}

/// The contract's word for an error of the engine.
pub(crate) fn kind_of(error: &rusqlite::Error) -> ErrorKind {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => ErrorKind::Full,
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => ErrorKind::Retry,
        // The writer opens the database anew.
        Some(ErrorCode::SystemIoFailure) => ErrorKind::Retry,
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase | ErrorCode::ConstraintViolation) => {
            // We write nothing that breaks a constraint unless the rows that are there are wrong.
            ErrorKind::Corrupt
        }
        Some(ErrorCode::TooBig) => ErrorKind::TooLarge,
        Some(_) => ErrorKind::Fatal,
        // What the engine did not say comes from reading a column: its value is not of the type that we wrote.
        None => ErrorKind::Corrupt,
    }
}

/// Whether a read, a write or a sync failed: the transaction with it, and what the engine has in memory is to be trusted
/// no more.
pub(crate) fn is_of_the_disk(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(ErrorCode::SystemIoFailure)
}

/// A stored value that we cannot have written.
pub(crate) fn corrupt(what: impl std::fmt::Display) -> Fault {
    Fault::Refused(StoreError::not_applied(ErrorKind::Corrupt, what.to_string()))
}

/// What fails the whole transaction, as an error of the engine.
pub(crate) fn of_engine(fault: Fault) -> rusqlite::Error {
    match fault {
        Fault::Engine(error) => error,
        Fault::Refused(error) => rusqlite::Error::ToSqlConversionFailure(Box::new(error)),
    }
}

/// What was read; or nothing, when it is a damaged record, which joins those that were found before.
pub(crate) fn note_damage<T>(read: Result<T>, damaged: &mut Vec<StoreError>) -> Result<Option<T>> {
    match read {
        Ok(value) => Ok(Some(value)),
        Err(Fault::Refused(error)) if error.kind() == ErrorKind::Corrupt => {
            // A walk may come by it more than once.
            if !damaged.contains(&error) {
                damaged.push(error);
            }
            Ok(None)
        }
        // The engine cannot read on either.
        Err(fault) => Err(fault),
    }
}

/// The same of rows that waited to be inserted: whose they are is not known, and that of others is not taken for one's own.
pub(crate) fn told_of_held(error: &rusqlite::Error) -> StoreError {
    let what = format!(
        "rows of a transaction are refused by a damaged table, and from now on none waits for others: sqlite: {error}"
    );
    StoreError::not_applied(kind_of(error), what)
}

/// An error of the engine that left no trace.
pub(crate) fn told(error: &rusqlite::Error) -> StoreError {
    StoreError::not_applied(kind_of(error), format!("sqlite: {error}"))
}
