//! The list of statements: every rule of MQTT 3.1.1 and 5.0 that has a number, and those of 5.0 that have none (`U5-n`).
//!
//! For each there are the cases that show it of a broker, the tests that show it of our client, or why there is neither: it is
//! *exempt*, with the reason. The labels are short; the rule is the section of
//! the OASIS standard. Cases and tests declare what they show, and the lists of them in the files are made from that: a test
//! of this crate, and one of the client's, compare them, and write them when `OPIFEX_WRITE_MANIFEST=1` is set.

use opifex_packet::Version;
use serde::Deserialize;

/// One normative statement.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Statement {
    /// `MQTT-3.1.0-2`, or `U5-12` for a rule of 5.0 without a number.
    pub id: String,
    /// The section of the standard that has the rule.
    pub section: String,
    /// Who is bound: `server`, `client` or `both`.
    pub role: String,
    /// The rule in a few words.
    pub label: String,
    /// The tests of our client that show it, in `client/tests/statements`: what binds clients, no broker can be asked. Where
    /// the role is `both` they stand beside the cases.
    #[serde(default)]
    pub client_tests: Vec<String>,
    /// Why a statement whose role is `both` has nothing that a client can be tested on.
    #[serde(default)]
    pub client_exempt: Option<String>,
    /// What a statement whose role is `both` has no test of the client for yet.
    #[serde(default)]
    pub client_pending: Option<String>,
    /// The cases that show it.
    #[serde(default)]
    pub cases: Vec<String>,
    /// Why no case shows it.
    #[serde(default)]
    pub exempt: Option<String>,
    /// What shows of this broker what no case shows of any: `broker/tests/x.rs::name_of_a_test`.
    #[serde(default)]
    pub exempt_test: Option<String>,
}

/// The statements of one file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Part {
    /// In the order of the standard.
    pub statement: Vec<Statement>,
}

/// The files, by version.
pub const FILES: [(Version, &str, &str); 3] = [
    (Version::V3_1_1, "mqtt311.toml", include_str!("../../statements/mqtt311.toml")),
    (Version::V5_0, "mqtt5.toml", include_str!("../../statements/mqtt5.toml")),
    (Version::V5_0, "mqtt5-unnumbered.toml", include_str!("../../statements/mqtt5-unnumbered.toml")),
];

/// The statements of a version, in the order of the standard.
pub fn statements(version: Version) -> Vec<Statement> {
    let files = FILES.iter().filter(|(of, _, _)| *of == version);
    files
        .flat_map(|(_, _, text)| toml::from_str::<Part>(text).expect("a test reads the manifest").statement)
        .collect()
}

/// Whether an id is this one or one below it: `MQTT-3.3.1-2` is within `MQTT-3.3`, and not within `MQTT-3.3.1-20`.
pub fn is_within(id: &str, prefix: &str) -> bool {
    let Some(rest) = id.strip_prefix(prefix) else { return false };
    let goes_on = |character: char| character.is_ascii_digit();
    prefix.ends_with(['.', '-']) || !rest.starts_with(goes_on)
}

/// Whether this Rust source has a `#[test]` of that name that always runs: an attribute of its own line, and nothing but other
/// attributes between it and the function.
pub fn has_test(source: &str, name: &str) -> bool {
    let lines: Vec<_> = source.lines().map(str::trim).collect();
    let is_named = |line: &str| {
        let function = line.strip_prefix("async ").unwrap_or(line).strip_prefix("fn ");
        function.is_some_and(|rest| rest.strip_prefix(name).is_some_and(|rest| rest.starts_with('(')))
    };
    (0..lines.len()).filter(|&place| is_named(lines[place])).any(|place| {
        let mut attributes = lines[..place].iter().rev().take_while(|line| line.starts_with("#["));
        let may_be_left_out = |line: &&str| line.starts_with("#[ignore") || line.starts_with("#[cfg");
        !attributes.clone().any(may_be_left_out)
            && attributes.any(|line| matches!(*line, "#[test]" | "#[tokio::test]"))
    })
}

impl Statement {
    /// The part of the standard that a report lists it under: `3.1`, `4.7`; of several (`3.4-3.7`) the first.
    pub fn chapter(&self) -> String {
        let first = self.section.split('-').next().unwrap_or_default();
        first.split('.').take(2).collect::<Vec<_>>().join(".")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_is_more_than_its_name() {
        assert!(has_test("    #[test]\n    fn one() {\n", "one"));
        assert!(has_test("#[test]\n#[should_panic]\nasync fn one() {}", "one"));
        for none in [
            "// #[test]\n// fn one() {}",
            "fn one() {}",
            "#[test]\nfn one_more() {}",
            "#[test]\nfn other() {}\nfn one() {}",
            "#[test]\n// fn one() {}\nfn other() {}",
            "#[test]\nfn other() { one() }",
            "#[test]\n#[ignore = \"slow\"]\nfn one() {}",
            "#[cfg(windows)]\n#[test]\nfn one() {}",
        ] {
            assert!(!has_test(none, "one"), "{none}");
        }
    }

    #[test]
    fn every_statement_stands_under_a_part_of_the_standard() {
        for statement in FILES.iter().flat_map(|(version, _, _)| statements(*version)) {
            let chapter = statement.chapter();
            let numbers: Vec<_> = chapter.split('.').map(str::parse::<u8>).collect();
            assert!(matches!(numbers[..], [Ok(_), Ok(_)]), "{}: {chapter}", statement.id);
        }
    }

    #[test]
    fn a_section_holds_its_statements_and_no_longer_number() {
        assert!(is_within("MQTT-3.3.1-2", "MQTT-3.3"));
        assert!(is_within("MQTT-3.3.1-2", "MQTT-3.3.1-2"));
        assert!(!is_within("MQTT-3.3.1-20", "MQTT-3.3.1-2"));
        assert!(!is_within("MQTT-3.10.1-1", "MQTT-3.1"));
        assert!(is_within("MQTT-3.1.0-1", "MQTT-3."));
    }
}
