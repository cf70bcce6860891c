//! The storage contract of the Opifex MQTT broker: what the broker writes down, and what a store promises about it.
//!
//! The broker is the state machine; a store is a transactional record of its decisions. A backend implements
//! [`Persistence`]: one door for writes ([`Persistence::submit`]) and a few for reads. There is no engine in this
//! crate, no clock (time is an argument, see [`Timestamp`]) and no runtime.
//!
//! Reading order: [`Persistence`], [`Batch`] and its [`Op`]s, [`Outcome`], [`Receipt`], then the records.
//!
//! A backend that holds bytes shares [`encoding`]; one over an engine that keeps keys in order is written in about 100
//! lines with [`ordered_kv`] and [`KvPersistence`].

mod persistence;

mod batch;
mod op;
mod outcome;
mod receipt;

mod due;
mod inbound;
mod message;
mod page;
mod queue;
mod record;
mod retained;
mod session;
mod subscription;
mod will;

mod capabilities;
mod commit_counts;
mod commit_mark;
mod data_dir;
mod durability;
mod error;
mod fault_list;
mod id;
mod spent_numbers;
mod timestamp;

mod dyn_persistence;
pub mod encoding;
mod kv_persistence;
pub mod ordered_kv;
pub mod transfer;

pub use batch::{Author, Batch, Expectation, Guard, GuardedRecord, IdempotencyKey};
pub use capabilities::Capabilities;
pub use commit_counts::CommitCounts;
pub use commit_mark::CommitMark;
pub use data_dir::DataDir;
pub use due::{Due, DueItem};
pub use durability::Durability;
pub use dyn_persistence::DynPersistence;
pub use error::{Certainty, ErrorKind, Result, StoreError};
pub use fault_list::FaultList;
pub use id::{Epoch, RecordVersion, Seq, SessionId};
pub use inbound::Inbound;
pub use kv_persistence::KvPersistence;
pub use message::Message;
pub use op::Op;
pub use ordered_kv::{KvCapabilities, KvRange, KvSnapshot, OrderedKv, WriteBatch};
pub use outcome::{DropReason, Outcome, TargetOutcome};
pub use page::{Cursor, Page, PageLimit};
pub use persistence::Persistence;
pub use queue::{FullPolicy, QueueLimits, QueuePage, Queued, QueuedState, Target};
pub use receipt::{Commit, Receipt};
pub use record::{Record, RecordKind, Restored};
pub use retained::Retained;
pub use session::{OpenSession, OpenedSession, SessionExpiry, SessionRecord};
pub use spent_numbers::SpentNumbers;
pub use subscription::SubscriptionRecord;
pub use timestamp::Timestamp;
pub use will::{NewWill, WillRecord};
