//! The broker holds every statement that binds a server, with every backend.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use opifex_conformance::statements::manifest::has_test;
use opifex_conformance::statements::{CaseReport, CaseVerdict, Options, Report, StatementVerdict};

use crate::backend::Backend;
use crate::house::House;
use crate::pipe::Pipe;
use crate::wrong::between::Between;
use crate::wrong::each;

/// Statements about servers that leave something out which this broker always has, or do something in another way: it takes
/// subscription identifiers, and sends one copy of a message to overlapping subscriptions.
const OTHERWISE: &[&str] = &["U5-17", "MQTT-3.3.4-5"];

/// Statements about properties that this broker never sends: User Properties of its own, and a Reason String in AUTH. The unit
/// tests [`UNIT_TESTS`] hold it to that.
const NEVER_SENT: &[&str] = &[
    "MQTT-3.2.2-20",
    "MQTT-3.4.2-3",
    "MQTT-3.5.2-3",
    "MQTT-3.6.2-3",
    "MQTT-3.7.2-3",
    "MQTT-3.9.2-2",
    "MQTT-3.11.2-2",
    "MQTT-3.14.2-4",
    "MQTT-3.15.2-2",
    "MQTT-3.15.2-3",
];

const UNIT_TESTS: [(&str, &str); 2] = [
    (include_str!("../../src/reason.rs"), "nothing_but_a_reason_string_is_added"),
    (
        include_str!("../../src/connection/authenticate.rs"),
        "auth_says_the_method_and_its_data_and_nothing_else",
    ),
];

/// Cases that apply in none of the settings, for the same reasons.
const NOWHERE: [&str; 13] = [
    "publish::each_of_several_copies_has_its_own_identifier in 5.0",
    "reasons::a_connack_leaves_out_user_properties_that_are_too_long in 5.0",
    "reasons::a_disconnect_leaves_out_user_properties_that_are_too_long in 5.0",
    "reasons::a_puback_leaves_out_user_properties_that_are_too_long in 5.0",
    "reasons::a_pubcomp_leaves_out_user_properties_that_are_too_long in 5.0",
    "reasons::a_pubrec_leaves_out_user_properties_that_are_too_long in 5.0",
    "reasons::a_pubrel_leaves_out_user_properties_that_are_too_long in 5.0",
    "reasons::a_suback_leaves_out_user_properties_that_are_too_long in 5.0",
    "reasons::an_auth_gives_no_reasons_to_who_declines_them in 5.0",
    "reasons::an_auth_leaves_out_a_reason_string_that_is_too_long in 5.0",
    "reasons::an_auth_leaves_out_user_properties_that_are_too_long in 5.0",
    "reasons::an_unsuback_leaves_out_user_properties_that_are_too_long in 5.0",
    "subscribe::a_broker_without_identifiers_refuses_them in 5.0",
];

/// The cases that no house passes, by version.
fn passed_nowhere(reports: &[Report]) -> BTreeSet<String> {
    let cases = || reports.iter().flat_map(|report| &report.cases);
    let name = |case: &CaseReport| format!("{} in {}", case.id, case.version);
    let passed: BTreeSet<_> = cases().filter(|case| case.verdict == CaseVerdict::Passed).map(name).collect();
    cases().map(name).filter(|case| !passed.contains(case)).collect()
}

/// What the houses say together: a statement is shown if one house shows it and none breaks it.
fn together(reports: &[Report]) -> BTreeMap<(String, String), StatementVerdict> {
    let mut verdicts: BTreeMap<_, StatementVerdict> = BTreeMap::new();
    for report in reports {
        for version in report.versions() {
            for (statement, verdict) in report.statements(version) {
                let known = verdicts.entry((version.to_string(), statement.id)).or_insert(verdict);
                *known = (*known).min(verdict);
            }
        }
    }
    verdicts
}

fn held_on(backend: Backend) {
    backend.talk(|| async {
        let mut reports = Vec::new();
        for house in House::ALL {
            let report = house.run().await;
            let failures: String = report.failures().map(|case| report.failure(case)).collect();
            assert!(failures.is_empty(), "{house:?} on {backend:?}:\n{failures}");
            reports.push(report);
        }
        let verdicts = together(&reports);
        let open: BTreeSet<_> = verdicts
            .iter()
            .filter(|(_, verdict)| {
                matches!(verdict, StatementVerdict::NotApplicable | StatementVerdict::NotRun)
            })
            .map(|((_, id), _)| id.as_str())
            .collect();
        let known: BTreeSet<_> = OTHERWISE.iter().chain(NEVER_SENT).copied().collect();
        assert_eq!(open, known, "statements that no setting shows, and those that none can show");
        let nowhere = passed_nowhere(&reports);
        assert_eq!(nowhere.iter().collect::<Vec<_>>(), NOWHERE, "cases that apply in no setting");
    });
}

#[test]
fn every_statement_is_held_in_memory() {
    held_on(Backend::Memory);
}

#[test]
fn every_statement_is_held_on_sqlite() {
    held_on(Backend::Sqlite);
}

#[test]
fn every_statement_is_held_on_sled() {
    held_on(Backend::Sled);
}

/// In the time that it has; no case restarts this broker. Time is paused: it is the cases' own that counts.
#[test]
fn a_run_of_one_case_at_a_time_comes_to_its_end() {
    Backend::Memory.talk(|| async {
        let broker = Arc::new(Pipe::open(House::Plain).await);
        let somebody_honest = Arc::new(Between::new(broker, || each(|_, _| {})));
        let options = Options::default().with_concurrency(1);
        let report = House::Plain.run_at(somebody_honest, options).await;
        assert_passes(&report);
        assert!(report.duration > Options::default().run_limit, "{:?}", report.duration);
    });
}

#[test]
fn cases_over_a_restart_that_wait_for_their_turn_begin_when_the_broker_is_there() {
    for at_once in 1..=8 {
        Backend::Memory.talk(|| async {
            let options = Options { only: Some("restart::".to_owned()), ..Options::default() };
            assert!(options.cases() > 8);
            let options = Options { concurrency: at_once, ..options };
            assert_passes(&House::Plain.run_through(options, |broker| broker).await);
        });
    }
}

fn assert_passes(report: &Report) {
    let failures: String = report.failures().map(|case| report.failure(case)).collect();
    assert_eq!((failures.as_str(), &report.ended_early), ("", &None));
}

#[test]
fn what_is_never_sent_has_its_unit_tests() {
    for (source, name) in UNIT_TESTS {
        assert!(has_test(source, name), "{name}");
    }
}
