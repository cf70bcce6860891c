//! A client's subscribing half: its subscriptions, what comes, and what it acknowledges when.

use std::collections::{BTreeSet, VecDeque};

use opifex_packet::{
    Delivery, PacketId, Puback, Pubcomp, Publish, Pubrec, QoS, ReasonCode, Subscribe, Subscription,
    TopicFilter, Unsubscribe,
};

use crate::dice::Dice;
use crate::event::{Ack, Arrival, Client, Event, MessageId};
use crate::journal::Journal;
use crate::wire::Wire;

/// Everybody subscribes to these: what is published on them comes after all that was published before.
pub(crate) const FENCES: [(&str, QoS); 2] = [("fence/1", QoS::AtLeastOnce), ("fence/2", QoS::ExactlyOnce)];

/// A subscription that is made for its SUBACK alone.
const BARRIER: (&str, QoS) = ("barrier", QoS::AtLeastOnce);

pub(crate) struct Subscribing {
    client: Client,
    filters: Vec<(&'static str, QoS)>,
    /// Subscribed to and unsubscribed from again and again.
    toggled: Vec<(&'static str, QoS)>,
    /// What CONNACK and SUBACK say that we have.
    standing: BTreeSet<&'static str>,
    /// An UNSUBSCRIBE that was not answered: it is sent again.
    leaving: Option<&'static str>,
    asked: Option<Asked>,
    last_packet_id: u16,
    held: VecDeque<(Ack, PacketId)>,
    /// QoS 2 messages whose PUBREL is awaited.
    unreleased: BTreeSet<PacketId>,
    /// The last fence that came over each of the two topics.
    fences: [u64; 2],
    barriers: u8,
    journal: Journal,
}

struct Asked {
    packet_id: PacketId,
    filters: Vec<&'static str>,
}

impl Subscribing {
    pub(crate) fn new(
        client: Client,
        filters: &[(&'static str, QoS)],
        toggled: &[(&'static str, QoS)],
        journal: Journal,
    ) -> Subscribing {
        let mut filters = filters.to_vec();
        if !filters.is_empty() {
            filters.extend(FENCES);
        }
        Subscribing {
            client,
            filters,
            toggled: toggled.to_vec(),
            standing: BTreeSet::new(),
            leaving: None,
            asked: None,
            last_packet_id: 0,
            held: VecDeque::new(),
            unreleased: BTreeSet::new(),
            fences: [0; 2],
            barriers: 0,
            journal,
        }
    }

    /// A clean start is about to leave.
    pub(crate) fn forget(&mut self) {
        self.standing.clear();
        self.unreleased.clear();
        self.leaving = None;
    }

    pub(crate) async fn connected(&mut self, present: bool, wire: &mut Wire) {
        (self.asked, self.barriers) = (None, 0);
        self.held.clear();
        if !present {
            self.forget();
        }
        let missing = |(filter, _): &&(&str, QoS)| !self.standing.contains(filter);
        let missing: Vec<_> = self.filters.iter().filter(missing).copied().collect();
        if !missing.is_empty() {
            self.subscribe(&missing, wire).await;
        } else if let Some(filter) = self.leaving {
            self.unsubscribe(filter, wire).await;
        }
    }

    async fn subscribe(&mut self, filters: &[(&'static str, QoS)], wire: &mut Wire) {
        let packet_id = self.next_packet_id();
        let mut subscriptions = Vec::new();
        for &(filter, qos) in filters {
            self.journal.record(Event::Subscribing { client: self.client, filter, qos });
            subscriptions.push(Subscription::new(TopicFilter::new(filter).expect("it is one"), qos));
        }
        let filters = filters.iter().map(|(filter, _)| *filter).collect();
        self.asked = Some(Asked { packet_id, filters });
        wire.send(Subscribe::new(packet_id, subscriptions)).await;
    }

    async fn unsubscribe(&mut self, filter: &'static str, wire: &mut Wire) {
        let packet_id = self.next_packet_id();
        self.leaving = Some(filter);
        self.standing.remove(filter);
        self.journal.record(Event::Unsubscribing { client: self.client, filter });
        self.asked = Some(Asked { packet_id, filters: vec![filter] });
        wire.send(Unsubscribe::new(packet_id, vec![TopicFilter::new(filter).expect("it is one")])).await;
    }

    fn next_packet_id(&mut self) -> PacketId {
        self.last_packet_id = self.last_packet_id % 1_000 + 1;
        PacketId::new(self.last_packet_id).expect("it is not 0")
    }

    pub(crate) fn suback(&mut self, packet_id: PacketId, reasons: &[ReasonCode]) {
        let Some(asked) = self.asked.take_if(|asked| asked.packet_id == packet_id) else { return };
        if reasons.iter().any(|reason| reason.is_error()) {
            let why = format!("SUBACK says {reasons:?}");
            self.journal.record(Event::Refused { client: self.client, why });
        }
        for filter in asked.filters {
            self.standing.insert(filter);
            self.journal.record(Event::Subscribed { client: self.client, filter });
        }
        self.barriers += 1;
    }

    pub(crate) fn unsuback(&mut self, packet_id: PacketId) {
        let Some(asked) = self.asked.take_if(|asked| asked.packet_id == packet_id) else { return };
        for filter in asked.filters {
            self.journal.record(Event::Unsubscribed { client: self.client, filter });
        }
        self.leaving = None;
    }

    pub(crate) fn publish(&mut self, publish: &Publish<'_>) {
        let Some(packet_id) = publish.delivery.packet_id() else { return };
        let ack = match publish.delivery {
            Delivery::ExactlyOnce(_) => {
                self.unreleased.insert(packet_id);
                Ack::Pubrec
            }
            _ => Ack::Puback,
        };
        self.held.push_back((ack, packet_id));
        let arrival = Arrival {
            message: MessageId::of(&publish.payload).unwrap_or(MessageId::NONE),
            qos: publish.delivery.qos(),
            packet_id: packet_id.get(),
            dup: publish.dup,
            retain: publish.retain,
        };
        self.journal.record(Event::Arrived { client: self.client, arrival });
        let topic = publish.topic.as_ref().map(|topic| topic.as_str());
        if let Some(at) = FENCES.iter().position(|(fence, _)| Some(*fence) == topic) {
            self.fences[at] = self.fences[at].max(fence_number(&publish.payload));
            self.barriers = 0;
        }
    }

    pub(crate) fn pubrel(&mut self, packet_id: PacketId) {
        self.unreleased.remove(&packet_id);
        self.journal.record(Event::Released { client: self.client, packet_id: packet_id.get() });
        self.held.push_back((Ack::Pubcomp, packet_id));
    }

    /// Sends the first of the acknowledgements that wait, in order ([MQTT-4.6.0-2], [MQTT-4.6.0-3]).
    pub(crate) async fn acknowledge(&mut self, at_most: usize, wire: &mut Wire) {
        for _ in 0..at_most {
            let Some((ack, packet_id)) = self.held.pop_front() else { return };
            self.barriers = 0;
            self.journal.record(Event::Acked { client: self.client, ack, packet_id: packet_id.get() });
            match ack {
                Ack::Puback => wire.send(Puback::new(packet_id)).await,
                Ack::Pubrec => wire.send(Pubrec::new(packet_id)).await,
                Ack::Pubcomp => wire.send(Pubcomp::new(packet_id)).await,
            }
        }
    }

    /// Comes or goes at one of the filters that are toggled.
    pub(crate) async fn toggle(&mut self, dice: &mut Dice, wire: &mut Wire) {
        if self.asked.is_some() || self.toggled.is_empty() {
            return;
        }
        let (filter, qos) = *dice.one_of(&self.toggled);
        if self.standing.contains(filter) {
            self.unsubscribe(filter, wire).await;
        } else {
            self.subscribe(&[(filter, qos)], wire).await;
        }
    }

    /// Whether what it asked for was granted.
    pub(crate) fn stands(&self) -> bool {
        self.asked.is_none() && self.filters.iter().all(|(filter, _)| self.standing.contains(filter))
    }

    /// When that fence has come and all is acknowledged, has the broker say so twice: an answer to a SUBSCRIBE comes
    /// when what was sent before the SUBSCRIBE before it is stored.
    pub(crate) async fn pass(&mut self, fence: u64, wire: &mut Wire) {
        let settled = self.held.is_empty() && self.unreleased.is_empty() && self.asked.is_none();
        if !settled || self.fences.iter().any(|seen| *seen < fence) {
            return;
        }
        if self.barriers < 2 {
            self.subscribe(&[BARRIER], wire).await;
        } else {
            self.journal.passed_fence(self.client, fence);
        }
    }
}

/// The payload of a fence.
pub(crate) fn fence_payload(message: MessageId, fence: u64) -> Vec<u8> {
    format!("{} {fence}", message.0).into_bytes()
}

fn fence_number(payload: &[u8]) -> u64 {
    let text = std::str::from_utf8(payload).unwrap_or_default();
    text.split_once(' ').and_then(|(_, fence)| fence.parse().ok()).unwrap_or(0)
}
