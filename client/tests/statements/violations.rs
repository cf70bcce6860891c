//! 4.8 (3.1.1), 4.13 (5.0): what breaks the protocol closes the connection.

use std::io;
use std::time::Instant;

use opifex_client::{Cause, Event, Machine, MemoryStore, SessionStore, StoredMessage, StoredSession};
use opifex_packet::{Connack, PacketId, Publish, QoS, ReasonCode, TopicName, Version};

use crate::peer::{Peer, lasting, packet, publish, success};
use crate::statements;

statements! { "violations";
    a_packet_that_breaks_the_protocol_ends_the_connection: v4 ["MQTT-4.8.0-1"], v5 ["MQTT-4.13.2-1"];
    a_reason_of_0x80_or_more_ends_the_connection: v5 ["MQTT-4.13.2-1"];
    what_cannot_be_stored_ends_the_connection: v4 ["MQTT-4.8.0-2"];
}

fn a_packet_that_breaks_the_protocol_ends_the_connection(version: Version) {
    let connack: &[u8] = if version.is_v5() { &[0, 0, 0] } else { &[0, 0] };
    let answer: &[u8] = if version.is_v5() { &[0, 1, 0, 0] } else { &[0, 1, 0] };
    for bytes in [
        // A second CONNACK, and what only clients send: SUBSCRIBE, UNSUBSCRIBE, PINGREQ.
        packet(0x20, connack),
        packet(0x82, &[0, 1]),
        packet(0xa2, &[0, 1]),
        packet(0xc0, &[]),
        // Answers to what was not asked.
        packet(0x40, &[0, 1]),
        packet(0x90, answer),
        packet(0xb0, if version.is_v5() { answer } else { &[0, 1] }),
    ] {
        Peer::connected(version).is_ended_by(&bytes, ReasonCode::ProtocolError);
    }
    // In front of CONNACK.
    let mut peer = Peer::new(lasting(version));
    peer.machine.connect(Instant::now()).unwrap();
    peer.sent();
    assert_eq!(peer.gets(publish(QoS::AtMostOnce, 1)), []);
    assert!(matches!(peer.cause(), Cause::Violation { statement: "MQTT-3.2.0-1", .. }));
}

fn a_reason_of_0x80_or_more_ends_the_connection(version: Version) {
    for reason in [ReasonCode::NotAuthorized, ReasonCode::ServerBusy] {
        let mut peer = Peer::new(lasting(version));
        assert_eq!(peer.connect(Connack::new(reason)), []);
        assert!(matches!(peer.cause(), Cause::Refused { reason: said, .. } if said == reason));
        assert_eq!(peer.passes(600), []);

        let mut peer = Peer::connected(version);
        assert_eq!(peer.arrives(&packet(0xe0, &[reason.into()])), []);
        assert!(matches!(peer.cause(), Cause::Server { reason: said, .. } if said == reason));
        // Nothing that comes behind it counts.
        assert_eq!(peer.gets(publish(QoS::AtLeastOnce, 1)), []);
        assert_eq!(peer.messages(), 0);
    }
}

/// A store that can be written to until a QoS 2 message has arrived.
#[derive(Default)]
struct FullStore {
    of: MemoryStore,
    full: bool,
}

impl SessionStore for FullStore {
    fn load(&mut self) -> io::Result<StoredSession> {
        self.of.load()
    }
    fn set_begun(&mut self, begun: bool) {
        self.of.set_begun(begun);
    }
    fn set_accepted(&mut self) {
        self.of.set_accepted();
    }
    fn set_client_id(&mut self, client_id: &str) {
        self.of.set_client_id(client_id);
    }
    fn put_outgoing(&mut self, message: &StoredMessage) {
        self.of.put_outgoing(message);
    }
    fn release(&mut self, packet_id: PacketId, nth: u64) {
        self.of.release(packet_id, nth);
    }
    fn remove_outgoing(&mut self, packet_id: PacketId) {
        self.of.remove_outgoing(packet_id);
    }
    fn put_incoming(&mut self, packet_id: PacketId) {
        self.full = true;
        self.of.put_incoming(packet_id);
    }
    fn remove_incoming(&mut self, packet_id: PacketId) {
        self.of.remove_incoming(packet_id);
    }
    fn flush(&mut self) -> io::Result<()> {
        if self.full { Err(io::ErrorKind::StorageFull.into()) } else { self.of.flush() }
    }
}

fn what_cannot_be_stored_ends_the_connection(version: Version) {
    let now = Instant::now();
    let mut machine = Machine::new(lasting(version), FullStore::default()).unwrap();
    let mut sent = Vec::new();
    machine.connect(now).unwrap();
    machine.received(success().into(), now);
    assert!(machine.poll_transmit(now, &mut sent));
    let qos_0 = Publish::new(TopicName::new("t").unwrap(), &b"m"[..]);
    machine.received(qos_0.into(), now);
    assert!(!machine.poll_transmit(now, &mut sent) && machine.is_connected());
    machine.received(publish(QoS::ExactlyOnce, 7).into(), now);
    assert!(!machine.poll_transmit(now, &mut sent), "PUBREC would rest on what is not stored");
    assert!(machine.is_closing());
    let last = std::iter::from_fn(|| machine.poll_event()).last();
    assert!(matches!(last, Some(Event::Disconnected { cause: Cause::Store(_) })), "{last:?}");
}
