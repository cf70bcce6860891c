//! Stores that are broken in ways that only random histories, threads, dropped futures and failures show: each is caught
//! by the case that looks for that, and the plain contract's cases of the same kind pass it.

#[path = "broken_calls/stores.rs"]
mod stores;

use opifex_conformance::{Verdict, judge_by_id};
use stores::{Breakage, Stores};

/// The case passes a store that is whole, and fails on the broken one. Answers what it says.
fn caught(breakage: Breakage, case: &str) -> String {
    assert_eq!(
        judge_by_id(Stores(Breakage::Nothing), case).verdict,
        Verdict::Passed,
        "{case}, nothing broken"
    );
    println!("What fails below is meant to:");
    let judgement = judge_by_id(Stores(breakage), case);
    assert_eq!(judgement.verdict, Verdict::Failed, "{case} does not notice: {breakage:?}");
    judgement.reason.unwrap_or_default()
}

fn passed(breakage: Breakage, case: &str) {
    let judgement = judge_by_id(Stores(breakage), case);
    assert_eq!(judgement.verdict, Verdict::Passed, "{case} is about something else: {:?}", judgement.reason);
}

#[test]
fn what_takes_many_steps_is_found_by_histories() {
    caught(Breakage::SixthForNobody, "MOD-01");
    passed(Breakage::SixthForNobody, "INF-05");
    passed(Breakage::SixthForNobody, "INF-09");
}

#[test]
fn a_history_that_disagrees_is_made_a_short_script() {
    let report = caught(Breakage::NeverUnsubscribes, "MOD-01");
    assert!(report.contains("OPIFEX_CONFORMANCE_SEED="), "{report}");
    let steps = report.lines().filter(|line| line.trim_start().starts_with(|c: char| c.is_ascii_digit()));
    assert!(steps.count() <= 4, "{report}");
    assert!(report.contains("unsubscribe"), "{report}");
}

#[test]
fn what_depends_on_the_thread_is_found_by_looking_for_an_order() {
    caught(Breakage::OtherThreadsQueueTwice, "CON-06");
    passed(Breakage::OtherThreadsQueueTwice, "QUE-01");
}

#[test]
fn half_a_batch_is_found_by_dropping_it_where_it_waits() {
    caught(Breakage::HalfBeforeAWait, "CON-07");
    passed(Breakage::HalfBeforeAWait, "ATO-13");
    passed(Breakage::HalfBeforeAWait, "ATO-14");
}

#[test]
fn a_store_that_does_not_make_wait_is_found_by_a_thousand_submits() {
    caught(Breakage::RefusesTheHundredth, "CON-08");
    passed(Breakage::RefusesTheHundredth, "CON-01");
}

#[test]
fn a_store_that_takes_the_thread_is_found_by_others_of_the_thread() {
    caught(Breakage::TakesTheThread, "CON-09");
    passed(Breakage::TakesTheThread, "CON-08");
}

#[test]
fn a_batch_that_is_applied_again_is_found_by_losing_its_answer() {
    caught(Breakage::AgainUnlessAwaited, "FAU-02");
    passed(Breakage::AgainUnlessAwaited, "MOD-01");
}

#[test]
fn a_store_without_keys_that_claims_them_is_found_by_a_batch_in_doubt() {
    caught(Breakage::HasNoKeys, "FAU-04");
}

#[test]
fn a_number_that_a_failed_commit_told_and_that_is_given_again_is_found_by_a_careful_caller() {
    let report = caught(Breakage::GivesNumbersAgain, "FAU-05");
    assert!(report.contains("Seq(2)") && report.contains("Seq(3)"), "{report}");
    passed(Breakage::GivesNumbersAgain, "QUE-01");
}
