//! A sync that fails once, and after it a power loss: the system may have dropped what it was to write, and says so only
//! once. The program goes on without a restart, and what it acknowledges then is on the disk.

use opifex_conformance::Chance;
use opifex_packet::QoS;

use crate::child::Program;
use crate::replay::Plan;
use crate::shim::{Answer, Call, Client, Order, Phase, Watched};
use crate::token::Token;
use crate::{DISK, acknowledged, everything, replay, seed, trace};

/// Messages in all.
const MESSAGES: u32 = 60;

#[test]
fn after_a_sync_that_failed_all_that_is_acknowledged_is_on_the_disk() {
    let seed = seed();
    let mut chance = Chance::new(seed);
    for _ in 0..if everything() { 60 } else { 3 } {
        // Among the first messages.
        let fails_in = 1 + chance.below(12);
        let watched = record(fails_in);
        let events = watched.events();
        let failed = |phase| matches!(phase, Phase::End { result } if result != 0);
        let failures = events.iter().filter(|event| event.call == Call::Sync && failed(event.phase)).count();
        assert_eq!(failures, 1, "sync {fails_in}");
        let packets = trace::packets(&events);
        let verdict = acknowledged::check(&events, &packets);
        assert!(verdict.early.is_empty(), "sync {fails_in}: {:#?}", verdict.early);
        let plan = Plan { points: 25, parts: if everything() { 8 } else { 2 }, seed, at_most: None };
        let outcome = replay::check(&events, &packets, &watched.disk(), plan);
        println!("sync {fails_in} failed: {outcome}");
        assert!(outcome.broken.is_empty(), "sync {fails_in}: {:#?}", outcome.broken);
    }
}

/// Publishes, with a sync that fails after so many others, and kills the program in the end.
fn record(fails_in: u64) -> Watched {
    let mut watched = Watched::new();
    let program = Program::start(&mut watched.serve_recorded(&DISK), 1);
    let address = program.address();
    let mut away = Client::durable(address, "away").unwrap();
    assert!(!away.subscribe("a/#", QoS::AtLeastOnce).unwrap().is_error());
    drop(away);
    let fails_at = watched.control().value(Order::Syncs) + fails_in;
    watched.control().set(Order::EioSyncTo, fails_at);
    watched.control().set(Order::EioSyncFrom, fails_at);
    let (mut client, mut closed) = (None, 0);
    for n in 0..MESSAGES {
        let payload = Token { publisher: 1, n }.payload(300);
        let known = client.take().map_or_else(|| Client::durable(address, "publisher"), Ok);
        let Ok(mut publisher) = known else {
            closed += 1;
            continue;
        };
        match publisher.publish(QoS::AtLeastOnce, false, "a/b", &payload).unwrap() {
            Answer::Reason(reason) => {
                assert!(!reason.is_error(), "{reason:?}");
                client = Some(publisher);
            }
            Answer::Closed(_) => closed += 1,
        }
    }
    assert_eq!(watched.control().value(Order::Faults), 1);
    assert!(closed <= 1, "a sync that fails once closes a connection once, not {closed} times");
    drop(program);
    watched
}
