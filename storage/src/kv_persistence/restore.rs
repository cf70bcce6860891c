//! Records of another store, written as they were there.

use opifex_packet::QoS;

use crate::encoding::{
    ClientPointer, DueRow, QueuedBody, QueuedRow, RetainedRow, SessionRow, key, key::DueKey,
};
use crate::kv_persistence::queue::MAX_INLINE_BYTES;
use crate::kv_persistence::rows::Rows;
use crate::kv_persistence::transaction::Transaction;
use crate::{
    Epoch, ErrorKind, KvSnapshot, Message, Outcome, Queued, QueuedState, Record, RecordVersion, Restored,
    Result, Retained, Seq, SessionId, SessionRecord, StoreError, Timestamp, WillRecord,
};

impl<S: KvSnapshot> Transaction<'_, S> {
    pub(super) fn restore(&mut self, restored: Restored) -> Result<Outcome> {
        self.need_room()?;
        let shared = restored.same_message_as;
        match restored.record {
            Record::Session(record) => self.restore_session(record, None),
            Record::Ended(record, at) => self.restore_session(record, Some(at)),
            Record::Subscription(id, record) => Ok(match self.subscribe(id, record)? {
                Some(false) => Outcome::Done,
                Some(true) => Outcome::Present,
                None => Outcome::Absent,
            }),
            Record::Inbound(inbound) => self.put_inbound(inbound.session, inbound.packet_id),
            Record::Queued(id, entry) => self.restore_entry(id, entry, shared),
            Record::Retained(retained) => self.restore_retained(retained),
            Record::Will(will) => self.restore_will(will),
        }
    }

    fn restore_session(&mut self, record: SessionRecord, ended_at: Option<Timestamp>) -> Result<Outcome> {
        let id = record.id;
        let client = key::client(&record.client_id);
        let taken = self.live(id)?.is_some() || self.ended(id)?.is_some();
        if taken || ended_at.is_none() && self.get(&client)?.is_some() {
            return Ok(Outcome::Present);
        }
        let mut row = SessionRow::new(record.client_id.into(), record.epoch, record.expiry);
        row.offline_since = record.offline_since;
        row.ended_at = ended_at;
        row.next_seq = record.next_seq;
        let version = RecordVersion(row.epoch.0);
        self.raise_counters(row.epoch.max(Epoch(id.0)), RecordVersion(0));
        match ended_at {
            None => {
                self.put(client, &ClientPointer(id));
                if let Some(at) = row.deadline() {
                    self.put(key::due(at, &DueKey::Session(id)), &DueRow { version });
                }
                self.set_live(id, Some(row));
            }
            Some(at) => {
                self.put(key::due(at, &DueKey::Ended(id)), &DueRow { version });
                self.put(key::ended(id), &row);
            }
        }
        Ok(Outcome::Done)
    }

    fn restore_entry(
        &mut self,
        id: SessionId,
        entry: Queued,
        shared: Option<(SessionId, Seq)>,
    ) -> Result<Outcome> {
        let session = match self.live(id)? {
            Some(session) => Some(session),
            None => self.ended(id)?,
        };
        let Some(mut session) = session else { return Ok(Outcome::Absent) };
        let key = key::queued(id, entry.seq);
        if self.has(&key)? {
            return Ok(Outcome::Present);
        }
        let (body, size, expires_at) = match (&entry.message, shared) {
            (None, None) => (QueuedBody::Gone, 0, None),
            (Some(message), _) => {
                let body = self.place_message(&entry, message)?;
                (body, message.size_bytes() as u64, message.expires_at)
            }
            (None, Some((other, seq))) => match self.share_message(other, seq)? {
                Some(holder) => (holder.body, holder.size_bytes, holder.expires_at),
                None => return Ok(Outcome::Absent),
            },
        };
        let row = QueuedRow {
            body,
            size_bytes: size,
            expires_at,
            qos: entry.qos,
            retain: entry.retain,
            state: entry.state,
            subscription_ids: entry.subscription_ids,
            share: entry.share,
        };
        session.next_seq = session.next_seq.max(entry.seq.next());
        session.queued_items += 1;
        session.queued_bytes += size;
        if row.is_waiting() {
            session.waiting_items += 1;
            session.waiting_bytes += size;
        }
        self.put_session(id, session);
        if let Some(at) = row.deadline() {
            let due = DueRow { version: RecordVersion(entry.seq.0) };
            self.put(key::due(at, &DueKey::Queued(id, entry.seq)), &due);
        }
        self.put(key, &row);
        Ok(Outcome::Done)
    }

    /// Puts a message where an enqueue would have put it.
    fn place_message(&mut self, entry: &Queued, message: &Message) -> Result<QueuedBody> {
        let waits = entry.qos == QoS::AtLeastOnce && entry.state == QueuedState::Waiting;
        if waits && message.size_bytes() <= MAX_INLINE_BYTES {
            return Ok(QueuedBody::inline(message));
        }
        let body = self.next_body();
        self.add_reference(body, message, false)?;
        Ok(QueuedBody::Row(body))
    }

    /// Refers once more to the message of an entry, which moves to a row of its own if it stands in its entry.
    fn share_message(&mut self, other: SessionId, seq: Seq) -> Result<Option<QueuedRow>> {
        let key = key::queued(other, seq);
        let Some(mut holder) = self.record::<QueuedRow>(&key)? else { return Ok(None) };
        let damaged = |what: &str| {
            let name = key::describe(&key);
            StoreError::not_applied(ErrorKind::Corrupt, format!("{name} is damaged: {what}"))
        };
        match holder.body.clone() {
            QueuedBody::Gone => return Ok(None),
            QueuedBody::Row(body) => {
                let message: Option<Message> = self.record(&key::body(body))?;
                let message = message.ok_or_else(|| damaged("its message is missing"))?;
                self.add_reference(body, &message, true)?;
            }
            QueuedBody::Inline(fields) => {
                let message = QueuedBody::inline_message(fields);
                let message = message.map_err(|_| damaged("its message cannot be read"))?;
                let body = self.next_body();
                self.add_reference(body, &message, false)?;
                self.add_reference(body, &message, true)?;
                holder.body = QueuedBody::Row(body);
                self.put(key.clone(), &holder);
            }
        }
        Ok(Some(holder))
    }

    fn restore_retained(&mut self, Retained { message, version }: Retained) -> Result<Outcome> {
        let key = key::retained(&message.topic);
        if self.has(&key)? {
            return Ok(Outcome::Present);
        }
        if let Some(at) = message.expires_at {
            self.put(key::due(at, &DueKey::Retained(message.topic.clone())), &DueRow { version });
        }
        self.put(key, &RetainedRow { version, message });
        self.count_retained();
        self.raise_counters(Epoch(0), version);
        Ok(Outcome::Done)
    }

    fn restore_will(&mut self, will: WillRecord) -> Result<Outcome> {
        let key = key::will(will.session, will.epoch);
        if self.has(&key)? {
            return Ok(Outcome::Present);
        }
        if let Some(at) = will.due_at {
            let due = DueRow { version: RecordVersion(will.epoch.0) };
            self.put(key::due(at, &DueKey::Will(will.session, will.epoch)), &due);
        }
        self.put(key, &will);
        self.raise_counters(will.epoch, RecordVersion(0));
        Ok(Outcome::Done)
    }
}
