//! What is acknowledged survives power loss: the real program is recorded below its feet, and the disk that a power loss
//! would leave is rebuilt at every sync point and asked for all that was acknowledged until then.
//!
//! Recorder and model of a disk are the kit's (`conformance/src/power`); what counts as a promise is in
//! `promises.rs`. Each check is shown to fail: with syncs that do nothing, and with `--durability process`.
//!
//! `OPIFEX_POWER_LOSS=all` has more load, and checks every sync point with more random parts; as many of them as there is
//! time for, spread over the record (`OPIFEX_POWER_LOSS_MINUTES`, 20 if not given, for each of the two that are long).
//! `OPIFEX_POWER_LOSS_SEED` repeats a run's choices. Last run to its end, 2026-11-23, 2448c9d, 28 min: 9,090 disks at
//! the 29 syncs of a store's making, 9,296 at all 1,327 syncs of a whole load, some 460 after each of the places where a sync
//! failed; 0 wrong.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

#[path = "../program/child.rs"]
#[allow(dead_code, reason = "shared with the other tests")]
mod child;
#[path = "../shim/shim.rs"]
#[allow(dead_code, unused_imports, reason = "shared with the other tests")]
mod shim;

#[path = "../shim/token.rs"]
mod token;

mod load;
#[path = "../shim/trace.rs"]
mod trace;

#[path = "../shim/acknowledged.rs"]
mod acknowledged;
mod batching;
mod failed_sync;
#[path = "../shim/found.rs"]
mod found;
mod promises;
mod replay;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use load::Load;
use replay::{Outcome, Plan};
use shim::{Call, Event, Order, Phase, Watched};

const DISK: [&str; 4] = ["--storage", "sqlite", "--durability", "disk"];
const PROCESS: [&str; 4] = ["--storage", "sqlite", "--durability", "process"];

/// What is repeated to repeat a failure, as far as the program's own timing allows.
fn seed() -> u64 {
    let given = std::env::var("OPIFEX_POWER_LOSS_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = given.unwrap_or_else(|| u64::from(std::process::id()));
    println!("OPIFEX_POWER_LOSS_SEED={seed}");
    seed
}

fn everything() -> bool {
    std::env::var_os("OPIFEX_POWER_LOSS").is_some_and(|mode| mode == "all")
}

/// How long everything may take.
fn at_most() -> Option<Duration> {
    let minutes = std::env::var("OPIFEX_POWER_LOSS_MINUTES").ok();
    let minutes = minutes.map_or(20, |minutes| minutes.parse().expect("a number of minutes"));
    everything().then(|| Duration::from_secs(60 * minutes))
}

#[test]
fn at_every_sync_point_all_that_was_acknowledged_is_on_the_disk() {
    let load = if everything() {
        Load { publishers: 6, messages: [100, 200], syncs: 1_100 }
    } else {
        Load { publishers: 3, messages: [60, 60], syncs: 560 }
    };
    let points = if everything() { usize::MAX } else { 60 };
    let parts = if everything() { 4 } else { 2 };

    let watched = load::record(&DISK, load, &[]);
    let events = watched.events();
    let packets = trace::packets(&events);
    let verdict = acknowledged::check(&events, &packets);
    println!("{} acknowledgements left after their sync", verdict.looked_at - verdict.early.len());
    assert!(verdict.early.is_empty(), "{:#?}", verdict.early);
    assert!(verdict.looked_at > 500, "{verdict:?}");
    // Else the log's way into the database was not under test.
    let copied = syncs_of(&events, "opifex.db", 1);
    assert!(copied > 0, "the log was never copied");

    let outcome = replay::check(
        &events,
        &packets,
        &watched.disk(),
        Plan { points, parts, seed: seed(), at_most: at_most() },
    );
    println!("{outcome}");
    assert!(outcome.broken.is_empty(), "{:#?}", outcome.broken);
    assert!(outcome.checked_points >= 60 && outcome.pending > 0, "{outcome}");
    expect_all_recorded(&watched, &outcome);
}

#[test]
fn a_power_loss_while_a_store_is_made_leaves_one_that_opens() {
    let watched = load::record(&DISK, Load { publishers: 1, messages: [1, 0], syncs: 0 }, &[]);
    let events = watched.events();
    let parts = if everything() { 300 } else { 30 };
    let plan = Plan { points: usize::MAX, parts, seed: seed(), at_most: at_most() };
    let outcome = replay::check(&events, &trace::packets(&events), &watched.disk(), plan);
    println!("{outcome}");
    assert!(outcome.broken.is_empty(), "{:#?}", outcome.broken);
}

#[test]
fn with_syncs_that_do_nothing_both_checks_fail() {
    let load = Load { publishers: 2, messages: [40, 10], syncs: 0 };
    let watched = load::record(&DISK, load, &[(Order::SwallowSyncs, 1)]);
    let events = watched.events();
    let packets = trace::packets(&events);
    let verdict = acknowledged::check(&events, &packets);
    assert!(verdict.looked_at > 0 && verdict.early.len() == verdict.looked_at, "{verdict:?}");
    let outcome = replay::check(
        &events,
        &packets,
        &watched.disk(),
        Plan { points: 10, parts: 4, seed: seed(), at_most: None },
    );
    assert!(!outcome.broken.is_empty(), "{outcome}");
}

#[test]
fn with_durability_process_both_checks_fail() {
    let watched = load::record(&PROCESS, Load { publishers: 3, messages: [60, 20], syncs: 0 }, &[]);
    let events = watched.events();
    let packets = trace::packets(&events);
    assert!(!acknowledged::check(&events, &packets).early.is_empty());
    let outcome = replay::check(
        &events,
        &packets,
        &watched.disk(),
        Plan { points: 10, parts: 2, seed: seed(), at_most: None },
    );
    assert!(!outcome.broken.is_empty(), "{outcome}");
}

/// How often a file of that name was synced in that life.
fn syncs_of(events: &[Event], name: &str, run: usize) -> usize {
    let mut paths = BTreeMap::new();
    let mut syncs = 0;
    for event in events.iter().filter(|event| event.object.run == run) {
        let object = (event.object.run, event.object.number);
        match &event.call {
            Call::Open { path, .. } => drop(paths.insert(object, path.ends_with(name))),
            Call::Sync if matches!(event.phase, Phase::End { .. }) => syncs += usize::from(paths[&object]),
            _ => {}
        }
    }
    syncs
}

/// The files as the record has them are those that the program has left: no call has gone past the shim.
fn expect_all_recorded(watched: &Watched, outcome: &Outcome) {
    let mut there: Vec<PathBuf> = Vec::new();
    let mut directories = vec![watched.disk()];
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(directory).unwrap() {
            let entry = entry.unwrap();
            let list = if entry.file_type().unwrap().is_dir() { &mut directories } else { &mut there };
            list.push(entry.path());
        }
    }
    there.retain(|path| !path.to_str().unwrap().ends_with("-shm"));
    there.sort();
    let recorded: BTreeMap<&Path, &Vec<u8>> =
        outcome.as_seen.iter().filter_map(|(path, bytes)| Some((path.as_path(), bytes.as_ref()?))).collect();
    assert_eq!(recorded.keys().copied().collect::<Vec<_>>(), there);
    assert!(there.len() >= 3, "{there:?}");
    for path in &there {
        assert!(*recorded[path.as_path()] == std::fs::read(path).unwrap(), "{} differs", path.display());
    }
}
