//! Each oracle of the kit has a store that nothing else finds broken: it passes every other case. Cases over many records
//! are left out here, as in the table of all mutants.
//!
//! | oracle | looks for | the store that it alone finds |
//! | --- | --- | --- |
//! | contract (its cases, one behaviour each) | what each call answers | a will's long payload loses its end |
//! | model (`MOD-`) | where histories lead that nobody wrote | what the receiver has acknowledged gives way to newer messages |
//! | linearizability (`CON-06`) | whether what threads saw at once has an order | other threads hear that all was done, also what was absent |
//! | cancellation (`CON-07`) | what a dropped call leaves | a submit that is dropped leaves half of its batch |
//! | canary (`CON-09`) | whether others of the thread run | waiting for durability takes the thread |
//! | back-pressure (`CON-08`, and the canary, which submits as many) | whether a thousand calls wait for their turn | the hundredth is refused |
//! | faults (`FAU-`) | what a failure leaves | a batch in doubt is applied again when the store is opened |
//! | crash (`CRA-`) | what a kill leaves | an engine that writes late |
//! | power (`POW-`) | what a power loss leaves | an engine that does not sync |

use opifex_conformance::{Case, Factory, Verdict, cases, judge_by_id};

use crate::log_engine::{Flaw, OverLog};
use crate::matrix::LARGE;
use crate::mutant::{Found, judge};
use crate::stores::{Breakage, Stores};

/// All cases but those over many records; those first that start the test as their own child.
fn all() -> Vec<&'static Case> {
    let mut all: Vec<_> = cases().iter().filter(|case| !LARGE.contains(&case.id)).collect();
    all.sort_by_key(|case| !["crash", "power"].contains(&case.group));
    all
}

/// The cases that find it are the oracle's own.
#[track_caller]
fn found_by_alone(own: &[&str], finds: impl Fn(&'static str) -> bool) {
    println!("What fails below is meant to:");
    let found: Vec<_> = all().into_iter().map(|case| case.id).filter(|id| finds(id)).collect();
    assert!(!found.is_empty(), "nothing finds it");
    let others: Vec<_> = found.iter().filter(|id| !own.iter().any(|own| id.starts_with(own))).collect();
    assert!(others.is_empty(), "{others:?} find it, too");
}

/// One of the table's.
#[track_caller]
fn mutant_is_found_by_alone(own: &[&str], name: &str) {
    let mutant = crate::table().find(|mutant| mutant.name == name).expect("it is in the table");
    found_by_alone(own, |id| judge(mutant.make, id) != Found::Passed);
}

/// Stores of a factory.
#[track_caller]
fn stores_are_found_by_alone<F: Factory>(own: &[&str], factory: impl Fn() -> F) {
    found_by_alone(own, |id| judge_by_id(factory(), id).verdict == Verdict::Failed);
}

#[test]
fn one_case_of_the_contract_alone_finds_a_long_will_cut() {
    mutant_is_found_by_alone(&["FID-13"], "long_wills_lose_their_end");
}

#[test]
fn histories_alone_find_what_no_case_goes_through() {
    mutant_is_found_by_alone(&["MOD-01"], "what_was_released_gives_way");
}

#[test]
fn looking_for_an_order_alone_finds_what_depends_on_the_thread() {
    stores_are_found_by_alone(&["CON-06"], || Stores(Breakage::OtherThreadsHearDone));
}

#[test]
fn dropped_calls_alone_find_half_a_batch() {
    stores_are_found_by_alone(&["CON-07"], || Stores(Breakage::UnretainsUnlessAnswered));
}

#[test]
fn the_canary_alone_finds_a_store_that_takes_the_thread() {
    stores_are_found_by_alone(&["CON-09"], || Stores(Breakage::TakesTheThread));
}

#[test]
fn a_thousand_calls_alone_find_a_store_that_does_not_make_wait() {
    stores_are_found_by_alone(&["CON-08", "CON-09"], || Stores(Breakage::RefusesTheHundredth));
}

#[test]
fn failures_alone_find_a_batch_that_is_applied_again() {
    stores_are_found_by_alone(&["FAU-"], || Stores(Breakage::AgainWhenOpened));
}

#[test]
fn kills_alone_find_an_engine_that_writes_late() {
    stores_are_found_by_alone(&["CRA-"], || OverLog(Flaw::Late));
}

#[test]
fn power_losses_alone_find_an_engine_that_does_not_sync() {
    stores_are_found_by_alone(&["POW-"], || OverLog(Flaw::NoSync));
}
