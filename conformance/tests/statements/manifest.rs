//! The manifest and the cases, held against each other both ways.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use opifex_conformance::statements::cases::CHAPTERS;
use opifex_conformance::statements::manifest::{FILES, Part, Statement, statements};
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
    let ours = |line: &&str| !line.starts_with("cases = ") && *line != r#"pending = "case""#;
    let lines: Vec<_> = text.lines().filter(ours).collect();
    for (place, line) in lines.iter().enumerate() {
        if let Some(quoted) = line.strip_prefix("id = ") {
            id = quoted.trim_matches('"').to_owned();
        }
        made += line;
        made.push('\n');
        if line.starts_with("label = ") {
            let reason = lines.get(place + 1).is_some_and(|next| !next.is_empty());
            match declared.get(id.as_str()) {
                Some(cases) => made += &format!("cases = {cases:?}\n"),
                None if reason => {}
                None => made += "pending = \"case\"\n",
            }
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
fn every_statement_has_a_case_or_a_reason_to_have_none() {
    for version in VERSIONS {
        let declared = declared(version);
        for statement in statements(version) {
            let Statement { id, role, exempt, pending, .. } = &statement;
            let reasons = usize::from(exempt.is_some()) + usize::from(pending.is_some());
            match (declared.contains_key(id.as_str()), reasons) {
                (true, 0) | (false, 1) => {}
                _ => panic!("{version} {id} needs either a case or one reason to have none"),
            }
            if let Some(pending) = pending {
                assert!(["client", "websocket", "case"].contains(&pending.as_str()), "{id}");
                assert!(pending != "client" || role != "server", "{id} binds servers");
            }
            if let Some(reason) = exempt {
                assert!(reason.len() > 40, "{id}: an exemption argues its case");
            }
        }
    }
}
