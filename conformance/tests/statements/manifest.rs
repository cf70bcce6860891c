//! The manifest and the cases, held against each other both ways.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use opifex_conformance::statements::cases::CHAPTERS;
use opifex_conformance::statements::manifest::{FILES, Part, Statement, has_test, statements};
use opifex_packet::Version;

const VERSIONS: [Version; 2] = [Version::V3_1_1, Version::V5_0];

/// The cases that show each statement of a version.
fn declared(version: Version) -> BTreeMap<&'static str, Vec<String>> {
    let mut declared: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for case in CHAPTERS.iter().flat_map(|chapter| chapter.cases) {
        for id in case.claims_of(version).unwrap_or_default() {
            declared.entry(*id).or_default().push(case.id());
        }
    }
    declared
}

#[test]
fn there_are_as_many_statements_as_the_standards_have() {
    let count = |file: &str| {
        let (_, _, text) = FILES.iter().find(|(_, name, _)| *name == file).unwrap();
        toml::from_str::<Part>(text).unwrap().statement.len()
    };
    assert_eq!(count("mqtt311.toml"), 141);
    assert_eq!(count("mqtt5.toml"), 251);
    assert_eq!(count("mqtt5-unnumbered.toml"), 45);
}

#[test]
fn every_id_stands_once() {
    for version in VERSIONS {
        let mut seen = BTreeSet::new();
        for statement in statements(version) {
            assert!(seen.insert(statement.id.clone()), "{} stands twice in {version}", statement.id);
            assert!(["server", "client", "both"].contains(&statement.role.as_str()), "{statement:?}");
            assert!(!statement.label.is_empty(), "{statement:?}");
        }
    }
}

#[test]
fn every_case_shows_statements_that_exist() {
    for version in VERSIONS {
        let known: BTreeSet<String> = statements(version).into_iter().map(|statement| statement.id).collect();
        for (id, cases) in declared(version) {
            assert!(known.contains(id), "{cases:?} show {id}, which {version} does not have");
        }
    }
}

#[test]
fn every_case_has_a_name_of_its_own_and_shows_something() {
    let mut names = BTreeSet::new();
    for chapter in CHAPTERS {
        for case in chapter.cases {
            assert_eq!(case.chapter, chapter.name);
            assert!(names.insert(case.id()), "{} stands twice", case.id());
            assert!(!case.claims.is_empty(), "{} speaks no version", case.id());
            for claims in case.claims {
                assert!(!claims.statements.is_empty(), "{} shows nothing of {}", case.id(), claims.version);
                let ids: BTreeSet<_> = claims.statements.iter().collect();
                assert_eq!(ids.len(), claims.statements.len(), "{} shows something twice", case.id());
            }
        }
    }
}

/// A file of the manifest with its lists of cases made anew.
fn with_cases(text: &str, declared: &BTreeMap<&'static str, Vec<String>>) -> String {
    let mut made = String::new();
    let mut id = String::new();
    for line in text.lines().filter(|line| !line.starts_with("cases = ")) {
        if let Some(quoted) = line.strip_prefix("id = ") {
            id = quoted.trim_matches('"').to_owned();
        }
        made += line;
        made.push('\n');
        if line.starts_with("label = ")
            && let Some(cases) = declared.get(id.as_str())
        {
            made += &format!("cases = {cases:?}\n");
        }
    }
    made
}

#[test]
fn the_manifest_lists_for_each_statement_the_cases_that_show_it() {
    let write = std::env::var_os("OPIFEX_WRITE_MANIFEST").is_some();
    for (version, name, text) in FILES {
        let made = with_cases(text, &declared(version));
        if write {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("statements").join(name);
            std::fs::write(path, made).unwrap();
        } else {
            assert!(
                made == text,
                "{name} is not what the cases declare: run this test with OPIFEX_WRITE_MANIFEST=1"
            );
        }
    }
}

#[test]
fn every_statement_has_a_case_or_a_test_of_the_client_or_a_reason_to_have_none() {
    for version in VERSIONS {
        let declared = declared(version);
        for statement in statements(version) {
            let Statement { id, role, client_tests, exempt, .. } = &statement;
            match (declared.contains_key(id.as_str()), exempt.is_some()) {
                (true, false) | (false, true) => {}
                (false, false) if role == "client" && !client_tests.is_empty() => {}
                _ => panic!("{version} {id} needs either a case or a reason to have none"),
            }
            if let Some(reason) = exempt {
                assert!(reason.len() > 40, "{id}: an exemption argues its case");
            }
        }
    }
}

/// Statements that bind servers which do what this one does not do at all.
const NOT_OURS: &[&str] = &["MQTT-7.0.0-1"];

#[test]
fn what_no_case_shows_is_shown_of_this_broker_by_a_test_that_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    for statement in VERSIONS.into_iter().flat_map(statements) {
        let Statement { id, exempt, exempt_test, .. } = statement;
        let expected = exempt.is_some() && !NOT_OURS.contains(&id.as_str());
        assert_eq!(
            exempt_test.is_some(),
            expected,
            "{id}: an exemption names its test, and nothing else does"
        );
        let Some(test) = exempt_test else { continue };
        let (file, name) = test.split_once("::").unwrap_or_else(|| panic!("{id}: {test} is no FILE::TEST"));
        let text =
            std::fs::read_to_string(root.join(file)).unwrap_or_else(|error| panic!("{id}: {file}: {error}"));
        assert!(has_test(&text, name), "{id}: {file} has no test {name}");
    }
}
