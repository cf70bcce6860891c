//! The report of a run whose tests are processes of their own, as some test runners have it: this program starts itself
//! again, once a test, all at the same time.

#[path = "memory/factory.rs"]
mod memory;

use std::process::{Command, Stdio};
use std::{env, fs};

use memory::Memory;
use opifex_conformance::{Case, Directory, Subject, Waiver, run, run_by_id};
use serde_json::Value;

fn reported() -> Memory {
    Memory {
        name: "Reported",
        waivers: &[Waiver { id: "EXP-28", reason: "to see one" }],
        ..Memory::default()
    }
}

/// The tests below that the program is started with.
const TESTS: [&str; 5] =
    ["one_passes", "one_fails", "one_is_waived", "one_is_refused_as_declared", "one_is_not_verified"];

#[test]
fn one_passes() {
    run_by_id(reported(), "SES-02");
}

#[test]
#[should_panic(expected = "it fails, and says \"so\"")]
fn one_fails() {
    let case = Case { id: "SES-03", group: "sessions", name: "one_that_fails" };
    run(reported(), case, |s: Subject<Memory>| async move {
        s.connect("c").await;
        panic!("it fails, and says \"so\"");
    });
}

#[test]
fn one_is_waived() {
    run_by_id(reported(), "EXP-28");
}

#[test]
fn one_is_refused_as_declared() {
    run_by_id(reported(), "LIM-10");
}

#[test]
fn one_is_not_verified() {
    let case = Case { id: "SES-04", group: "sessions", name: "one_that_cannot_be_checked" };
    run(reported(), case, |s: Subject<Memory>| async move {
        s.not_verified("durability disk", "there is no disk");
    });
}

#[test]
fn cases_in_processes_of_their_own_write_one_report() {
    let folder = Directory::new();
    let program = env::current_exe().expect("a program knows itself");
    let start = |test: &&str| {
        let mut command = Command::new(&program);
        command.args(["--exact", test]).env("OPIFEX_CONFORMANCE_REPORT", folder.path());
        command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("this program starts")
    };
    for mut child in TESTS.iter().map(start).collect::<Vec<_>>() {
        assert!(child.wait().expect("it ends").success());
    }

    let text = fs::read_to_string(folder.path().join("reported.json")).expect("the report is there");
    let report: Value = serde_json::from_str(&text).expect("it is JSON");
    assert_eq!(report["backend"], "memory");
    assert_eq!(report["factory"], "Reported");
    assert_eq!(report["declared"]["max_durability"], "memory");
    let cases = report["cases"].as_array().expect("a list");
    let row = |id: &str| {
        let case = cases.iter().find(|case| case["id"] == id).expect("each case is in the list");
        ["verdict", "capability", "reason"].map(|field| case[field].as_str().unwrap_or("-").to_owned())
    };
    assert_eq!(row("SES-01"), ["not run", "-", "-"]);
    assert_eq!(row("SES-02"), ["passed", "-", "-"]);
    assert_eq!(row("SES-03"), ["failed", "-", "it fails, and says \"so\""]);
    assert_eq!(row("SES-04"), ["claimed, not verified", "durability disk", "there is no disk"]);
    assert_eq!(row("EXP-28"), ["waived", "-", "to see one"]);
    let refused = row("LIM-10");
    assert_eq!(refused[0], "refused as declared");
    assert_eq!(refused[2], "process is refused; disk is refused; quorum is refused");

    let page = fs::read_to_string(folder.path().join("reported.md")).expect("the page is there");
    assert!(page.starts_with("# Reported: the backend `memory`\n"), "{page}");
    let place = |text: &str| page.find(text).unwrap_or_else(|| panic!("{text} is not in the report: {page}"));
    assert!(place("| SES-03 `sessions::one_that_fails` | failed |") < place("| EXP-28 `expiry::"));
    for verdict in ["passed", "failed", "waived", "refused as declared", "claimed, not verified"] {
        place(&format!("| {verdict} | 1 |"));
    }
}
