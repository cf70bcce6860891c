//! Bytes: how records and their keys are written by every backend that holds bytes, once for all of them.
//!
//! A row is a key and a value. The key says what the row is and orders the rows ([`key`]); the value is one record,
//! sealed with a format version and a checksum that covers the key as well ([`seal`]), so that a flipped bit in
//! either, or a value in another row's place, is found and reported as `Corrupt` by the name of the record. Nothing
//! here reads or writes an engine.
//!
//! Reading order: [`key`] and [`topic_seek`], the seal ([`seal()`], [`unseal`]) and its fields, then a file a record.

pub mod key;
pub mod topic_seek;

mod field;
mod seal;

mod counters;
mod due;
mod marker;
mod message;
mod pointer;
mod queued;
mod retained;
mod session;
mod subscription;
mod tally;
mod will;

pub use counters::Counters;
pub use due::DueRow;
pub use field::{FieldReader, FieldWriter, Malformed};
pub use marker::Marker;
pub use pointer::{BodyReferences, ClientPointer};
pub use queued::{QueuedBody, QueuedRow};
pub use retained::RetainedRow;
pub use seal::{StoredRecord, seal, seal_of, unseal};
pub use session::SessionRow;
pub use subscription::SubscriptionRow;
pub use tally::{Lot, Tally};

#[cfg(test)]
mod tests;
