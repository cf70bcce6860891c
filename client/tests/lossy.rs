//! A server that keeps its session, a network that loses what is on its way, and a client process that dies: nothing is
//! lost, and nothing of QoS 2 is doubled, in either direction, also for an application that takes its time with messages.

#![allow(clippy::unwrap_used, reason = "a test's parts fail with it")]

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::Path;
use std::time::Instant;

use opifex_client::{AckToken, Event, FileStore, Machine, Message, Options, Token};
use opifex_packet::{
    Connack, DecodeOptions, Decoded, Delivery, Packet, PacketId, Properties, Property, Puback, Pubcomp,
    Publish, Pubrec, Pubrel, QoS, ReasonCode, Role, TopicName, Version, decode,
};
use proptest::prelude::*;

const RECEIVE_MAXIMUM: u16 = 3;

#[derive(Clone, Debug)]
enum Step {
    /// The client publishes.
    Publish(QoS),
    /// The server publishes.
    Send(QoS),
    /// As many packets arrive at the server.
    ToServer(usize),
    /// As many packets arrive at the client.
    ToClient(usize),
    /// The application has done with as many messages.
    Take(usize),
    /// What is on its way is lost; the client connects again.
    Cut,
    /// As `Cut`, and the client is another process.
    Restart,
    /// As `Restart`, before what the client has published and received since its last write is written or handed on.
    Die(Vec<QoS>, usize),
    /// As `Cut`, and the server has forgotten the session.
    Forget,
}

/// A server of one client.
#[derive(Default)]
struct Server {
    session: bool,
    online: bool,
    taken: BTreeSet<PacketId>,
    under_way: BTreeSet<PacketId>,
    delivered: Vec<(QoS, u32)>,
    sending: BTreeMap<PacketId, (QoS, u32, bool)>,
    next_id: u16,
}

impl Server {
    fn forget(&mut self) {
        self.session = false;
        self.taken.clear();
        self.sending.clear();
    }

    fn send(&mut self, qos: QoS, number: u32) -> Packet<'static> {
        self.next_id += 1;
        let id = PacketId::new(self.next_id).unwrap();
        self.sending.insert(id, (qos, number, false));
        publish(id, qos, number, false)
    }

    fn gets(&mut self, packet: Packet<'_>, version: Version) -> Vec<Packet<'static>> {
        match packet {
            Packet::Connect(connect) => {
                assert_eq!(connect.version, version);
                if connect.clean_start {
                    self.forget();
                }
                self.under_way.clear();
                self.online = true;
                let session_present = std::mem::replace(&mut self.session, true);
                let properties = Properties::new().with(Property::ReceiveMaximum(RECEIVE_MAXIMUM));
                let connack = Connack { session_present, properties, ..Connack::new(ReasonCode::Success) };
                let mut answers = vec![Packet::from(connack)];
                answers.extend(self.sending.iter().map(|(&id, &(qos, number, released))| {
                    if released { Packet::from(Pubrel::new(id)) } else { publish(id, qos, number, true) }
                }));
                return answers;
            }
            Packet::Publish(packet) => {
                let number = u32::from_be_bytes(packet.payload[..].try_into().unwrap());
                let id = packet.delivery.packet_id().unwrap();
                assert!(self.under_way.insert(id), "{id} is in use");
                assert!(self.under_way.len() <= RECEIVE_MAXIMUM.into(), "above the receive maximum");
                if packet.qos() == QoS::AtLeastOnce {
                    self.delivered.push((QoS::AtLeastOnce, number));
                    self.under_way.remove(&id);
                    return vec![Packet::from(Puback::new(id))];
                }
                if self.taken.insert(id) {
                    self.delivered.push((QoS::ExactlyOnce, number));
                } else {
                    assert!(packet.dup);
                }
                return vec![Packet::from(Pubrec::new(id))];
            }
            Packet::Pubrel(packet) => {
                self.taken.remove(&packet.packet_id);
                self.under_way.remove(&packet.packet_id);
                return vec![Packet::from(Pubcomp::new(packet.packet_id))];
            }
            Packet::Puback(packet) => assert!(self.sending.remove(&packet.packet_id).is_some()),
            Packet::Pubrec(packet) => {
                // Of a session that was forgotten there may be none.
                if let Some(sending) = self.sending.get_mut(&packet.packet_id) {
                    sending.2 = true;
                }
                return vec![Packet::from(Pubrel::new(packet.packet_id))];
            }
            Packet::Pubcomp(packet) => assert!(self.sending.remove(&packet.packet_id).is_some()),
            other => panic!("unexpected {other:?}"),
        }
        Vec::new()
    }
}

fn publish(id: PacketId, qos: QoS, number: u32, dup: bool) -> Packet<'static> {
    let message = Publish::new(TopicName::new("to/client").unwrap(), number.to_be_bytes().to_vec());
    Packet::from(Publish { delivery: Delivery::new(qos, id), dup, ..message })
}

struct World<'a> {
    path: &'a Path,
    version: Version,
    client: Option<Machine<FileStore>>,
    server: Server,
    to_server: VecDeque<Packet<'static>>,
    to_client: VecDeque<Packet<'static>>,
    now: Instant,
    tokens: BTreeSet<Token>,
    /// Whether the application says when it has done with a message.
    manual: bool,
    /// Messages that it has and has not done with.
    held: VecDeque<(QoS, u32, AckToken)>,
    /// Messages that it has done with.
    received: Vec<(QoS, u32)>,
}

impl World<'_> {
    fn client(&mut self) -> &mut Machine<FileStore> {
        self.client.as_mut().unwrap()
    }

    fn open(&mut self) {
        let options = Options::new(self.version, "c").resuming(3600);
        let options = Options { max_inflight: RECEIVE_MAXIMUM, manual_acks: self.manual, ..options };
        self.client = None;
        self.held.clear();
        let store = FileStore::open(self.path).unwrap();
        self.client = Some(Machine::new(options, store).unwrap());
    }

    fn reconnect(&mut self) {
        self.to_server.clear();
        self.to_client.clear();
        self.server.online = false;
        let now = self.now;
        self.client().connection_lost();
        self.client().connect(now).unwrap();
        self.drain();
    }

    fn drain(&mut self) {
        let now = self.now;
        let mut bytes = Vec::new();
        self.client().poll_transmit(now, &mut bytes);
        let options = DecodeOptions::new(self.version, Role::Server);
        let mut rest = &bytes[..];
        while let Decoded::Packet { packet, len } = decode(rest, &options).unwrap() {
            self.to_server.push_back(packet.into_owned());
            rest = &rest[len..];
        }
        while let Some(event) = self.client().poll_event() {
            match event {
                Event::PublishDone { token, reason, .. } => {
                    assert_eq!(reason, ReasonCode::Success);
                    assert!(self.tokens.remove(&token), "{token:?} is done twice");
                }
                Event::Message { message, ack, .. } => {
                    let number = u32::from_be_bytes(message.payload[..].try_into().unwrap());
                    match ack {
                        Some(token) => self.held.push_back((message.qos, number, token)),
                        None => self.received.push((message.qos, number)),
                    }
                }
                Event::Connected { .. } => {}
                Event::Disconnected { cause } => assert_eq!(cause.to_string(), "the connection was lost"),
                other => panic!("unexpected {other:?}"),
            }
        }
    }

    fn take(&mut self, count: usize) {
        for _ in 0..count {
            let Some((qos, number, token)) = self.held.pop_front() else { return };
            self.client().acknowledge(token);
            self.drain();
            self.received.push((qos, number));
        }
    }

    fn server_gets(&mut self, count: usize) {
        for _ in 0..count {
            let Some(packet) = self.to_server.pop_front() else { return };
            let answers = self.server.gets(packet, self.version);
            self.to_client.extend(answers);
        }
    }

    fn client_gets(&mut self, count: usize) {
        for _ in 0..count {
            let Some(packet) = self.to_client.pop_front() else { return };
            let now = self.now;
            self.client().received(packet, now);
            self.drain();
        }
    }
}

fn run(steps: &[Step], version: Version, manual: bool) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("session");
    let mut world = World {
        path: &path,
        version,
        client: None,
        server: Server::default(),
        to_server: VecDeque::new(),
        to_client: VecDeque::new(),
        now: Instant::now(),
        tokens: BTreeSet::new(),
        manual,
        held: VecDeque::new(),
        received: Vec::new(),
    };
    world.open();
    world.reconnect();
    let (mut published, mut sent, mut forgot) = (Vec::new(), Vec::new(), false);
    for step in steps {
        match step {
            Step::Publish(qos) => {
                let number = published.len() as u32;
                published.push((*qos, number));
                let topic = TopicName::new("to/server").unwrap();
                let message = Message::new(topic, number.to_be_bytes().to_vec()).with_qos(*qos);
                let token = world.client().publish(message).unwrap().unwrap();
                assert!(world.tokens.insert(token));
                world.drain();
            }
            Step::Send(qos) if world.server.session => {
                let number = sent.len() as u32;
                sent.push((*qos, number));
                let packet = world.server.send(*qos, number);
                if world.server.online {
                    world.to_client.push_back(packet);
                }
            }
            Step::Send(_) => {}
            Step::ToServer(count) => world.server_gets(*count),
            Step::ToClient(count) => world.client_gets(*count),
            Step::Take(count) => world.take(*count),
            Step::Cut => world.reconnect(),
            Step::Restart => {
                world.open();
                world.reconnect();
            }
            Step::Die(qos, packets) => {
                for qos in qos {
                    let message =
                        Message::new(TopicName::new("to/server").unwrap(), "nobody was told").with_qos(*qos);
                    world.client().publish(message).unwrap().unwrap();
                }
                for packet in world.to_client.drain(..).take(*packets).collect::<Vec<_>>() {
                    let now = world.now;
                    world.client().received(packet, now);
                }
                world.open();
                world.reconnect();
            }
            Step::Forget => {
                forgot = true;
                world.server.forget();
                world.reconnect();
            }
        }
    }
    // A last connection, on which all comes to its end.
    world.reconnect();
    while !world.to_server.is_empty() || !world.to_client.is_empty() || !world.held.is_empty() {
        world.server_gets(usize::MAX);
        world.client_gets(usize::MAX);
        world.take(usize::MAX);
    }

    assert!(world.tokens.is_empty(), "never done: {:?}", world.tokens);
    assert_eq!(world.client().pending().count(), 0);
    check(&published, &world.server.delivered, forgot);
    // What a server forgets of its own is not the client's to save.
    if !forgot {
        check(&sent, &world.received, false);
    }
}

/// Everything arrived, what is new in its order, and QoS 2 once.
fn check(sent: &[(QoS, u32)], arrived: &[(QoS, u32)], forgot: bool) {
    let mut seen = BTreeSet::new();
    for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
        let sent: Vec<u32> = sent.iter().filter(|it| it.0 == qos).map(|it| it.1).collect();
        let mut arrived: Vec<u32> = arrived.iter().filter(|it| it.0 == qos).map(|it| it.1).collect();
        if qos == QoS::AtLeastOnce || forgot {
            arrived.retain(|number| seen.insert(*number));
        }
        assert_eq!(sent, arrived, "{qos:?}");
    }
}

fn step() -> impl Strategy<Value = Step> {
    let qos = || prop::sample::select(&[QoS::AtLeastOnce, QoS::ExactlyOnce][..]);
    prop_oneof![
        4 => qos().prop_map(Step::Publish),
        3 => qos().prop_map(Step::Send),
        5 => (1..6usize).prop_map(Step::ToServer),
        5 => (1..6usize).prop_map(Step::ToClient),
        4 => (1..4usize).prop_map(Step::Take),
        1 => Just(Step::Cut),
        1 => Just(Step::Restart),
        1 => (prop::collection::vec(qos(), 0..3), 0..6usize).prop_map(|(qos, packets)| Step::Die(qos, packets)),
    ]
}

fn version() -> impl Strategy<Value = Version> {
    prop::sample::select(&[Version::V3_1_1, Version::V5_0][..])
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_is_lost_and_nothing_of_qos_2_is_doubled(
        steps in prop::collection::vec(step(), 0..80),
        version in version(),
        manual in any::<bool>(),
    ) {
        run(&steps, version, manual);
    }

    #[test]
    fn nothing_is_lost_when_the_server_forgets(
        steps in prop::collection::vec(prop_oneof![12 => step(), 1 => Just(Step::Forget)], 0..80),
        version in version(),
        manual in any::<bool>(),
    ) {
        run(&steps, version, manual);
    }
}
