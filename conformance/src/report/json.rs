//! A report for programs.
//!
//! ```json
//! {
//!   "backend": "sqlite", "factory": "Sqlite", "version": "0.1.0", "tier": "quick", "build": "debug",
//!   "declared": {"max_durability": "disk", "...": "..."},
//!   "totals": {"passed": 219, "...": 0, "not run": 0},
//!   "cases": [{"id": "ATO-01", "group": "atomicity", "name": "a_batch", "verdict": "passed", "seconds": 0.001,
//!              "capability": null, "reason": null}]
//! }
//! ```

use super::rows::{Row, Rows};
use crate::Verdict;

/// The whole report as one object. Cases that did not run are in it, with that as their verdict.
pub(super) fn report(rows: &Rows) -> String {
    let mut text = String::from("{\n");
    if let Some(head) = &rows.head {
        let named = [
            ("backend", &head.backend),
            ("factory", &head.factory),
            ("version", &head.version),
            ("tier", &head.tier),
            ("build", &head.build),
        ];
        for (name, value) in named {
            text += &format!("  {}: {},\n", string(name), string(value));
        }
        let declared =
            head.declared.iter().map(|(name, value)| format!("{}: {}", string(name), string(value)));
        text += &format!("  \"declared\": {{{}}},\n", declared.collect::<Vec<_>>().join(", "));
    }
    let not_run = rows.not_run();
    let totals =
        Verdict::ALL.map(|verdict| format!("{}: {}", string(&verdict.to_string()), rows.count(verdict)));
    text += &format!("  \"totals\": {{{}, \"not run\": {}}},\n", totals.join(", "), not_run.len());

    let mut cases: Vec<_> = rows.by_id.values().map(|row| (row.id.as_str(), case(row))).collect();
    cases.extend(not_run.iter().map(|case| {
        let [id, group, name] = [case.id, case.group, case.name].map(string);
        (case.id, format!(r#"{{"id": {id}, "group": {group}, "name": {name}, "verdict": "not run"}}"#))
    }));
    cases.sort();
    let cases: Vec<_> = cases.into_iter().map(|(_, case)| format!("    {case}")).collect();
    text += &format!("  \"cases\": [\n{}\n  ]\n}}\n", cases.join(",\n"));
    text
}

fn case(row: &Row) -> String {
    let optional = |text: &Option<String>| text.as_deref().map_or("null".to_owned(), string);
    format!(
        r#"{{"id": {}, "group": {}, "name": {}, "verdict": {}, "seconds": {:.6}, "capability": {}, "reason": {}}}"#,
        string(&row.id),
        string(&row.group),
        string(&row.name),
        string(&row.verdict.to_string()),
        row.duration.as_secs_f64(),
        optional(&row.capability),
        optional(&row.reason),
    )
}

/// A string as RFC 8259, section 7 writes it.
fn string(text: &str) -> String {
    let mut quoted = String::from("\"");
    for letter in text.chars() {
        match letter {
            '"' => quoted += "\\\"",
            '\\' => quoted += "\\\\",
            '\n' => quoted += "\\n",
            '\r' => quoted += "\\r",
            '\t' => quoted += "\\t",
            '\0'..='\x1f' => quoted += &format!("\\u{:04x}", u32::from(letter)),
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted
}
