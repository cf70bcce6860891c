//! EIO at the k-th write, and at the k-th sync: once, and from then on. The scene is a start, a subscription and some
//! messages, so a call may belong to any of them.
//!
//! A sync that failed may be repeated with success and have saved nothing: what was written before it counts as lost.

use crate::process::Process;
use crate::scene::{Books, Fate, Talk, subscribe};
use crate::shim::{Order, Watched};
use crate::{SQLITE, acknowledged, everything, trace};

/// Which calls fail.
#[derive(Copy, Clone, Debug)]
struct Fault {
    orders: [Order; 2],
    from: u64,
    to: u64,
}

/// What became of it.
#[derive(Debug, PartialEq, Eq)]
enum Came {
    /// The scene was over before the call.
    NotSoFar,
    /// The program refused to start.
    Refused,
    /// It served, and went on acknowledging, without being started anew.
    WentOn,
    /// It served, and acknowledged nothing more.
    Failed,
}

fn scene(fault: Fault) -> Came {
    let mut watched = Watched::new();
    watched.control().set(fault.orders[1], fault.to);
    watched.control().set(fault.orders[0], fault.from);
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
                    let healthy = fault.to != u64::MAX;
                    if healthy && subscribe(address).is_ok() {
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

    watched.control().reset();
    let mut process = Process::start(&mut watched.serve(&SQLITE));
    let Some(address) = process.address() else {
        panic!("{fault:?}: it does not start on the healed disk: {}", process.said());
    };
    if books.acknowledged() == 0 {
        // Whether the subscription was acknowledged, the books do not say.
        subscribe(address).unwrap();
    }
    books.settle(address);
    assert_eq!(process.stop(), Some(0));
    println!("{fault:?}: {came:?}, {} acknowledged", books.acknowledged());
    came
}

fn every(last: u64, step: u64, fault: impl Fn(u64) -> Fault) {
    let step = if everything() { 1 } else { step };
    let mut came = Vec::new();
    let mut k = 1;
    while k <= last && came.last() != Some(&Came::NotSoFar) {
        came.push(scene(fault(k)));
        k += step;
    }
    assert_eq!(came.last(), Some(&Came::NotSoFar), "the scene has more calls than {last}");
    let afterwards = if fault(1).to == u64::MAX { Came::Failed } else { Came::WentOn };
    assert!(came.contains(&Came::Refused) && came.contains(&afterwards), "{came:?}");
    // A disk that is well again is served again.
    assert!(fault(1).to == u64::MAX || !came.contains(&Came::Failed), "{came:?}");
}

#[test]
fn a_write_that_fails_once_loses_nothing() {
    every(2_000, 23, |k| Fault { orders: [Order::EioWriteFrom, Order::EioWriteTo], from: k, to: k });
}

#[test]
fn a_disk_that_fails_every_write_from_some_moment_on_loses_nothing() {
    every(2_000, 29, |k| Fault { orders: [Order::EioWriteFrom, Order::EioWriteTo], from: k, to: u64::MAX });
}

#[test]
fn a_sync_that_fails_has_nothing_acknowledged_that_it_was_to_save() {
    every(200, 3, |k| Fault { orders: [Order::EioSyncFrom, Order::EioSyncTo], from: k, to: k });
}
