//! The broker holds every statement that binds a server, with every backend.

use std::collections::BTreeMap;

use opifex_conformance::statements::{Report, StatementVerdict};

use crate::backend::Backend;
use crate::house::House;

/// Statements about servers that leave something out which this broker always has.
const ALWAYS_OFFERED: &[&str] = &["U5-17"];

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
        let open: Vec<_> = verdicts
            .iter()
            .filter(|((_, id), _)| !ALWAYS_OFFERED.contains(&id.as_str()))
            .filter(|(_, verdict)| {
                matches!(verdict, StatementVerdict::NotApplicable | StatementVerdict::NotRun)
            })
            .collect();
        assert!(open.is_empty(), "no setting shows {} statements: {open:#?}", open.len());
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
