//! The tests and the manifest of statements, held against each other both ways. The manifest's lists of tests are written by
//! `OPIFEX_WRITE_MANIFEST=1`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use opifex_conformance::statements::manifest::{FILES, Statement, statements};
use opifex_packet::Version;

use crate::Shows;

const CHAPTERS: &[&[Shows]] = &[
    crate::connect::SHOWN,
    crate::connecting::SHOWN,
    crate::keep_alive::SHOWN,
    crate::packet_ids::SHOWN,
    crate::limits::SHOWN,
    crate::receiving::SHOWN,
    crate::order::SHOWN,
    crate::subscribing::SHOWN,
    crate::authenticating::SHOWN,
    crate::ending::SHOWN,
    crate::transport::SHOWN,
    crate::websocket::SHOWN,
    crate::text::SHOWN,
    crate::framing::SHOWN,
    crate::properties::SHOWN,
    crate::aliases::SHOWN,
    crate::qos::SHOWN,
    crate::quota::SHOWN,
    crate::reasons::SHOWN,
    crate::session::SHOWN,
    crate::violations::SHOWN,
];

const VERSIONS: [Version; 2] = [Version::V3_1_1, Version::V5_0];

/// The tests that show each statement of a version.
fn declared(version: Version) -> BTreeMap<&'static str, Vec<&'static str>> {
    let mut declared: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for shows in CHAPTERS.iter().copied().flatten().filter(|shows| shows.version == version) {
        for id in shows.ids {
            declared.entry(*id).or_default().push(shows.test);
        }
    }
    declared
}

#[test]
fn every_test_shows_statements_that_bind_clients() {
    for version in VERSIONS {
        let binding = statements(version).into_iter().filter(|statement| statement.role != "server");
        let binding: BTreeSet<_> = binding.map(|statement| statement.id).collect();
        for (id, tests) in declared(version) {
            assert!(binding.contains(id), "{tests:?} show {id}, which binds no client of {version}");
        }
    }
}

#[test]
fn every_statement_that_binds_clients_has_a_test_or_one_reason_to_have_none() {
    for version in VERSIONS {
        let declared = declared(version);
        for statement in statements(version) {
            let Statement { id, role, client_exempt, client_pending, .. } = &statement;
            let reasons = usize::from(client_exempt.is_some()) + usize::from(client_pending.is_some());
            match (declared.contains_key(id.as_str()), reasons) {
                _ if role == "server" => assert_eq!(reasons, 0, "{version} {id} binds no client"),
                (true, 0) | (false, 1) => {}
                _ => panic!("{version} {id} needs either a test of the client or one reason to have none"),
            }
            for reason in [client_exempt, client_pending].into_iter().flatten() {
                assert_eq!(role, "both", "{version} {id}: what binds clients alone has a test");
                assert!(reason.len() > 40, "{version} {id}: a reason argues its case");
            }
        }
    }
}

/// A file of the manifest with its lists of tests made anew.
fn with_tests(text: &str, declared: &BTreeMap<&'static str, Vec<&'static str>>) -> String {
    let mut made = String::new();
    let mut id = String::new();
    for line in text.lines().filter(|line| !line.starts_with("client_tests = ")) {
        if let Some(quoted) = line.strip_prefix("id = ") {
            id = quoted.trim_matches('"').to_owned();
        }
        made += line;
        made.push('\n');
        if line.starts_with("role = ")
            && let Some(tests) = declared.get(id.as_str())
        {
            made += &format!("client_tests = {tests:?}\n");
        }
    }
    made
}

#[test]
fn the_manifest_lists_for_each_statement_the_tests_that_show_it() {
    let write = std::env::var_os("OPIFEX_WRITE_MANIFEST").is_some();
    for (version, name, text) in FILES {
        let made = with_tests(text, &declared(version));
        if write {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../conformance/statements");
            std::fs::write(folder.join(name), made).unwrap();
        } else {
            assert!(
                made == text,
                "{name} is not what the tests declare: run them with OPIFEX_WRITE_MANIFEST=1"
            );
        }
    }
}
