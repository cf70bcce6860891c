//! The oracles of crashes on engines that are right, and on those that they are there for: each flaw is found by one of
//! them and not by the other. A test starts its child as itself, so that each has one case that does.

#[path = "crash/log_engine.rs"]
mod log_engine;

use std::process::Command;
use std::{env, fs};

use log_engine::{Flaw, OverLog};
use opifex_conformance::power::{Recording, Rows};
use opifex_conformance::{Directory, Factory, Verdict, judge_by_id};
use opifex_storage::{KvCapabilities, KvPersistence, OrderedKv, Result, WriteBatch};

const KILLED: &str = "CRA-01";
const KILLED_EARLY: &str = "CRA-02";
const POWER: &str = "POW-01";
const POWER_EARLY: &str = "POW-02";

/// Over the kit's recording engine, in memory; with `syncs` false it never syncs, with `shown` false the kit does not
/// hear of it.
struct OverRecording {
    syncs: bool,
    shown: bool,
}

impl OverRecording {
    fn new(syncs: bool) -> OverRecording {
        OverRecording { syncs, shown: true }
    }
}

struct Engine {
    recording: Recording,
    syncs: bool,
}

impl OrderedKv for Engine {
    type Snapshot<'a> = <Recording as OrderedKv>::Snapshot<'a>;

    fn capabilities(&self) -> KvCapabilities {
        self.recording.capabilities()
    }

    fn snapshot(&self) -> Result<Self::Snapshot<'_>> {
        self.recording.snapshot()
    }

    fn has_room(&self, bytes: usize) -> bool {
        self.recording.has_room(bytes)
    }

    fn write(&self, batch: &WriteBatch) -> Result<()> {
        self.recording.write(batch)
    }

    fn sync(&self) -> Result<()> {
        if self.syncs { self.recording.sync() } else { Ok(()) }
    }
}

impl Factory for OverRecording {
    type Store = KvPersistence<Engine>;
    type Place = Recording;

    fn place(&self) -> Recording {
        Recording::default()
    }

    async fn open(&self, place: &Recording) -> Result<Self::Store> {
        KvPersistence::open(Engine { recording: place.clone(), syncs: self.syncs })
    }

    fn recording<'a>(&self, place: &'a Recording) -> Option<&'a Recording> {
        self.shown.then_some(place)
    }

    fn place_with(&self, rows: Rows) -> Option<Recording> {
        Some(Recording::of(rows))
    }
}

#[track_caller]
fn expect<F: Factory>(factory: F, id: &str, verdict: Verdict, reason: &str) {
    let judgement = judge_by_id(factory, id);
    println!("{judgement:?}");
    assert_eq!(judgement.verdict, verdict, "{judgement:?}");
    let said = judgement.reason.unwrap_or_default();
    assert!(said.contains(reason), "`{reason}` is not said: {said}");
}

#[test]
fn a_right_engine_survives_kills() {
    expect(OverLog(Flaw::None), KILLED, Verdict::Passed, "14 kills, ");
}

#[test]
fn a_right_engine_survives_kills_while_it_is_made() {
    expect(OverLog(Flaw::None), KILLED_EARLY, Verdict::Passed, "6 kills, ");
}

#[test]
fn a_right_engine_survives_power_loss() {
    expect(OverLog(Flaw::None), POWER, Verdict::Passed, "power lost at ");
}

#[test]
fn a_right_engine_survives_power_loss_while_it_is_made() {
    expect(OverLog(Flaw::None), POWER_EARLY, Verdict::Passed, "power lost at each of ");
}

#[test]
fn the_road_survives_power_loss() {
    expect(OverRecording::new(true), POWER, Verdict::Passed, "power lost at ");
    expect(OverRecording::new(true), POWER_EARLY, Verdict::Passed, "power lost at each of ");
}

#[test]
fn an_engine_that_does_not_sync_survives_kills() {
    expect(OverLog(Flaw::NoSync), KILLED, Verdict::Passed, "");
}

#[test]
fn an_engine_that_does_not_sync_is_found_by_power_loss() {
    expect(OverLog(Flaw::NoSync), POWER, Verdict::Failed, "was durable and is lost");
}

#[test]
fn a_road_whose_engine_does_not_sync_is_found_by_power_loss() {
    expect(OverRecording::new(false), POWER, Verdict::Failed, "was durable and is lost");
}

#[test]
fn an_engine_that_writes_late_is_found_by_kills() {
    expect(OverLog(Flaw::Late), KILLED, Verdict::Failed, "was durable and is lost");
}

#[test]
fn power_loss_is_no_affair_of_an_engine_that_claims_to_survive_kills() {
    expect(OverLog(Flaw::Late), POWER, Verdict::NotClaimed, "is refused");
}

#[test]
fn an_engine_that_leaves_half_a_batch_is_found_by_power_loss() {
    expect(OverLog(Flaw::Torn), POWER, Verdict::Failed, "");
}

#[test]
fn an_engine_that_forgets_its_directory_is_found_by_power_loss_while_it_is_made() {
    expect(OverLog(Flaw::NoName), POWER_EARLY, Verdict::Failed, "");
}

#[test]
fn a_claim_that_cannot_be_checked_is_not_passed() {
    expect(OverRecording::new(true), KILLED, Verdict::NotVerified, "does not adopt directories");
}

#[test]
fn a_disk_claim_of_what_the_kit_cannot_look_at_is_not_passed() {
    let hidden = || OverRecording { syncs: true, shown: false };
    expect(hidden(), POWER, Verdict::NotVerified, "does not adopt directories");
    expect(hidden(), POWER_EARLY, Verdict::NotVerified, "does not adopt directories");
}

/// What the test below is called, and what its child has.
const WITHOUT_COMPILER: &str = "a_disk_claim_on_a_machine_without_a_c_compiler_is_not_passed";
const CHILD: &str = "OPIFEX_CONFORMANCE_TEST_CHILD";

#[test]
fn a_disk_claim_on_a_machine_without_a_c_compiler_is_not_passed() {
    if env::var_os(CHILD).is_some() {
        return expect(OverLog(Flaw::None), POWER, Verdict::NotVerified, "the C compiler does not start");
    }
    // This program once more, in a folder where no recorder was built before.
    let folder = Directory::new();
    let (here, there) = (env::current_exe().expect("it knows itself"), folder.path().join("crash"));
    fs::hard_link(&here, &there)
        .or_else(|_| fs::copy(&here, &there).map(drop))
        .expect("a program can be copied");
    let mut child = Command::new(&there);
    child.args(["--exact", WITHOUT_COMPILER, "--nocapture"]).env(CHILD, "1");
    let output = child.env("CC", folder.path().join("none")).output().expect("it starts");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}
