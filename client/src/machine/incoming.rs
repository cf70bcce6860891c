//! Messages from the server: which QoS 2 ids were taken, and which acknowledgements are owed in which order. What is
//! sent is written by `receiving.rs`.

use std::collections::VecDeque;

use hashbrown::{HashMap, HashSet};
use opifex_packet::PacketId;

/// An acknowledgement that goes out when those before it have.
#[derive(Copy, Clone, Debug)]
struct Owed {
    serial: u64,
    ack: Ack,
    ready: bool,
}

/// An acknowledgement.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum Ack {
    Puback(PacketId),
    Pubrec(PacketId),
}

/// A QoS 2 message that the application has.
#[derive(Copy, Clone, Debug)]
struct Taken {
    serial: u64,
    /// Whether the application has acknowledged it: the condition of PUBREC.
    acknowledged: bool,
    /// Whether it came on this connection and counts against the receive maximum.
    counts: bool,
}

#[derive(Debug, Default)]
pub(super) struct Incoming {
    taken: HashMap<PacketId, Taken>,
    /// QoS 2 messages that the application has not acknowledged, by their serial.
    unacknowledged_taken: HashMap<u64, PacketId>,
    owed: VecDeque<Owed>,
    /// Ids of QoS 1 messages in `owed`.
    unacknowledged: HashSet<PacketId>,
    under_way: usize,
    next_serial: u64,
}

impl Incoming {
    pub(super) fn load(ids: Vec<PacketId>) -> Self {
        let mut incoming = Incoming::default();
        for id in ids {
            let serial = incoming.serial();
            incoming.taken.insert(id, Taken { serial, acknowledged: true, counts: false });
        }
        incoming
    }

    fn serial(&mut self) -> u64 {
        self.next_serial += 1;
        self.next_serial
    }

    /// Messages of this connection that the server waits for an acknowledgement of.
    pub(super) fn under_way(&self) -> usize {
        self.under_way
    }

    /// A connection begins: nothing is owed on it. Without a session, nothing was taken either; those ids are returned.
    pub(super) fn begin(&mut self, session_present: bool) -> Vec<PacketId> {
        self.owed.clear();
        self.unacknowledged.clear();
        self.under_way = 0;
        if session_present {
            self.taken.values_mut().for_each(|taken| taken.counts = false);
            return Vec::new();
        }
        self.unacknowledged_taken.clear();
        self.taken.drain().map(|(id, _)| id).collect()
    }

    /// A QoS 1 message has come. Its serial when it is new; `None`: the application has it, and its PUBACK is owed.
    pub(super) fn at_least_once(&mut self, id: PacketId) -> Option<u64> {
        if !self.unacknowledged.insert(id) {
            return None;
        }
        let serial = self.serial();
        self.under_way += 1;
        self.owed.push_back(Owed { serial, ack: Ack::Puback(id), ready: false });
        Some(serial)
    }

    /// A QoS 2 message has come. Its serial when it is new; `None`: it was taken before.
    pub(super) fn exactly_once(&mut self, id: PacketId) -> Option<u64> {
        let ack = Ack::Pubrec(id);
        if let Some(taken) = self.taken.get_mut(&id) {
            // [MQTT-4.3.3-10]: PUBREC again, but not to the application.
            if !taken.counts {
                taken.counts = true;
                self.under_way += 1;
            }
            let (serial, ready) = (taken.serial, taken.acknowledged);
            if !self.owed.iter().any(|owed| owed.ack == ack) {
                self.owed.push_back(Owed { serial, ack, ready });
            }
            return None;
        }
        let serial = self.serial();
        self.under_way += 1;
        self.taken.insert(id, Taken { serial, acknowledged: false, counts: true });
        self.unacknowledged_taken.insert(serial, id);
        self.owed.push_back(Owed { serial, ack, ready: false });
        Some(serial)
    }

    /// The application has done with a message. The id of a QoS 2 message that was not acknowledged before.
    pub(super) fn acknowledge(&mut self, serial: u64) -> Option<PacketId> {
        // Of a QoS 2 message that arrived on an earlier connection, nothing may be owed on this one yet.
        let newly = self.unacknowledged_taken.remove(&serial);
        if let Some(taken) = newly.and_then(|id| self.taken.get_mut(&id)) {
            taken.acknowledged = true;
        }
        if let Some(owed) = self.owed.iter_mut().find(|owed| owed.serial == serial) {
            owed.ready = true;
        }
        newly
    }

    /// [MQTT-4.6.0-2] [MQTT-4.6.0-3]: the next acknowledgement, when it is ready; none passes another.
    pub(super) fn next_ack(&mut self) -> Option<Ack> {
        let owed = self.owed.pop_front_if(|owed| owed.ready)?;
        if let Ack::Puback(id) = owed.ack {
            self.unacknowledged.remove(&id);
            self.under_way -= 1;
        }
        Some(owed.ack)
    }

    /// Whether PUBREC of that id has gone out, and PUBREL may come.
    pub(super) fn is_taken(&self, id: PacketId) -> Option<bool> {
        self.taken.get(&id).map(|taken| taken.acknowledged)
    }

    /// [MQTT-4.3.3-12]: after PUBREL the id means a new message.
    pub(super) fn release(&mut self, id: PacketId) {
        if self.taken.remove(&id).is_some_and(|taken| taken.counts) {
            self.under_way -= 1;
        }
    }
}
