//! Opening, going offline, ending; and the wills that go with it.

use std::collections::{BTreeMap, BTreeSet};

use opifex_storage::{
    Epoch, OpenSession, OpenedSession, Seq, SessionExpiry, SessionId, SessionRecord, Timestamp, WillRecord,
};

use super::{Model, Session};

impl Model {
    /// Opens a session. The store chose `epoch`, which is also the id if the session is new.
    pub(crate) fn open(&mut self, open: &OpenSession, epoch: Epoch) -> OpenedSession {
        let found = self.of_client(&open.client_id);
        let continued = found.filter(|id| !open.clean_start && !self.is_over(*id, open.now));
        let ended = found.filter(|_| continued.is_none());
        let mut will_due = false;
        if let Some(id) = ended {
            will_due = self.end(id, open.now);
        }
        let id = match continued {
            Some(id) => {
                will_due = self.take_over(id, epoch, open);
                id
            }
            None => {
                self.create(open, epoch);
                SessionId(epoch.0)
            }
        };
        if let Some(will) = &open.will {
            let record = WillRecord { session: id, epoch, will: will.clone(), due_at: None };
            self.wills.insert((id, epoch), record);
        }
        let session = &self.sessions[&id];
        OpenedSession {
            session: session.record(),
            present: continued.is_some(),
            ended,
            will_due,
            subscriptions: session.subscriptions.values().cloned().collect(),
            inbound: session.inbound.iter().copied().collect(),
            damaged: Vec::new(),
        }
    }

    fn create(&mut self, open: &OpenSession, epoch: Epoch) {
        let head = SessionRecord {
            id: SessionId(epoch.0),
            client_id: open.client_id.clone(),
            epoch,
            expiry: open.expiry,
            offline_since: None,
            next_seq: Seq(1),
            queued_items: 0,
            queued_bytes: 0,
        };
        let session = Session {
            head,
            ended_at: None,
            queue: BTreeMap::new(),
            subscriptions: BTreeMap::new(),
            inbound: BTreeSet::new(),
        };
        self.sessions.insert(SessionId(epoch.0), session);
    }

    /// Whether a session has no claim to be continued: a connection that still stands closes now.
    fn is_over(&self, id: SessionId, now: Timestamp) -> bool {
        let head = &self.sessions[&id].head;
        head.expiry.deadline(head.offline_since.unwrap_or(now)).is_some_and(|at| at <= now)
    }

    /// The session goes on under another epoch. Answers whether a will is due.
    fn take_over(&mut self, id: SessionId, epoch: Epoch, open: &OpenSession) -> bool {
        let head = &mut self.sessions.get_mut(&id).expect("it was found").head;
        let before = std::mem::replace(&mut head.epoch, epoch);
        head.expiry = open.expiry;
        head.offline_since = None;
        let Some(will) = self.wills.get_mut(&(id, before)) else { return false };
        match will.due_at {
            Some(at) if at <= open.now => true,
            None if will.will.delay_secs == 0 => {
                will.due_at = Some(open.now);
                true
            }
            // [MQTT-3.1.3-9]: back before the delay has passed.
            _ => {
                self.wills.remove(&(id, before));
                false
            }
        }
    }

    /// Ends a session that there is: its wills wait no longer. Answers whether it has any.
    pub(super) fn end(&mut self, id: SessionId, now: Timestamp) -> bool {
        let session = self.sessions.get_mut(&id).expect("the caller found it");
        session.ended_at = Some(now);
        self.forget_if_empty(id);
        let mut any = false;
        for will in self.wills.values_mut().filter(|will| will.session == id) {
            will.due_at = Some(will.due_at.map_or(now, |at| at.min(now)));
            any = true;
        }
        any
    }

    /// The connection closed: clocks that do not run start. Answers whether there is such a session.
    pub(super) fn go_offline(&mut self, id: SessionId, now: Timestamp) -> bool {
        let Some(session) = self.live_mut(id) else { return false };
        if session.head.offline_since.is_none() {
            session.head.offline_since = Some(now);
            self.time_will(id);
        }
        true
    }

    pub(super) fn set_expiry(&mut self, id: SessionId, expiry: SessionExpiry) -> bool {
        let Some(session) = self.live_mut(id) else { return false };
        session.head.expiry = expiry;
        self.time_will(id);
        true
    }

    /// The will of an offline session is due after its delay, at the latest when the session ends.
    fn time_will(&mut self, id: SessionId) {
        let head = &self.sessions[&id].head;
        let Some(since) = head.offline_since else { return };
        if let Some(will) = self.wills.get_mut(&(id, head.epoch)) {
            let after_delay = since.plus_secs(will.will.delay_secs);
            will.due_at = Some(head.expiry.deadline(since).map_or(after_delay, |at| at.min(after_delay)));
        }
    }

    /// Removes up to so many of what an ended session left, its queue first. Answers whether some is left.
    pub(super) fn purge(&mut self, id: SessionId, limit: usize) -> bool {
        let Some(session) = self.sessions.get_mut(&id).filter(|session| session.ended_at.is_some()) else {
            return false;
        };
        for _ in 0..limit.max(1) {
            let gone = session.queue.pop_first().is_some()
                || session.subscriptions.pop_first().is_some()
                || session.inbound.pop_first().is_some();
            if !gone {
                break;
            }
        }
        self.forget_if_empty(id);
        self.sessions.contains_key(&id)
    }

    pub(super) fn forget_if_empty(&mut self, id: SessionId) {
        let over = |session: &Session| session.ended_at.is_some() && session.remains() == 0;
        if self.sessions.get(&id).is_some_and(over) {
            self.sessions.remove(&id);
        }
    }
}
