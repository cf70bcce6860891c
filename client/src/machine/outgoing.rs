//! The QoS 1 and 2 messages on their way to the server, in order: which are under way, which wait, which are released.
//! What is sent is written by `publishing.rs`.

use std::collections::BTreeMap;

use hashbrown::HashMap;
use opifex_packet::{PacketId, ReasonCode};

use super::packet_ids::PacketIds;
use crate::store::StoredMessage;
use crate::{Message, Refusal};

/// ```text
///           sent              PUBACK (QoS 1), PUBREC >= 0x80
/// Waiting --------> Sent ------------------------------------> gone
///    ^               |  PUBREC (QoS 2)               PUBCOMP
///    +---------------+-----------------> Released ------------> gone
///      reconnect
/// ```
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// To be sent on this connection.
    Waiting,
    /// Sent on this connection; no answer yet.
    Sent,
    /// PUBREC came: its place among the PUBRECs, and what it said.
    Released(u64, ReasonCode),
}

#[derive(Debug)]
pub(super) struct Entry {
    pub(super) id: PacketId,
    pub(super) message: Message,
    pub(super) state: State,
    /// Whether the server's session may know the message: sent again, it has DUP.
    pub(super) known: bool,
}

#[derive(Debug, Default)]
pub(super) struct Outgoing {
    entries: BTreeMap<u64, Entry>,
    numbers: HashMap<PacketId, u64>,
    /// All below were sent on this connection or are released.
    cursor: u64,
    in_flight: usize,
    releases: u64,
    /// Of the messages in `entries`.
    bytes: usize,
    /// Released messages of which it is not known whether the server has them; it would not take them now.
    doubts: HashMap<PacketId, Refusal>,
}

impl Outgoing {
    pub(super) fn load(stored: Vec<StoredMessage>) -> Self {
        let mut outgoing = Outgoing::default();
        for StoredMessage { number, packet_id, message, released } in stored {
            if let Some(nth) = released {
                outgoing.releases = outgoing.releases.max(nth + 1);
            }
            // What PUBREC said is not stored.
            let state = released.map_or(State::Waiting, |nth| State::Released(nth, ReasonCode::Success));
            // Whether the process before sent it is not stored: DUP says that it may have.
            outgoing.push(number, Entry { id: packet_id, message, state, known: true });
        }
        outgoing
    }

    pub(super) fn push(&mut self, number: u64, entry: Entry) {
        self.numbers.insert(entry.id, number);
        self.bytes += entry.message.bytes();
        self.entries.insert(number, entry);
    }

    /// Gives all other ids, which no server has heard of on this connection. The ids before, and the messages as they are behind it.
    pub(super) fn rename(&mut self, ids: &mut PacketIds) -> (Vec<PacketId>, Vec<StoredMessage>) {
        let before = self.numbers.drain().map(|(id, _)| id).collect();
        let mut after = Vec::new();
        for (&number, entry) in &mut self.entries {
            let free = ids.free(|id| self.numbers.contains_key(&id));
            entry.id = free.expect("there are more ids than messages may be pending");
            self.numbers.insert(entry.id, number);
            let released = match entry.state {
                State::Released(nth, _) => Some(nth),
                State::Waiting | State::Sent => None,
            };
            let message = entry.message.clone();
            after.push(StoredMessage { number, packet_id: entry.id, message, released });
        }
        (before, after)
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn numbers(&self) -> impl Iterator<Item = u64> {
        self.entries.keys().copied()
    }

    pub(super) fn contains(&self, id: PacketId) -> bool {
        self.numbers.contains_key(&id)
    }

    /// Messages that were sent and have not come to their end.
    pub(super) fn in_flight(&self) -> usize {
        self.in_flight
    }

    pub(super) fn get(&self, id: PacketId) -> Option<&Entry> {
        self.numbers.get(&id).and_then(|number| self.entries.get(number))
    }

    /// The next that waits.
    pub(super) fn next(&self) -> Option<(u64, &Entry)> {
        self.entries
            .range(self.cursor..)
            .map(|(number, entry)| (*number, entry))
            .find(|(_, entry)| entry.state == State::Waiting)
    }

    /// The message of that number goes out now.
    pub(super) fn sent(&mut self, number: u64) {
        if let Some(entry) = self.entries.get_mut(&number) {
            entry.state = State::Sent;
            entry.known = true;
            self.in_flight += 1;
            self.cursor = number + 1;
        }
    }

    /// PUBREC came for a message that was sent, and said that: its place among the PUBRECs.
    pub(super) fn release(&mut self, id: PacketId, said: ReasonCode) -> Option<u64> {
        let entry = self.numbers.get(&id).and_then(|number| self.entries.get_mut(number))?;
        let nth = self.releases;
        self.releases += 1;
        if entry.state == State::Waiting {
            self.in_flight += 1;
        }
        entry.state = State::Released(nth, said);
        // [MQTT-4.3.3-6]: it is never sent again, so its payload has no use.
        self.bytes -= entry.message.payload.len();
        entry.message.payload.clear();
        Some(nth)
    }

    /// Whether the server has a released message is not known.
    pub(super) fn doubt(&mut self, id: PacketId, refusal: Refusal) {
        self.doubts.insert(id, refusal);
    }

    /// PUBCOMP came: why the message was not sent again, when there was a doubt.
    pub(super) fn doubted(&mut self, id: PacketId) -> Option<Refusal> {
        self.doubts.remove(&id)
    }

    /// The message is at its end; its number.
    pub(super) fn remove(&mut self, id: PacketId) -> Option<u64> {
        let number = self.numbers.remove(&id)?;
        let entry = self.entries.remove(&number)?;
        if entry.state != State::Waiting {
            self.in_flight -= 1;
        }
        self.bytes -= entry.message.bytes();
        Some(number)
    }

    /// [MQTT-4.6.0-4]: the released, in the order of their PUBRECs, and what those said.
    pub(super) fn released(&self) -> Vec<(PacketId, ReasonCode)> {
        let mut released: Vec<(u64, PacketId, ReasonCode)> = self
            .entries
            .values()
            .filter_map(|entry| match entry.state {
                State::Released(nth, said) => Some((nth, entry.id, said)),
                State::Waiting | State::Sent => None,
            })
            .collect();
        released.sort_unstable_by_key(|(nth, ..)| *nth);
        released.into_iter().map(|(_, id, said)| (id, said)).collect()
    }

    /// A connection begins: what was sent on the last one waits again, in its old place ([MQTT-4.6.0-1]).
    pub(super) fn begin(&mut self, session_present: bool) {
        self.cursor = 0;
        self.in_flight = 0;
        for entry in self.entries.values_mut() {
            match entry.state {
                State::Released(..) => self.in_flight += 1,
                State::Sent | State::Waiting => entry.state = State::Waiting,
            }
            // To a session that does not know it, it is a new message.
            entry.known &= session_present;
        }
    }
}
