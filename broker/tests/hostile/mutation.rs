//! Valid packets, broken at random: whatever comes of them, the broker does not panic, every connection ends or goes
//! on, and a bystander is served. Over an in-memory transport, so that each run decides the same.

use std::time::Duration;

use opifex_broker::{Broker, Peer as Origin};
use opifex_connection::Connection;
use opifex_packet::{Connect, DecodeOptions, Packet, QoS, Role, Version, strategies};
use opifex_storage_memory::MemoryStore;
use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::time::timeout;

use crate::peer::{encoded, publish, subscribe};

/// Time is paused: it passes at once when nothing else can happen.
const LONG: Duration = Duration::from_secs(30);

/// What is done to the bytes of a sequence of packets.
#[derive(Clone, Debug)]
enum Mutation {
    Flip { at: prop::sample::Index, mask: u8 },
    Insert { at: prop::sample::Index, bytes: Vec<u8> },
    Remove { at: prop::sample::Index, len: usize },
    Repeat { at: prop::sample::Index, len: usize },
    Cut { at: prop::sample::Index },
}

impl Mutation {
    fn apply(&self, bytes: &mut Vec<u8>) {
        if bytes.is_empty() {
            return;
        }
        let range = |at: &prop::sample::Index, len: usize| {
            let start = at.index(bytes.len());
            start..(start + len).min(bytes.len())
        };
        match self {
            Mutation::Flip { at, mask } => {
                let at = at.index(bytes.len());
                bytes[at] ^= mask;
            }
            Mutation::Insert { at, bytes: more } => {
                let at = at.index(bytes.len());
                bytes.splice(at..at, more.iter().copied());
            }
            Mutation::Remove { at, len } => {
                let range = range(at, *len);
                bytes.drain(range);
            }
            Mutation::Repeat { at, len } => {
                let range = range(at, *len);
                let again = bytes[range.clone()].to_vec();
                bytes.splice(range.end..range.end, again);
            }
            Mutation::Cut { at } => {
                let at = at.index(bytes.len());
                bytes.truncate(at);
            }
        }
    }
}

fn mutation() -> impl Strategy<Value = Mutation> {
    let at = any::<prop::sample::Index>;
    prop_oneof![
        4 => (at(), 1..=255u8).prop_map(|(at, mask)| Mutation::Flip { at, mask }),
        1 => (at(), prop::collection::vec(any::<u8>(), 1..8))
            .prop_map(|(at, bytes)| Mutation::Insert { at, bytes }),
        1 => (at(), 1..20usize).prop_map(|(at, len)| Mutation::Remove { at, len }),
        1 => (at(), 1..60usize).prop_map(|(at, len)| Mutation::Repeat { at, len }),
        1 => at().prop_map(|at| Mutation::Cut { at }),
    ]
}

/// A client: a valid CONNECT or a generated one, then packets, broken or not, in pieces of that size.
#[derive(Clone, Debug)]
struct Client {
    version: Version,
    connect: Vec<u8>,
    bytes: Vec<u8>,
    piece: usize,
}

fn client() -> impl Strategy<Value = Client> {
    strategies::version().prop_flat_map(|version| {
        let plain = Just(encoded(Connect::new(version, "mutant"), version)).boxed();
        let any_connect =
            strategies::connect(version).prop_map(move |connect| encoded(connect, version)).boxed();
        let packets = prop::collection::vec(strategies::packet(version, Role::Server), 0..12);
        let mutations = prop::collection::vec(mutation(), 0..4);
        (Just(version), prop_oneof![3 => plain, 1 => any_connect], packets, mutations, 1..2_000usize)
            .prop_map(|(version, connect, packets, mutations, piece)| {
                let mut bytes: Vec<u8> =
                    packets.into_iter().flat_map(|packet| encoded(packet, version)).collect();
                mutations.iter().for_each(|mutation| mutation.apply(&mut bytes));
                Client { version, connect, bytes, piece }
            })
    })
}

fn open(broker: &Broker<MemoryStore>) -> (DuplexStream, tokio::task::JoinHandle<()>) {
    let (ours, theirs) = tokio::io::duplex(1 << 16);
    let broker = broker.clone();
    (ours, tokio::spawn(async move { broker.serve(theirs, Origin::Local).await }))
}

async fn run(clients: Vec<Client>) {
    let broker = Broker::builder(MemoryStore::new()).start().await.unwrap();
    let (stream, served) = open(&broker);
    let mut bystander = Connection::new(stream, DecodeOptions::new(Version::V5_0, Role::Client));
    bystander.send(&Connect::new(Version::V5_0, "bystander").into()).await.unwrap();
    assert!(matches!(receive(&mut bystander).await, Packet::Connack(_)));
    bystander.send(&subscribe(1, "bystander/own", QoS::AtMostOnce).into()).await.unwrap();
    assert!(matches!(receive(&mut bystander).await, Packet::Suback(_)));

    let mut tasks = Vec::new();
    for client in clients {
        let (stream, served) = open(&broker);
        tasks.push((tokio::spawn(talk(stream, client)), served));
    }
    for (talking, served) in tasks {
        timeout(LONG, talking).await.expect("the broker neither reads nor closes").unwrap();
        timeout(LONG, served).await.expect("the connection does not end").expect("the broker panicked");
    }
    bystander.send(&publish("bystander/own", "still there", QoS::AtMostOnce).into()).await.unwrap();
    let received = receive(&mut bystander).await;
    assert!(matches!(&received, Packet::Publish(publish) if &publish.payload[..] == b"still there"));
    timeout(LONG, broker.shutdown()).await.expect("the broker does not stop");
    served.await.expect("the bystander's connection panicked");
}

/// Says it all, then nothing more, and reads to the end.
async fn talk(stream: DuplexStream, client: Client) {
    let (mut reader, mut writer) = tokio::io::split(stream);
    let writing = async {
        for piece in client.connect.chunks(client.piece).chain(client.bytes.chunks(client.piece)) {
            if writer.write_all(piece).await.is_err() {
                return;
            }
            tokio::task::yield_now().await;
        }
        let _ = writer.shutdown().await;
    };
    let mut answers = Vec::new();
    let reading = async {
        let _ = reader.read_to_end(&mut answers).await;
    };
    tokio::join!(writing, reading);
    // What the broker says is well-formed in the client's version, to the last packet.
    let options = DecodeOptions::new(client.version, Role::Client);
    let mut rest = &answers[..];
    while let opifex_packet::Decoded::Packet { len, .. } =
        opifex_packet::decode(rest, &options).expect("the broker sends well-formed packets")
    {
        rest = &rest[len..];
    }
    assert!(rest.is_empty(), "the broker's last packet is cut off");
}

async fn receive(connection: &mut Connection<DuplexStream>) -> Packet<'static> {
    loop {
        let received = timeout(LONG, connection.receive()).await.expect("the bystander is not served");
        match received.unwrap().expect("the bystander was put out") {
            // Mutants may publish to the bystander's topic, too.
            Packet::Publish(publish) if &publish.payload[..] != b"still there" => {}
            packet => return packet,
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, max_shrink_iters: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn broken_packets_never_break_the_broker(clients in prop::collection::vec(client(), 1..4)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        runtime.block_on(run(clients));
    }
}
