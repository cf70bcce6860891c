//! What was on its way when the broker was killed: packets that are not acknowledged, as their clients know.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use opifex_packet::{Packet, PacketType};

use crate::event::Client;

/// Of each client, what it has sent on its connection and has no answer to.
#[derive(Default)]
pub(crate) struct InFlight(BTreeMap<Client, Connection>);

#[derive(Default)]
struct Connection {
    open: bool,
    publish: BTreeSet<u16>,
    pubrec: BTreeSet<u16>,
    pubrel: BTreeSet<u16>,
    /// Nothing answers PUBACK and PUBCOMP. They count as acknowledged with the SUBACK to a SUBSCRIBE after them.
    puback: u64,
    pubcomp: u64,
    /// By packet id of the SUBSCRIBE or UNSUBSCRIBE: how many PUBACK and PUBCOMP there were before it.
    subscribe: BTreeMap<u16, (u64, u64)>,
}

/// How many packets of each kind were not acknowledged.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Census([u64; KINDS.len()]);

/// The kinds that are counted, and that a kill can be aimed at.
pub(crate) const KINDS: [PacketType; 7] = [
    PacketType::Publish,
    PacketType::Puback,
    PacketType::Pubrec,
    PacketType::Pubrel,
    PacketType::Pubcomp,
    PacketType::Subscribe,
    PacketType::Connect,
];

impl InFlight {
    pub(crate) fn leaves(&mut self, client: Client, packet: &Packet<'_>) {
        let connection = self.0.entry(client).or_default();
        match packet {
            Packet::Connect(_) => *connection = Connection { open: true, ..Connection::default() },
            Packet::Publish(publish) => {
                connection.publish.extend(publish.delivery.packet_id().map(|id| id.get()));
            }
            Packet::Puback(_) => connection.puback += 1,
            Packet::Pubrec(pubrec) => {
                connection.pubrec.insert(pubrec.packet_id.get());
            }
            Packet::Pubrel(pubrel) => {
                connection.pubrel.insert(pubrel.packet_id.get());
            }
            Packet::Pubcomp(_) => connection.pubcomp += 1,
            Packet::Subscribe(subscribe) => connection.asks(subscribe.packet_id.get()),
            Packet::Unsubscribe(unsubscribe) => connection.asks(unsubscribe.packet_id.get()),
            _ => {}
        }
    }

    pub(crate) fn comes(&mut self, client: Client, packet: &Packet<'_>) {
        let connection = self.0.entry(client).or_default();
        match packet {
            Packet::Connack(_) => connection.open = false,
            Packet::Puback(puback) => {
                connection.publish.remove(&puback.packet_id.get());
            }
            Packet::Pubrec(pubrec) => {
                connection.publish.remove(&pubrec.packet_id.get());
            }
            Packet::Pubrel(pubrel) => {
                connection.pubrec.remove(&pubrel.packet_id.get());
            }
            Packet::Pubcomp(pubcomp) => {
                connection.pubrel.remove(&pubcomp.packet_id.get());
            }
            Packet::Suback(suback) => connection.answered(suback.packet_id.get(), true),
            Packet::Unsuback(unsuback) => connection.answered(unsuback.packet_id.get(), false),
            _ => {}
        }
    }

    /// The connection is gone while the broker lives: nothing is on its way.
    pub(crate) fn ended(&mut self, client: Client) {
        self.0.remove(client);
    }

    /// Counts, and begins anew.
    pub(crate) fn take(&mut self) -> Census {
        let mut census = Census::default();
        for connection in std::mem::take(&mut self.0).into_values() {
            let counts = [
                connection.publish.len() as u64,
                connection.puback,
                connection.pubrec.len() as u64,
                connection.pubrel.len() as u64,
                connection.pubcomp,
                connection.subscribe.len() as u64,
                u64::from(connection.open),
            ];
            census.0.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
        }
        census
    }
}

impl Connection {
    fn asks(&mut self, packet_id: u16) {
        self.subscribe.insert(packet_id, (self.puback, self.pubcomp));
    }

    fn answered(&mut self, packet_id: u16, stored: bool) {
        if let Some((puback, pubcomp)) = self.subscribe.remove(&packet_id)
            && stored
        {
            self.puback -= puback.min(self.puback);
            self.pubcomp -= pubcomp.min(self.pubcomp);
        }
    }
}

impl Census {
    /// Of each kind, whether there was any.
    pub(crate) fn any(&self) -> [bool; KINDS.len()] {
        self.0.map(|count| count > 0)
    }

    pub(crate) fn add(&mut self, other: Census) {
        self.0.iter_mut().zip(other.0).for_each(|(sum, count)| *sum += count);
    }
}

impl fmt::Display for Census {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (kind, count) in KINDS.iter().zip(self.0) {
            write!(f, "{kind:?} {count}, ")?;
        }
        Ok(())
    }
}
