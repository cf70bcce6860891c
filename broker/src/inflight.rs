//! Packet ids of messages on their way to one client: allocation, and what each id stands for. A pure table.

use std::collections::VecDeque;

use opifex_packet::{PacketId, QoS};
use opifex_storage::Seq;

use crate::pending::Orphan;

/// Packet ids 1..=65535 in a circle.
const IDS: usize = 65_535;

/// The ids in use, as a window over the circle of ids: they are given out in turn and mostly come back in turn, so
/// that finding one is an index and not a search.
#[derive(Debug, Default)]
pub(crate) struct Inflight {
    slots: VecDeque<Option<Entry>>,
    /// The circle position (id - 1) of the first slot.
    base: u16,
    used: u32,
    /// Where the search for a free slot goes on when the window has come round the circle.
    search_from: u16,
}

/// What a packet id stands for.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    /// The queue entry, for a durable session; `Seq::ZERO` else.
    pub(crate) seq: Seq,
    pub(crate) stage: Stage,
    /// A shared subscription's message is kept until it is settled: another member gets it if this one goes.
    pub(crate) shared: Option<Orphan>,
}

/// What is awaited from the client.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// PUBLISH QoS 1 sent, PUBACK awaited.
    Puback,
    /// PUBLISH QoS 2 sent (or about to be), PUBREC awaited.
    Pubrec,
    /// PUBREC seen; the store is to have that before PUBREL is sent.
    Releasing,
    /// PUBREL sent, PUBCOMP awaited.
    Pubcomp,
}

impl Stage {
    pub(crate) fn for_qos(qos: QoS) -> Stage {
        if qos == QoS::ExactlyOnce { Stage::Pubrec } else { Stage::Puback }
    }
}

impl Inflight {
    /// Ids in use.
    #[cfg(test)]
    pub(crate) fn used(&self) -> usize {
        self.used as usize
    }

    /// Takes the next free id for this entry; `None` when all are in use.
    pub(crate) fn allocate(&mut self, entry: Entry) -> Option<PacketId> {
        if self.slots.len() == IDS {
            return self.allocate_between(entry);
        }
        let position = (usize::from(self.base) + self.slots.len()) % IDS;
        self.slots.push_back(Some(entry));
        self.used += 1;
        PacketId::new(position as u16 + 1)
    }

    /// The window has come round the circle: an id at its front is not given back. The others are taken where they are.
    fn allocate_between(&mut self, entry: Entry) -> Option<PacketId> {
        if self.used as usize == IDS {
            return None;
        }
        let from = usize::from(self.search_from);
        let index = (from..IDS).chain(0..from).find(|index| self.slots[*index].is_none())?;
        self.slots[index] = Some(entry);
        self.used += 1;
        self.search_from = index as u16;
        PacketId::new(((usize::from(self.base) + index) % IDS) as u16 + 1)
    }

    /// Puts an entry back under an id that it had before.
    pub(crate) fn restore(&mut self, id: PacketId, entry: Entry) {
        let position = id.get() - 1;
        if self.slots.is_empty() {
            self.base = position;
        }
        let index = self.index(id);
        while self.slots.len() <= index {
            self.slots.push_back(None);
        }
        if self.slots[index].replace(entry).is_none() {
            self.used += 1;
        }
    }

    pub(crate) fn get(&self, id: PacketId) -> Option<&Entry> {
        self.slots.get(self.index(id))?.as_ref()
    }

    pub(crate) fn get_mut(&mut self, id: PacketId) -> Option<&mut Entry> {
        let index = self.index(id);
        self.slots.get_mut(index)?.as_mut()
    }

    /// Frees the id.
    pub(crate) fn remove(&mut self, id: PacketId) -> Option<Entry> {
        let index = self.index(id);
        let entry = self.slots.get_mut(index)?.take()?;
        self.used -= 1;
        while let Some(None) = self.slots.front() {
            self.slots.pop_front();
            self.base = ((usize::from(self.base) + 1) % IDS) as u16;
        }
        // An idle connection keeps no table.
        if self.slots.is_empty() && self.slots.capacity() > 64 {
            self.slots = VecDeque::new();
        }
        Some(entry)
    }

    /// All ids in use with their entries, in the order in which they were given out.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (PacketId, &Entry)> {
        self.slots.iter().enumerate().filter_map(|(index, slot)| {
            let position = (usize::from(self.base) + index) % IDS;
            Some((PacketId::new(position as u16 + 1)?, slot.as_ref()?))
        })
    }

    fn index(&self, id: PacketId) -> usize {
        (usize::from(id.get() - 1) + IDS - usize::from(self.base)) % IDS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(seq: u64) -> Entry {
        Entry { seq: Seq(seq), stage: Stage::Puback, shared: None }
    }

    fn id(n: u16) -> PacketId {
        PacketId::new(n).unwrap()
    }

    #[test]
    fn ids_are_given_out_in_turn_and_come_round() {
        let mut table = Inflight::default();
        for n in 1..=65_535u16 {
            assert_eq!(table.allocate(entry(u64::from(n))), Some(id(n)));
            assert_eq!(table.remove(id(n)).map(|e| e.seq), Some(Seq(u64::from(n))));
        }
        assert_eq!(table.allocate(entry(1)), Some(id(1)));
    }

    #[test]
    fn no_id_is_given_twice_while_it_is_in_use() {
        let mut table = Inflight::default();
        for _ in 0..65_535 {
            table.allocate(entry(0)).unwrap();
        }
        assert_eq!(table.allocate(entry(0)), None);
        assert_eq!(table.used(), 65_535);
        table.remove(id(2)).unwrap();
        assert_eq!(table.allocate(entry(7)), Some(id(2)));
        assert_eq!(table.allocate(entry(0)), None);
        table.remove(id(1)).unwrap();
        assert_eq!(table.allocate(entry(7)), Some(id(1)));
        assert_eq!(table.used(), 65_535);
    }

    #[test]
    fn an_id_that_is_never_given_back_stops_nobody() {
        let mut table = Inflight::default();
        assert_eq!(table.allocate(entry(0)), Some(id(1)));
        for n in 0..200_000 {
            let taken = table.allocate(entry(n)).unwrap();
            assert_ne!(taken, id(1));
            assert_eq!(table.remove(taken).map(|entry| entry.seq), Some(Seq(n)));
        }
        assert_eq!(table.used(), 1);
    }

    #[test]
    fn acknowledgements_out_of_order_free_the_window_at_its_front() {
        let mut table = Inflight::default();
        for _ in 0..3 {
            table.allocate(entry(0)).unwrap();
        }
        assert!(table.remove(id(2)).is_some());
        assert!(table.remove(id(2)).is_none());
        assert!(table.remove(id(1)).is_some());
        assert_eq!(table.iter().map(|(id, _)| id.get()).collect::<Vec<_>>(), [3]);
        assert!(table.remove(id(3)).is_some());
        assert_eq!(table.used(), 0);
    }

    #[test]
    fn restored_ids_are_not_given_out() {
        let mut table = Inflight::default();
        table.restore(id(65_534), entry(1));
        table.restore(id(3), entry(2));
        assert_eq!(table.used(), 2);
        assert_eq!(table.allocate(entry(3)), Some(id(4)));
        assert_eq!(table.get(id(3)).map(|e| e.seq), Some(Seq(2)));
        assert!(table.get(id(65_535)).is_none());
    }
}
