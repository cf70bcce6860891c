//! The rows of a report between two cases: text that is read back, one row a line.
//!
//! Only this module reads it; what others read is JSON and Markdown.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Head;
use crate::{Case, Judgement, Verdict, cases};

/// A reason longer than this is cut: a case may panic with whole messages in its words.
const MAX_REASON_CHARS: usize = 1_000;

/// What came of one case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) id: String,
    pub(super) group: String,
    pub(super) name: String,
    pub(super) verdict: Verdict,
    pub(super) duration: Duration,
    pub(super) capability: Option<String>,
    pub(super) reason: Option<String>,
}

impl Row {
    pub(super) fn new(case: Case, judgement: &Judgement) -> Row {
        let cut = |reason: &String| match reason.char_indices().nth(MAX_REASON_CHARS) {
            Some((at, _)) => format!("{} ... ({} bytes)", &reason[..at], reason.len()),
            None => reason.clone(),
        };
        Row {
            id: case.id.to_owned(),
            group: case.group.to_owned(),
            name: case.name.to_owned(),
            verdict: judgement.verdict,
            duration: judgement.duration,
            capability: judgement.capability.clone(),
            reason: judgement.reason.as_ref().map(cut),
        }
    }
}

/// The head and all rows, by id.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Rows {
    pub(super) head: Option<Head>,
    pub(super) by_id: BTreeMap<String, Row>,
}

impl Rows {
    /// These and another one. Rows of an earlier run that was another one go.
    pub(super) fn with(mut self, head: &Head, row: Row) -> Result<Rows, String> {
        if let Some(known) = &self.head {
            let backends = [&known.backend, &head.backend];
            if known.factory != head.factory
                || (backends[0] != backends[1] && !backends.contains(&&String::new()))
            {
                return Err(format!(
                    "two factories share a report: `{}` of the backend `{}` and `{}` of `{}`. Give each a name of its own \
                     (`Factory::name`), or remove the report",
                    known.factory, known.backend, head.factory, head.backend
                ));
            }
            if !known.goes_with(head) {
                self = Rows::default();
            }
        }
        // What is known of the backend stays known when another case could not open it.
        if self.head.as_ref().is_none_or(|known| known.backend.is_empty()) {
            self.head = Some(head.clone());
        }
        self.by_id.insert(row.id.clone(), row);
        Ok(self)
    }

    /// How many cases came to this verdict.
    pub(super) fn count(&self, verdict: Verdict) -> usize {
        self.by_id.values().filter(|row| row.verdict == verdict).count()
    }

    /// The cases that there are and that did not run, by id.
    pub(super) fn not_run(&self) -> Vec<Case> {
        let mut missing: Vec<_> =
            cases().iter().filter(|case| !self.by_id.contains_key(case.id)).copied().collect();
        missing.sort_by_key(|case| case.id);
        missing
    }

    pub(super) fn to_text(&self) -> String {
        let mut lines = Vec::new();
        if let Some(head) = &self.head {
            let Head { factory, version, tier, build, backend, declared } = head;
            let declared = declared.iter().flat_map(|(name, value)| [name, value]);
            lines.push(line([factory, version, tier, build, backend].into_iter().chain(declared)));
        }
        for row in self.by_id.values() {
            let verdict = row.verdict.to_string();
            let nanos = row.duration.as_nanos().to_string();
            let absent = String::new();
            // What is absent and what is empty are the same here.
            let optional = [&row.capability, &row.reason].map(|text| text.as_ref().unwrap_or(&absent));
            lines.push(line([&row.id, &row.group, &row.name, &verdict, &nanos].into_iter().chain(optional)));
        }
        lines.concat()
    }

    pub(super) fn parse(text: &str) -> Result<Rows, String> {
        let mut lines = text.lines();
        let head = lines.next().map(parse_head).transpose()?;
        let rows = lines.map(|line| parse_row(line).map(|row| (row.id.clone(), row)));
        Ok(Rows { head, by_id: rows.collect::<Result<_, _>>()? })
    }
}

fn parse_head(line: &str) -> Result<Head, String> {
    let fields = fields(line);
    let [factory, version, tier, build, backend, declared @ ..] = &fields[..] else {
        return Err(not_ours(line));
    };
    let [factory, version, tier, build, backend] =
        [factory, version, tier, build, backend].map(|text| text.to_owned());
    let pairs = declared.chunks_exact(2).map(|pair| (pair[0].clone(), pair[1].clone()));
    Ok(Head { factory, version, tier, build, backend, declared: pairs.collect() })
}

fn parse_row(line: &str) -> Result<Row, String> {
    let fields = fields(line);
    let [id, group, name, verdict, nanos, capability, reason] = &fields[..] else {
        return Err(not_ours(line));
    };
    let verdict = Verdict::ALL.into_iter().find(|known| known.to_string() == *verdict);
    let optional = |text: &String| (!text.is_empty()).then(|| text.clone());
    Ok(Row {
        id: id.clone(),
        group: group.clone(),
        name: name.clone(),
        verdict: verdict.ok_or_else(|| not_ours(line))?,
        duration: Duration::from_nanos(nanos.parse().map_err(|_| not_ours(line))?),
        capability: optional(capability),
        reason: optional(reason),
    })
}

fn not_ours(line: &str) -> String {
    format!("a file of the report was written by something else: remove the report. The line is {line:?}")
}

/// Fields between tabs; tabs, line ends and backslashes in them are escaped.
fn line<'a>(fields: impl Iterator<Item = &'a String>) -> String {
    let escaped = fields.map(|field| {
        field.replace('\\', "\\\\").replace('\t', "\\t").replace('\n', "\\n").replace('\r', "\\r")
    });
    escaped.collect::<Vec<_>>().join("\t") + "\n"
}

fn fields(line: &str) -> Vec<String> {
    let plain = |field: &str| {
        let (mut text, mut letters) = (String::new(), field.chars());
        while let Some(letter) = letters.next() {
            text.push(match letter {
                '\\' => match letters.next() {
                    Some('t') => '\t',
                    Some('n') => '\n',
                    Some('r') => '\r',
                    other => other.unwrap_or('\\'),
                },
                other => other,
            });
        }
        text
    };
    line.split('\t').map(plain).collect()
}
