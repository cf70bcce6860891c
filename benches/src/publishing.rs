//! Whole publishes through a broker: decode, checks, matching, encoding, delivery and acknowledgements, on a runtime of one
//! thread, over pipes in memory. No session is durable.

use opifex_broker::Broker;
use opifex_packet::{Delivery, Packet, PacketId, Puback, Pubcomp, Publish, Pubrec, Pubrel, QoS, TopicName};
use opifex_storage_memory::MemoryStore;

use crate::peer::{Peer, VERSION, encoded};

/// Messages that a publisher sends in one write.
pub(crate) const BATCH: usize = 500;
pub(crate) const FAN_OUT_BATCH: usize = 20;
pub(crate) const SUBSCRIBERS: usize = 100;

/// Messages in one write for a shared subscription, and its members.
pub(crate) const SHARED_BATCH: usize = 20;
const MEMBERS: usize = 4;

const TOPIC: &str = "plant/line/unit";
const SHARED: &str = "$share/group/plant/line/unit";
const PAYLOAD: [u8; 64] = [7; 64];

pub(crate) fn qos_0(rounds: usize) {
    run(QoS::AtMostOnce, 1, BATCH, rounds);
}

pub(crate) fn qos_1(rounds: usize) {
    run(QoS::AtLeastOnce, 1, BATCH, rounds);
}

pub(crate) fn qos_2(rounds: usize) {
    run(QoS::ExactlyOnce, 1, BATCH, rounds);
}

pub(crate) fn alone_qos_0(rounds: usize) {
    run(QoS::AtMostOnce, 1, 1, rounds);
}

pub(crate) fn alone_qos_1(rounds: usize) {
    run(QoS::AtLeastOnce, 1, 1, rounds);
}

pub(crate) fn fan_out_qos_0(rounds: usize) {
    run(QoS::AtMostOnce, SUBSCRIBERS, FAN_OUT_BATCH, rounds);
}

pub(crate) fn fan_out_qos_1(rounds: usize) {
    run(QoS::AtLeastOnce, SUBSCRIBERS, FAN_OUT_BATCH, rounds);
}

/// Each message goes to one of the members.
pub(crate) fn shared_qos_1(rounds: usize) {
    let load = Load {
        filter: SHARED,
        each: SHARED_BATCH / MEMBERS,
        ..Load::new(QoS::AtLeastOnce, MEMBERS, SHARED_BATCH)
    };
    load.run(rounds);
}

pub(crate) fn connect_and_disconnect(rounds: usize) {
    on_one_thread(async |broker| {
        for _ in 0..rounds {
            Peer::connect(&broker, "comes-and-goes").await.disconnect().await;
        }
    });
}

fn on_one_thread(work: impl AsyncFnOnce(Broker<MemoryStore>)) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let broker = Broker::builder(MemoryStore::new()).start().await.expect("nothing is in the store");
        work(broker).await;
    });
}

fn run(qos: QoS, subscribers: usize, batch: usize, rounds: usize) {
    Load::new(qos, subscribers, batch).run(rounds);
}

/// Batches from one publisher to so many subscribers, with all that their QoS brings.
struct Load {
    qos: QoS,
    filter: &'static str,
    subscribers: usize,
    /// Messages in one write.
    batch: usize,
    /// How many of them each subscriber gets.
    each: usize,
}

impl Load {
    fn new(qos: QoS, subscribers: usize, batch: usize) -> Load {
        Load { qos, filter: TOPIC, subscribers, batch, each: batch }
    }

    fn run(self, rounds: usize) {
        let Load { qos, filter, subscribers, batch, each } = self;
        on_one_thread(async |broker| {
            let mut publisher = Peer::connect(&broker, "publisher").await;
            let mut peers = Vec::new();
            for number in 0..subscribers {
                let mut peer = Peer::connect(&broker, &format!("subscriber-{number}")).await;
                peer.subscribe(filter, qos).await;
                peers.push(peer);
            }
            let ids = || (1..=batch as u16).filter_map(PacketId::new);
            let messages: Vec<u8> = ids().flat_map(|id| encoded(message(qos, id))).collect();
            let pubrels: Vec<u8> = ids().flat_map(|id| encoded(Pubrel::new(id))).collect();
            let mut acks = Vec::new();
            for _ in 0..rounds {
                publisher.send(&messages).await;
                for peer in &mut peers {
                    // A message comes out as long as it went in.
                    let len = messages.len() / batch;
                    let came = peer.receive(len * each).await;
                    acknowledge(came, len, qos, &mut acks);
                    peer.send(&acks).await;
                }
                if qos != QoS::AtMostOnce {
                    publisher.receive(4 * batch).await;
                }
                if qos == QoS::ExactlyOnce {
                    publisher.send(&pubrels).await;
                    publisher.receive(4 * batch).await;
                    for peer in &mut peers {
                        complete(peer.receive(4 * each).await, &mut acks);
                        peer.send(&acks).await;
                    }
                }
            }
            assert_eq!(broker.stats().delivered, (rounds * each * subscribers) as u64);
        });
    }
}

fn message(qos: QoS, id: PacketId) -> Publish<'static> {
    let topic = TopicName::new(TOPIC).expect("no wildcards");
    Publish { delivery: Delivery::new(qos, id), ..Publish::new(topic, &PAYLOAD[..]) }
}

/// What a subscriber answers to these messages of equal length.
fn acknowledge(messages: &[u8], len: usize, qos: QoS, out: &mut Vec<u8>) {
    out.clear();
    if qos == QoS::AtMostOnce {
        return;
    }
    for message in messages.chunks_exact(len) {
        let id = packet_id(&message[len - PAYLOAD.len() - 2..]);
        let ack: Packet<'_> = match qos {
            QoS::ExactlyOnce => Pubrec::new(id).into(),
            _ => Puback::new(id).into(),
        };
        ack.encode(VERSION, out);
    }
}

/// ... and to these PUBRELs.
fn complete(pubrels: &[u8], out: &mut Vec<u8>) {
    out.clear();
    for pubrel in pubrels.chunks_exact(4) {
        Packet::from(Pubcomp::new(packet_id(&pubrel[2..]))).encode(VERSION, out);
    }
}

fn packet_id(bytes: &[u8]) -> PacketId {
    PacketId::new(u16::from_be_bytes([bytes[0], bytes[1]])).expect("the broker knows that 0 is none")
}
