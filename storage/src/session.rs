//! Sessions: their record, and how one is opened.

use opifex_packet::PacketId;

use crate::{
    Capabilities, Durability, Epoch, NewWill, Result, Seq, SessionId, StoreError, SubscriptionRecord,
    Timestamp,
};

/// How long a session outlives its connection, as in the Session Expiry Interval (MQTT 5.0, 3.1.2.11.2).
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SessionExpiry {
    /// It ends so many seconds after the connection closes; 0: with it.
    Secs(u32),
    /// It does not expire.
    Never,
}

impl SessionExpiry {
    /// The session ends when its connection closes.
    pub const WITH_CONNECTION: SessionExpiry = SessionExpiry::Secs(0);

    /// From the property's value, where 0xFFFFFFFF means never.
    pub fn from_interval(interval: u32) -> SessionExpiry {
        if interval == u32::MAX { SessionExpiry::Never } else { SessionExpiry::Secs(interval) }
    }

    /// When a session ends that went offline at `since`; `None`: never.
    pub fn deadline(self, since: Timestamp) -> Option<Timestamp> {
        match self {
            SessionExpiry::Secs(secs) => Some(since.plus_secs(secs)),
            SessionExpiry::Never => None,
        }
    }
}

/// A stored session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionRecord {
    /// Its identity.
    pub id: SessionId,
    /// The client that it belongs to.
    pub client_id: Box<str>,
    /// The epoch of its last open: who writes for it must carry this one.
    pub epoch: Epoch,
    /// How long it outlives its connection.
    pub expiry: SessionExpiry,
    /// Since when it is without a connection; `None`: it is connected, or the process that had it connected died.
    pub offline_since: Option<Timestamp>,
    /// The sequence number that the next queue entry gets.
    pub next_seq: Seq,
    /// Entries now in the queue.
    pub queued_items: u64,
    /// Bytes now in the queue ([`crate::Message::size_bytes`] of each entry whose message is still kept).
    pub queued_bytes: u64,
}

/// How to open a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenSession {
    /// The client.
    pub client_id: Box<str>,
    /// End what is stored for the client, and begin anew ([MQTT-3.1.2-4]).
    pub clean_start: bool,
    /// How long the session outlives this connection.
    pub expiry: SessionExpiry,
    /// The will of this connection.
    pub will: Option<NewWill>,
    /// How durable the open must be when the call returns.
    pub durability: Durability,
    /// The time.
    pub now: Timestamp,
}

impl OpenSession {
    /// Refuses an open beyond what the backend declares; answers the bytes of its will. The same for every backend.
    ///
    /// # Errors
    /// `TooLarge` or `Unsupported`, not applied.
    pub fn check_limits(&self, capabilities: &Capabilities) -> Result<usize> {
        if self.durability > capabilities.max_durability {
            return Err(capabilities.does_not_offer(self.durability));
        }
        self.will.as_ref().map_or(Ok(0), |will| will.message.check_limits(capabilities))
    }
}

/// A session that was opened, and everything that the broker must know to go on with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenedSession {
    /// The session as it is now; its `epoch` is the new one, its `offline_since` is `None`.
    pub session: SessionRecord,
    /// Whether stored state was found and continued: CONNACK's session present.
    pub present: bool,
    /// The session that this open ended, when there was one and it was not continued. What it leaves becomes a due item.
    pub ended: Option<SessionId>,
    /// Whether the open made a will due: the broker asks [`crate::Persistence::due`].
    pub will_due: bool,
    /// Its subscriptions, by filter.
    pub subscriptions: Vec<SubscriptionRecord>,
    /// Packet ids of QoS 2 messages that came in and whose PUBREL is awaited, ascending.
    pub inbound: Vec<PacketId>,
    /// Subscriptions and inbound ids that are there and could not be read: an error of kind `Corrupt` for each, which
    /// names it in a line. The session goes on without them.
    pub damaged: Vec<StoreError>,
}
