//! A disk that hangs for five seconds, and one that takes writes in pieces.

use std::thread;
use std::time::{Duration, Instant};

use crate::SQLITE;
use crate::process::Process;
use crate::scene::{Books, Fate, Talk, subscribe};
use crate::shim::{Order, Watched};

#[test]
fn while_the_disk_hangs_who_needs_it_waits_and_nobody_else() {
    hang(&SQLITE);
}

#[test]
fn writes_that_are_cut_short_are_gone_on_with() {
    cut_writes_short(&SQLITE);
}

/// A sync that takes five seconds, under the store that these flags name.
pub(crate) fn hang(store: &[&str]) {
    const HANG: Duration = Duration::from_secs(5);
    let watched = Watched::new();
    let mut process = Process::start(&mut watched.serve(store));
    let address = process.address().unwrap();
    subscribe(address).unwrap();
    let mut talk = Talk::start(address).unwrap();
    let mut books = Books::default();
    assert_eq!(books.publish(address, 5, 200), Fate::Acknowledged);
    let next = watched.control().value(Order::Syncs) + 1;
    watched.control().set(Order::HangMillis, HANG.as_millis() as u64);
    watched.control().set(Order::HangSync, next);

    let begun = Instant::now();
    let publishing = thread::spawn(move || (books.publish(address, 1, 200), books));
    while watched.control().value(Order::Hanging) == 0 {
        assert!(begun.elapsed() < HANG, "nothing was synced");
        // The shim sends no events.
        thread::sleep(Duration::from_millis(5));
    }
    talk.expect_served();
    assert!(begun.elapsed() < HANG && !publishing.is_finished(), "acknowledged before the sync");
    let (fate, books) = publishing.join().unwrap();
    assert_eq!(fate, Fate::Acknowledged);
    assert!(begun.elapsed() >= HANG, "acknowledged after {:?}", begun.elapsed());
    drop(process);
    process = Process::start(&mut watched.serve(store));
    books.settle(process.address().unwrap());
    assert_eq!(process.stop(), Some(0));
}

/// Every second or third write takes a part only.
pub(crate) fn cut_writes_short(store: &[&str]) {
    for every in [2, 3] {
        let watched = Watched::new();
        watched.control().set(Order::ShortEvery, every);
        let mut process = Process::start(&mut watched.serve(store));
        let address = process.address().expect("it starts");
        subscribe(address).unwrap();
        let mut books = Books::default();
        assert_eq!(books.publish(address, 60, 3_000), Fate::Acknowledged, "{}", process.said());
        assert!(watched.control().value(Order::Faults) > 20);
        drop(process);
        process = Process::start(&mut watched.serve(store));
        books.settle(process.address().unwrap());
        assert_eq!(process.stop(), Some(0));
    }
}
