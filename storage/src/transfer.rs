//! Everything that a store holds, as a file: taken out of one store, put into another of any backend, and looked
//! through for faults. It uses the contract alone, and knows no backend, no path and no command line.
//!
//! A file is a line that names its version, then frames, each a record under a checksum that covers its place in the
//! file, and a last frame that says how many there were:
//!
//! ```text
//! "opifex store 1\n"   frame 0   frame 1   ...   end
//! frame:  length (4 bytes, lowest first)   sealed record (see crate::encoding; the frame's number is its key)
//! ```
//!
//! Sessions come first, then what hangs on them, so that it is read in one pass. A message that several queues hold is
//! written once for as long as [`WINDOW`] other ones have not come between: that is what bounds the memory of both
//! sides, beside a page of records.

mod check;
mod export;
mod frame;
mod import;

pub use check::{Checked, check};
pub use export::export;
pub use import::import;

use std::fmt;

use crate::{Record, StoreError};

/// The line that a file begins with.
const MAGIC: &[u8] = b"opifex store 1\n";

/// So many different messages are remembered, so that one that comes again need not be written again.
pub const WINDOW: usize = 1 << 18;

/// Records a page, and about so many bytes: what is in memory at once.
const PAGE_ITEMS: usize = 512;
const PAGE_BYTES: usize = 4 << 20;

/// How many records of each kind were moved or seen.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Sessions.
    pub sessions: u64,
    /// Sessions that ended and left something.
    pub ended: u64,
    /// Subscriptions.
    pub subscriptions: u64,
    /// Queue entries, also of ended sessions.
    pub queued: u64,
    /// Inbound ids.
    pub inbound: u64,
    /// Wills.
    pub wills: u64,
    /// Retained messages.
    pub retained: u64,
}

impl Counts {
    /// All of them.
    pub fn total(&self) -> u64 {
        self.sessions
            + self.ended
            + self.subscriptions
            + self.queued
            + self.inbound
            + self.wills
            + self.retained
    }

    fn count(&mut self, record: &Record) {
        *match record {
            Record::Session(_) => &mut self.sessions,
            Record::Ended(..) => &mut self.ended,
            Record::Subscription(..) => &mut self.subscriptions,
            Record::Queued(..) => &mut self.queued,
            Record::Inbound(_) => &mut self.inbound,
            Record::Will(_) => &mut self.wills,
            Record::Retained(_) => &mut self.retained,
        } += 1;
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "sessions={} subscriptions={} queued={} inbound={} wills={} retained={} ended={}",
            self.sessions,
            self.subscriptions,
            self.queued,
            self.inbound,
            self.wills,
            self.retained,
            self.ended
        )
    }
}

/// A record, for a person.
fn name(record: &Record) -> String {
    match record {
        Record::Session(session) => format!("session {} of client {:?}", session.id, session.client_id),
        Record::Ended(session, _) => format!("session {}, which ended", session.id),
        Record::Subscription(id, subscription) => {
            format!("subscription {:?} of session {id}", subscription.filter.as_str())
        }
        Record::Queued(id, entry) => format!("entry {} of session {id}", entry.seq),
        Record::Inbound(inbound) => {
            format!("inbound id {} of session {}", inbound.packet_id, inbound.session)
        }
        Record::Will(will) => format!("will of session {} at epoch {}", will.session, will.epoch),
        Record::Retained(retained) => format!("retained message of {:?}", retained.message.topic.as_str()),
    }
}

/// What happens on the way.
#[derive(Debug)]
pub enum Event<'a> {
    /// So much has been done; about once a page.
    Progress(&'a Counts),
    /// A record could not be read, could not be written, or contradicts others. The walk goes on.
    Fault(String),
}

/// Why a store could not be exported or imported.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TransferError {
    /// The store refused or failed.
    #[error("the store failed")]
    Store(#[from] StoreError),
    /// The file could not be read or written.
    #[error("the file could not be read or written")]
    Io(#[from] std::io::Error),
    /// It is no file of this kind.
    #[error("not an export of an opifex store")]
    Foreign,
    /// The file is damaged or cut short.
    #[error("frame {frame} is damaged: {what}")]
    Damaged {
        /// The number of the frame, from 0.
        frame: u64,
        /// What is wrong with it.
        what: String,
    },
    /// There is something in the store that was to be filled.
    #[error("the store is not empty")]
    NotEmpty,
}
