//! Why a store refused or failed, and whether anything was applied.

use std::borrow::Cow;

/// The result of every call to a store.
pub type Result<T, E = StoreError> = std::result::Result<T, E>;

/// What kind of trouble it was: the caller decides by this.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Passing trouble: the same call may go through later.
    Retry,
    /// The author's epoch is not its session's any more: somebody took the session over, or it ended.
    Fenced,
    /// A guard or a claim does not hold.
    Conflict,
    /// No room for what grows; settling and removing still work.
    Full,
    /// The batch, or a message of it, exceeds the declared limits.
    TooLarge,
    /// The store does not offer what was asked, such as a durability level.
    Unsupported,
    /// Stored bytes are damaged.
    Corrupt,
    /// The store is closed, or refuses everything until it is reopened.
    Closed,
    /// The engine failed; the store must be reopened.
    Fatal,
}

/// Whether a failed call left a trace.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub enum Certainty {
    /// Nothing of it was applied.
    NotApplied,
    /// It may or may not have been applied.
    Unknown,
}

/// A store's refusal or failure.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct StoreError {
    kind: ErrorKind,
    certainty: Certainty,
    message: Cow<'static, str>,
}

impl StoreError {
    /// A failure that left no trace.
    pub fn not_applied(kind: ErrorKind, message: impl Into<Cow<'static, str>>) -> Self {
        StoreError { kind, certainty: Certainty::NotApplied, message: message.into() }
    }

    /// A failure of which nobody knows whether it was applied.
    pub fn unknown(kind: ErrorKind, message: impl Into<Cow<'static, str>>) -> Self {
        StoreError { kind, certainty: Certainty::Unknown, message: message.into() }
    }

    /// What kind of trouble it was.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Whether anything was applied.
    pub fn certainty(&self) -> Certainty {
        self.certainty
    }
}
