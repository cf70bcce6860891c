//! The files of a report, written by many at once.

use std::fs;
use std::thread;
use std::time::Duration;

use serde_json::Value;

use super::*;
use crate::{Directory, Verdict, cases};

fn head() -> Head {
    Head {
        factory: "Own".to_owned(),
        version: "1.2.3".to_owned(),
        tier: "quick".to_owned(),
        build: "debug".to_owned(),
        backend: "own".to_owned(),
        declared: vec![("max_durability".to_owned(), "disk".to_owned())],
    }
}

fn passed() -> Judgement {
    Judgement {
        verdict: Verdict::Passed,
        capability: None,
        reason: None,
        duration: Duration::from_micros(1500),
    }
}

fn failed(reason: &str) -> Judgement {
    Judgement { verdict: Verdict::Failed, reason: Some(reason.to_owned()), ..passed() }
}

fn json(folder: &Directory) -> Value {
    let text = fs::read_to_string(folder.path().join("own.json")).expect("the report is there");
    serde_json::from_str(&text).expect("the report is JSON")
}

fn markdown(folder: &Directory) -> String {
    fs::read_to_string(folder.path().join("own.md")).expect("the report is there")
}

#[test]
fn cases_that_end_at_once_are_all_in_the_report() {
    let folder = Directory::new();
    thread::scope(|scope| {
        for slice in cases().chunks(cases().len().div_ceil(8)) {
            let folder = folder.path();
            scope.spawn(move || {
                for case in slice {
                    Report::new(folder, "Own").add(&head(), *case, &passed()).expect("a report is written");
                }
            });
        }
    });
    let report = json(&folder);
    assert_eq!(report["totals"]["passed"], cases().len());
    assert_eq!(report["totals"]["not run"], 0);
    let ids: Vec<_> = report["cases"].as_array().unwrap().iter().map(|case| case["id"].to_string()).collect();
    assert!(ids.is_sorted(), "{ids:?}");
    assert!(markdown(&folder).contains(&format!("| passed | {} |", cases().len())));
}

#[test]
fn what_cases_say_comes_back_from_json_letter_by_letter() {
    let reason = "a \"quote\", a \\, a tab\t, two\nlines\r\n, \u{1}, a | and \u{1F600}";
    let folder = Directory::new();
    let report = Report::new(folder.path(), "Own");
    let judgement = Judgement { capability: Some("durability \"disk\"".to_owned()), ..failed(reason) };
    report.add(&head(), cases()[0], &judgement).unwrap();
    // Once more through the rows that are kept.
    report.add(&head(), cases()[1], &passed()).unwrap();
    let found = json(&folder);
    let case = found["cases"].as_array().unwrap().iter().find(|case| case["id"] == cases()[0].id).unwrap();
    assert_eq!(case["reason"], reason);
    assert_eq!(case["capability"], "durability \"disk\"");
    assert_eq!(case["seconds"], 0.0015);
    assert_eq!(case["verdict"], "failed");
    let page = markdown(&folder);
    let line = page.lines().find(|line| line.starts_with(&format!("| {} | `", cases()[0].id)));
    assert!(line.is_some_and(|line| line.ends_with("| failed | durability \"disk\" | 1.5 |")), "{page}");
    let row = page.lines().find(|line| line.contains("a \"quote\"")).expect("it stands in one line");
    assert!(row.contains("two lines"), "{row}");
    assert!(row.contains("a \\| and"), "{row}");
}

#[test]
fn a_case_that_passed_says_how_much_it_checked() {
    let folder = Directory::new();
    let report = Report::new(folder.path(), "Own");
    report.add(&head(), cases()[0], &Judgement { reason: Some("412 syncs".to_owned()), ..passed() }).unwrap();
    report.add(&head(), cases()[1], &passed()).unwrap();
    let page = markdown(&folder);
    assert!(
        page.lines().any(|line| line.contains(cases()[0].id) && line.ends_with("| 412 syncs |")),
        "{page}"
    );
    assert!(!page.lines().any(|line| line.contains(cases()[1].id) && line.ends_with("|  |")), "{page}");
}

#[test]
fn a_case_that_did_not_run_is_in_the_report_as_that() {
    let folder = Directory::new();
    Report::new(folder.path(), "Own").add(&head(), cases()[0], &passed()).unwrap();
    assert_eq!(json(&folder)["totals"]["not run"], cases().len() - 1);
    assert_eq!(json(&folder)["cases"].as_array().unwrap().len(), cases().len());
    assert!(markdown(&folder).contains(&format!("| {} |", cases()[1].id)));
}

#[test]
fn a_case_that_runs_again_is_replaced_and_another_tier_begins_anew() {
    let folder = Directory::new();
    let report = Report::new(folder.path(), "Own");
    report.add(&head(), cases()[0], &failed("once")).unwrap();
    report.add(&head(), cases()[1], &passed()).unwrap();
    report.add(&head(), cases()[0], &passed()).unwrap();
    assert_eq!(json(&folder)["totals"]["passed"], 2);
    assert_eq!(json(&folder)["totals"]["failed"], 0);
    report.add(&Head { tier: "long".to_owned(), ..head() }, cases()[2], &passed()).unwrap();
    assert_eq!(json(&folder)["totals"]["passed"], 1);
    assert_eq!(json(&folder)["tier"], "long");
}

#[test]
fn a_case_that_could_not_open_its_store_stands_beside_those_that_could() {
    let folder = Directory::new();
    let report = Report::new(folder.path(), "Own");
    let unknown = Head { backend: String::new(), declared: Vec::new(), ..head() };
    report.add(&unknown, cases()[0], &failed("no store")).unwrap();
    assert!(markdown(&folder).contains("(no store could be opened)"));
    report.add(&head(), cases()[1], &passed()).unwrap();
    report.add(&unknown, cases()[2], &failed("no store")).unwrap();
    assert_eq!(json(&folder)["backend"], "own");
    assert_eq!(json(&folder)["totals"]["failed"], 2);
}

#[test]
fn two_factories_of_one_name_are_told_apart_by_an_error() {
    let folder = Directory::new();
    let report = Report::new(folder.path(), "Own");
    report.add(&head(), cases()[0], &passed()).unwrap();
    let other = Head { backend: "other".to_owned(), ..head() };
    let wrong = report.add(&other, cases()[0], &passed()).unwrap_err();
    assert!(
        wrong.contains("`own`") && wrong.contains("`other`") && wrong.contains("Factory::name"),
        "{wrong}"
    );
}

#[test]
fn a_folder_that_cannot_be_written_is_named() {
    let folder = Directory::new();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    let wrong = Report::new(&file, "Own").add(&head(), cases()[0], &passed()).unwrap_err();
    assert!(wrong.contains("OPIFEX_CONFORMANCE_REPORT is"), "{wrong}");
    assert!(wrong.contains(&file.display().to_string()), "{wrong}");
}

#[test]
fn names_of_factories_become_names_of_files() {
    assert_eq!(stem("Sqlite"), "sqlite");
    assert_eq!(stem("dyn Memory"), "dyn-memory");
    assert_eq!(stem("../Über Store"), "ber-store");
    assert_eq!(stem("…"), "factory");
}
