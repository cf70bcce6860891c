//! Keys: one byte for the kind of row, then what orders the rows of the kind. Numbers have a fixed length, the highest
//! byte first; a text stands last, or is escaped and ended. So no key is the beginning of another's field: `dev1`
//! never meets `dev10`.
//!
//! ```text
//! M                          what is true of the store: its counters
//! C  client (ended)          the client's session
//! S  session                 a session            E  session     what is left of one that ended
//! F  session  filter         a subscription       I  session packet-id   an inbound id
//! Q  session  number         a queue entry        W  session epoch       a will
//! B  body                    a message's body     R  body        its references, when there are several
//! T  topic (NUL for /)       a retained message
//! D  moment  kind ...        a due item
//! ```

use bytes::Bytes;
use opifex_packet::{PacketId, TopicFilter, TopicName};

use super::topic_seek::SEPARATOR;
use crate::{Epoch, ErrorKind, Result, Seq, SessionId, StoreError};

mod due;
mod text;

pub use due::{DueKey, due, due_of, due_until};
pub use text::{push_text, take_text};

/// The kinds of row: the first byte of a key.
pub mod kind {
    /// What is true of the store.
    pub const META: u8 = b'M';
    /// The pointer from a client to its session.
    pub const CLIENT: u8 = b'C';
    /// A session.
    pub const SESSION: u8 = b'S';
    /// What is left of a session that ended.
    pub const ENDED: u8 = b'E';
    /// A subscription.
    pub const SUBSCRIPTION: u8 = b'F';
    /// An inbound id.
    pub const INBOUND: u8 = b'I';
    /// A queue entry.
    pub const QUEUED: u8 = b'Q';
    /// A will.
    pub const WILL: u8 = b'W';
    /// A message's body.
    pub const BODY: u8 = b'B';
    /// The references to a body.
    pub const REFERENCES: u8 = b'R';
    /// A retained message.
    pub const RETAINED: u8 = b'T';
    /// A due item.
    pub const DUE: u8 = b'D';

    /// All of them.
    pub const ALL: [u8; 12] =
        [META, CLIENT, SESSION, ENDED, SUBSCRIPTION, INBOUND, QUEUED, WILL, BODY, REFERENCES, RETAINED, DUE];
}

/// The counters.
pub fn counters() -> Bytes {
    Bytes::from_static(&[kind::META])
}

/// A client's pointer.
pub fn client(client_id: &str) -> Bytes {
    let mut key = vec![kind::CLIENT];
    push_text(&mut key, client_id);
    key.into()
}

/// A session.
pub fn session(id: SessionId) -> Bytes {
    of_numbers(kind::SESSION, &[id.0])
}

/// What is left of a session that ended.
pub fn ended(id: SessionId) -> Bytes {
    of_numbers(kind::ENDED, &[id.0])
}

/// A queue entry.
pub fn queued(id: SessionId, seq: Seq) -> Bytes {
    of_numbers(kind::QUEUED, &[id.0, seq.0])
}

/// A will.
pub fn will(id: SessionId, epoch: Epoch) -> Bytes {
    of_numbers(kind::WILL, &[id.0, epoch.0])
}

/// A message's body.
pub fn body(body: u64) -> Bytes {
    of_numbers(kind::BODY, &[body])
}

/// The references to a body.
pub fn references(body: u64) -> Bytes {
    of_numbers(kind::REFERENCES, &[body])
}

/// An inbound id.
pub fn inbound(id: SessionId, packet_id: PacketId) -> Bytes {
    let mut key = vec![kind::INBOUND];
    key.extend_from_slice(&id.0.to_be_bytes());
    key.extend_from_slice(&packet_id.get().to_be_bytes());
    key.into()
}

/// A subscription.
pub fn subscription(id: SessionId, filter: &TopicFilter<'_>) -> Bytes {
    let mut key = vec![kind::SUBSCRIPTION];
    key.extend_from_slice(&id.0.to_be_bytes());
    key.extend_from_slice(filter.as_str().as_bytes());
    key.into()
}

/// A retained message: levels are separated by NUL, which sorts first, so that all below a topic lies right behind it.
pub fn retained(topic: &TopicName<'_>) -> Bytes {
    let mut key = vec![kind::RETAINED];
    push_topic(&mut key, topic.as_str());
    key.into()
}

/// All rows of a kind: from the first key to the second, which is excluded.
pub fn all(kind: u8) -> (Bytes, Bytes) {
    (Bytes::copy_from_slice(&[kind]), Bytes::copy_from_slice(&[kind + 1]))
}

/// All rows of a kind that hang on a session: from the first key to the second, which is excluded.
pub fn of_session(kind: u8, id: SessionId) -> (Bytes, Bytes) {
    let end = match id.0.checked_add(1) {
        Some(next) => of_numbers(kind, &[next]),
        None => Bytes::copy_from_slice(&[kind + 1]),
    };
    (of_numbers(kind, &[id.0]), end)
}

/// The key right behind this one.
pub fn successor(key: &[u8]) -> Bytes {
    [key, &[0]].concat().into()
}

/// The session that a row of a kind with sessions hangs on.
pub fn session_of(key: &[u8]) -> Result<SessionId> {
    number_at(key, 1).map(SessionId)
}

/// The second number of a key: a queue entry's, a will's epoch.
pub fn second_number_of(key: &[u8]) -> Result<u64> {
    number_at(key, 9)
}

/// The packet id of an inbound id.
pub fn packet_id_of(key: &[u8]) -> Result<PacketId> {
    let id = key.get(9..).and_then(|id| <[u8; 2]>::try_from(id).ok()).map(u16::from_be_bytes);
    id.and_then(PacketId::new).ok_or_else(|| damaged(key))
}

/// The filter of a subscription. (Before 5.0 `$share/` means nothing: its rules are not asked for.)
pub fn filter_of(key: &[u8]) -> Result<TopicFilter<'static>> {
    let text = key.get(9..).and_then(|text| std::str::from_utf8(text).ok()).ok_or_else(|| damaged(key))?;
    let filter = TopicFilter::without_share_rules(text).map_err(|_| damaged(key))?;
    Ok(filter.into_owned())
}

/// A retained message's key as [`super::topic_seek`] judges it.
pub fn topic_text_of(key: &[u8]) -> Result<&str> {
    std::str::from_utf8(&key[1..]).map_err(|_| damaged(key))
}

/// The topic of a retained message.
pub fn topic_of(key: &[u8]) -> Result<TopicName<'static>> {
    TopicName::new(topic_text_of(key)?.replace(SEPARATOR, "/")).map_err(|_| damaged(key))
}

/// The row in the words of the protocol, for a person who reads that it is damaged.
pub fn describe(key: &[u8]) -> String {
    let number = |at| number_at(key, at).unwrap_or_default();
    let text = |at: usize| String::from_utf8_lossy(key.get(at..).unwrap_or_default()).replace(SEPARATOR, "/");
    match key.first() {
        Some(&kind::META) => "the store's counters".to_owned(),
        Some(&kind::CLIENT) => match take_text(&key[1..]) {
            Some((client, _)) => format!("the pointer of client {client:?}"),
            None => format!("the pointer of a client (key {key:02x?})"),
        },
        Some(&kind::SESSION) => format!("session {}", number(1)),
        Some(&kind::ENDED) => format!("ended session {}", number(1)),
        Some(&kind::SUBSCRIPTION) => format!("subscription {:?} of session {}", text(9), number(1)),
        Some(&kind::INBOUND) => {
            let id = packet_id_of(key).map_or(0, PacketId::get);
            format!("inbound id {id} of session {}", number(1))
        }
        Some(&kind::QUEUED) => format!("queue entry {} of session {}", number(9), number(1)),
        Some(&kind::WILL) => format!("will of session {} at epoch {}", number(1), number(9)),
        Some(&kind::BODY) => format!("message body {}", number(1)),
        Some(&kind::REFERENCES) => format!("the references to message body {}", number(1)),
        Some(&kind::RETAINED) => format!("retained message of {:?}", text(1)),
        Some(&kind::DUE) => match due_of(key) {
            Ok((at, item)) => format!("due item {item:?} at {}", at.0),
            Err(_) => format!("a due item (key {key:02x?})"),
        },
        _ => format!("the row with the key {key:02x?} is of no known kind"),
    }
}

/// Rows of a kind in the words of the protocol.
pub fn plural(kind: u8) -> &'static str {
    match kind {
        kind::META => "the store's counters",
        kind::CLIENT => "pointers of clients to their sessions",
        kind::SESSION => "sessions",
        kind::ENDED => "sessions that ended",
        kind::SUBSCRIPTION => "subscriptions",
        kind::INBOUND => "inbound ids",
        kind::QUEUED => "queue entries",
        kind::WILL => "wills",
        kind::BODY => "message bodies",
        kind::REFERENCES => "counts of references to message bodies",
        kind::RETAINED => "retained messages",
        kind::DUE => "due items",
        _ => "rows of no known kind",
    }
}

fn of_numbers(kind: u8, numbers: &[u64]) -> Bytes {
    let mut key = Vec::with_capacity(1 + 8 * numbers.len());
    key.push(kind);
    numbers.iter().for_each(|number| key.extend_from_slice(&number.to_be_bytes()));
    key.into()
}

fn number_at(key: &[u8], at: usize) -> Result<u64> {
    let bytes = key.get(at..).and_then(|rest| rest.first_chunk::<8>());
    bytes.map(|bytes| u64::from_be_bytes(*bytes)).ok_or_else(|| damaged(key))
}

fn push_topic(key: &mut Vec<u8>, topic: &str) {
    let separated = topic.bytes().map(|byte| if byte == b'/' { SEPARATOR as u8 } else { byte });
    key.extend(separated);
}

fn damaged(key: &[u8]) -> StoreError {
    StoreError::not_applied(ErrorKind::Corrupt, format!("the key {key:02x?} is damaged"))
}
