//! The list of all cases with their ids, and the macro that makes tests of them.

use std::any::Any;
use std::future::Future;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;
use std::time::Instant;

use crate::report::{Head, Report};
use crate::verdict::{Notes, message_of};
use crate::{Factory, Judgement, Subject, Verdict, Waiver};

/// One case of the contract.
#[derive(Copy, Clone, Debug, PartialEq, Eq, Hash)]
pub struct Case {
    /// Stable: it stays when the name changes, and is not given twice.
    pub id: &'static str,
    /// The part of the contract; also the module that the test is in.
    pub group: &'static str,
    /// What holds; also the test's name.
    pub name: &'static str,
}

/// Runs one case on a store of its own. What it panics with is panicked with again, when it is in the report.
///
/// A child process that a case starts out of its own test must not have `OPIFEX_CONFORMANCE_REPORT`, or it reports too.
pub fn run<F, C>(factory: F, case: Case, body: impl FnOnce(Subject<F>) -> C)
where
    F: Factory,
    C: Future<Output = ()>,
{
    println!("{} {}::{}", case.id, case.group, case.name);
    let name = factory.name();
    let notes = Arc::<Notes>::default();
    let (judgement, panic) = perform(factory, case, body, &notes);
    let reported = Report::asked_for(&name)
        .map_or(Ok(()), |report| report.add(&Head::new(name, notes.capabilities()), case, &judgement));
    if judgement.verdict != Verdict::Passed || judgement.reason.is_some() {
        println!("{}: {}", judgement.verdict, judgement.reason.unwrap_or_default());
    }
    if let Some(panic) = panic {
        panic::resume_unwind(panic);
    }
    // A report that was asked for and is not there must not look like one without this case.
    reported.unwrap_or_else(|wrong| panic!("{wrong}"));
}

/// Runs one case without a report, and answers what came of it.
pub fn judge<F, C>(factory: F, case: Case, body: impl FnOnce(Subject<F>) -> C) -> Judgement
where
    F: Factory,
    C: Future<Output = ()>,
{
    perform(factory, case, body, &Arc::default()).0
}

fn perform<F, C>(
    factory: F,
    case: Case,
    body: impl FnOnce(Subject<F>) -> C,
    notes: &Arc<Notes>,
) -> (Judgement, Option<Box<dyn Any + Send>>)
where
    F: Factory,
    C: Future<Output = ()>,
{
    let begun = Instant::now();
    let result = panic::catch_unwind(AssertUnwindSafe(|| {
        let waiver = Waiver::find(factory.waivers(), case.id).unwrap_or_else(|wrong| panic!("{wrong}"));
        if waiver.is_none() {
            let factory = Arc::new(factory);
            let subject = Subject::noted(Arc::clone(&factory), Arc::clone(notes));
            factory.block_on(async { body(subject.await).await });
        }
        waiver
    }));
    let of_notes = notes.judgement(begun.elapsed());
    match result {
        Ok(None) => (of_notes, None),
        Ok(Some(waiver)) => {
            let reason = Some(waiver.reason.to_owned());
            (Judgement { verdict: Verdict::Waived, reason, ..of_notes }, None)
        }
        Err(panic) => {
            let reason = Some(message_of(&*panic));
            (Judgement { verdict: Verdict::Failed, reason, ..of_notes }, Some(panic))
        }
    }
}

/// [`run`], for the case of this id.
///
/// # Panics
///
/// As the case does, and when there is no such case.
pub fn run_by_id<F: Factory>(factory: F, id: &str) {
    crate::__contract! { [crate::__by_id] run, factory, id }
}

/// [`judge`], for the case of this id.
///
/// # Panics
///
/// When there is no such case.
pub fn judge_by_id<F: Factory>(factory: F, id: &str) -> Judgement {
    crate::__contract! { [crate::__by_id] judge, factory, id }
}

/// Makes one `#[test]` of each case of the contract, in a module for each group:
/// `persistence_suite!(MyFactory)`, where the argument is an expression of a type that implements [`crate::Factory`].
#[macro_export]
macro_rules! persistence_suite {
    ($factory:expr) => {
        $crate::__contract! { [$crate::__tests] $factory }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __tests {
    ($factory:expr; $($group:ident { $($id:literal $case:ident)* })*) => {
        $(
            mod $group {
                #[allow(unused_imports)]
                use super::*;

                $(
                    #[test]
                    fn $case() {
                        let case = $crate::Case {
                            id: $id,
                            group: stringify!($group),
                            name: stringify!($case),
                        };
                        $crate::run($factory, case, $crate::contract::$group::$case);
                    }
                )*
            }
        )*
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __by_id {
    ($run:ident, $factory:ident, $wanted:ident; $($group:ident { $($id:literal $case:ident)* })*) => {
        match $wanted {
            $($(
                $id => {
                    let case = Case { id: $id, group: stringify!($group), name: stringify!($case) };
                    $run($factory, case, $crate::contract::$group::$case)
                }
            )*)*
            unknown => panic!("there is no case {unknown:?}"),
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __list {
    (; $($group:ident { $($id:literal $case:ident)* })*) => {
        &[$($($crate::Case { id: $id, group: stringify!($group), name: stringify!($case) },)*)*]
    };
}

/// All cases of the contract.
pub fn cases() -> &'static [Case] {
    crate::__contract! { [crate::__list] }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::fs;
    use std::path::Path;

    use super::*;

    #[test]
    fn every_case_is_listed_under_an_id_of_its_own() {
        let ids: HashSet<_> = cases().iter().map(|case| case.id).collect();
        assert_eq!(ids.len(), cases().len(), "an id is given twice");
        let listed: HashSet<_> =
            cases().iter().map(|case| format!("{}::{}", case.group, case.name)).collect();
        assert_eq!(listed.len(), cases().len(), "a case is listed twice");

        let mut written = HashSet::new();
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/contract");
        for file in fs::read_dir(folder).expect("the cases are in this folder") {
            let path = file.expect("a file").path();
            let group = path.file_stem().and_then(|stem| stem.to_str()).expect("a plain name").to_owned();
            for line in fs::read_to_string(&path).expect("a text").lines() {
                if let Some(rest) = line.strip_prefix("pub async fn ") {
                    let name = rest.split(['<', '(']).next().unwrap_or_default();
                    written.insert(format!("{group}::{name}"));
                }
            }
        }
        let missing: Vec<_> = written.difference(&listed).collect();
        assert!(missing.is_empty(), "written and not listed: {missing:?}");
        assert_eq!(written.len(), listed.len());
    }
}
