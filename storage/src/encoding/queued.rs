//! An entry of a session's queue: all but its number, which is in its key. Its message is a body in a row of its own,
//! or stands in the entry where nobody else refers to it and the entry is not written again.

use std::sync::Arc;

use bytes::Bytes;
use opifex_packet::{PacketId, QoS};

use super::seal::seal_fields;
use super::{FieldReader, FieldWriter, Malformed, StoredRecord};
use crate::{Message, QueuedState, Timestamp};

/// Where the message of a queue entry is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum QueuedBody {
    /// It was let go when the entry was released.
    Gone,
    /// In the body of this number, which other entries may refer to as well.
    Row(u64),
    /// In the entry: the fields of the message. They are read by [`QueuedBody::inline_message`] alone, so that removing
    /// an entry does not pay for it.
    Inline(Bytes),
}

const GONE: u8 = 0;
const ROW: u8 = 1;
const INLINE: u8 = 2;

impl QueuedBody {
    /// A message that stands in its entry.
    pub fn inline(message: &Message) -> QueuedBody {
        let mut fields = FieldWriter(Vec::with_capacity(message.size_hint()));
        message.write(&mut fields);
        QueuedBody::Inline(fields.0.into())
    }

    /// The message of the fields of [`QueuedBody::Inline`].
    pub fn inline_message(fields: Bytes) -> Result<Message, Malformed> {
        let mut fields = FieldReader::new(fields);
        let message = Message::read(&mut fields)?;
        fields.end().map(|()| message)
    }
}

/// A stored queue entry. What removing it needs stands here, so that its body is not read for that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueuedRow {
    /// Where its message is.
    pub body: QueuedBody,
    /// The bytes of its message; 0 once it was released.
    pub size_bytes: u64,
    /// When its message expires.
    pub expires_at: Option<Timestamp>,
    /// The effective QoS.
    pub qos: QoS,
    /// The RETAIN flag to send.
    pub retain: bool,
    /// How far its delivery has come.
    pub state: QueuedState,
    /// Subscription identifiers to send.
    pub subscription_ids: Vec<u32>,
    /// The shared subscription that it belongs to.
    pub share: Option<Arc<str>>,
}

const WAITING: u8 = 0;
const ASSIGNED: u8 = 1;
const RELEASED: u8 = 2;

impl QueuedRow {
    /// When the entry expires: never, once it has a packet id.
    pub fn deadline(&self) -> Option<Timestamp> {
        self.expires_at.filter(|_| self.is_waiting())
    }

    /// Whether no packet id is recorded.
    pub fn is_waiting(&self) -> bool {
        self.state == QueuedState::Waiting
    }

    /// The value of the row with this key when a message stands in it, which is written there at once: the same bytes as of
    /// an entry with [`QueuedBody::inline`].
    pub fn seal_with(&self, key: &[u8], message: &Message) -> Bytes {
        let length = message.fields_length();
        seal_fields::<QueuedRow>(key, length + 32, |fields| {
            fields.byte(INLINE);
            fields.number(length as u64);
            message.write(fields);
            self.write_behind_body(fields);
        })
    }

    fn write_behind_body(&self, fields: &mut FieldWriter) {
        fields.number(self.size_bytes);
        fields.moment(self.expires_at);
        fields.byte(u8::from(self.qos) | u8::from(self.retain) << 2);
        let (state, packet_id) = match self.state {
            QueuedState::Waiting => (WAITING, None),
            QueuedState::Assigned(id) => (ASSIGNED, Some(id)),
            QueuedState::Released(id) => (RELEASED, Some(id)),
        };
        fields.byte(state);
        if let Some(id) = packet_id {
            fields.number(id.get().into());
        }
        fields.number(self.subscription_ids.len() as u64);
        self.subscription_ids.iter().for_each(|id| fields.number((*id).into()));
        fields.byte(u8::from(self.share.is_some()));
        if let Some(share) = &self.share {
            fields.bytes(share.as_bytes());
        }
    }
}

impl StoredRecord for QueuedRow {
    /// Version 1 knew no inline messages, and is the same otherwise.
    const VERSION: u8 = 2;

    fn size_hint(&self) -> usize {
        let QueuedBody::Inline(message) = &self.body else { return 64 };
        message.len() + 64
    }

    fn write(&self, fields: &mut FieldWriter) {
        match &self.body {
            QueuedBody::Gone => fields.byte(GONE),
            QueuedBody::Row(body) => {
                fields.byte(ROW);
                fields.number(*body);
            }
            QueuedBody::Inline(message) => {
                fields.byte(INLINE);
                fields.bytes(message);
            }
        }
        self.write_behind_body(fields);
    }

    fn read(fields: &mut FieldReader) -> Result<Self, Malformed> {
        let body = match fields.byte()? {
            GONE => QueuedBody::Gone,
            ROW => QueuedBody::Row(fields.number()?),
            INLINE => QueuedBody::Inline(fields.bytes()?),
            _ => return Err(Malformed("where the message is")),
        };
        let size_bytes = fields.number()?;
        let expires_at = fields.moment()?;
        let flags = fields.byte()?;
        let qos = QoS::try_from(flags & 0b11).map_err(|_| Malformed("a quality of service"))?;
        let state = match fields.byte()? {
            WAITING => QueuedState::Waiting,
            ASSIGNED => QueuedState::Assigned(packet_id(fields)?),
            RELEASED => QueuedState::Released(packet_id(fields)?),
            _ => return Err(Malformed("a state of delivery")),
        };
        // The count is not trusted with an allocation: each identifier takes a byte at least.
        let mut subscription_ids = Vec::new();
        for _ in 0..fields.number()? {
            subscription_ids.push(fields.number_u32()?);
        }
        let share = match fields.byte()? {
            0 => None,
            1 => Some(Arc::from(fields.text()?)),
            _ => return Err(Malformed("0 or 1 before a share")),
        };
        Ok(QueuedRow {
            body,
            size_bytes,
            expires_at,
            qos,
            retain: flags & 0b100 != 0,
            state,
            subscription_ids,
            share,
        })
    }
}

fn packet_id(fields: &mut FieldReader) -> Result<PacketId, Malformed> {
    let id = u16::try_from(fields.number()?).ok().and_then(PacketId::new);
    id.ok_or(Malformed("a packet id"))
}
