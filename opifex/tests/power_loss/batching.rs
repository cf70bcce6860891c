//! How many acknowledgements share a sync: with 64 publishers at least 20, with one message in flight each and with 20.
//! Counted below the program, not timed.
//!
//! Each sync takes at least 5 ms here, so that the figure is the store's and not this machine's disk's: a disk that syncs
//! at once has no need of company. Without that it was 23 to 37 a sync with one in flight, 580 to 850 with 20 in flight,
//! on a disk whose sync takes about 1 ms (2026-11-22, debug build, a busy machine of 2 cores).
//! `OPIFEX_POWER_LOSS_SYNC_MICROS` asks for syncs of another length; with shorter ones nothing is asserted.

use std::collections::VecDeque;
use std::thread;

use opifex_packet::{Packet, QoS};

use crate::child::Program;
use crate::shim::{Client, Order, Watched};

const PUBLISHERS: usize = 64;
const AT_LEAST: u64 = 20;
const SYNC_MICROS: u64 = 5_000;

#[test]
fn with_64_publishers_20_acknowledged_messages_share_a_sync() {
    for (in_flight, messages) in [(1, 60), (20, 200)] {
        let watched = Watched::new();
        watched.control().set(Order::SyncMicros, sync_micros());
        let flags = ["--storage", "sqlite", "--durability", "disk"];
        let program = Program::start(&mut watched.serve(&flags), 1);
        let mut away = Client::durable(program.address(), "away").unwrap();
        assert!(!away.subscribe("a/#", QoS::AtLeastOnce).unwrap().is_error());
        drop(away);
        let connect =
            |publisher| Client::transient(program.address(), &format!("publisher-{publisher}")).unwrap();
        let clients: Vec<Client> = (0..PUBLISHERS).map(connect).collect();
        let before = watched.control().value(Order::Syncs);
        thread::scope(|scope| {
            for (publisher, mut client) in clients.into_iter().enumerate() {
                scope.spawn(move || publish(&mut client, publisher, in_flight, messages));
            }
        });
        let syncs = watched.control().value(Order::Syncs) - before;
        let acknowledged = (PUBLISHERS * messages) as u64;
        println!(
            "{in_flight} in flight: {acknowledged} acknowledged, {syncs} syncs, {} a sync",
            acknowledged / syncs
        );
        // What a faster sync makes of it is for a person to look at.
        assert!(
            sync_micros() < SYNC_MICROS || acknowledged >= AT_LEAST * syncs,
            "{acknowledged} acknowledged in {syncs} syncs"
        );
        program.stop();
    }
}

fn sync_micros() -> u64 {
    let given = std::env::var("OPIFEX_POWER_LOSS_SYNC_MICROS").ok();
    given.map_or(SYNC_MICROS, |given| given.parse().expect("a number of microseconds"))
}

/// Keeps so many messages unacknowledged until all are sent, and awaits the rest.
fn publish(client: &mut Client, publisher: usize, in_flight: usize, messages: usize) {
    let (topic, payload) = (format!("a/{publisher}"), [b'x'; 256]);
    let mut waiting = VecDeque::new();
    for sent in 0..messages + in_flight {
        if sent < messages {
            waiting.push_back(client.start_publish(QoS::AtLeastOnce, false, &topic, &payload).unwrap());
        }
        if waiting.len() >= in_flight || sent >= messages {
            let Some(id) = waiting.pop_front() else { return };
            match client.receive().unwrap() {
                Packet::Puback(puback) => {
                    assert!(puback.packet_id == id && !puback.reason.is_error(), "{puback:?}")
                }
                other => panic!("expected PUBACK, not {other:?}"),
            }
        }
    }
}
