//! Sessions: the record, opening (take over, continue, create) and ending.
//!
//! Ending moves a session from one table to another and touches none of its entries; who removes them is `purge`.

use std::sync::Arc;

use opifex_packet::PacketId;
use opifex_storage::{
    Epoch, OpenSession, OpenedSession, SessionExpiry, SessionId, SessionRecord, Timestamp, WillRecord,
};

use crate::due::DueKey;
use crate::inbound::InboundIds;
use crate::queue::Queue;
use crate::state::State;
use crate::subscription::Subscriptions;

/// A session that has not ended.
pub(crate) struct Session {
    pub(crate) client_id: Arc<str>,
    pub(crate) epoch: Epoch,
    pub(crate) expiry: SessionExpiry,
    pub(crate) offline_since: Option<Timestamp>,
    pub(crate) contents: Contents,
}

/// What hangs on a session's id, and outlives the session until it is purged.
#[derive(Default)]
pub(crate) struct Contents {
    pub(crate) queue: Queue,
    pub(crate) subscriptions: Subscriptions,
    pub(crate) inbound: InboundIds,
}

/// What an ended session left behind; there is none that left nothing.
pub(crate) struct Ended {
    pub(crate) session: Session,
    pub(crate) at: Timestamp,
}

impl Session {
    /// When the session ends, if its connection does not come back; `None` while it is connected, or never.
    pub(crate) fn deadline(&self) -> Option<Timestamp> {
        self.expiry.deadline(self.offline_since?)
    }

    pub(crate) fn record(&self, id: SessionId) -> SessionRecord {
        SessionRecord {
            id,
            client_id: Box::from(&*self.client_id),
            epoch: self.epoch,
            expiry: self.expiry,
            offline_since: self.offline_since,
            next_seq: self.contents.queue.next_seq(),
            queued_items: self.contents.queue.len(),
            queued_bytes: self.contents.queue.bytes(),
        }
    }
}

impl Contents {
    fn is_empty(&self) -> bool {
        self.queue.is_empty() && self.subscriptions.is_empty() && self.inbound.is_empty()
    }
}

impl State {
    pub(crate) fn open_session(&mut self, open: OpenSession) -> OpenedSession {
        let epoch = self.next_epoch();
        let found = self.clients.get(&*open.client_id).copied();
        let continued = found.filter(|id| !open.clean_start && !self.sessions[id].has_expired(open.now));
        let (id, ended, will_due) = match (found, continued) {
            (_, Some(id)) => (id, None, self.take_over(id, open.expiry, epoch, open.now)),
            (Some(old), None) => {
                let will_due = self.end_session(old, open.now);
                (self.create(&open, epoch), Some(old), will_due)
            }
            (None, None) => (self.create(&open, epoch), None, false),
        };
        if let Some(will) = open.will {
            self.wills.insert((id, epoch), WillRecord { session: id, epoch, will, due_at: None });
        }
        let session = &self.sessions[&id];
        OpenedSession {
            session: session.record(id),
            present: continued.is_some(),
            ended,
            will_due,
            subscriptions: session.contents.subscriptions.records().collect(),
            inbound: session.contents.inbound.iter().collect::<Vec<PacketId>>(),
            damaged: Vec::new(),
        }
    }

    /// Gives a session that goes on its new epoch. Answers whether a will is due.
    fn take_over(&mut self, id: SessionId, expiry: SessionExpiry, epoch: Epoch, now: Timestamp) -> bool {
        let session = self.sessions.get_mut(&id).expect("the pointer of a client leads to a session");
        if let Some(at) = session.deadline() {
            self.due.remove(at, DueKey::Session(id));
        }
        let old_epoch = std::mem::replace(&mut session.epoch, epoch);
        session.expiry = expiry;
        session.offline_since = None;
        self.take_over_will(id, old_epoch, now)
    }

    fn create(&mut self, open: &OpenSession, epoch: Epoch) -> SessionId {
        let id = SessionId(epoch.0);
        let client_id: Arc<str> = Arc::from(&*open.client_id);
        self.clients.insert(Arc::clone(&client_id), id);
        self.session_order.insert(id);
        let session = Session {
            client_id,
            epoch,
            expiry: open.expiry,
            offline_since: None,
            contents: Contents::default(),
        };
        self.sessions.insert(id, session);
        id
    }

    /// Ends a session that exists: the pointer goes, its wills are due, what remains becomes a due item. Answers
    /// whether a will is due.
    pub(crate) fn end_session(&mut self, id: SessionId, now: Timestamp) -> bool {
        let session = self.sessions.remove(&id).expect("the caller found the session");
        self.session_order.remove(&id);
        self.clients.remove(&session.client_id);
        if let Some(at) = session.deadline() {
            self.due.remove(at, DueKey::Session(id));
        }
        if !session.contents.is_empty() {
            self.due.insert(now, DueKey::Ended(id));
            self.ended.insert(id, Ended { session, at: now });
        }
        self.end_wills(id, now)
    }

    /// Starts the clocks of expiry and will delay; they run on if they had started.
    pub(crate) fn go_offline(&mut self, id: SessionId, now: Timestamp) -> bool {
        let Some(session) = self.sessions.get_mut(&id) else { return false };
        if session.offline_since.is_none() {
            session.offline_since = Some(now);
            self.restart_clocks(id, None);
        }
        true
    }

    pub(crate) fn set_expiry(&mut self, id: SessionId, expiry: SessionExpiry) -> bool {
        let Some(session) = self.sessions.get_mut(&id) else { return false };
        let before = session.deadline();
        session.expiry = expiry;
        if session.offline_since.is_some() {
            self.restart_clocks(id, before);
        }
        true
    }

    /// Brings the due items of an offline session in line with its record; `before` is its indexed deadline.
    fn restart_clocks(&mut self, id: SessionId, before: Option<Timestamp>) {
        if let Some(at) = before {
            self.due.remove(at, DueKey::Session(id));
        }
        let session = &self.sessions[&id];
        let (epoch, deadline) = (session.epoch, session.deadline());
        if let Some(at) = deadline {
            self.due.insert(at, DueKey::Session(id));
        }
        if let Some(since) = session.offline_since {
            self.time_will(id, epoch, since, deadline);
        }
    }

    /// Removes up to `limit` of what an ended session left, the queue first and in its order. Answers whether some
    /// is left.
    pub(crate) fn purge(&mut self, id: SessionId, limit: usize) -> bool {
        let Some(ended) = self.ended.get_mut(&id) else { return false };
        let Contents { queue, subscriptions, inbound } = &mut ended.session.contents;
        for _ in 0..limit.max(1) {
            if !(queue.pop_first(id, &mut self.due) || subscriptions.pop_first() || inbound.pop_first()) {
                break;
            }
        }
        !self.forget_if_empty(id)
    }

    /// Forgets an ended session of which nothing is left. Answers whether nothing is.
    pub(crate) fn forget_if_empty(&mut self, id: SessionId) -> bool {
        let Some(ended) = self.ended.get(&id) else { return true };
        let empty = ended.session.contents.is_empty();
        if empty {
            self.due.remove(ended.at, DueKey::Ended(id));
            self.ended.remove(&id);
        }
        empty
    }
}

impl Session {
    /// Whether the session is over when somebody else connects: a connection that still stands closes with that.
    fn has_expired(&self, now: Timestamp) -> bool {
        self.expiry.deadline(self.offline_since.unwrap_or(now)).is_some_and(|at| at <= now)
    }
}
