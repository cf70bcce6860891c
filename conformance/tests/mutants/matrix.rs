//! Every mutant against the cases: who catches whom.
//!
//! Every run takes some mutants and the cases of their own groups. With a file to write the table to it is all of both,
//! which takes a while; the file has what was found so far at every moment:
//!
//! ```text
//! OPIFEX_CONFORMANCE_MATRIX=/tmp/matrix.md cargo test --release -p opifex-conformance --test mutants matrix::
//! ```
//!
//! Each mutant is judged in a process of its own, this test once more: a case that hangs or that ends its process takes
//! nothing else with it, and what it has left running ends.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::io::{BufRead, BufReader};
use std::process::{self, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::{env, fs, thread};

use opifex_conformance::{Case, cases};

use crate::broken::honest;
use crate::mutant::{Found, Mutant, judge};

/// Where the table goes; it is not asked for without.
const VARIABLE: &str = "OPIFEX_CONFORMANCE_MATRIX";

/// The mutant that a child judges, and how many of its cases were before it.
const CHILD: &str = "OPIFEX_CONFORMANCE_MATRIX_CHILD";

/// What a child's lines begin with.
const MARK: &str = "judged: ";

/// Cases over 100,000 records: one mutant each is enough for every change.
pub(crate) const LARGE: [&str; 9] =
    ["RET-16", "RET-17", "RET-18", "RET-19", "RET-20", "RET-21", "QUE-23", "QUE-25", "LIM-11"];

/// A store that breaks nothing: what it fails says nothing about the others.
const WHOLE: Mutant = Mutant { name: "whole", breaks: "nothing", case: "QUE-01", make: honest };

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

/// The cases that catch a mutant.
type Caught = Vec<(&'static Case, Found)>;

/// Runs everything on as many threads as there are processors: for each mutant the cases that catch it.
fn run(mutants: &[&'static Mutant]) -> Vec<Caught> {
    let next = AtomicUsize::new(0);
    let results: Mutex<BTreeMap<usize, Caught>> = Mutex::default();
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(mutant) = mutants.get(index) else { return };
                    let caught = catch(mutant);
                    let mut results = results.lock().expect("nobody panics with it");
                    results.insert(index, caught);
                    if let Some(path) = env::var_os(VARIABLE) {
                        let known = results.iter().map(|(index, caught)| (mutants[*index], caught));
                        fs::write(path, table(known))
                            .expect("the matrix can be written where the variable says");
                    }
                }
            });
        }
    });
    results.into_inner().expect("nobody panics with it").into_values().collect()
}

/// Has a mutant judged by children, each of which goes on where the one before it ended.
fn catch(mutant: &Mutant) -> Caught {
    let cases = against(mutant);
    let mut found = Vec::new();
    while found.len() < cases.len() {
        let before = found.len();
        found.extend(child(mutant, before));
        let is_told = found.len() == cases.len() || (found.len() > before && found.ends_with(&[Found::Hung]));
        if !is_told {
            found.push(Found::Failed("it ends its process".to_owned()));
        }
    }
    cases.into_iter().zip(found).filter(|(_, found)| *found != Found::Passed).collect()
}

/// What a child says of the cases from one on. It ends with the first that hangs.
fn child(mutant: &Mutant, from: usize) -> Vec<Found> {
    let program = env::current_exe().expect("the test program has a path");
    let mut child = Command::new(program)
        .args([THIS, "--exact", "--nocapture", "--test-threads=1"])
        .env(CHILD, format!("{} {from}", mutant.name))
        // That it disagrees is enough.
        .env("OPIFEX_CONFORMANCE_SHRINK", "0")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the test program can be run once more");
    let lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
    let told = lines.map_while(Result::ok).filter_map(|line| {
        Some(match line.split_once(MARK)?.1 {
            "passed" => Found::Passed,
            "hung" => Found::Hung,
            _ => Found::Failed(String::new()),
        })
    });
    let told = told.collect();
    child.wait().expect("a child ends");
    told
}

/// Judges what the parent asks for.
fn judge_as_child(orders: &str) {
    let (name, from) = orders.split_once(' ').expect("a name and a number");
    let mutant = crate::table().chain([&WHOLE]).find(|mutant| mutant.name == name);
    let mutant = mutant.expect("a mutant that there is");
    for case in against(mutant).into_iter().skip(from.parse().expect("a number")) {
        let found = judge(mutant.make, case.id);
        let word = match found {
            Found::Passed => "passed",
            Found::Failed(_) => "failed",
            Found::Hung => "hung",
        };
        // On a line of its own, whatever the case has printed.
        println!("\n{MARK}{word}");
        if found == Found::Hung {
            // What hangs may take a processor for ever.
            process::exit(0);
        }
    }
}

fn table<'a>(caught: impl Iterator<Item = (&'a Mutant, &'a Caught)>) -> String {
    let mut text = String::from("| case | what the store does wrong | cases that notice |\n|---|---|---|\n");
    for (mutant, caught) in caught {
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

/// The test below, by its name.
const THIS: &str = "matrix::no_mutant_passes_and_none_is_caught_by_chance_alone";

#[test]
fn no_mutant_passes_and_none_is_caught_by_chance_alone() {
    if let Ok(orders) = env::var(CHILD) {
        return judge_as_child(&orders);
    }
    assert_eq!(catch(&WHOLE), [], "cases fail on a store that is whole");
    // Each is run against its own case in every run: see `mutant.rs`.
    let mutants = crate::table().filter(|mutant| all() || !LARGE.contains(&mutant.case));
    let mutants: Vec<_> = mutants.step_by(if all() { 1 } else { 16 }).collect();
    let caught = run(&mutants);
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
    println!("{}", table(mutants.into_iter().zip(&caught)));
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
