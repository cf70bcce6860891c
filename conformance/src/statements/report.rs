//! What a run found: by case, by statement, and as a table by part of the standard.

use std::fmt::Write as _;
use std::time::Duration;

use opifex_packet::Version;

use super::early_end::EarlyEnd;
use super::manifest::{self, Statement};
use super::runner::{CaseReport, CaseVerdict};

mod json;

/// See the module's documentation.
#[derive(Debug)]
pub struct Report {
    /// The cases that ran, in the order of the chapters.
    pub cases: Vec<CaseReport>,
    /// How long the run took.
    pub duration: Duration,
    /// Versions that were asked for, and that the broker refuses as a whole: why.
    pub refused: Vec<(Version, String)>,
    /// Why not all cases ran.
    pub ended_early: Option<EarlyEnd>,
    /// Cases that did not run.
    pub not_run: usize,
}

/// What a run says of one statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum StatementVerdict {
    /// A case failed.
    Failed,
    /// All cases that show it passed.
    Passed,
    /// Some passed; the others need something that the broker is not set up with, or did not run.
    PassedInPart,
    /// Its cases need something that the broker is not set up with.
    NotApplicable,
    /// Nothing on the wire shows it.
    Exempt,
    /// It binds clients, of which a broker shows nothing.
    BindsClients,
    /// None of its cases ran.
    NotRun,
}

impl StatementVerdict {
    /// In the order of the table.
    pub const ALL: [StatementVerdict; 7] = [
        StatementVerdict::Passed,
        StatementVerdict::PassedInPart,
        StatementVerdict::Failed,
        StatementVerdict::NotApplicable,
        StatementVerdict::Exempt,
        StatementVerdict::BindsClients,
        StatementVerdict::NotRun,
    ];

    /// The word in reports.
    pub fn name(self) -> &'static str {
        match self {
            StatementVerdict::Passed => "passed",
            StatementVerdict::PassedInPart => "passed in part",
            StatementVerdict::Failed => "failed",
            StatementVerdict::NotApplicable => "not applicable",
            StatementVerdict::Exempt => "exempt",
            StatementVerdict::BindsClients => "binds clients",
            StatementVerdict::NotRun => "not run",
        }
    }
}

impl Report {
    /// Whether everything that was asked for was asked of the broker, and nothing failed.
    pub fn holds(&self) -> bool {
        self.failures().next().is_none() && self.refused.is_empty() && self.ended_early.is_none()
    }

    /// The cases that failed.
    pub fn failures(&self) -> impl Iterator<Item = &CaseReport> {
        self.cases.iter().filter(|case| matches!(case.verdict, CaseVerdict::Failed(_)))
    }

    /// The versions that were spoken.
    pub fn versions(&self) -> Vec<Version> {
        let mut versions: Vec<_> = self.cases.iter().map(|case| case.version).collect();
        versions.sort();
        versions.dedup();
        versions
    }

    /// What the run says of each statement of a version.
    pub fn statements(&self, version: Version) -> Vec<(Statement, StatementVerdict)> {
        let statements = manifest::statements(version).into_iter();
        statements.map(|statement| (statement.clone(), self.verdict(version, &statement))).collect()
    }

    fn verdict(&self, version: Version, statement: &Statement) -> StatementVerdict {
        let cases = self.cases.iter().filter(|case| case.version == version);
        let shown = cases.filter(|case| case.statements.contains(&statement.id.as_str()));
        let mut passed = 0;
        let mut applies = true;
        for case in shown {
            match case.verdict {
                CaseVerdict::Failed(_) => return StatementVerdict::Failed,
                CaseVerdict::Passed => passed += 1,
                CaseVerdict::NotApplicable(_) => applies = false,
            }
        }
        match &statement.exempt {
            _ if passed > 0 && passed == statement.cases.len() => StatementVerdict::Passed,
            _ if passed > 0 => StatementVerdict::PassedInPart,
            _ if !applies => StatementVerdict::NotApplicable,
            Some(_) => StatementVerdict::Exempt,
            None if statement.cases.is_empty() => StatementVerdict::BindsClients,
            None => StatementVerdict::NotRun,
        }
    }

    /// The failures, and the table, for people.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for case in self.failures() {
            text += &self.failure(case);
        }
        for version in self.versions() {
            text += &self.table(version);
        }
        let count =
            |wanted: fn(&CaseVerdict) -> bool| self.cases.iter().filter(|case| wanted(&case.verdict)).count();
        let _ = writeln!(
            text,
            "{} cases in {:.1} s: {} passed, {} failed, {} not applicable",
            self.cases.len(),
            self.duration.as_secs_f64(),
            count(|verdict| *verdict == CaseVerdict::Passed),
            count(|verdict| matches!(verdict, CaseVerdict::Failed(_))),
            count(|verdict| matches!(verdict, CaseVerdict::NotApplicable(_))),
        );
        for (version, why) in &self.refused {
            let _ = writeln!(text, "MQTT {version} was refused as a whole: {why}");
        }
        if let Some(why) = &self.ended_early {
            let _ = writeln!(text, "ended early, {} cases were not run: {why}", self.not_run);
            for case in why.beside() {
                let _ = writeln!(text, "  under way: {case}");
            }
        }
        text
    }

    /// A failed case: which statements it shows, what was expected and came, and everything that was said.
    pub fn failure(&self, case: &CaseReport) -> String {
        let mut text = format!("FAILED {} in MQTT {}\n", case.id, case.version);
        let statements = manifest::statements(case.version);
        for id in case.statements {
            let label = statements.iter().find(|statement| statement.id == *id);
            let _ = writeln!(text, "  [{id}] {}", label.map_or("", |statement| &statement.label));
        }
        if let CaseVerdict::Failed(why) = &case.verdict {
            let _ = writeln!(text, "  {why}");
        }
        for line in &case.transcript {
            let _ = writeln!(text, "    {line}");
        }
        text + "\n"
    }

    /// Statements by part of the standard and verdict, of one version.
    fn table(&self, version: Version) -> String {
        let statements = self.statements(version);
        let mut chapters: Vec<String> = Vec::new();
        for (statement, _) in &statements {
            if !chapters.contains(&statement.chapter()) {
                chapters.push(statement.chapter());
            }
        }
        chapters.sort_by_key(|chapter| {
            chapter.split('.').map(|number| number.parse::<u32>().unwrap_or(0)).collect::<Vec<_>>()
        });
        let mut text = format!("MQTT {version}, statements by section\n{:<9}", "section");
        for verdict in StatementVerdict::ALL {
            let _ = write!(text, "{:>15}", verdict.name());
        }
        text.push('\n');
        let row = |name: &str, chosen: &dyn Fn(&Statement) -> bool| {
            let mut line = format!("{name:<9}");
            for verdict in StatementVerdict::ALL {
                let of = |(statement, found): &&(Statement, StatementVerdict)| {
                    *found == verdict && chosen(statement)
                };
                let _ = write!(line, "{:>15}", statements.iter().filter(of).count());
            }
            line + "\n"
        };
        for chapter in &chapters {
            text += &row(chapter, &|statement| statement.chapter() == *chapter);
        }
        text += &row("all", &|_| true);
        text + "\n"
    }

    /// Everything, as one JSON object.
    pub fn json(&self) -> String {
        json::report(self)
    }
}
