//! Records of another store, written as they were there.

use opifex_storage::{
    Epoch, Outcome, Queued, QueuedState, Record, Restored, Retained, Seq, SessionId, SessionRecord,
    Timestamp, WillRecord,
};

use crate::fault::Result;
use crate::message::Stored;
use crate::retained::key_of;
use crate::session_row::SessionRow;
use crate::state::{State, int, optional_time};
use crate::tally::Counted;

/// The message of an entry: its row, and what the entry says of it.
pub(crate) struct Body {
    pub(crate) id: i64,
    pub(crate) size: u64,
    pub(crate) expires_at: Option<Timestamp>,
}

impl State<'_> {
    pub(crate) fn restore(&self, restored: &Restored, stored: &mut Stored) -> Result<Outcome> {
        match &restored.record {
            Record::Session(record) => self.restore_session(record, None),
            Record::Ended(record, at) => self.restore_session(record, Some(*at)),
            Record::Subscription(id, record) => Ok(match self.epoch_of(*id)? {
                None => Outcome::Absent,
                Some(_) if self.insert_subscription(*id, record)? => Outcome::Present,
                Some(_) => Outcome::Done,
            }),
            Record::Inbound(inbound) => Ok(match self.epoch_of(inbound.session)? {
                None => Outcome::Absent,
                Some(_) if self.insert_inbound(inbound.session, inbound.packet_id)? => Outcome::Done,
                Some(_) => Outcome::Present,
            }),
            Record::Queued(id, entry) => self.restore_entry(*id, entry, restored.same_message_as, stored),
            Record::Retained(retained) => self.restore_retained(retained, stored),
            Record::Will(will) => self.restore_will(will),
        }
    }

    fn restore_session(&self, record: &SessionRecord, ended_at: Option<Timestamp>) -> Result<Outcome> {
        let id = record.id;
        let client_taken = ended_at.is_none() && self.session_of(&record.client_id)?.is_some();
        if client_taken || self.session(id, |_| ())?.is_some() {
            return Ok(Outcome::Present);
        }
        let deadline = record.offline_since.and_then(|since| record.expiry.deadline(since));
        self.insert_session(SessionRow {
            id,
            client_id: record.client_id.clone(),
            epoch: record.epoch,
            expiry: record.expiry,
            offline_since: record.offline_since,
            ended_at,
            due_at: ended_at.or(deadline),
            next_seq: record.next_seq,
            queued_items: 0,
            queued_bytes: 0,
            waiting_items: 0,
            waiting_bytes: 0,
            subscriptions: 0,
            inbound_ids: 0,
        })?;
        self.raise_epoch(record.epoch.max(Epoch(id.0)))?;
        Ok(Outcome::Done)
    }

    fn restore_entry(
        &self,
        id: SessionId,
        entry: &Queued,
        shared: Option<(SessionId, Seq)>,
        stored: &mut Stored,
    ) -> Result<Outcome> {
        if self.session(id, |_| ())?.is_none() {
            return Ok(Outcome::Absent);
        }
        let key = [int(id.0), int(entry.seq.0)];
        if self.exists("SELECT 1 FROM queue WHERE session = ?1 AND seq = ?2", key)? {
            return Ok(Outcome::Present);
        }
        let body = match (&entry.message, shared) {
            (None, None) => None,
            (Some(message), _) => {
                let body = self.store_message(message, 1, stored)?;
                Some(Body { id: body, size: message.size_bytes() as u64, expires_at: message.expires_at })
            }
            (None, Some((other, seq))) => {
                let Some((id, size)) = self.entry(other, seq)?.and_then(|row| Some((row.message?, row.size)))
                else {
                    return Ok(Outcome::Absent);
                };
                let sql = "UPDATE messages SET refs = refs + 1, refs_check = refs_check - 1 \
                           WHERE id = ?1 RETURNING expires_at";
                self.note_change();
                let found = self.find(sql, [id], |row| optional_time(row, 0))?;
                let Some(expires_at) = found else { return Ok(Outcome::Absent) };
                Some(Body { id, size, expires_at })
            }
        };
        let packet_id = match entry.state {
            QueuedState::Waiting => None,
            QueuedState::Assigned(id) | QueuedState::Released(id) => Some(id),
        };
        self.insert_restored(id, entry, body, packet_id)?;
        Ok(Outcome::Done)
    }

    fn restore_retained(&self, retained: &Retained, stored: &mut Stored) -> Result<Outcome> {
        let message = &retained.message;
        if self.retained_version(&message.topic)?.is_some() {
            return Ok(Outcome::Present);
        }
        let body = self.store_message(message, 1, stored)?;
        self.put_retained(&key_of(message.topic.as_str()), body, retained.version, message.expires_at)?;
        self.count_rows(Counted::Retained, 1, 0);
        self.raise_version(retained.version)?;
        Ok(Outcome::Done)
    }

    fn restore_will(&self, will: &WillRecord) -> Result<Outcome> {
        let key = [int(will.session.0), int(will.epoch.0)];
        if self.exists("SELECT 1 FROM wills WHERE session = ?1 AND epoch = ?2", key)? {
            return Ok(Outcome::Present);
        }
        self.insert_will(will.session, will.epoch, &will.will)?;
        if let Some(at) = will.due_at {
            self.move_will(will.session, will.epoch, at)?;
        }
        self.raise_epoch(will.epoch)?;
        Ok(Outcome::Done)
    }
}
