//! Runs the cases, many at a time: a run takes about as long as its longest case. It ends in bounded time, whatever the
//! broker does: one that is gone, or that hangs, is noticed by the case that fails first.
//!
//! Who is to be asked what stands in `runner/invited.rs`; cases that restart the broker wait for each other in
//! `restart.rs`.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use opifex_packet::Version;
use tokio::task::{Id, JoinSet};
use tokio::time::{Instant, timeout, timeout_at};

use super::case::Case;
use super::descriptor::Descriptor;
use super::early_end::EarlyEnd;
use super::probe::{Found, Unusable, still_answers};
use super::report::Report;
use super::restart::Restarts;
use super::scene::Scene;
use super::stop::Stop;
use super::target::Target;

mod invited;

/// What is run, and how.
#[derive(Clone, Debug)]
pub struct Options {
    /// The versions that are spoken.
    pub versions: Vec<Version>,
    /// Only the cases that show a statement whose id begins like this, or whose own id does.
    pub only: Option<String>,
    /// Cases at a time.
    pub concurrency: usize,
    /// The longest that one case may take.
    pub case_limit: Duration,
    /// The longest that the run may take. What has not run by then is not run.
    pub run_limit: Duration,
    /// Letters and digits, up to eight, that no other run against this broker has.
    pub name: String,
}

/// Cases at a time, unless somebody wants fewer or more.
const CONCURRENCY: usize = 32;
/// The longest that a run of so many at a time may take.
const RUN_LIMIT: Duration = Duration::from_secs(170);
/// And one of fewer.
const LONGEST_RUN_LIMIT: Duration = Duration::from_secs(900);

impl Default for Options {
    fn default() -> Options {
        Options {
            versions: vec![Version::V3_1_1, Version::V5_0],
            only: None,
            concurrency: CONCURRENCY,
            case_limit: Duration::from_secs(90),
            run_limit: RUN_LIMIT,
            name: "cf".to_owned(),
        }
    }
}

impl Options {
    /// So many cases at a time; with fewer than there are by default the run may take as much longer, up to a quarter of an hour.
    pub fn with_concurrency(self, concurrency: usize) -> Options {
        let longer = RUN_LIMIT * CONCURRENCY as u32 / concurrency.clamp(1, CONCURRENCY) as u32;
        Options { concurrency, run_limit: longer.min(LONGEST_RUN_LIMIT), ..self }
    }

    /// How many cases they ask for: one for each version that a case speaks.
    pub fn cases(&self) -> usize {
        invited::cases(self).len()
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
/// A broker that goes away in the middle ends the run: the report says so.
///
/// # Errors
/// Nobody is there, or nobody that speaks MQTT and lets us in.
pub async fn run(
    target: Arc<dyn Target>,
    descriptor: Descriptor,
    options: Options,
    progress: impl FnMut(&CaseReport),
) -> Result<Report, Unusable> {
    let started = Instant::now();
    let found = invited::probe_all(&target, &descriptor, &options).await?;
    let refused: Vec<_> = options
        .versions
        .iter()
        .filter_map(|version| found[version].refusal().map(|why| (*version, why)))
        .collect();
    let cases = invited::cases(&options);
    // The order of the report is the order of the chapters.
    let order: HashMap<(String, Version), usize> =
        cases.iter().enumerate().map(|(place, (case, version))| ((case.id(), *version), place)).collect();

    // Those that restart the broker would end the others' connections.
    let (restarting, others): (Vec<_>, Vec<_>) = cases.into_iter().partition(|(case, _)| case.restarts);
    let deadline = started + options.run_limit;
    let mut run = Run {
        target,
        descriptor: Arc::new(descriptor),
        options,
        found,
        deadline,
        progress,
        reports: Vec::new(),
        scenes: 0,
    };
    let mut ended = run.wave(others).await;
    if ended.is_ok() {
        ended = run.wave(restarting).await;
    }
    let mut reports = run.reports;
    reports.sort_by_key(|report| order.get(&(report.id.clone(), report.version)).copied());
    let not_run = order.len() - reports.len();
    Ok(Report { cases: reports, duration: started.elapsed(), refused, ended_early: ended.err(), not_run })
}

/// A run under way.
struct Run<P> {
    target: Arc<dyn Target>,
    descriptor: Arc<Descriptor>,
    options: Options,
    found: HashMap<Version, Found>,
    deadline: Instant,
    progress: P,
    reports: Vec<CaseReport>,
    /// Names that were given out.
    scenes: usize,
}

impl<P: FnMut(&CaseReport)> Run<P> {
    /// Runs these cases, so many at a time. Of those that restart the broker, the ones under way do so together, and none
    /// begins meanwhile.
    async fn wave(&mut self, cases: Vec<(&'static Case, Version)>) -> Result<(), EarlyEnd> {
        let restarts = Restarts::new(self.target.clone(), self.descriptor.clone(), self.spoken());
        let mut restarting = pin!(restarts.conduct(format!("{}up", self.options.name)));
        let mut waiting = cases.into_iter();
        let mut running = JoinSet::new();
        let mut under_way: HashMap<Id, CaseReport> = HashMap::new();
        let mut last = None;
        loop {
            while running.len() < self.options.concurrency.max(1) && !restarts.are_under_way() {
                let Some((case, version)) = waiting.next() else { break };
                let report = CaseReport::of(case, version);
                match self.scene(version, &restarts, case) {
                    Ok(scene) => {
                        let lost = report.clone();
                        let task = running.spawn(judge(case, scene, self.options.case_limit, report));
                        under_way.insert(task.id(), lost);
                    }
                    Err(verdict) => self.tell(CaseReport { verdict, ..report }),
                }
            }
            let ended = tokio::select! {
                ended = timeout_at(self.deadline, running.join_next_with_id()) => ended,
                failed = &mut restarting => return Err(EarlyEnd::Restart(failed)),
            };
            let report = match ended {
                Err(_) => return Err(EarlyEnd::Limit(self.options.run_limit)),
                Ok(None) => break,
                Ok(Some(Ok((id, report)))) => {
                    under_way.remove(&id);
                    report
                }
                Ok(Some(Err(error))) => {
                    let lost = under_way.remove(&error.id()).expect("every task has its name");
                    CaseReport {
                        verdict: CaseVerdict::Failed(format!("the case itself broke: {error}")),
                        ..lost
                    }
                }
            };
            let failed = matches!(report.verdict, CaseVerdict::Failed(_));
            let name = (report.id.clone(), report.version);
            self.tell(report);
            last = Some(name);
            if failed && !restarts.are_under_way() {
                let mut beside: Vec<_> =
                    under_way.values().map(|case| format!("{} in MQTT {}", case.id, case.version)).collect();
                beside.sort();
                self.expect_an_answer(last.take(), beside).await?;
            }
        }
        // A case that ends with the connection's end does not see that the broker ended, too.
        self.expect_an_answer(last, Vec::new()).await
    }

    fn tell(&mut self, report: CaseReport) {
        (self.progress)(&report);
        self.reports.push(report);
    }

    /// What the case is run in; the verdict, if it cannot be.
    fn scene(&mut self, version: Version, restarts: &Restarts, case: &Case) -> Result<Scene, CaseVerdict> {
        let offers = match &self.found[&version] {
            Found::Accepted(offers) => Arc::new(offers.clone()),
            refused => {
                let why = refused.refusal().unwrap_or_default();
                return Err(CaseVerdict::NotApplicable(format!("MQTT {version}, and there was: {why}")));
            }
        };
        let restart = if case.restarts {
            let what = "a restart command, of a broker that keeps its state over a restart".to_owned();
            Some(restarts.place().ok_or(CaseVerdict::NotApplicable(what))?)
        } else {
            None
        };
        self.scenes += 1;
        let name = format!("{}{}", self.options.name, self.scenes);
        Ok(Scene::new(version, self.target.clone(), self.descriptor.clone(), offers, name, restart))
    }

    /// A version that the broker accepts.
    fn spoken(&self) -> Version {
        let mut versions = self.options.versions.iter().copied();
        versions.find(|version| self.found[version].refusal().is_none()).expect("the probe found one")
    }

    /// Ends the run if the broker has answered no more since this case ended.
    async fn expect_an_answer(
        &mut self,
        since: Option<(String, Version)>,
        beside: Vec<String>,
    ) -> Result<(), EarlyEnd> {
        let Some((since, version)) = since else { return Ok(()) };
        self.scenes += 1;
        let client_id = format!("{}{}", self.options.name, self.scenes);
        let answer = still_answers(&self.target, &self.descriptor, self.spoken(), &client_id);
        match timeout_at(self.deadline, answer).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(how)) => Err(EarlyEnd::Lost { since, version, how, beside }),
            Err(_) => Err(EarlyEnd::Limit(self.options.run_limit)),
        }
    }
}

impl CaseReport {
    fn of(case: &Case, version: Version) -> CaseReport {
        CaseReport {
            id: case.id(),
            version,
            statements: case.claims_of(version).unwrap_or_default(),
            verdict: CaseVerdict::Passed,
            duration: Duration::ZERO,
            transcript: Vec::new(),
        }
    }
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
    let _ = timeout(scene.descriptor.patience(), scene.clear_away()).await;
    CaseReport { verdict, duration, transcript, ..report }
}
