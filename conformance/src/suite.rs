//! The list of all cases with their ids, and the macro that makes tests of them.

use std::future::Future;
use std::sync::Arc;

use crate::{Factory, Subject};

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

/// Runs one case on a store of its own.
pub fn run<F, C>(factory: F, case: Case, body: impl FnOnce(Subject<F>) -> C)
where
    F: Factory,
    C: Future<Output = ()>,
{
    println!("{} {}::{}", case.id, case.group, case.name);
    let factory = Arc::new(factory);
    let subject = Subject::new(Arc::clone(&factory));
    factory.block_on(async { body(subject.await).await });
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
