//! The codec beside published codecs: same verdict and same meaning, on packets as they should be, on
//! damaged ones and on any bytes.
//!
//! Every answer is translated into neutral words ([`neutral`]) and compared; a difference that is not
//! in the list ([`exceptions`]) fails and prints the bytes with both answers. The cases come from a
//! fixed seed; `OPIFEX_SEED` sets another one, `OPIFEX_CASES` how many.

mod anatomy;
mod exceptions;
mod judge;
mod mutate;
mod neutral;
mod peers;
mod verdict;

use std::env;

use opifex_packet::{Role, Version};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use exceptions::{Exception, Right};
use mutate::Input;
use peers::{Peer, ours};
use verdict::{Verdict, difference};

const SEED: u64 = 5;
const CASES: u32 = 3_000;

fn from_environment<T: std::str::FromStr>(name: &str, default: T) -> T {
    env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}

/// Runs one test over that many cases of the seed; a failure is shrunk and says its seed.
fn for_all(inputs: impl Strategy<Value = Input>, share: u32) {
    let seed: u64 = from_environment("OPIFEX_SEED", SEED);
    let cases = from_environment("OPIFEX_CASES", CASES) * share;
    println!("seed {seed}, {cases} cases");
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let config =
        Config { cases, failure_persistence: None, max_local_rejects: u32::MAX, ..Config::default() };
    let outcome = TestRunner::new_with_rng(config, rng).run(&inputs, |input| {
        judge::judge(&input, ours).map_err(TestCaseError::fail)?;
        Ok(())
    });
    if let Err(error) = outcome {
        panic!("{error}\nseed {seed}");
    }
}

#[test]
fn valid_packets_mean_the_same_to_all() {
    for_all(mutate::valid(), 1);
}

#[test]
fn damaged_packets_are_refused_by_all_or_mean_the_same_to_all() {
    for_all(mutate::mutated(), 3);
}

#[test]
fn any_bytes_are_refused_by_all_or_mean_the_same_to_all() {
    for_all(mutate::arbitrary(), 1);
}

#[test]
fn every_exception_is_hit_by_its_examples_for_each_peer_and_statement() {
    for exception in Exception::all() {
        let mut peers_hit = Vec::new();
        let mut statements_hit = Vec::new();
        let mut differences_hit = Vec::new();
        for example in exception.examples {
            let input = example.input();
            let mine = ours(&input.bytes, input.version, input.role);
            let peers = exception.peers.iter().filter(|peer| peer.speaks(input.version));
            let before = peers_hit.len();
            for &peer in peers {
                let theirs = peer.read(&input.bytes, input.version);
                if let Some(difference) = difference(&mine, &theirs)
                    && exception.covers(peer, difference, &mine, &input)
                {
                    peers_hit.push(peer);
                    differences_hit.push(difference);
                    if let Verdict::Refused { statement: Some(statement), .. } = &mine {
                        statements_hit.push(*statement);
                    }
                }
            }
            assert!(peers_hit.len() > before, "idle example of {:?}: {input:?}: {mine:?}", exception.name);
        }
        for peer in exception.peers {
            assert!(peers_hit.contains(peer), "{:?} is never hit for {peer:?}", exception.name);
        }
        for difference in exception.differences {
            assert!(differences_hit.contains(difference), "{:?} is never {difference:?}", exception.name);
        }
        for statement in exception.statements.iter().filter(|_| !statements_hit.is_empty()) {
            assert!(statements_hit.contains(statement), "{:?} is never hit for {statement}", exception.name);
        }
    }
}

#[test]
fn exceptions_have_names_of_their_own_and_say_why() {
    let mut names: Vec<_> = Exception::all().map(|exception| exception.name).collect();
    names.sort_unstable();
    let all = names.len();
    names.dedup();
    assert_eq!(names.len(), all);
    for exception in Exception::all() {
        assert!(!exception.statements.is_empty() && !exception.why.is_empty(), "{}", exception.name);
        println!(
            "{:?} {} {:?}: {:?} right, {} [{}]",
            exception.peers,
            exception.name,
            exception.differences,
            exception.right,
            exception.why,
            exception.statements.join(", "),
        );
    }
    assert!(Exception::all().any(|exception| exception.right == Right::Both));
}

/// A decoder that reads as ours does, but for one flaw.
type Subject = fn(&[u8], Version, Role) -> Verdict;

fn finds_a_flaw(subject: Subject) -> bool {
    let config = Config { cases: 2_000, failure_persistence: None, max_shrink_iters: 0, ..Config::default() };
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[1; 32]);
    let inputs = prop_oneof![mutate::valid(), mutate::mutated()];
    TestRunner::new_with_rng(config, rng)
        .run(&inputs, |input| judge::judge(&input, subject).map_err(TestCaseError::fail))
        .is_err()
}

#[test]
fn a_decoder_with_a_flaw_is_found_out() {
    assert!(!finds_a_flaw(ours));
    // Drops the retain flag.
    assert!(finds_a_flaw(|bytes, version, role| match ours(bytes, version, role) {
        Verdict::Packet { mut packet, len } => {
            packet.retain = false;
            Verdict::Packet { packet, len }
        }
        other => other,
    }));
    // Forgets the properties of PUBLISH.
    assert!(finds_a_flaw(|bytes, version, role| match ours(bytes, version, role) {
        Verdict::Packet { mut packet, len } if packet.packet_type == 3 => {
            packet.properties = neutral::NeutralProperties::default();
            Verdict::Packet { packet, len }
        }
        other => other,
    }));
    // Refuses PUBREC, as an exception's statement.
    assert!(finds_a_flaw(|bytes, version, role| match ours(bytes, version, role) {
        Verdict::Packet { packet, .. } if packet.packet_type == 5 => {
            Verdict::Refused { statement: Some("MQTT-3.5.2-1"), why: "flaw".to_owned() }
        }
        other => other,
    }));
    // Takes what it does not understand for a PINGREQ.
    assert!(finds_a_flaw(|bytes, version, role| match ours(bytes, version, role) {
        Verdict::Refused { .. } => {
            Verdict::Packet { packet: Box::new(neutral::Neutral::new(12)), len: bytes.len() }
        }
        other => other,
    }));
    // Is a byte short.
    assert!(finds_a_flaw(|bytes, version, role| match ours(bytes, version, role) {
        Verdict::Packet { packet, len } => Verdict::Packet { packet, len: len - 1 },
        other => other,
    }));
    // Waits where a packet is whole.
    assert!(finds_a_flaw(|bytes, version, role| match ours(bytes, version, role) {
        Verdict::Packet { .. } => Verdict::Incomplete,
        other => other,
    }));
    assert!(Peer::ALL.iter().all(|peer| peer.speaks(Version::V5_0)));
}
