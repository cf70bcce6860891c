//! A client's publishing half: messages on their way to the broker, and the handshakes that acknowledge them, over
//! connections and over the broker's deaths.

use std::collections::VecDeque;

use opifex_packet::{Delivery, PacketId, Property, Publish, Pubrel, QoS, ReasonCode, TopicName};

use crate::dice::Dice;
use crate::event::{Client, Event, MessageId, Publication};
use crate::journal::Journal;
use crate::wire::Wire;

/// Packet ids in use: few, so that each is used again soon.
const PACKET_IDS: u16 = 100;

/// What is published where.
#[derive(Clone, Debug)]
pub(crate) struct Topic {
    pub(crate) name: String,
    pub(crate) qos: QoS,
    /// The message is retained, or removes what is.
    pub(crate) retain: bool,
    pub(crate) expiry_secs: Option<u32>,
}

pub(crate) struct Publishing {
    client: Client,
    durable: bool,
    topics: Vec<Topic>,
    window: usize,
    outstanding: VecDeque<Outstanding>,
    last_packet_id: u16,
    journal: Journal,
}

struct Outstanding {
    message: MessageId,
    packet_id: PacketId,
    topic: Topic,
    payload: Vec<u8>,
    stage: Stage,
    sends: u64,
}

#[derive(Copy, Clone, PartialEq, Eq)]
enum Stage {
    Publish,
    Release { sends: u64 },
}

impl Publishing {
    pub(crate) fn new(
        client: Client,
        durable: bool,
        topics: Vec<Topic>,
        window: usize,
        journal: Journal,
    ) -> Publishing {
        Publishing {
            client,
            durable,
            topics,
            window,
            outstanding: VecDeque::new(),
            last_packet_id: 0,
            journal,
        }
    }

    /// Sends again, in order, what was not acknowledged ([MQTT-4.4.0-1]); without a session it is given up.
    pub(crate) async fn connected(&mut self, wire: &mut Wire) {
        if !self.durable {
            self.outstanding.clear();
        }
        for outstanding in &mut self.outstanding {
            match &mut outstanding.stage {
                Stage::Publish => publish(outstanding, &self.journal, wire).await,
                Stage::Release { sends } => {
                    *sends += 1;
                    wire.send(Pubrel::new(outstanding.packet_id)).await;
                }
            }
        }
        self.tell();
    }

    /// Publishes a few messages, if the window lets it.
    pub(crate) async fn publish(&mut self, dice: &mut Dice, wire: &mut Wire) {
        if self.topics.is_empty() {
            return;
        }
        for _ in 0..dice.within(0..3) {
            if self.outstanding.len() >= self.window {
                return;
            }
            let topic = dice.one_of(&self.topics).clone();
            let clears = topic.retain && dice.once_in(4);
            let len = match dice.within(0..50) {
                0 => 20_000,
                len => len * 10,
            };
            self.publish_one(topic, clears, |message| message.payload(len as usize), wire).await;
        }
    }

    pub(crate) async fn publish_one(
        &mut self,
        topic: Topic,
        clears: bool,
        payload: impl FnOnce(MessageId) -> Vec<u8>,
        wire: &mut Wire,
    ) {
        let message = self.journal.made(Publication {
            publisher: self.client,
            durable: self.durable,
            topic: topic.name.clone(),
            qos: topic.qos,
            retain: topic.retain,
            clears,
            expiry_secs: topic.expiry_secs,
        });
        let payload = if clears { Vec::new() } else { payload(message) };
        let packet_id = self.next_packet_id();
        let stage = Stage::Publish;
        let mut outstanding = Outstanding { message, packet_id, topic, payload, stage, sends: 0 };
        publish(&mut outstanding, &self.journal, wire).await;
        self.outstanding.push_back(outstanding);
        self.tell();
    }

    fn next_packet_id(&mut self) -> PacketId {
        loop {
            self.last_packet_id = self.last_packet_id % PACKET_IDS + 1;
            let packet_id = PacketId::new(self.last_packet_id).expect("it is not 0");
            if self.outstanding.iter().all(|of| of.packet_id != packet_id) {
                return packet_id;
            }
        }
    }

    pub(crate) fn puback(&mut self, packet_id: PacketId, reason: ReasonCode) {
        self.refused(reason, "PUBACK");
        if let Some(at) = self.find(packet_id, QoS::AtLeastOnce)
            && let Some(outstanding) = self.outstanding.remove(at)
        {
            self.journal.record(Event::Accepted { message: outstanding.message });
        }
        self.tell();
    }

    pub(crate) async fn pubrec(&mut self, packet_id: PacketId, reason: ReasonCode, wire: &mut Wire) {
        self.refused(reason, "PUBREC");
        let Some(at) = self.find(packet_id, QoS::ExactlyOnce) else { return };
        let outstanding = &mut self.outstanding[at];
        if outstanding.stage == Stage::Publish {
            outstanding.stage = Stage::Release { sends: 1 };
            self.journal.record(Event::Accepted { message: outstanding.message });
            wire.send(Pubrel::new(packet_id)).await;
        }
    }

    pub(crate) fn pubcomp(&mut self, packet_id: PacketId, reason: ReasonCode) {
        if let Some(at) = self.find(packet_id, QoS::ExactlyOnce)
            && let Some(outstanding) = self.outstanding.remove(at)
            && outstanding.stage == (Stage::Release { sends: 1 })
            && reason == ReasonCode::PacketIdentifierNotFound
        {
            self.journal.record(Event::Forgotten { message: outstanding.message });
        }
        self.tell();
    }

    fn find(&self, packet_id: PacketId, qos: QoS) -> Option<usize> {
        self.outstanding.iter().position(|of| of.packet_id == packet_id && of.topic.qos == qos)
    }

    fn refused(&self, reason: ReasonCode, packet: &str) {
        if reason.is_error() {
            let why = format!("{packet} says {reason}");
            self.journal.record(Event::Refused { client: self.client, why });
        }
    }

    /// What is given up is not waited for.
    pub(crate) fn ended(&mut self) {
        if !self.durable {
            self.outstanding.clear();
        }
        self.tell();
    }

    fn tell(&self) {
        self.journal.unfinished(self.client, self.outstanding.len());
    }
}

async fn publish(outstanding: &mut Outstanding, journal: &Journal, wire: &mut Wire) {
    let Outstanding { message, packet_id, topic, payload, sends, .. } = outstanding;
    let mut publish = Publish::new(TopicName::new(&*topic.name).expect("it is one"), &payload[..]);
    publish.dup = *sends > 0;
    publish.retain = topic.retain;
    publish.delivery = Delivery::new(topic.qos, *packet_id);
    if let Some(secs) = topic.expiry_secs {
        publish.properties.push(Property::MessageExpiryInterval(secs));
    }
    *sends += 1;
    journal.record(Event::Sent { message: *message });
    wire.send(publish).await;
}
