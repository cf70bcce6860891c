//! Numbers of queue entries that were told and whose transaction failed: what a backend keeps in memory so that it gives
//! none of them again. Not for epochs and versions, which need not be dense: of those it is enough never to count back.

use std::collections::HashMap;

use crate::{Seq, SessionId};

/// The numbers that failed transactions told somebody of, by session; see [`crate::Persistence`], "A number that was told
/// is given once".
///
/// A backend adds what a transaction told when it fails, asks for the next number whenever it reads a session's row to
/// change it, and writes the row so. When that is durable the row itself says where to go on. What it holds is bounded by
/// the sessions that are stored.
#[derive(Debug, Default)]
pub struct SpentNumbers {
    next: HashMap<SessionId, Seq>,
}

impl SpentNumbers {
    /// A number was told, and what it was given to is not there.
    pub fn spend(&mut self, session: SessionId, seq: Seq) {
        let next = self.next.entry(session).or_default();
        *next = seq.next().max(*next);
    }

    /// The next number of a session whose row says that it is `stored`; `None`: it is that one.
    pub fn next(&self, session: SessionId, stored: Seq) -> Option<Seq> {
        // Nearly always there are none, and that costs nothing.
        if self.next.is_empty() {
            return None;
        }
        self.next.get(&session).copied().filter(|next| *next > stored)
    }

    /// The session's row says it durably, or is gone.
    pub fn forget(&mut self, session: SessionId, stored: Seq) {
        if self.next.get(&session).is_some_and(|next| *next <= stored) {
            self.next.remove(&session);
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.next.is_empty()
    }
}
