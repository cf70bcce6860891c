//! A report for people: the head, the totals, what is not simply passed or says how much it checked, then every case.

use super::rows::{Row, Rows};
use crate::Verdict;

/// The whole report as a page.
pub(super) fn report(rows: &Rows) -> String {
    let mut text = String::new();
    if let Some(head) = &rows.head {
        let backend = if head.backend.is_empty() { "(no store could be opened)" } else { &head.backend };
        text += &format!("# {}: the backend `{backend}`\n\n", cell(&head.factory));
        text += &format!(
            "opifex-conformance {}, tier {}, {} build.\n\n| declared | |\n| --- | --- |\n",
            head.version, head.tier, head.build
        );
        for (name, value) in &head.declared {
            text += &format!("| {} | {} |\n", cell(name), cell(value));
        }
    }
    let not_run = rows.not_run();
    text += "\n| verdict | cases |\n| --- | ---: |\n";
    for verdict in Verdict::ALL {
        text += &format!("| {verdict} | {} |\n", rows.count(verdict));
    }
    text += &format!("| not run | {} |\n", not_run.len());

    let is_notable = |row: &&Row| row.verdict != Verdict::Passed || row.reason.is_some();
    let mut notable: Vec<_> = rows.by_id.values().filter(is_notable).collect();
    // Stable, so by id among equals: what failed first.
    notable.sort_by_key(|row| Verdict::ALL.iter().rev().position(|verdict| *verdict == row.verdict));
    if !notable.is_empty() {
        text += "\n## Not simply passed, or passed with more to say\n\n| case | verdict | capability | reason |\n| --- | --- | --- | --- |\n";
        for row in notable {
            text += &format!(
                "| {} `{}::{}` | {} | {} | {} |\n",
                cell(&row.id),
                row.group,
                row.name,
                row.verdict,
                cell(row.capability.as_deref().unwrap_or_default()),
                cell(row.reason.as_deref().unwrap_or_default()),
            );
        }
    }

    text += "\n## All cases\n\n| case | | verdict | capability | ms |\n| --- | --- | --- | --- | ---: |\n";
    let mut lines: Vec<_> = rows.by_id.values().map(|row| (row.id.as_str(), line(row))).collect();
    lines.extend(
        not_run.iter().map(|case| {
            (case.id, format!("| {} | `{}::{}` | not run | | |\n", case.id, case.group, case.name))
        }),
    );
    lines.sort();
    text.extend(lines.into_iter().map(|(_, line)| line));
    text
}

fn line(row: &Row) -> String {
    let ms = row.duration.as_secs_f64() * 1000.0;
    let capability = cell(row.capability.as_deref().unwrap_or_default());
    format!(
        "| {} | `{}::{}` | {} | {capability} | {ms:.1} |\n",
        cell(&row.id),
        row.group,
        row.name,
        row.verdict
    )
}

/// Text that a table's cell can hold.
fn cell(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    line.replace('\\', "\\\\").replace('|', "\\|").replace('<', "&lt;")
}
