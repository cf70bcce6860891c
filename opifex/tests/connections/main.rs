//! Many connections at once, against the built program: those that never say who they are, more than it has
//! descriptors for, more than it is allowed to have. Each test looks at its resources from outside.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

#[path = "../program/child.rs"]
#[allow(dead_code, reason = "shared with the other tests")]
mod child;
#[path = "../program/peer.rs"]
#[allow(dead_code, reason = "shared with the other tests")]
mod peer;

use std::net::SocketAddr;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use child::Program;
use opifex_packet::{Connect, ReasonCode, Version};
use peer::Peer;

/// These tests count descriptors and processor time: one at a time.
static ALONE: Mutex<()> = Mutex::new(());

/// Two clients that talk to each other all the while.
struct Bystanders {
    stop: Arc<AtomicBool>,
    talk: JoinHandle<(usize, Duration)>,
}

impl Bystanders {
    fn new(address: SocketAddr) -> Bystanders {
        let (mut publisher, mut subscriber) =
            (Peer::connect(address, "talker"), Peer::connect(address, "listener"));
        subscriber.subscribe("talk/#");
        let stop = Arc::new(AtomicBool::new(false));
        let talk = thread::spawn({
            let stop = Arc::clone(&stop);
            move || {
                let (mut messages, mut slowest) = (0, Duration::ZERO);
                while !stop.load(Ordering::Relaxed) {
                    let begun = Instant::now();
                    let payload = format!("message {messages}");
                    publisher.publish("talk/small", payload.as_bytes());
                    assert_eq!(subscriber.expect_message(), payload.as_bytes());
                    messages += 1;
                    slowest = slowest.max(begun.elapsed());
                    // The pace of the talk, not a wait for anything.
                    thread::sleep(Duration::from_millis(5));
                }
                (messages, slowest)
            }
        });
        Bystanders { stop, talk }
    }

    /// Ends the talk, which has to have been undisturbed.
    fn expect_served(self) {
        self.stop.store(true, Ordering::Relaxed);
        let (messages, slowest) = self.talk.join().unwrap();
        assert!(messages > 50, "{messages} messages");
        assert!(slowest < Duration::from_secs(2), "one of {messages} messages took {slowest:?}");
    }
}

#[test]
fn ten_thousand_connections_without_connect_are_gone_at_the_connect_timeout() {
    const CONNECTIONS: usize = 10_000;
    const TIMEOUT: Duration = Duration::from_secs(6);
    let _alone = ALONE.lock();
    let descriptors = rlimit::increase_nofile_limit(u64::MAX).unwrap();
    assert!(descriptors > CONNECTIONS as u64 + 100, "this test needs more than {descriptors} descriptors");
    let mut command = Command::new(env!("CARGO_BIN_EXE_opifex"));
    command.args(["serve", "--storage", "memory", "--listen", "127.0.0.1:0", "--connect-timeout", "6s"]);
    let program = Program::start(&mut command, 1);
    let bystanders = Bystanders::new(program.address());
    let before = (program.descriptors(), program.resident_bytes());

    let begun = Instant::now();
    let mut silent: Vec<Peer> = (0..CONNECTIONS).map(|_| Peer::open(program.address())).collect();
    for (index, peer) in silent.iter_mut().enumerate() {
        match index % 3 {
            0 => {}
            1 => peer.send_raw(&[0x10]),
            // A CONNECT that claims 100 KiB and brings the first bytes of it.
            _ => peer.send_raw(&[0x10, 0x80, 0xA0, 0x06, 0, 4, b'M', b'Q', b'T', b'T', 5]),
        }
    }
    assert!(begun.elapsed() < TIMEOUT, "too slow to have them all at once: {:?}", begun.elapsed());
    let peak = program.wait_for_descriptors(|open| open >= before.0 + CONNECTIONS);
    let peak_bytes = program.resident_bytes();
    assert!(begun.elapsed() < TIMEOUT, "{peak} descriptors after {:?}", begun.elapsed());

    for peer in &mut silent {
        assert_eq!(peer.receive(), None, "closed without a word");
    }
    let took = begun.elapsed();
    assert!(took >= TIMEOUT, "they may take {TIMEOUT:?}, and were gone after {took:?}");
    assert!(took < TIMEOUT * 2 + Duration::from_secs(5), "gone after {took:?} only");
    program.wait_for_descriptors(|open| open <= before.0);

    let grown = peak_bytes - before.1;
    assert!(grown < CONNECTIONS as u64 * 8 * 1024, "{grown} bytes more");
    let after_bytes = program.wait_for_resident_bytes(|bytes| bytes < before.1 + grown / 3);
    bystanders.expect_served();
    println!(
        "resident: {} KiB before, {} KiB with all, {} KiB after",
        before.1 >> 10,
        peak_bytes >> 10,
        after_bytes >> 10
    );
    program.stop();
}

#[test]
fn at_the_descriptor_limit_accept_pauses_says_so_once_and_goes_on() {
    let _alone = ALONE.lock();
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -n 64; exec \"$@\"", "sh", env!("CARGO_BIN_EXE_opifex")]);
    let program =
        Program::start(command.args(["serve", "--storage", "memory", "--listen", "127.0.0.1:0"]), 1);
    let bystanders = Bystanders::new(program.address());
    let too_many: Vec<Peer> = (0..100).map(|_| Peer::open(program.address())).collect();
    let line = program.wait_for_log("accept paused");
    assert!(line.contains("os error 24"), "{line}");

    let (begun, cpu_before) = (Instant::now(), program.cpu_time());
    // Time to be busy in: what is measured is that nothing happens.
    thread::sleep(Duration::from_secs(2));
    let (cpu, wall) = (program.cpu_time() - cpu_before, begun.elapsed());
    assert!(cpu < wall / 4, "{cpu:?} of processor time in {wall:?}");
    bystanders.expect_served();
    let paused = program.log().iter().filter(|line| line.contains("accept paused")).count();
    assert_eq!(paused, 1);

    drop(too_many);
    Peer::connect(program.address(), "afterwards");
    program.wait_for_log("accept resumed");
    program.stop();
}

#[test]
fn one_connection_more_than_allowed_is_told_so() {
    let _alone = ALONE.lock();
    let program = Program::serve(&["--max-connections", "2"]);
    let unused = program.descriptors();
    let allowed = [Peer::connect(program.address(), "first"), Peer::connect(program.address(), "second")];
    let mut surplus = Peer::open(program.address());
    let connack = surplus.log_in(Connect::new(Version::V5_0, "third"));
    assert_eq!(connack.reason, ReasonCode::QuotaExceeded);
    assert_eq!(surplus.receive(), None);

    drop(allowed);
    program.wait_for_descriptors(|open| open <= unused);
    Peer::connect(program.address(), "fourth");
    program.stop();
}

#[test]
fn far_more_connections_than_allowed_are_closed_without_a_word() {
    let _alone = ALONE.lock();
    let program = Program::serve(&["--max-connections", "1"]);
    let mut first = Peer::connect(program.address(), "first");
    let mut surplus: Vec<Peer> = (0..300).map(|_| Peer::open(program.address())).collect();
    let line = program.wait_for_log("too many connections");
    assert_eq!(surplus.last_mut().unwrap().receive(), None);
    assert_eq!(
        program.log().iter().filter(|other| other.contains("too many connections")).count(),
        1,
        "{line}"
    );
    first.subscribe("still/served");
    program.stop();
}
