//! Records of another store, written as they were there.

use std::sync::Arc;

use opifex_storage::{
    Epoch, Outcome, Queued, Record, Restored, Retained, Seq, SessionId, SessionRecord, Timestamp, WillRecord,
};

use crate::due::DueKey;
use crate::session::{Contents, Ended, Session};
use crate::state::State;

impl State {
    pub(crate) fn restore(&mut self, restored: Restored) -> Outcome {
        let shared = restored.same_message_as;
        match restored.record {
            Record::Session(record) => self.restore_session(record, None),
            Record::Ended(record, at) => self.restore_session(record, Some(at)),
            Record::Subscription(id, record) => match self.sessions.get_mut(&id) {
                None => Outcome::Absent,
                Some(session) => done_or_present(!session.contents.subscriptions.insert(record)),
            },
            Record::Inbound(inbound) => match self.sessions.get_mut(&inbound.session) {
                None => Outcome::Absent,
                Some(session) => done_or_present(session.contents.inbound.insert(inbound.packet_id)),
            },
            Record::Queued(id, entry) => self.restore_entry(id, entry, shared),
            Record::Retained(retained) => self.restore_retained(retained),
            Record::Will(will) => self.restore_will(will),
        }
    }

    fn restore_session(&mut self, record: SessionRecord, ended_at: Option<Timestamp>) -> Outcome {
        let id = record.id;
        let client_id: Arc<str> = Arc::from(record.client_id);
        let client_taken = ended_at.is_none() && self.clients.contains_key(&client_id);
        if client_taken || self.sessions.contains_key(&id) || self.ended.contains_key(&id) {
            return Outcome::Present;
        }
        let mut session = Session {
            client_id,
            epoch: record.epoch,
            expiry: record.expiry,
            offline_since: record.offline_since,
            contents: Contents::default(),
        };
        session.contents.queue.give_up_to(Seq(record.next_seq.0.saturating_sub(1)));
        self.last_epoch = self.last_epoch.max(session.epoch.max(Epoch(id.0)).0);
        match ended_at {
            Some(at) => {
                self.due.insert(at, DueKey::Ended(id));
                self.ended.insert(id, Ended { session, at });
            }
            None => {
                if let Some(at) = session.deadline() {
                    self.due.insert(at, DueKey::Session(id));
                }
                self.clients.insert(Arc::clone(&session.client_id), id);
                self.session_order.insert(id);
                self.sessions.insert(id, session);
            }
        }
        Outcome::Done
    }

    fn restore_entry(
        &mut self,
        id: SessionId,
        mut entry: Queued,
        shared: Option<(SessionId, Seq)>,
    ) -> Outcome {
        if let Some((other, seq)) = shared {
            let message = self.contents(other).and_then(|contents| contents.queue.message(seq));
            let Some(message) = message else { return Outcome::Absent };
            entry.message = Some(message);
        }
        let State { sessions, ended, due, .. } = self;
        let session = match sessions.get_mut(&id) {
            Some(session) => session,
            None => match ended.get_mut(&id) {
                Some(ended) => &mut ended.session,
                None => return Outcome::Absent,
            },
        };
        done_or_present(session.contents.queue.restore(id, entry, due))
    }

    fn restore_retained(&mut self, Retained { message, version }: Retained) -> Outcome {
        if self.retained.version(&message.topic).is_some() {
            return Outcome::Present;
        }
        self.last_version = self.last_version.max(version.0);
        self.retained.insert(message, version, &mut self.due);
        Outcome::Done
    }

    fn restore_will(&mut self, will: WillRecord) -> Outcome {
        let key = (will.session, will.epoch);
        if self.wills.contains_key(&key) {
            return Outcome::Present;
        }
        self.last_epoch = self.last_epoch.max(will.epoch.0);
        if let Some(at) = will.due_at {
            self.due.insert(at, DueKey::Will(will.session, will.epoch));
        }
        self.wills.insert(key, will);
        Outcome::Done
    }
}

fn done_or_present(done: bool) -> Outcome {
    if done { Outcome::Done } else { Outcome::Present }
}
