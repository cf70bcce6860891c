//! A session, or what is left of one that ended: the record, and the counts that make its end O(1).

use std::sync::Arc;

use super::{FieldReader, FieldWriter, Malformed, StoredRecord};
use crate::{Epoch, Seq, SessionExpiry, SessionId, SessionRecord, Timestamp};

/// A stored session. One that ended keeps the same row under another key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionRow {
    /// The client that it belongs to.
    pub client_id: Arc<str>,
    /// The epoch of its last open.
    pub epoch: Epoch,
    /// How long it outlives its connection.
    pub expiry: SessionExpiry,
    /// Since when it is without a connection.
    pub offline_since: Option<Timestamp>,
    /// When it ended, if it did.
    pub ended_at: Option<Timestamp>,
    /// The number that the next queue entry gets.
    pub next_seq: Seq,
    /// No entry below this number is without a packet id.
    pub waiting_from: Seq,
    /// Entries in its queue.
    pub queued_items: u64,
    /// Bytes of their messages.
    pub queued_bytes: u64,
    /// Entries without a packet id.
    pub waiting_items: u64,
    /// Bytes of their messages.
    pub waiting_bytes: u64,
    /// Its subscriptions.
    pub subscriptions: u64,
    /// Its inbound ids.
    pub inbound: u64,
}

impl SessionRow {
    /// A session that begins.
    pub fn new(client_id: Arc<str>, epoch: Epoch, expiry: SessionExpiry) -> SessionRow {
        SessionRow {
            client_id,
            epoch,
            expiry,
            offline_since: None,
            ended_at: None,
            next_seq: Seq(1),
            waiting_from: Seq(1),
            queued_items: 0,
            queued_bytes: 0,
            waiting_items: 0,
            waiting_bytes: 0,
            subscriptions: 0,
            inbound: 0,
        }
    }

    /// When the session ends, if its connection does not come back; `None` while it is connected, or never.
    pub fn deadline(&self) -> Option<Timestamp> {
        self.expiry.deadline(self.offline_since?)
    }

    /// Whether nothing hangs on it.
    pub fn is_empty(&self) -> bool {
        self.queued_items == 0 && self.subscriptions == 0 && self.inbound == 0
    }

    /// The contract's record.
    pub fn record(&self, id: SessionId) -> SessionRecord {
        SessionRecord {
            id,
            client_id: Box::from(&*self.client_id),
            epoch: self.epoch,
            expiry: self.expiry,
            offline_since: self.offline_since,
            next_seq: self.next_seq,
            queued_items: self.queued_items,
            queued_bytes: self.queued_bytes,
        }
    }
}

impl StoredRecord for SessionRow {
    fn write(&self, fields: &mut FieldWriter) {
        fields.bytes(self.client_id.as_bytes());
        fields.number(self.epoch.0);
        fields.expiry(self.expiry);
        fields.moment(self.offline_since);
        fields.moment(self.ended_at);
        fields.number(self.next_seq.0);
        fields.number(self.waiting_from.0);
        fields.number(self.queued_items);
        fields.number(self.queued_bytes);
        fields.number(self.waiting_items);
        fields.number(self.waiting_bytes);
        fields.number(self.subscriptions);
        fields.number(self.inbound);
    }

    fn read(fields: &mut FieldReader) -> Result<Self, Malformed> {
        Ok(SessionRow {
            client_id: fields.text()?.into(),
            epoch: Epoch(fields.number()?),
            expiry: fields.expiry()?,
            offline_since: fields.moment()?,
            ended_at: fields.moment()?,
            next_seq: Seq(fields.number()?),
            waiting_from: Seq(fields.number()?),
            queued_items: fields.number()?,
            queued_bytes: fields.number()?,
            waiting_items: fields.number()?,
            waiting_bytes: fields.number()?,
            subscriptions: fields.number()?,
            inbound: fields.number()?,
        })
    }
}
