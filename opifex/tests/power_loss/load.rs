//! The load of a record: QoS 1 and 2 publishers, subscribers that are away, that take QoS 1 and that take QoS 2, retained
//! messages, subscriptions and sessions that come and go, a will, in two lives of the program with a clean stop between.
//!
//! Whatever is to be found again bears a token: payloads, client ids and filters.

use std::net::SocketAddr;
use std::thread;

use opifex_packet::{
    Disconnect, Packet, Property, Puback, Pubcomp, Pubrec, QoS, ReasonCode, TopicFilter, TopicName,
    Unsubscribe, Will,
};

use crate::child::Program;
use crate::shim::{Answer, Client, Order, Watched, durable};
use crate::token::Token;

/// How much is published: by how many, and how many messages each in either life.
#[derive(Copy, Clone)]
pub(crate) struct Load {
    pub(crate) publishers: u16,
    pub(crate) messages: [u32; 2],
    /// In the second life one of them goes on alone until the program has synced so often in it.
    pub(crate) syncs: u64,
}

const CHURN: u16 = 1_000;
const WILL: u16 = 2_000;

/// Runs the load over a new store; the program stops cleanly after its first life and is killed in its second. Orders
/// for the shim may have been given.
pub(crate) fn record(flags: &[&str], load: Load, orders: &[(Order, u64)]) -> Watched {
    let mut watched = Watched::new();
    for (order, value) in orders {
        watched.control().set(*order, *value);
    }
    for life in 0..load.messages.iter().filter(|messages| **messages > 0).count() {
        let program = Program::start(&mut watched.serve_recorded(flags), 1);
        let syncs_before = watched.control().value(Order::Syncs);
        let willful = live(program.address(), load, life);
        if life == 1 {
            go_on(program.address(), load, || watched.control().value(Order::Syncs) - syncs_before);
        }
        if life == 0 {
            drop(program.stop())
        } else {
            drop(program)
        }
        drop(willful);
    }
    watched
}

/// Answers a client whose connection still stands.
fn live(address: SocketAddr, load: Load, life: usize) -> Client {
    let (first, count) = (load.messages[..life].iter().sum::<u32>(), load.messages[life]);
    for (name, qos) in [("away", QoS::ExactlyOnce), ("once", QoS::ExactlyOnce), ("least", QoS::AtLeastOnce)] {
        let mut client = Client::durable(address, name).unwrap();
        if life == 0 {
            assert!(!client.subscribe("a/#", qos).unwrap().is_error());
        }
        client.send(Disconnect::new(ReasonCode::Success)).unwrap();
    }
    let willful = connect_willful(address, life as u32);
    for name in ["once", "least"] {
        // It goes with the program, and is not waited for: it may be in the middle of a handshake.
        thread::spawn(move || listen(address, name));
    }
    thread::scope(|scope| {
        for publisher in 0..load.publishers {
            scope.spawn(move || publish(address, publisher, first, count));
        }
        scope.spawn(move || churn(address, first, count / 4));
    });
    willful
}

fn go_on(address: SocketAddr, load: Load, syncs: impl Fn() -> u64) {
    let mut first = load.messages.iter().sum();
    while syncs() < load.syncs {
        publish(address, 0, first, 10);
        first += 10;
    }
}

/// One message after the other, each handshake to its end.
fn publish(address: SocketAddr, publisher: u16, first: u32, count: u32) {
    let mut client = Client::durable(address, &format!("publisher-{publisher}")).unwrap();
    for n in first..first + count {
        let qos = if n % 2 == 0 { QoS::AtLeastOnce } else { QoS::ExactlyOnce };
        let len = match n % 40 {
            7 => 30_000,
            13 | 27 => 5_000,
            odd => 64 + odd as usize,
        };
        let (topic, retain) = match n % 5 {
            0 => (format!("a/{publisher}/retained"), true),
            _ => (format!("a/{publisher}/{}", n % 2), false),
        };
        let payload = if n % 25 == 20 { Vec::new() } else { Token { publisher, n }.payload(len) };
        let answer = client.publish(qos, retain, &topic, &payload).unwrap();
        assert!(matches!(answer, Answer::Reason(reason) if !reason.is_error()), "{answer:?}");
    }
}

/// Subscriptions, and sessions, that are made and changed all the time.
fn churn(address: SocketAddr, first: u32, count: u32) {
    let mut client = Client::durable(address, "churn").unwrap();
    for n in first..first + count {
        let token = Token { publisher: CHURN, n };
        let filter = format!("x/{}", token.text());
        assert!(!client.subscribe(&filter, QoS::AtLeastOnce).unwrap().is_error());
        if n % 3 == 0 {
            let (id, filters) = (client.id(), vec![TopicFilter::new(filter).unwrap()]);
            client.send(Unsubscribe::new(id, filters)).unwrap();
            assert!(matches!(client.receive().unwrap(), Packet::Unsuback(_)));
        }
        if n % 4 == 0 {
            let name = Token { publisher: CHURN + 1, n }.text();
            drop(Client::durable(address, &name).unwrap());
        }
    }
}

fn connect_willful(address: SocketAddr, life: u32) -> Client {
    let payload = Token { publisher: WILL, n: life }.payload(100);
    let mut will = Will::new(TopicName::new("wills").unwrap(), payload);
    (will.qos, will.properties) =
        (QoS::AtLeastOnce, will.properties.with(Property::WillDelayInterval(3_600)));
    let mut connect = durable("willful");
    connect.will = Some(will);
    Client::connect(address, connect).unwrap().0
}

/// Takes messages and answers each, until the connection ends.
fn listen(address: SocketAddr, name: &str) {
    let mut client = Client::durable(address, name).unwrap();
    while let Ok(packet) = client.receive() {
        let answered = match packet {
            Packet::Publish(publish) => match (publish.qos(), publish.delivery.packet_id()) {
                (QoS::AtLeastOnce, Some(id)) => client.send(Puback::new(id)),
                (QoS::ExactlyOnce, Some(id)) => client.send(Pubrec::new(id)),
                other => panic!("sent as {other:?}"),
            },
            Packet::Pubrel(pubrel) => client.send(Pubcomp::new(pubrel.packet_id)),
            _ => Ok(()),
        };
        if answered.is_err() {
            return;
        }
    }
}
