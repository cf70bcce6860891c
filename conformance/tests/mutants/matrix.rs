//! Every mutant against the cases: who catches whom.
//!
//! Every run takes some mutants and the cases of their own groups. With a file to write the table to it is all of both,
//! which takes a long while:
//!
//! ```text
//! OPIFEX_CONFORMANCE_MATRIX=/tmp/matrix.md cargo test --release -p opifex-conformance --test mutants matrix::
//! ```

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::{env, fs, thread};

use opifex_conformance::{Case, cases};

use crate::mutant::{Found, Mutant, judge};

/// Where the table goes; it is not asked for without.
const VARIABLE: &str = "OPIFEX_CONFORMANCE_MATRIX";

/// Cases over 100,000 records: one mutant each is enough for every change.
pub(crate) const LARGE: [&str; 9] =
    ["RET-16", "RET-17", "RET-18", "RET-19", "RET-20", "RET-21", "QUE-23", "QUE-25", "LIM-11"];

/// The group of a case.
fn group(id: &str) -> &'static str {
    cases().iter().find(|case| case.id == id).expect("a mutant names a case that there is").group
}

/// Whether it is everything.
fn all() -> bool {
    env::var_os(VARIABLE).is_some()
}

/// The cases that a mutant is run against.
fn against(mutant: &Mutant) -> Vec<&'static Case> {
    let own = group(mutant.case);
    cases().iter().filter(|case| all() || (case.group == own && !LARGE.contains(&case.id))).collect()
}

/// Runs everything on as many threads as there are processors: for each mutant the cases that catch it.
fn run(mutants: &[&'static Mutant]) -> Vec<Vec<(&'static Case, Found)>> {
    let next = AtomicUsize::new(0);
    let results: Mutex<BTreeMap<usize, _>> = Mutex::default();
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(mutant) = mutants.get(index) else { return };
                    let caught = against(mutant).into_iter().filter_map(|case| {
                        let found = judge(mutant.make, case.id);
                        (found != Found::Passed).then_some((case, found))
                    });
                    let caught: Vec<_> = caught.collect();
                    results.lock().expect("nobody panics with it").insert(index, caught);
                }
            });
        }
    });
    results.into_inner().expect("nobody panics with it").into_values().collect()
}

fn table(mutants: &[&Mutant], caught: &[Vec<(&Case, Found)>]) -> String {
    let mut text = String::from("| case | what the store does wrong | cases that notice |\n|---|---|---|\n");
    for (mutant, caught) in mutants.iter().zip(caught) {
        let ids = caught.iter().map(|(case, found)| match found {
            Found::Hung => format!("{} (hangs)", case.id),
            _ => case.id.to_owned(),
        });
        let ids: Vec<_> = ids.collect();
        let shown = match &ids[..] {
            [first @ .., _] if ids.len() > 8 => {
                format!("{} and {} more", first[..7].join(", "), ids.len() - 7)
            }
            all => all.join(", "),
        };
        writeln!(text, "| {} | {} | {shown} |", mutant.case, mutant.breaks.trim())
            .expect("a text takes a line");
    }
    text
}

#[test]
fn no_mutant_passes_and_none_is_caught_by_chance_alone() {
    // Each is run against its own case in every run: see `mutant.rs`.
    let mutants = crate::table().filter(|mutant| all() || !LARGE.contains(&mutant.case));
    let mutants: Vec<_> = mutants.step_by(if all() { 1 } else { 16 }).collect();
    let caught = run(&mutants);
    if let Some(path) = env::var_os(VARIABLE) {
        fs::write(path, table(&mutants, &caught)).expect("the matrix can be written where the variable says");
    }
    let wrong = mutants.iter().zip(&caught).filter_map(|(mutant, caught)| {
        let by_name = caught.iter().any(|(case, _)| case.id == mutant.case);
        let in_group = caught.iter().any(|(case, _)| case.group == group(mutant.case));
        match (caught.is_empty(), in_group && by_name) {
            (true, _) => Some(format!("{} passes everything", mutant.name)),
            (_, false) => Some(format!("{} is caught by others than {}", mutant.name, mutant.case)),
            _ => None,
        }
    });
    let wrong: Vec<_> = wrong.collect();
    assert!(wrong.is_empty(), "of {} mutants: {wrong:#?}", mutants.len());
    println!("{}", table(&mutants, &caught));
}

/// Groups that no mutant is for: what they look for is not in reach of a store in memory.
const WITHOUT: [&str; 2] = ["crash", "power"];

#[test]
fn every_group_of_cases_has_a_mutant() {
    let covered: Vec<_> = crate::table().map(|mutant| group(mutant.case)).chain(WITHOUT).collect();
    let groups = cases().iter().map(|case| case.group);
    let without: Vec<_> = groups.filter(|group| !covered.contains(group)).collect();
    assert!(without.is_empty(), "{without:?}");
}
