//! A report for programs.
//!
//! ```json
//! {"seconds": 12.3, "refused": {"5.0": "CONNACK 0x01"}, "ended_early": null, "under_way": [], "not_run": 0,
//!  "cases": [{"id": "keep_alive::pingreq_is_answered", "version": "3.1.1", "statements": ["MQTT-3.12.4-1"],
//!             "verdict": "passed", "reason": null, "seconds": 0.01, "transcript": []}],
//!  "statements": [{"id": "MQTT-3.12.4-1", "version": "3.1.1", "section": "3.12.4", "verdict": "passed"}]}
//! ```

use serde_json::{Value, json};

use super::Report;
use crate::statements::runner::{CaseReport, CaseVerdict};

pub(super) fn report(report: &Report) -> String {
    let statements = report.versions().into_iter().flat_map(|version| {
        report.statements(version).into_iter().map(move |(statement, verdict)| {
            json!({
                "id": statement.id,
                "version": version.to_string(),
                "section": statement.section,
                "verdict": verdict.name(),
            })
        })
    });
    let refused = report.refused.iter().map(|(version, why)| (version.to_string(), json!(why)));
    let object = json!({
        "seconds": report.duration.as_secs_f64(),
        "refused": refused.collect::<serde_json::Map<_, _>>(),
        "ended_early": report.ended_early.as_ref().map(ToString::to_string),
        "under_way": report.ended_early.as_ref().map_or(&[][..], |why| why.beside()),
        "not_run": report.not_run,
        "cases": report.cases.iter().map(case).collect::<Vec<_>>(),
        "statements": statements.collect::<Vec<_>>(),
    });
    format!("{object:#}\n")
}

fn case(case: &CaseReport) -> Value {
    let (verdict, reason) = match &case.verdict {
        CaseVerdict::Passed => ("passed", None),
        CaseVerdict::Failed(why) => ("failed", Some(why)),
        CaseVerdict::NotApplicable(what) => ("not applicable", Some(what)),
    };
    json!({
        "id": case.id,
        "version": case.version.to_string(),
        "statements": case.statements,
        "verdict": verdict,
        "reason": reason,
        "seconds": case.duration.as_secs_f64(),
        "transcript": case.transcript,
    })
}
