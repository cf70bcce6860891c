//! EIO at the k-th write, and at the k-th sync: once, and from then on. The scene is a start, a subscription and some
//! messages, so a call may belong to any of them.
//!
//! A sync that failed may be repeated with success and have saved nothing: what was written before it counts as lost.

use crate::kth_call::{Came, Fault, every, settle_on_the_healed_disk};
use crate::process::Process;
use crate::scene::{Books, Fate, Talk, subscribe};
use crate::shim::Order;
use crate::{SQLITE, acknowledged, trace};

fn scene(fault: Fault) -> Came {
    let mut watched = fault.watched();
    let mut books = Books::default();
    let mut process = Process::start(&mut watched.serve_recorded(&SQLITE));
    let came = match process.address() {
        None => {
            assert_eq!(process.exit_code(), Some(1), "{fault:?}: {}", process.said());
            let said = process.said();
            let names_a_file = said.contains(watched.disk().to_str().unwrap());
            assert!(said.contains("error: ") && names_a_file, "{fault:?}: {said}");
            Came::Refused
        }
        Some(address) => {
            let talk = Talk::start(address);
            let subscribed = subscribe(address).is_ok();
            let first = if subscribed { books.publish(address, 12, 200) } else { Fate::Closed(None) };
            let faults = watched.control().value(Order::Faults);
            let came = match first {
                Fate::Acknowledged if faults == 0 => Came::NotSoFar,
                Fate::Acknowledged => Came::WentOn,
                _ => {
                    assert!(faults > 0, "{fault:?}: {first:?} without a fault: {}", process.said());
                    if fault.passes() && subscribe(address).is_ok() {
                        books.publish_until_acknowledged(&mut process, 200);
                    }
                    match books.publish(address, 4, 200) {
                        Fate::Acknowledged => Came::WentOn,
                        _ => Came::Failed,
                    }
                }
            };
            // Who came after the fault may not have been let in.
            if let Ok(mut talk) = talk {
                talk.expect_served();
            }
            if faults > 0 && came == Came::Failed {
                let line = process.wait_for_line(&["ERROR", "WARN"]);
                println!("{fault:?}: {line}");
            }
            came
        }
    };
    let said = process.said();
    assert!(!said.contains("panicked"), "{fault:?}: {said}");
    drop(process);
    let events = watched.events();
    let early = acknowledged::check(&events, &trace::packets(&events)).early;
    assert!(early.is_empty(), "{fault:?}: {early:#?}\n{said}");

    let subscribed = books.acknowledged() > 0;
    settle_on_the_healed_disk(fault, &mut watched, &SQLITE, &mut books, subscribed);
    println!("{fault:?}: {came:?}, {} acknowledged", books.acknowledged());
    came
}

fn every_goes_on(last: u64, step: u64, fault: impl Fn(u64) -> Fault) {
    let came = every(last, step, |k| scene(fault(k)));
    // A disk that is well again is served again.
    let passes = fault(1).passes();
    assert!(came.contains(&if passes { Came::WentOn } else { Came::Failed }), "{came:?}");
    assert!(!passes || !came.contains(&Came::Failed), "{came:?}");
}

#[test]
fn a_write_that_fails_once_loses_nothing() {
    every_goes_on(2_000, 23, Fault::at_write);
}

#[test]
fn a_disk_that_fails_every_write_from_some_moment_on_loses_nothing() {
    every_goes_on(2_000, 29, Fault::from_write);
}

#[test]
fn a_sync_that_fails_has_nothing_acknowledged_that_it_was_to_save() {
    every_goes_on(200, 3, Fault::at_sync);
}
