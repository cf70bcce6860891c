//! A frame of the file: one record, or the end. What is in a frame is not the affair of any backend's rows, so that
//! those can change while files stay readable.

use std::io::{Read, Write};
use std::sync::Arc;

use bytes::Bytes;
use opifex_packet::{PacketId, QoS, SubscriptionOptions, TopicFilter, Version};

use super::{MAGIC, TransferError};
use crate::encoding::{FieldReader, FieldWriter, Malformed, StoredRecord, seal, unseal};
use crate::{
    Epoch, Inbound, Message, Queued, QueuedState, Record, RecordVersion, Retained, Seq, SessionId,
    SessionRecord, SubscriptionRecord, Timestamp, WillRecord,
};

/// More than the largest packet can make of a frame.
const MAX_FRAME_BYTES: u32 = 512 << 20;

/// What a frame holds.
#[derive(Debug, PartialEq)]
pub(super) enum Frame {
    Record(Record),
    /// A queue entry, here without its message, whose message stands so many messages of queues before the next one.
    Same(SessionId, Queued, u64),
    /// So many frames were before this one.
    End(u64),
}

const END: u8 = 0;
const SESSION: u8 = 1;
const ENDED: u8 = 2;
const SUBSCRIPTION: u8 = 3;
const QUEUED: u8 = 4;
const INBOUND: u8 = 5;
const WILL: u8 = 6;
const RETAINED: u8 = 7;

const NO_MESSAGE: u8 = 0;
const MESSAGE: u8 = 1;
const SAME_MESSAGE: u8 = 2;

impl StoredRecord for Frame {
    fn write(&self, fields: &mut FieldWriter) {
        match self {
            Frame::End(frames) => {
                fields.byte(END);
                fields.number(*frames);
            }
            Frame::Record(Record::Session(session)) => {
                fields.byte(SESSION);
                write_session(session, fields);
            }
            Frame::Record(Record::Ended(session, at)) => {
                fields.byte(ENDED);
                fields.number(at.0);
                write_session(session, fields);
            }
            Frame::Record(Record::Subscription(id, record)) => {
                fields.byte(SUBSCRIPTION);
                fields.number(id.0);
                fields.bytes(record.filter.as_str().as_bytes());
                fields.byte(record.options.to_byte());
                fields.optional(record.identifier.map(u64::from));
            }
            Frame::Record(Record::Queued(id, entry)) => {
                write_entry(*id, entry, fields);
                match &entry.message {
                    None => fields.byte(NO_MESSAGE),
                    Some(message) => {
                        fields.byte(MESSAGE);
                        message.write(fields);
                    }
                }
            }
            Frame::Same(id, entry, back) => {
                write_entry(*id, entry, fields);
                fields.byte(SAME_MESSAGE);
                fields.number(*back);
            }
            Frame::Record(Record::Inbound(inbound)) => {
                fields.byte(INBOUND);
                fields.number(inbound.session.0);
                fields.number(inbound.packet_id.get().into());
            }
            Frame::Record(Record::Will(will)) => {
                fields.byte(WILL);
                will.write(fields);
            }
            Frame::Record(Record::Retained(retained)) => {
                fields.byte(RETAINED);
                fields.number(retained.version.0);
                retained.message.write(fields);
            }
        }
    }

    fn read(fields: &mut FieldReader) -> Result<Self, Malformed> {
        Ok(Frame::Record(match fields.byte()? {
            END => return Ok(Frame::End(fields.number()?)),
            SESSION => Record::Session(read_session(fields)?),
            ENDED => {
                let at = Timestamp(fields.number()?);
                Record::Ended(read_session(fields)?, at)
            }
            SUBSCRIPTION => Record::Subscription(SessionId(fields.number()?), read_subscription(fields)?),
            QUEUED => {
                let (id, mut entry) = read_entry(fields)?;
                match fields.byte()? {
                    NO_MESSAGE => {}
                    MESSAGE => entry.message = Some(Arc::new(Message::read(fields)?)),
                    SAME_MESSAGE => return Ok(Frame::Same(id, entry, fields.number()?)),
                    _ => return Err(Malformed("a message or none")),
                }
                Record::Queued(id, entry)
            }
            INBOUND => Record::Inbound(Inbound {
                session: SessionId(fields.number()?),
                packet_id: read_packet_id(fields)?,
            }),
            WILL => Record::Will(WillRecord::read(fields)?),
            RETAINED => Record::Retained(Retained {
                version: RecordVersion(fields.number()?),
                message: Arc::new(Message::read(fields)?),
            }),
            _ => return Err(Malformed("a kind of record")),
        }))
    }
}

fn write_session(session: &SessionRecord, fields: &mut FieldWriter) {
    fields.number(session.id.0);
    fields.bytes(session.client_id.as_bytes());
    fields.number(session.epoch.0);
    fields.expiry(session.expiry);
    fields.moment(session.offline_since);
    fields.number(session.next_seq.0);
    fields.number(session.queued_items);
    fields.number(session.queued_bytes);
}

fn read_session(fields: &mut FieldReader) -> Result<SessionRecord, Malformed> {
    Ok(SessionRecord {
        id: SessionId(fields.number()?),
        client_id: fields.text()?.into(),
        epoch: Epoch(fields.number()?),
        expiry: fields.expiry()?,
        offline_since: fields.moment()?,
        next_seq: Seq(fields.number()?),
        queued_items: fields.number()?,
        queued_bytes: fields.number()?,
    })
}

fn read_subscription(fields: &mut FieldReader) -> Result<SubscriptionRecord, Malformed> {
    let filter = fields.text()?;
    let filter = TopicFilter::without_share_rules(&filter).map_err(|_| Malformed("a topic filter"))?;
    let filter = filter.into_owned();
    let options = SubscriptionOptions::from_byte(fields.byte()?, Version::V5_0)
        .map_err(|_| Malformed("options of a subscription"))?;
    let identifier = match fields.optional()? {
        None => None,
        Some(id) => Some(u32::try_from(id).map_err(|_| Malformed("a number of 32 bits"))?),
    };
    Ok(SubscriptionRecord { filter, options, identifier })
}

/// All of an entry but its message.
fn write_entry(id: SessionId, entry: &Queued, fields: &mut FieldWriter) {
    fields.byte(QUEUED);
    fields.number(id.0);
    fields.number(entry.seq.0);
    fields.byte(u8::from(entry.qos) | u8::from(entry.retain) << 2);
    let (state, packet_id) = match entry.state {
        QueuedState::Waiting => (0, None),
        QueuedState::Assigned(packet_id) => (1, Some(packet_id)),
        QueuedState::Released(packet_id) => (2, Some(packet_id)),
    };
    fields.byte(state);
    if let Some(packet_id) = packet_id {
        fields.number(packet_id.get().into());
    }
    fields.number(entry.subscription_ids.len() as u64);
    entry.subscription_ids.iter().for_each(|id| fields.number((*id).into()));
    fields.byte(u8::from(entry.share.is_some()));
    if let Some(share) = &entry.share {
        fields.bytes(share.as_bytes());
    }
}

fn read_entry(fields: &mut FieldReader) -> Result<(SessionId, Queued), Malformed> {
    let (id, seq) = (SessionId(fields.number()?), Seq(fields.number()?));
    let flags = fields.byte()?;
    let qos = QoS::try_from(flags & 0b11).map_err(|_| Malformed("a quality of service"))?;
    let state = match fields.byte()? {
        0 => QueuedState::Waiting,
        1 => QueuedState::Assigned(read_packet_id(fields)?),
        2 => QueuedState::Released(read_packet_id(fields)?),
        _ => return Err(Malformed("a state of delivery")),
    };
    let mut subscription_ids = Vec::new();
    for _ in 0..fields.number()? {
        subscription_ids.push(fields.number_u32()?);
    }
    let share = match fields.byte()? {
        0 => None,
        1 => Some(Arc::from(fields.text()?)),
        _ => return Err(Malformed("0 or 1 before a share")),
    };
    let retain = flags & 0b100 != 0;
    Ok((id, Queued { seq, message: None, qos, retain, subscription_ids, share, state }))
}

fn read_packet_id(fields: &mut FieldReader) -> Result<PacketId, Malformed> {
    let id = u16::try_from(fields.number()?).ok().and_then(PacketId::new);
    id.ok_or(Malformed("a packet id"))
}

/// Writes a file.
pub(super) struct FrameWriter<W> {
    out: W,
    frames: u64,
}

impl<W: Write> FrameWriter<W> {
    pub(super) fn begin(mut out: W) -> Result<FrameWriter<W>, TransferError> {
        out.write_all(MAGIC)?;
        Ok(FrameWriter { out, frames: 0 })
    }

    pub(super) fn write(&mut self, frame: &Frame) -> Result<(), TransferError> {
        let sealed = seal(&self.frames.to_be_bytes(), frame);
        let length = u32::try_from(sealed.len()).ok().filter(|length| *length <= MAX_FRAME_BYTES);
        let Some(length) = length else {
            return Err(std::io::Error::other("a record is too large for a file").into());
        };
        self.out.write_all(&length.to_le_bytes())?;
        self.out.write_all(&sealed)?;
        self.frames += 1;
        Ok(())
    }

    pub(super) fn end(mut self) -> Result<(), TransferError> {
        self.write(&Frame::End(self.frames))?;
        Ok(self.out.flush()?)
    }
}

/// Reads a file.
pub(super) struct FrameReader<R> {
    input: R,
    frames: u64,
}

impl<R: Read> FrameReader<R> {
    pub(super) fn begin(mut input: R) -> Result<FrameReader<R>, TransferError> {
        let mut magic = Vec::new();
        (&mut input).take(MAGIC.len() as u64).read_to_end(&mut magic)?;
        if magic != MAGIC {
            return Err(TransferError::Foreign);
        }
        Ok(FrameReader { input, frames: 0 })
    }

    /// The next record with what it shares; `None` behind the last one, when nothing is missing.
    pub(super) fn read(&mut self) -> Result<Option<Frame>, TransferError> {
        let mut length = [0; 4];
        self.fill(&mut length)?;
        let length = u32::from_le_bytes(length);
        if length > MAX_FRAME_BYTES {
            return Err(self.damaged("its length cannot be"));
        }
        // The length is not trusted with an allocation: memory comes as bytes do.
        let mut sealed = Vec::new();
        (&mut self.input).take(length.into()).read_to_end(&mut sealed)?;
        if sealed.len() < length as usize {
            return Err(self.damaged("the file ends within it"));
        }
        let frame = unseal::<Frame>(&self.frames.to_be_bytes(), &Bytes::from(sealed));
        let frame = frame.map_err(|error| {
            let text = error.to_string();
            let what = text.split_once("is damaged: ").map_or(text.as_str(), |(_, what)| what);
            self.damaged(what)
        })?;
        let before = self.frames;
        self.frames += 1;
        match frame {
            Frame::End(frames) if frames == before => self.nothing_follows().map(|()| None),
            Frame::End(_) => Err(self.damaged("the file holds another number of records")),
            frame => Ok(Some(frame)),
        }
    }

    pub(super) fn damaged(&self, what: &str) -> TransferError {
        TransferError::Damaged { frame: self.frames, what: what.to_owned() }
    }

    fn nothing_follows(&mut self) -> Result<(), TransferError> {
        match self.input.read(&mut [0])? {
            0 => Ok(()),
            _ => Err(self.damaged("something follows the end")),
        }
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), TransferError> {
        self.input.read_exact(bytes).map_err(|error| match error.kind() {
            std::io::ErrorKind::UnexpectedEof => self.damaged("the file ends before it"),
            _ => error.into(),
        })
    }
}

#[cfg(test)]
mod tests;
