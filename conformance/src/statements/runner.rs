//! Runs the cases, many at a time: a run takes about as long as its longest case.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use opifex_packet::Version;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use super::case::Case;
use super::cases;
use super::descriptor::Descriptor;
use super::manifest;
use super::probe::{Found, Unusable, probe};
use super::report::Report;
use super::scene::Scene;
use super::stop::Stop;
use super::target::Target;

/// What is run, and how.
pub struct Options {
    /// The versions that are spoken.
    pub versions: Vec<Version>,
    /// Only the cases that show a statement whose id begins like this, or whose own id does.
    pub only: Option<String>,
    /// Cases at a time.
    pub concurrency: usize,
    /// The longest that one case may take.
    pub case_limit: Duration,
    /// Letters and digits, up to eight, that no other run against this broker has.
    pub name: String,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            versions: vec![Version::V3_1_1, Version::V5_0],
            only: None,
            concurrency: 32,
            case_limit: Duration::from_secs(90),
            name: "cf".to_owned(),
        }
    }
}

/// What one case found.
#[derive(Clone, Debug)]
pub struct CaseReport {
    /// The case's id.
    pub id: String,
    /// The version that it spoke.
    pub version: Version,
    /// The statements that it shows.
    pub statements: &'static [&'static str],
    /// How it went.
    pub verdict: CaseVerdict,
    /// How long it took.
    pub duration: Duration,
    /// What was said, when it failed.
    pub transcript: Vec<String>,
}

/// How a case went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CaseVerdict {
    /// The broker did as it has to.
    Passed,
    /// It did not: what was expected, and what came.
    Failed(String),
    /// The broker is not set up with what this names.
    NotApplicable(String),
}

/// Runs the cases against a target. `progress` is told of each that ends.
///
/// # Errors
/// Nobody is there, or nobody that speaks MQTT and lets us in.
pub async fn run(
    target: Arc<dyn Target>,
    descriptor: Descriptor,
    options: Options,
    mut progress: impl FnMut(&CaseReport),
) -> Result<Report, Unusable> {
    let started = Instant::now();
    let found = probe_all(&target, &descriptor, &options).await?;
    let descriptor = Arc::new(descriptor);
    let mut waiting = chosen(&options);
    // The order of the report is the order of the chapters.
    let order: HashMap<(String, Version), usize> =
        waiting.iter().enumerate().map(|(place, (case, version))| ((case.id(), *version), place)).collect();
    waiting.reverse();

    let mut running = JoinSet::new();
    let mut names = HashMap::new();
    let mut reports = Vec::new();
    let mut number = 0;
    while !waiting.is_empty() || !running.is_empty() {
        while running.len() < options.concurrency.max(1) {
            let Some((case, version)) = waiting.pop() else { break };
            let statements = case.claims_of(version).unwrap_or_default();
            let report = CaseReport {
                id: case.id(),
                version,
                statements,
                verdict: CaseVerdict::Passed,
                duration: Duration::ZERO,
                transcript: Vec::new(),
            };
            let offers = match &found[&version] {
                Found::Accepted(offers) => Arc::new(offers.clone()),
                Found::Refused(why) => {
                    let verdict = CaseVerdict::NotApplicable(format!("MQTT {version}, and there was: {why}"));
                    reports.push(CaseReport { verdict, ..report });
                    progress(&reports[reports.len() - 1]);
                    continue;
                }
            };
            number += 1;
            let name = format!("{}{number}", options.name);
            let scene = Scene::new(version, target.clone(), descriptor.clone(), offers, name);
            let lost = report.clone();
            let task = running.spawn(judge(case, scene, options.case_limit, report));
            names.insert(task.id(), lost);
        }
        let Some(ended) = running.join_next_with_id().await else { continue };
        let report = match ended {
            Ok((_, report)) => report,
            Err(error) => {
                let lost = names.remove(&error.id()).expect("every task has its name");
                CaseReport { verdict: CaseVerdict::Failed(format!("the case itself broke: {error}")), ..lost }
            }
        };
        progress(&report);
        reports.push(report);
    }
    reports.sort_by_key(|report| order.get(&(report.id.clone(), report.version)).copied());
    Ok(Report::new(reports, started.elapsed()))
}

async fn judge(case: &'static Case, scene: Scene, limit: Duration, report: CaseReport) -> CaseReport {
    let started = Instant::now();
    let verdict = match timeout(limit, (case.run)(&scene)).await {
        Ok(Ok(())) => CaseVerdict::Passed,
        Ok(Err(Stop::Failed(why))) => CaseVerdict::Failed(why),
        Ok(Err(Stop::NotApplicable(what))) => CaseVerdict::NotApplicable(what),
        Err(_) => CaseVerdict::Failed(format!("the case did not end in {limit:?}")),
    };
    let transcript = match &verdict {
        CaseVerdict::Failed(_) => scene.transcript().lines(),
        _ => Vec::new(),
    };
    let duration = started.elapsed();
    // A broker that hangs here has been told on already.
    let _ = timeout(limit, scene.clear_away()).await;
    CaseReport { verdict, duration, transcript, ..report }
}

async fn probe_all(
    target: &Arc<dyn Target>,
    descriptor: &Descriptor,
    options: &Options,
) -> Result<HashMap<Version, Found>, Unusable> {
    let mut found = HashMap::new();
    for &version in &options.versions {
        let client_id = format!("{}probe{}", options.name, version.level());
        found.insert(version, probe(target, descriptor, version, &client_id).await?);
    }
    // 3.1.1 announces nothing: what 5.0 says holds for it, too.
    if let Some(Found::Accepted(known)) = found.get(&Version::V5_0).cloned()
        && let Some(Found::Accepted(offers)) = found.get_mut(&Version::V3_1_1)
    {
        *offers = known;
    } else if options.versions == [Version::V3_1_1]
        && let Ok(Found::Accepted(known)) =
            probe(target, descriptor, Version::V5_0, &format!("{}probe", options.name)).await
    {
        found.insert(Version::V3_1_1, Found::Accepted(known));
    }
    for offers in found.values_mut() {
        if let Found::Accepted(offers) = offers {
            offers.wildcards &= !descriptor.refuses_wildcards;
            offers.maximum_packet_size = match (offers.maximum_packet_size, descriptor.maximum_packet_size) {
                (Some(announced), Some(described)) => Some(announced.min(described)),
                (announced, described) => announced.or(described),
            };
        }
    }
    let accepted = found.values().any(|found| matches!(found, Found::Accepted(_)));
    if accepted {
        return Ok(found);
    }
    let refusals = options.versions.iter().filter_map(|version| match &found[version] {
        Found::Refused(why) => Some(format!("MQTT {version}: {why}")),
        Found::Accepted(_) => None,
    });
    Err(Unusable::Refuses(refusals.collect::<Vec<_>>().join("; ")))
}

/// The cases that the options ask for, each with the version that it is to speak.
fn chosen(options: &Options) -> Vec<(&'static Case, Version)> {
    let wanted = |case: &Case, statements: &[&str]| match &options.only {
        None => true,
        Some(only) => {
            case.id().starts_with(only.as_str()) || statements.iter().any(|id| manifest::is_within(id, only))
        }
    };
    let mut chosen = Vec::new();
    for chapter in cases::CHAPTERS {
        for case in chapter.cases {
            for &version in &options.versions {
                if case.claims_of(version).is_some_and(|statements| wanted(case, statements)) {
                    chosen.push((case, version));
                }
            }
        }
    }
    chosen
}
