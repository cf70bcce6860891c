//! Keys of the due index: the moment first, so that what is due earliest is read first.

use bytes::Bytes;
use opifex_packet::TopicName;

use super::{damaged, kind, number_at, push_topic};
use crate::encoding::topic_seek::SEPARATOR;
use crate::{Epoch, Result, Seq, SessionId, Timestamp};

/// What a row of the due index is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DueKey {
    /// A session whose expiry runs.
    Session(SessionId),
    /// The will of the connection of this epoch.
    Will(SessionId, Epoch),
    /// A session that ended and left something.
    Ended(SessionId),
    /// A queue entry without a packet id.
    Queued(SessionId, Seq),
    /// A topic's retained message.
    Retained(TopicName<'static>),
}

/// The key of a due item.
pub fn due(at: Timestamp, item: &DueKey) -> Bytes {
    let mut key = vec![kind::DUE];
    key.extend_from_slice(&at.0.to_be_bytes());
    let (tag, numbers): (u8, &[u64]) = match item {
        DueKey::Session(id) => (1, &[id.0]),
        DueKey::Will(id, epoch) => (2, &[id.0, epoch.0]),
        DueKey::Ended(id) => (3, &[id.0]),
        DueKey::Queued(id, seq) => (4, &[id.0, seq.0]),
        DueKey::Retained(_) => (5, &[]),
    };
    key.push(tag);
    numbers.iter().for_each(|number| key.extend_from_slice(&number.to_be_bytes()));
    if let DueKey::Retained(topic) = item {
        push_topic(&mut key, topic.as_str());
    }
    key.into()
}

/// The due item of a key.
pub fn due_of(key: &[u8]) -> Result<(Timestamp, DueKey)> {
    let at = Timestamp(number_at(key, 1)?);
    let session = || number_at(key, 10).map(SessionId);
    let item = match (key.get(9), key.len()) {
        (Some(1), 18) => DueKey::Session(session()?),
        (Some(2), 26) => DueKey::Will(session()?, Epoch(number_at(key, 18)?)),
        (Some(3), 18) => DueKey::Ended(session()?),
        (Some(4), 26) => DueKey::Queued(session()?, Seq(number_at(key, 18)?)),
        (Some(5), _) => {
            let text = std::str::from_utf8(&key[10..]).map_err(|_| damaged(key))?;
            let topic = TopicName::new(text.replace(SEPARATOR, "/")).map_err(|_| damaged(key))?;
            DueKey::Retained(topic)
        }
        _ => return Err(damaged(key)),
    };
    Ok((at, item))
}

/// All that is due at `now` or before: from the first key to the second, which is excluded.
pub fn due_until(now: Timestamp) -> (Bytes, Bytes) {
    let start = Bytes::from_static(&[kind::DUE]);
    let end = match now.0.checked_add(1) {
        Some(next) => [&[kind::DUE][..], &next.to_be_bytes()].concat().into(),
        None => Bytes::from_static(&[kind::DUE + 1]),
    };
    (start, end)
}
