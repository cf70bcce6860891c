//! A full disk: what grows is refused, what shrinks is done, and with room again all goes on.

use crate::SQLITE;
use crate::process::Process;
use crate::scene::{Books, Fate, Talk, expect_refused, subscribe};
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
        let names_a_file = said.contains(watched.disk().to_str().unwrap());
        assert!(said.contains("error: ") && names_a_file && !said.contains("panicked"), "{room}: {said}");
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
    watched.control().set(Order::Room, 1_000_000);
    expect_refused(books.publish(address, 2_000, 8_000), &process);
    talk.expect_served();
    // Again and again the same answer.
    expect_refused(books.publish(address, 10, 1_000), &process);
    process.wait_for_line(&["full"]);

    // There is room again, and nobody has to start it anew.
    watched.control().set(Order::Room, u64::MAX);
    books.publish_until_acknowledged(&mut process, 1_000);
    drop(process);
    let mut process = Process::start(&mut watched.serve(&SQLITE));
    books.settle(process.address().unwrap());
    assert_eq!(process.stop(), Some(0));
}

#[test]
fn a_full_disk_is_drained_by_who_takes_the_messages_away() {
    let watched = Watched::new();
    let mut process = Process::start(&mut watched.serve(&SQLITE));
    let address = process.address().unwrap();
    subscribe(address).unwrap();
    let mut books = Books::default();
    assert_eq!(books.publish(address, 20, 1_000), Fate::Acknowledged);
    // More than what is asked for beside the reserve before anything that grows is taken again.
    watched.control().set(Order::Room, 8_000_000);
    expect_refused(books.publish(address, 2_000, 8_000), &process);
    // The log may have given back some room meanwhile, but not so much.
    expect_refused(books.publish(address, 2_000, 8_000), &process);
    let full_with = books.acknowledged();
    assert!(full_with > 100, "{full_with}");

    books.drain(address);
    // No room came from outside.
    assert_ne!(watched.control().value(Order::Room), u64::MAX);
    books.publish_until_acknowledged(&mut process, 1_000);
    assert_eq!(books.publish(address, 50, 1_000), Fate::Acknowledged, "{}", process.said());
    drop(process);
    let mut process = Process::start(&mut watched.serve(&SQLITE));
    books.settle_rest(process.address().unwrap(), full_with);
    assert_eq!(process.stop(), Some(0));
}

#[test]
fn a_disk_that_was_full_at_the_end_is_full_at_the_start_and_can_be_drained_then() {
    let watched = Watched::new();
    let process = Process::start(&mut watched.serve(&SQLITE));
    let address = process.address().unwrap();
    subscribe(address).unwrap();
    let mut books = Books::default();
    watched.control().set(Order::Room, 8_000_000);
    expect_refused(books.publish(address, 2_000, 8_000), &process);
    drop(process);
    let mut process = Process::start(&mut watched.serve(&SQLITE));
    let address = process.address().unwrap_or_else(|| panic!("{}", process.said()));
    // The start has copied the log, which may have given back some room, but not so much.
    expect_refused(books.publish(address, 2_000, 8_000), &process);
    books.drain(address);
    books.publish_until_acknowledged(&mut process, 1_000);
    assert_eq!(process.stop(), Some(0));
}
