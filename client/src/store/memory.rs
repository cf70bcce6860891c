//! A session in memory: it survives the machine, not the process.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use hashbrown::HashMap;
use opifex_packet::PacketId;

use crate::store::{SessionStore, StoredMessage, StoredSession};

/// A store that lives as long as it is held. What is noted counts at once.
#[derive(Clone, Debug, Default)]
pub struct MemoryStore {
    outgoing: BTreeMap<u64, StoredMessage>,
    numbers: HashMap<PacketId, u64>,
    incoming: BTreeSet<PacketId>,
    next_number: u64,
    begun: bool,
    accepted: bool,
    client_id: String,
}

impl MemoryStore {
    /// The messages, in their order.
    pub(crate) fn outgoing(&self) -> impl Iterator<Item = &StoredMessage> {
        self.outgoing.values()
    }

    /// The ids.
    pub(crate) fn incoming(&self) -> impl Iterator<Item = PacketId> {
        self.incoming.iter().copied()
    }

    /// A number above that of every message there ever was.
    pub(crate) fn next_number(&self) -> u64 {
        self.next_number
    }

    /// Whether a server was asked for this session.
    pub(crate) fn has_begun(&self) -> bool {
        self.begun
    }

    /// Whether a server has accepted a connection since.
    pub(crate) fn has_been_accepted(&self) -> bool {
        self.accepted
    }

    /// Whose session it is, as far as is known.
    pub(crate) fn client_id(&self) -> &str {
        &self.client_id
    }

    /// Numbers below that one were given.
    pub(crate) fn numbers_begin_at(&mut self, number: u64) {
        self.next_number = self.next_number.max(number);
    }
}

impl SessionStore for MemoryStore {
    fn load(&mut self) -> io::Result<StoredSession> {
        Ok(StoredSession {
            outgoing: self.outgoing().cloned().collect(),
            incoming: self.incoming().collect(),
            next_number: self.next_number,
            begun: self.begun,
            accepted: self.accepted,
            client_id: self.client_id.clone(),
        })
    }

    fn set_begun(&mut self, begun: bool) {
        self.begun = begun;
    }

    fn set_accepted(&mut self) {
        self.accepted = true;
    }

    fn set_client_id(&mut self, client_id: &str) {
        client_id.clone_into(&mut self.client_id);
    }

    fn put_outgoing(&mut self, message: &StoredMessage) {
        self.numbers_begin_at(message.number + 1);
        self.numbers.insert(message.packet_id, message.number);
        self.outgoing.insert(message.number, message.clone());
    }

    fn release(&mut self, packet_id: PacketId, nth: u64) {
        let number = self.numbers.get(&packet_id);
        if let Some(message) = number.and_then(|number| self.outgoing.get_mut(number)) {
            message.released = Some(nth);
            // Nobody sends it again.
            message.message.payload.clear();
        }
    }

    fn remove_outgoing(&mut self, packet_id: PacketId) {
        if let Some(number) = self.numbers.remove(&packet_id) {
            self.outgoing.remove(&number);
        }
    }

    fn put_incoming(&mut self, packet_id: PacketId) {
        self.incoming.insert(packet_id);
    }

    fn remove_incoming(&mut self, packet_id: PacketId) {
        self.incoming.remove(&packet_id);
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
