//! One change of a session, as bytes. Checksums, and how changes make a file, are in `file.rs`.
//!
//! ```text
//! length of the rest (u32) | kind (u8) | fields
//! ```
//! Numbers are little-endian.

use bytes::Bytes;
use opifex_packet::{PacketId, Properties, PropertyContext, QoS, TopicName};

use crate::Message;
use crate::store::{SessionStore, StoredMessage};

const HEADER: usize = 4;
const NOT_RELEASED: u64 = u64::MAX;
const RETAIN: u8 = 0b100;

/// A change of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Record {
    PutOutgoing(StoredMessage),
    Release(PacketId, u64),
    RemoveOutgoing(PacketId),
    PutIncoming(PacketId),
    RemoveIncoming(PacketId),
    NextNumber(u64),
    Begun(bool),
    ClientId(String),
    Accepted,
}

impl Record {
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&[0; HEADER]);
        match self {
            Record::PutOutgoing(message) => put_outgoing(message, out),
            Record::Release(id, nth) => {
                out.push(2);
                out.extend_from_slice(&id.get().to_le_bytes());
                out.extend_from_slice(&nth.to_le_bytes());
            }
            Record::RemoveOutgoing(id) => with_id(3, *id, out),
            Record::PutIncoming(id) => with_id(4, *id, out),
            Record::RemoveIncoming(id) => with_id(5, *id, out),
            Record::NextNumber(number) => {
                out.push(6);
                out.extend_from_slice(&number.to_le_bytes());
            }
            Record::Begun(begun) => out.extend_from_slice(&[7, u8::from(*begun)]),
            Record::ClientId(client_id) => {
                out.push(8);
                out.extend_from_slice(client_id.as_bytes());
            }
            Record::Accepted => out.push(9),
        }
        let len = (out.len() - start - HEADER) as u32;
        out[start..start + HEADER].copy_from_slice(&len.to_le_bytes());
    }

    /// Takes the record at the front of `rest`; `None` when there is none that this version knows.
    pub(super) fn take(rest: &mut &[u8]) -> Option<Record> {
        Record::of_body(take_field(rest)?)
    }

    fn of_body(body: &[u8]) -> Option<Record> {
        let (&kind, mut rest) = body.split_first()?;
        let rest = &mut rest;
        let record = match kind {
            1 => Record::PutOutgoing(take_outgoing(rest)?),
            2 => Record::Release(take_id(rest)?, take_u64(rest)?),
            3 => Record::RemoveOutgoing(take_id(rest)?),
            4 => Record::PutIncoming(take_id(rest)?),
            5 => Record::RemoveIncoming(take_id(rest)?),
            6 => Record::NextNumber(take_u64(rest)?),
            7 => {
                let (&begun, after) = rest.split_first()?;
                *rest = after;
                Record::Begun(begun != 0)
            }
            8 => Record::ClientId(std::str::from_utf8(std::mem::take(rest)).ok()?.to_owned()),
            9 => Record::Accepted,
            _ => return None,
        };
        rest.is_empty().then_some(record)
    }

    /// Does the change.
    pub(super) fn apply(&self, session: &mut super::MemoryStore) {
        match self {
            Record::PutOutgoing(message) => session.put_outgoing(message),
            Record::Release(id, nth) => session.release(*id, *nth),
            Record::RemoveOutgoing(id) => session.remove_outgoing(*id),
            Record::PutIncoming(id) => session.put_incoming(*id),
            Record::RemoveIncoming(id) => session.remove_incoming(*id),
            Record::NextNumber(number) => session.numbers_begin_at(*number),
            Record::Begun(begun) => session.set_begun(*begun),
            Record::ClientId(client_id) => session.set_client_id(client_id),
            Record::Accepted => session.set_accepted(),
        }
    }
}

fn with_id(kind: u8, id: PacketId, out: &mut Vec<u8>) {
    out.push(kind);
    out.extend_from_slice(&id.get().to_le_bytes());
}

fn put_outgoing(stored: &StoredMessage, out: &mut Vec<u8>) {
    let message = &stored.message;
    out.push(1);
    out.extend_from_slice(&stored.number.to_le_bytes());
    out.extend_from_slice(&stored.packet_id.get().to_le_bytes());
    out.extend_from_slice(&stored.released.unwrap_or(NOT_RELEASED).to_le_bytes());
    out.push(u8::from(message.qos) | if message.retain { RETAIN } else { 0 });
    for field in [message.topic.as_str().as_bytes(), message.properties.as_bytes(), &message.payload] {
        out.extend_from_slice(&(field.len() as u32).to_le_bytes());
        out.extend_from_slice(field);
    }
}

fn take_outgoing(rest: &mut &[u8]) -> Option<StoredMessage> {
    let (number, packet_id, released) = (take_u64(rest)?, take_id(rest)?, take_u64(rest)?);
    let (&flags, after) = rest.split_first()?;
    *rest = after;
    let topic = std::str::from_utf8(take_field(rest)?).ok()?;
    let properties = Properties::from_bytes(PropertyContext::Publish, take_field(rest)?).ok()?;
    let message = Message {
        topic: TopicName::new(topic).ok()?.into_owned(),
        properties: properties.into_owned(),
        payload: Bytes::copy_from_slice(take_field(rest)?),
        qos: QoS::try_from(flags & 0b11).ok()?,
        retain: flags & RETAIN != 0,
    };
    let released = (released != NOT_RELEASED).then_some(released);
    Some(StoredMessage { number, packet_id, message, released })
}

fn take_id(rest: &mut &[u8]) -> Option<PacketId> {
    let (id, after) = rest.split_first_chunk()?;
    *rest = after;
    PacketId::new(u16::from_le_bytes(*id))
}

fn take_u64(rest: &mut &[u8]) -> Option<u64> {
    let (number, after) = rest.split_first_chunk()?;
    *rest = after;
    Some(u64::from_le_bytes(*number))
}

fn take_field<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (len, after) = rest.split_first_chunk()?;
    let (field, after) = after.split_at_checked(u32::from_le_bytes(*len) as usize)?;
    *rest = after;
    Some(field)
}
