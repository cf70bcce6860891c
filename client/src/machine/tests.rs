//! Conversations with a scripted server: each test says what the server sends and what has to come back.

mod connections;
mod messages;
mod publishes;
mod requests;

use std::time::{Duration, Instant};

use opifex_packet::{
    Connack, DecodeOptions, Decoded, Delivery, Packet, PacketId, Publish, QoS, ReasonCode, Role, TopicName,
    Version, decode,
};

use super::Machine;
use crate::{Cause, Event, MemoryStore, Message, Options, Token};

/// A client with the clock in its hand.
struct Client {
    machine: Machine<MemoryStore>,
    now: Instant,
}

impl Client {
    fn new(options: Options) -> Self {
        let machine = Machine::new(options, MemoryStore::default()).unwrap();
        Client { machine, now: Instant::now() }
    }

    /// A 5.0 client with a session that lasts, connected.
    fn connected() -> Self {
        let mut client = Client::new(Options::new(Version::V5_0, "c").resuming(3600));
        client.connect(Connack::new(ReasonCode::Success));
        client
    }

    /// CONNECT, CONNACK; returns what the client sends behind it.
    fn connect(&mut self, connack: Connack<'_>) -> Vec<Packet<'static>> {
        self.machine.connect(self.now).unwrap();
        assert!(matches!(self.sent()[..], [Packet::Connect(_)]));
        self.gets(connack)
    }

    /// The connection is lost and comes back.
    fn reconnect(&mut self, session_present: bool) -> Vec<Packet<'static>> {
        self.machine.connection_lost();
        self.events();
        self.connect(Connack { session_present, ..Connack::new(ReasonCode::Success) })
    }

    /// A packet arrives; returns what the client sends then.
    fn gets<'a>(&mut self, packet: impl Into<Packet<'a>>) -> Vec<Packet<'static>> {
        self.machine.received(packet.into(), self.now);
        self.sent()
    }

    fn sent(&mut self) -> Vec<Packet<'static>> {
        let mut bytes = Vec::new();
        self.machine.poll_transmit(self.now, &mut bytes);
        let options = DecodeOptions::new(self.machine.options.version, Role::Server);
        let mut packets = Vec::new();
        let mut rest = &bytes[..];
        while let Decoded::Packet { packet, len } = decode(rest, &options).unwrap() {
            packets.push(packet.into_owned());
            rest = &rest[len..];
        }
        assert!(rest.is_empty());
        packets
    }

    fn events(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.machine.poll_event()).collect()
    }

    fn publish(&mut self, qos: QoS) -> Token {
        self.machine.publish(message(qos)).unwrap().expect("above QoS 0")
    }

    /// The tokens of what was published to its end, and the reasons.
    fn done(&mut self) -> Vec<(Token, ReasonCode)> {
        let events = self.events().into_iter();
        events
            .filter_map(|event| match event {
                Event::PublishDone { token, reason, .. } => Some((token, reason)),
                _ => None,
            })
            .collect()
    }

    /// The cause of the connection's end, which has to be the last event.
    fn cause(&mut self) -> Cause {
        match self.events().pop() {
            Some(Event::Disconnected { cause }) => cause,
            other => panic!("the connection goes on: {other:?}"),
        }
    }

    /// The statement that the server was found to break.
    fn violated(&mut self) -> &'static str {
        assert!(self.machine.is_closing());
        match self.cause() {
            Cause::Violation { statement, .. } => statement,
            other => panic!("no violation: {other}"),
        }
    }

    fn passes(&mut self, secs: u64) -> Vec<Packet<'static>> {
        self.now += Duration::from_secs(secs);
        self.machine.tick(self.now);
        self.sent()
    }
}

fn message(qos: QoS) -> Message {
    Message::new(TopicName::new("t").unwrap(), "m").with_qos(qos)
}

fn id(id: u16) -> PacketId {
    PacketId::new(id).unwrap()
}

/// A PUBLISH on topic t.
fn publish(qos: QoS, packet_id: u16, dup: bool) -> Packet<'static> {
    let delivery = Delivery::new(qos, id(packet_id));
    Packet::from(Publish { delivery, dup, ..Publish::new(TopicName::new("t").unwrap(), &b"m"[..]) })
}

fn success() -> Connack<'static> {
    Connack::new(ReasonCode::Success)
}

fn disconnect(reason: ReasonCode) -> Packet<'static> {
    Packet::from(opifex_packet::Disconnect::new(reason))
}
