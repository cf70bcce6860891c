//! A client's machine with the clock in its hand, and the server's part spoken by the test.

use std::time::{Duration, Instant};

use opifex_client::{Cause, Event, Machine, MemoryStore, Message, Options, Token};
use opifex_packet::{
    Connack, DecodeOptions, Decoded, Delivery, Disconnect, Packet, PacketId, Publish, QoS, ReasonCode, Role,
    TopicName, Version, decode,
};

/// See the module's documentation.
pub(crate) struct Peer {
    pub(crate) machine: Machine<MemoryStore>,
    version: Version,
    now: Instant,
}

/// Options of a session that outlives its connection.
pub(crate) fn lasting(version: Version) -> Options {
    let options = Options { max_inflight: 1024, ..Options::new(version, "c") };
    if version.is_v5() { options.resuming(3_600) } else { Options { clean_start: false, ..options } }
}

pub(crate) fn success() -> Connack<'static> {
    Connack::new(ReasonCode::Success)
}

impl Peer {
    pub(crate) fn new(options: Options) -> Peer {
        let version = options.version;
        let machine = Machine::new(options, MemoryStore::default()).unwrap();
        Peer { machine, version, now: Instant::now() }
    }

    /// A client with a session that lasts, connected.
    pub(crate) fn connected(version: Version) -> Peer {
        let mut peer = Peer::new(lasting(version));
        peer.connect(success());
        peer
    }

    /// The same, of a server that says this.
    pub(crate) fn accepted(options: Options, connack: Connack<'_>) -> Peer {
        let mut peer = Peer::new(options);
        peer.connect(connack);
        peer
    }

    /// CONNECT, CONNACK; answers what the client sends behind it.
    pub(crate) fn connect(&mut self, connack: Connack<'_>) -> Vec<Packet<'static>> {
        self.machine.connect(self.now).unwrap();
        assert!(matches!(self.sent()[..], [Packet::Connect(_)]));
        self.gets(connack)
    }

    /// The connection is lost and comes back.
    pub(crate) fn reconnect(&mut self, session_present: bool) -> Vec<Packet<'static>> {
        self.machine.connection_lost();
        self.events();
        let sent = self.connect(Connack { session_present, ..success() });
        assert!(matches!(self.events()[..], [Event::Connected { .. }, ..]));
        sent
    }

    /// A packet arrives; answers what the client sends then.
    pub(crate) fn gets<'a>(&mut self, packet: impl Into<Packet<'a>>) -> Vec<Packet<'static>> {
        self.machine.received(packet.into(), self.now);
        self.sent()
    }

    /// A part of a packet arrives.
    pub(crate) fn gets_a_part(&mut self) {
        self.machine.arrived(self.now);
    }

    /// Bytes arrive that are no packet.
    pub(crate) fn gets_bytes(&mut self, bytes: &[u8]) -> Vec<Packet<'static>> {
        let error = decode(bytes, &self.machine.decode_options()).unwrap_err();
        self.machine.malformed(error);
        self.sent()
    }

    /// The bytes of one packet arrive, right or wrong; answers what the client sends then.
    pub(crate) fn arrives(&mut self, bytes: &[u8]) -> Vec<Packet<'static>> {
        match decode(bytes, &self.machine.decode_options()) {
            Ok(Decoded::Packet { packet, len }) => {
                assert_eq!(len, bytes.len(), "{bytes:02x?} is one packet");
                self.machine.received(packet, self.now);
            }
            Ok(Decoded::Incomplete { .. }) => panic!("{bytes:02x?} is the front of a packet"),
            Err(error) => self.machine.malformed(error),
        }
        self.sent()
    }

    /// Bytes arrive that end the connection: the server is told why where there is a word for it (5.0), the application
    /// gets no message, and nothing is sent any more.
    pub(crate) fn is_ended_by(&mut self, bytes: &[u8], reason: ReasonCode) -> Cause {
        self.events();
        let told = self.version.is_v5().then(|| Packet::from(Disconnect::new(reason)));
        assert_eq!(self.arrives(bytes), told.into_iter().collect::<Vec<_>>(), "{bytes:02x?}");
        assert!(self.machine.is_closing(), "{bytes:02x?}");
        let mut events = self.events();
        let Some(Event::Disconnected { cause }) = events.pop() else { panic!("{bytes:02x?}: {events:?}") };
        assert!(
            !events.iter().any(|event| matches!(event, Event::Message { .. })),
            "{bytes:02x?}: {events:?}"
        );
        assert_eq!(self.passes(600), []);
        cause
    }

    /// What the client sends, as bytes.
    pub(crate) fn sent_bytes(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.machine.poll_transmit(self.now, &mut bytes);
        bytes
    }

    /// What the client sends: valid packets, each.
    pub(crate) fn sent(&mut self) -> Vec<Packet<'static>> {
        let bytes = self.sent_bytes();
        let options = DecodeOptions::new(self.version, Role::Server);
        let mut packets = Vec::new();
        let mut rest = &bytes[..];
        while let Decoded::Packet { packet, len } = decode(rest, &options).unwrap() {
            packets.push(packet.into_owned());
            rest = &rest[len..];
        }
        assert!(rest.is_empty());
        packets
    }

    pub(crate) fn events(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.machine.poll_event()).collect()
    }

    /// Messages that the application has been given since it last asked.
    pub(crate) fn messages(&mut self) -> usize {
        self.events().iter().filter(|event| matches!(event, Event::Message { .. })).count()
    }

    pub(crate) fn publish(&mut self, payload: &'static str, qos: QoS) -> Token {
        self.machine.publish(message(payload, qos)).unwrap().expect("above QoS 0 there is a token")
    }

    /// Why the connection ended, which is the last event, and the client wants it closed.
    pub(crate) fn cause(&mut self) -> Cause {
        assert!(self.machine.is_closing(), "the connection is to be closed");
        match self.events().pop() {
            Some(Event::Disconnected { cause }) => cause,
            other => panic!("the connection goes on: {other:?}"),
        }
    }

    pub(crate) fn passes(&mut self, secs: u64) -> Vec<Packet<'static>> {
        self.now += Duration::from_secs(secs);
        self.machine.tick(self.now);
        self.sent()
    }
}

pub(crate) fn message(payload: &'static str, qos: QoS) -> Message {
    Message::new(TopicName::new("t").unwrap(), payload).with_qos(qos)
}

/// The connection of a client to which this is all that happens ends.
pub(crate) fn ends(version: Version, bytes: &[u8], reason: ReasonCode) {
    Peer::connected(version).is_ended_by(bytes, reason);
}

/// The bytes of a packet: its first byte, its length, its body.
pub(crate) fn packet(first_byte: u8, body: &[u8]) -> Vec<u8> {
    let len = u8::try_from(body.len()).unwrap();
    assert!(len < 0x80);
    [&[first_byte, len], body].concat()
}

/// A field with its length in two bytes before it.
pub(crate) fn field(bytes: &[u8]) -> Vec<u8> {
    [&u16::try_from(bytes.len()).unwrap().to_be_bytes(), bytes].concat()
}

/// The bytes of a QoS 0 PUBLISH. Properties are of 5.0.
pub(crate) fn publish_bytes(version: Version, topic: &[u8], properties: &[u8]) -> Vec<u8> {
    let mut body = field(topic);
    if version.is_v5() {
        body.push(properties.len().try_into().unwrap());
        body.extend_from_slice(properties);
    }
    body.push(b'm');
    packet(0x30, &body)
}

pub(crate) fn id(id: u16) -> PacketId {
    PacketId::new(id).unwrap()
}

/// A PUBLISH of the server on topic t.
pub(crate) fn publish(qos: QoS, packet_id: u16) -> Publish<'static> {
    let delivery = Delivery::new(qos, id(packet_id));
    Publish { delivery, ..Publish::new(TopicName::new("t").unwrap(), &b"m"[..]) }
}

/// The PUBLISH packets among these: payload, packet id, DUP.
pub(crate) fn publishes(packets: &[Packet<'_>]) -> Vec<(String, u16, bool)> {
    let publish = |packet: &Packet<'_>| match packet {
        Packet::Publish(publish) => Some((
            String::from_utf8(publish.payload.to_vec()).unwrap(),
            publish.delivery.packet_id().map_or(0, PacketId::get),
            publish.dup,
        )),
        _ => None,
    };
    packets.iter().filter_map(publish).collect()
}
