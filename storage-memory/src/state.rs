//! Everything that the store holds, and the reads that need more than one part of it.
//!
//! How the parts change is in `batch.rs` (batches) and `session.rs` (opening and ending sessions).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use hashbrown::HashMap;
use opifex_storage::{Epoch, PageLimit, QueuePage, RecordVersion, Seq, SessionId, WillRecord};

use crate::due::DueIndex;
use crate::retained::RetainedMessages;
use crate::session::{Contents, Ended, Session};

/// The whole store, as it lies behind its lock.
#[derive(Default)]
pub(crate) struct State {
    /// The last epoch that was given out.
    pub(crate) last_epoch: u64,
    /// The last record version that was given out.
    pub(crate) last_version: u64,
    /// The pointer from a client to its session.
    pub(crate) clients: HashMap<Arc<str>, SessionId>,
    /// Sessions that have not ended.
    pub(crate) sessions: HashMap<SessionId, Session>,
    /// Their ids in order, for walks.
    pub(crate) session_order: BTreeSet<SessionId>,
    /// What ended sessions left behind.
    pub(crate) ended: BTreeMap<SessionId, Ended>,
    /// Wills, by session and by the epoch of the open that brought them.
    pub(crate) wills: BTreeMap<(SessionId, Epoch), WillRecord>,
    pub(crate) retained: RetainedMessages,
    pub(crate) due: DueIndex,
    /// The most retained messages.
    pub(crate) max_retained: usize,
}

impl State {
    /// An empty store that may hold so many retained messages.
    pub(crate) fn with_room_for(max_retained: usize) -> State {
        State { max_retained, ..State::default() }
    }

    pub(crate) fn next_epoch(&mut self) -> Epoch {
        self.last_epoch += 1;
        Epoch(self.last_epoch)
    }

    pub(crate) fn next_version(&mut self) -> RecordVersion {
        self.last_version += 1;
        RecordVersion(self.last_version)
    }

    /// Queue, subscriptions and inbound ids of a session, or what is left of them after its end.
    pub(crate) fn contents(&self, id: SessionId) -> Option<&Contents> {
        match self.sessions.get(&id) {
            Some(session) => Some(&session.contents),
            None => self.ended.get(&id).map(|ended| &ended.session.contents),
        }
    }

    /// A page of a session's queue; an ended session's entries are read until they are removed.
    pub(crate) fn queue_page(&self, id: SessionId, after: Seq, limit: PageLimit) -> QueuePage {
        match self.contents(id) {
            Some(contents) => contents.queue.page(after, limit),
            None => QueuePage { items: Vec::new(), final_up_to: after, more: false, damaged: Vec::new() },
        }
    }
}
