//! The same on sled: writes and flushes that fail, a full disk, one that hangs, short writes, a log that was cut. sled
//! works no more after a write or a flush that failed, and some of that comes to it as a panic of its own: the broker
//! then answers nothing that needs the store, serves the rest, and ends when it is told to.
//!
//! It claims the death of the process, so no sync is asked for before an acknowledgement, and none is looked for.

use std::fs;

use crate::kth_call::{Came, Fault, every, settle_on_the_healed_disk};
use crate::process::Process;
use crate::scene::{Books, Fate, Talk, expect_refused, subscribe, take_all};
use crate::shim::{Order, Watched};
use crate::slow;

const SLED: [&str; 4] = ["--storage", "sled", "--durability", "process"];

fn scene(fault: Fault) -> Came {
    let mut watched = fault.watched();
    let mut books = Books::default();
    let mut subscribed = false;
    let mut process = Process::start(&mut watched.serve(&SLED));
    let came = match process.address() {
        None => {
            assert_eq!(process.exit_code(), Some(1), "{fault:?}: {}", process.said());
            assert!(process.said().contains("error: "), "{fault:?}: {}", process.said());
            Came::Refused
        }
        Some(address) => {
            let talk = Talk::start(address);
            subscribed = subscribe(address).is_ok();
            let first = if subscribed { books.publish(address, 12, 200) } else { Fate::Closed(None) };
            let faults = watched.control().value(Order::Faults);
            let came = match first {
                Fate::Acknowledged if faults == 0 => Came::NotSoFar,
                Fate::Acknowledged => Came::WentOn,
                _ => {
                    assert!(faults > 0, "{fault:?}: {first:?} without a fault: {}", process.said());
                    // No call fails any more, if it was one: sled does not believe it, and so nobody may.
                    let second = books.publish(address, 4, 200);
                    assert!(matches!(second, Fate::Closed(_)), "{fault:?}: {second:?}");
                    Came::Failed
                }
            };
            // Who came after the fault may not have been let in.
            if let Ok(mut talk) = talk {
                talk.expect_served();
            }
            if came == Came::Failed {
                let line = process.wait_for_line(&["ERROR", "WARN"]);
                println!("{fault:?}: {line}");
            }
            // Half of them die, half of them are told to stop, which has to come to an end.
            if fault.from.is_multiple_of(2) {
                let code = process.stop();
                assert!(code.is_some() && (came == Came::Failed || code == Some(0)), "{fault:?}: {code:?}");
            }
            came
        }
    };
    drop(process);

    settle_on_the_healed_disk(fault, &mut watched, &SLED, &mut books, subscribed);
    println!("{fault:?}: {came:?}, {} acknowledged", books.acknowledged());
    came
}

fn every_fails(last: u64, step: u64, fault: impl Fn(u64) -> Fault) {
    let came = every(last, step, |k| scene(fault(k)));
    assert!(came.contains(&Came::Failed), "{came:?}");
}

#[test]
fn a_write_that_fails_once_loses_nothing_of_sleds() {
    every_fails(2_000, 11, Fault::at_write);
}

#[test]
fn a_disk_that_fails_every_write_from_some_moment_on_loses_nothing_of_sleds() {
    every_fails(2_000, 17, Fault::from_write);
}

#[test]
fn a_flush_that_fails_has_nothing_acknowledged_that_it_was_to_save() {
    every_fails(200, 7, Fault::at_sync);
}

#[test]
fn a_disk_too_full_for_sled_to_begin_with_is_said_in_a_line_or_served_as_full() {
    for room in [0, 1, 100, 5_000, 100_000] {
        let watched = Watched::new();
        watched.control().set(Order::Room, room);
        let mut process = Process::start(&mut watched.serve(&SLED));
        match process.address() {
            None => {
                assert_eq!(process.exit_code(), Some(1), "{room}: {}", process.said());
                assert!(process.said().contains("error: "), "{room}: {}", process.said());
            }
            // A new log takes no room before something is written.
            Some(address) => {
                if subscribe(address).is_ok() {
                    expect_refused(Books::default().publish(address, 10, 1_000), &process);
                }
                let line = process.wait_for_line(&["no room", "No space left", "it is full"]);
                println!("{room}: {line}");
            }
        }
        assert!(!process.said().contains("panicked"), "{room}: {}", process.said());
        drop(process);
        watched.control().reset();
        let mut process = Process::start(&mut watched.serve(&SLED));
        assert!(process.address().is_some(), "{room}: {}", process.said());
        assert_eq!(process.stop(), Some(0));
    }
}

#[test]
fn a_full_disk_refuses_what_grows_and_sled_drains() {
    let watched = Watched::new();
    let mut process = Process::start(&mut watched.serve(&SLED));
    let address = process.address().unwrap();
    subscribe(address).unwrap();
    let mut talk = Talk::start(address).unwrap();
    let mut books = Books::default();
    assert_eq!(books.publish(address, 20, 1_000), Fate::Acknowledged);
    // The store keeps a reserve of 32 MiB, and half as much free.
    watched.control().set(Order::Room, 20 << 20);
    expect_refused(books.publish(address, 2_000, 30_000), &process);
    talk.expect_served();
    // What was refused was as much as came at once; less than that may have found room behind it.
    let small = (0..200).map(|_| books.publish(address, 50, 1_000)).find(|fate| *fate != Fate::Acknowledged);
    expect_refused(small.unwrap_or(Fate::Acknowledged), &process);
    process.wait_for_line(&["no room"]);

    // Killed and started on the full disk, it lets the one who has been away take and settle everything.
    drop(process);
    process = Process::start(&mut watched.serve(&SLED));
    let address = process.address().unwrap_or_else(|| panic!("{}", process.said()));
    books.drain(address);
    assert_eq!(process.stop(), Some(0));
    process = Process::start(&mut watched.serve(&SLED));
    let address = process.address().unwrap_or_else(|| panic!("{}", process.said()));

    // There is room again, and nobody has to start it anew.
    watched.control().set(Order::Room, u64::MAX);
    let mut books = Books::default();
    assert_eq!(books.publish(address, 20, 1_000), Fate::Acknowledged, "{}", process.said());
    books.settle(address);
    assert_eq!(process.stop(), Some(0));
}

#[test]
fn while_a_flush_hangs_who_needs_it_waits_and_nobody_else() {
    slow::hang(&SLED);
}

#[test]
fn writes_of_sleds_that_are_cut_short_are_gone_on_with() {
    slow::cut_writes_short(&SLED);
}

#[test]
fn a_log_of_sleds_that_was_cut_is_served_as_far_as_it_goes_and_said_so() {
    let watched = Watched::new();
    let process = Process::start(&mut watched.serve(&SLED));
    let address = process.address().unwrap();
    subscribe(address).unwrap();
    let mut books = Books::default();
    assert_eq!(books.publish(address, 60, 3_000), Fate::Acknowledged);
    drop(process);
    let log = watched.data_dir().join("db");
    let bytes = fs::read(&log).unwrap();
    fs::write(&log, &bytes[..bytes.len() / 2]).unwrap();
    let mut process = Process::start(&mut watched.serve(&SLED));
    match process.address() {
        Some(address) => {
            let line = process.wait_for_line(&["that were durable are missing"]);
            assert!(line.contains("ERROR"), "{line}");
            let taken = take_all(address);
            println!("{} of 60 are left: {line}", taken.len());
        }
        None => assert!(process.said().contains("error: "), "{}", process.said()),
    }
}
