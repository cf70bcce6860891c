//! kill -9 of the real program at any instant, under load, again and again: the promises that the design makes must
//! hold for all that was acknowledged.
//!
//! Clients of MQTT 3.1.1 and 5.0 publish, subscribe, come and go (`roster.rs`); a journal sees every packet; the broker
//! is killed when a packet of some kind has just left or come, or at a random moment, also while it starts. It is
//! started again on the same directory, the clients go on with their sessions, and an oracle (`oracle.rs`), a pure
//! type, compares what they saw with what they were promised: (1) nothing acknowledged is lost, (2) QoS 2 comes exactly
//! once, (3) order of first arrivals, (4) subscriptions, wills, retained messages and expiries, clocks that run on,
//! (5) what is settled stays so, the window comes first, (6) a start is bounded and says what it recovers.
//!
//! `OPIFEX_KILL9_ROUNDS=200 cargo test -p opifex --features sled --test kill9 -- --nocapture` runs longer than CI does,
//! `OPIFEX_KILL9_SEED` repeats a run as far as the scheduler allows, `OPIFEX_KILL9_PROGRAM` names another build of the
//! program. Each kill prints what was on its way.
//!
//! Last run, 2026-11-23, release build of 2448c9d, 0 lost and QoS 2 exactly once in all of them; at how many kills a PUBLISH, PUBACK, PUBREC,
//! PUBREL, PUBCOMP, SUBSCRIBE and CONNECT was not acknowledged:
//!
//! | store | seed | rounds | kills | acknowledged | PUBLISH, PUBACK, PUBREC, PUBREL, PUBCOMP, SUBSCRIBE, CONNECT |
//! | --- | --- | --- | --- | --- | --- |
//! | sqlite, disk | 1795436369412128101 | 200 | 274 | 51,173 | 274, 274, 248, 204, 268, 186, 81 |
//! | sqlite, process | 1795436523349730967 | 200 | 273 | 53,197 | 273, 273, 210, 106, 264, 142, 27 |
//! | sled, process | 1795436245548789301 | 200 | 273 | 53,044 | 273, 273, 248, 159, 267, 168, 58 |

#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

mod broker_process;
mod client;
mod dice;
mod early_acks;
mod event;
mod in_flight;
mod journal;
mod oracle;
mod probe;
mod publishing;
mod roster;
mod run;
mod subscribing;
mod wire;

use std::path::Path;
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use event::Violation;
use in_flight::KINDS;
use run::{Plan, Report};

/// One at a time: each of them keeps the machine busy.
static ALONE: Mutex<()> = Mutex::new(());

fn from_environment(name: &str) -> Option<u64> {
    let value = std::env::var(name).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{name} is a number, not {value:?}")))
}

fn seed() -> u64 {
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64;
    from_environment("OPIFEX_KILL9_SEED").unwrap_or_else(now)
}

/// The real program.
fn program(directory: &Path, storage: &str, durability: &str) -> Command {
    let built = || env!("CARGO_BIN_EXE_opifex").into();
    let mut command = Command::new(std::env::var_os("OPIFEX_KILL9_PROGRAM").unwrap_or_else(built));
    command.args(["serve", "--listen", "127.0.0.1:0", "--storage", storage, "--durability", durability]);
    command.arg("--data-dir").arg(directory);
    command
}

fn survives(storage: &str, durability: &str, rounds: u64) -> Report {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let (rounds, seed) = (from_environment("OPIFEX_KILL9_ROUNDS").unwrap_or(rounds), seed());
    println!("{storage}, {durability}: {rounds} rounds, OPIFEX_KILL9_SEED={seed}");
    let broker = |directory: &Path| program(directory, storage, durability);
    let patience = Duration::from_secs(30);
    let report = run::run(Plan { broker: &broker, rounds, seed, patience, heeds: |_| true })
        .unwrap_or_else(|failure| panic!("{storage}, {durability}: {}", failure.text));
    println!("{storage}, {durability}: seed {seed}: {report:#?}");
    for (kind, kills) in KINDS.iter().zip(report.kills_with) {
        println!("  {kind:?} was on its way at {kills} kills of {}", report.kills);
        assert!(rounds < 200 || kills >= 10, "{kind:?} was on its way at {kills} kills only");
    }
    report
}

#[test]
fn what_sqlite_acknowledged_survives_kill_9() {
    survives("sqlite", "disk", 20);
}

#[test]
fn what_sqlite_acknowledged_survives_kill_9_without_syncs() {
    survives("sqlite", "process", 6);
}

#[cfg(feature = "sled")]
#[test]
fn what_sled_acknowledged_survives_kill_9() {
    survives("sled", "process", 20);
}

/// The negative control. The broker that is killed is this test itself, started again.
#[test]
fn acknowledgements_before_the_commit_are_found_out_within_20_rounds() {
    const DIRECTORY: &str = "OPIFEX_KILL9_EARLY_ACKS";
    const TEST: &str = "acknowledgements_before_the_commit_are_found_out_within_20_rounds";
    if let Some(directory) = std::env::var_os(DIRECTORY) {
        return early_acks::serve(Path::new(&directory));
    }
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let seed = seed();
    println!("early acknowledgements: OPIFEX_KILL9_SEED={seed}");
    let broker = |directory: &Path| {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", TEST, "--nocapture"]).env(DIRECTORY, directory);
        command
    };
    // What was lost is not waited for as long as what may come.
    let patience = Duration::from_secs(6);
    let found = run::run(Plan { broker: &broker, rounds: 20, seed, patience, heeds: Violation::is_a_loss });
    let failure = found.expect_err("what was acknowledged too early is lost, and nobody has noticed");
    assert!(failure.violations.iter().any(Violation::is_a_loss), "seed {seed}: {}", failure.text);
    println!("found out in {}", failure.text.lines().take(2).collect::<Vec<_>>().join(" "));
}
