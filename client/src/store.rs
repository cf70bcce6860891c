//! What a session of a client leaves behind for the next process: messages that are not at their end, and the ids of
//! QoS 2 messages that were taken. Subscriptions are the server's to remember.
//!
//! The machine keeps all of it in memory and reads a store once, when it is made. What it writes is noted by calls that
//! cannot fail and is written down by [`SessionStore::flush`], which the machine calls before anything that rests on it
//! goes to the transport: a packet that has left tells of nothing that is not stored.

mod file;
mod memory;
mod record;
mod unstored;

use std::io;

use opifex_packet::PacketId;

pub use file::FileStore;
pub use memory::MemoryStore;
pub use unstored::Unstored;

use crate::Message;

/// A QoS 1 or 2 message on its way to the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredMessage {
    /// The number of the message in its session: the order, and what its token is made of.
    pub number: u64,
    /// Its packet id, from its acceptance to its end.
    pub packet_id: PacketId,
    /// The message.
    pub message: Message,
    /// After PUBREC: its place in the order of the PUBRECs. Only PUBREL is sent then.
    pub released: Option<u64>,
}

/// All that a store holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoredSession {
    /// The outgoing messages, in the order of their numbers.
    pub outgoing: Vec<StoredMessage>,
    /// The ids of incoming QoS 2 messages between PUBREC and PUBCOMP.
    pub incoming: Vec<PacketId>,
    /// A number above that of every message there ever was.
    pub next_number: u64,
    /// Whether a server was asked for a session that this is the client's side of.
    pub begun: bool,
    /// Whether a server has accepted a connection since it was asked.
    pub accepted: bool,
    /// Whose session it is: the configured client id, or the one that the server assigned. Empty when it is not known.
    pub client_id: String,
}

/// Where a client's session is kept. One store belongs to one client id and is used by one machine at a time.
pub trait SessionStore {
    /// All that was flushed and not removed.
    ///
    /// # Errors
    /// As the medium says; damage is an error, never a session with less in it.
    fn load(&mut self) -> io::Result<StoredSession>;

    /// Notes whether a server was asked for a session that this is the client's side of.
    fn set_begun(&mut self, begun: bool);

    /// Notes that a server has accepted a connection.
    fn set_accepted(&mut self);

    /// Notes whose session it is.
    fn set_client_id(&mut self, client_id: &str);

    /// Adds a message; its packet id is free.
    fn put_outgoing(&mut self, message: &StoredMessage);

    /// Notes that PUBREC came; `nth` counts them. Absent: nothing happens.
    fn release(&mut self, packet_id: PacketId, nth: u64);

    /// Removes a message. Absent: nothing happens.
    fn remove_outgoing(&mut self, packet_id: PacketId);

    /// Adds the id of an incoming QoS 2 message. There already: nothing happens.
    fn put_incoming(&mut self, packet_id: PacketId);

    /// Removes the id of an incoming QoS 2 message. Absent: nothing happens.
    fn remove_incoming(&mut self, packet_id: PacketId);

    /// Writes down all that was noted since the last flush, in its order. Cheap when there is nothing.
    ///
    /// # Errors
    /// As the medium says. What was noted is kept, and the next flush writes it.
    fn flush(&mut self) -> io::Result<()>;
}

impl<S: SessionStore + ?Sized> SessionStore for Box<S> {
    fn load(&mut self) -> io::Result<StoredSession> {
        (**self).load()
    }

    fn set_begun(&mut self, begun: bool) {
        (**self).set_begun(begun);
    }

    fn set_accepted(&mut self) {
        (**self).set_accepted();
    }

    fn set_client_id(&mut self, client_id: &str) {
        (**self).set_client_id(client_id);
    }

    fn put_outgoing(&mut self, message: &StoredMessage) {
        (**self).put_outgoing(message);
    }

    fn release(&mut self, packet_id: PacketId, nth: u64) {
        (**self).release(packet_id, nth);
    }

    fn remove_outgoing(&mut self, packet_id: PacketId) {
        (**self).remove_outgoing(packet_id);
    }

    fn put_incoming(&mut self, packet_id: PacketId) {
        (**self).put_incoming(packet_id);
    }

    fn remove_incoming(&mut self, packet_id: PacketId) {
        (**self).remove_incoming(packet_id);
    }

    fn flush(&mut self) -> io::Result<()> {
        (**self).flush()
    }
}
