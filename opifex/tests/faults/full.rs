//! A full disk: what grows is refused, what shrinks is done, and with room again all goes on.

use opifex_packet::ReasonCode;

use crate::SQLITE;
use crate::process::Process;
use crate::scene::{Books, Fate, Talk, subscribe};
use crate::shim::{Order, Watched};

#[test]
fn a_disk_too_full_to_begin_with_is_said_in_a_line() {
    for room in [0, 1, 5_000, 20_000] {
        let watched = Watched::new();
        watched.control().set(Order::Room, room);
        let mut process = Process::start(&mut watched.serve(&SQLITE));
        let said = process.said();
        println!("{room}: {said}");
        assert_eq!(process.address(), None, "{room}");
        assert_eq!(process.exit_code(), Some(1), "{room}: {said}");
        assert!(said.contains("error: ") && !said.contains("panicked"), "{room}: {said}");
        watched.control().reset();
        let mut process = Process::start(&mut watched.serve(&SQLITE));
        assert!(process.address().is_some(), "{room}: {}", process.said());
        assert_eq!(process.stop(), Some(0));
    }
}

#[test]
fn a_full_disk_refuses_what_grows_and_loses_nothing() {
    let watched = Watched::new();
    let mut process = Process::start(&mut watched.serve(&SQLITE));
    let address = process.address().unwrap();
    subscribe(address).unwrap();
    let mut talk = Talk::start(address).unwrap();
    let mut books = Books::default();
    assert_eq!(books.publish(address, 20, 1_000), Fate::Acknowledged);
    watched.control().set(Order::Room, 200_000);
    let fate = books.publish(address, 2_000, 1_000);
    expect_refused(fate, &process);
    talk.expect_served();
    // Again and again the same answer.
    expect_refused(books.publish(address, 10, 1_000), &process);
    process.wait_for_line(&["full"]);

    // There is room again, and nobody has to start it anew.
    watched.control().set(Order::Room, u64::MAX);
    assert_eq!(books.publish(address, 20, 1_000), Fate::Acknowledged, "{}", process.said());
    drop(process);
    let mut process = Process::start(&mut watched.serve(&SQLITE));
    books.settle(process.address().unwrap());
    assert_eq!(process.stop(), Some(0));
}

/// 0x97, of the message alone or of the connection.
fn expect_refused(fate: Fate, process: &Process) {
    let refused = matches!(
        fate,
        Fate::Refused(ReasonCode::QuotaExceeded) | Fate::Closed(Some(ReasonCode::QuotaExceeded))
    );
    assert!(refused, "{fate:?}: {}", process.said());
}
