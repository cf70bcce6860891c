//! A run: load, kill, start again, load, kill ..., and once in a while quiet, in which everything that was promised has
//! to show.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use opifex_packet::PacketType;
use tempfile::TempDir;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

use crate::broker_process::BrokerProcess;
use crate::client::{Mode, Phase};
use crate::dice::Dice;
use crate::event::{Event, Recovered, Violation};
use crate::in_flight::{Census, KINDS};
use crate::journal::{Journal, Trigger, Way};
use crate::oracle::OracleTally;
use crate::probe;
use crate::roster::{Roster, roster};

/// Rounds from one full quiet, hermits and all, to the next.
const FULL_QUIET: u64 = 4;

/// What a run is to do.
pub(crate) struct Plan<'p> {
    /// Makes the command that serves a directory.
    pub(crate) broker: &'p dyn Fn(&Path) -> Command,
    pub(crate) rounds: u64,
    pub(crate) seed: u64,
    /// Longer than it takes to bring everything to an end.
    pub(crate) patience: Duration,
    /// Violations that end it.
    pub(crate) heeds: fn(&Violation) -> bool,
}

/// What a run has seen.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) rounds: u64,
    pub(crate) kills: u64,
    /// Summed over the kills.
    pub(crate) in_flight: Census,
    /// At how many kills there was any.
    pub(crate) kills_with: [u64; KINDS.len()],
    pub(crate) slowest_start: Duration,
    pub(crate) tally: OracleTally,
}

/// Promises that were broken, or a run that does not go on; with what is needed to understand it.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) violations: Vec<Violation>,
    pub(crate) text: String,
}

struct Run<'p> {
    plan: Plan<'p>,
    directory: TempDir,
    dice: Dice,
    journal: Journal,
    phase: watch::Sender<Phase>,
    roster: Roster,
    broker: BrokerProcess,
    report: Report,
    last_logs: Vec<Vec<String>>,
}

/// Runs the plan in a directory of its own. What fails is found again with the seed, as far as the scheduler lets it.
pub(crate) fn run(plan: Plan<'_>) -> Result<Report, Box<Failure>> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("it can be built");
    runtime.block_on(async {
        let directory = tempfile::Builder::new()
            .prefix("kill9-")
            .tempdir_in(env!("CARGO_TARGET_TMPDIR"))
            .expect("a directory can be made");
        let dice = Dice::new(plan.seed);
        let journal = Journal::new();
        let (phase, watched) = watch::channel(Phase { address: None, mode: Mode::Load });
        let mut roster = roster(&dice, &journal, &watched);
        let mut clients = JoinSet::new();
        for client in roster.clients.drain(..) {
            clients.spawn(client.run());
        }
        let broker =
            BrokerProcess::start(&mut (plan.broker)(directory.path())).expect("an empty store opens");
        let report = Report::default();
        let last_logs = Vec::new();
        let mut run = Run { plan, directory, dice, journal, phase, roster, broker, report, last_logs };
        run.journal.listening(run.broker.killer());
        let outcome = tokio::select! {
            outcome = run.rounds() => outcome,
            // Clients end only when they are told to.
            Some(Err(panic)) = clients.join_next() => std::panic::resume_unwind(panic.into_panic()),
        };
        run.tell(None, Mode::Stop);
        let killer = run.broker.killer();
        run.journal.kill(&killer);
        match outcome {
            Ok(()) => {
                run.report.tally = run.journal.oracle(|oracle| oracle.tally());
                Ok(run.report)
            }
            Err(violations) => Err(Box::new(run.failure(violations))),
        }
    })
}

impl Run<'_> {
    async fn rounds(&mut self) -> Result<(), Vec<Violation>> {
        for round in 1..=self.plan.rounds {
            self.report.rounds = round;
            let more_kills = if self.dice.once_in(4) { self.dice.within(1..3) } else { 0 };
            for _ in 0..=more_kills {
                self.kill().await?;
            }
            self.quiet(round, round % FULL_QUIET == 0 || round == self.plan.rounds).await?;
        }
        Ok(())
    }

    fn tell(&self, address: Option<std::net::SocketAddr>, mode: Mode) {
        self.phase.send_replace(Phase { address, mode });
    }

    /// Load until the broker dies; then it is started again.
    async fn kill(&mut self) -> Result<(), Vec<Violation>> {
        let trigger = self.trigger();
        let latest = Instant::now() + Duration::from_millis(self.dice.within(150..900));
        if let Some(trigger) = trigger {
            self.journal.arm(trigger);
        }
        self.tell(Some(self.broker.address()), Mode::Load);
        let dies = self.journal.until(Duration::from_secs(3600), |journal| !journal.broker_lives());
        tokio::select! {
            _ = dies => {}
            () = sleep_until(latest) => {
                self.journal.disarm();
                self.journal.kill(&self.broker.killer());
            }
        }
        self.broker.wait();
        self.tell(None, Mode::Load);
        let gone = self.journal.until(self.plan.patience, |journal| journal.connected().is_empty()).await;
        assert!(gone, "connections to a dead broker stay: {:?}", self.journal.connected());
        let census = self.journal.take_census();
        self.report.kills += 1;
        self.report.in_flight.add(census);
        for (kills, any) in self.report.kills_with.iter_mut().zip(census.any()) {
            *kills += u64::from(any);
        }
        println!("  round {}, kill {} ({trigger:?}): {census}", self.report.rounds, self.report.kills);
        self.found()?;
        self.start_again().await
    }

    /// What this kill waits for.
    fn trigger(&mut self) -> Option<Trigger> {
        const IN: [PacketType; 4] =
            [PacketType::Puback, PacketType::Pubcomp, PacketType::Suback, PacketType::Connack];
        let choices = KINDS.len() + IN.len() + 1;
        let choice = self.report.kills as usize % choices;
        let (way, kind) = match choice {
            0 => return None,
            n if n <= KINDS.len() => (Way::Out, KINDS[n - 1]),
            n => (Way::In, IN[n - 1 - KINDS.len()]),
        };
        let packets = match kind {
            PacketType::Connect | PacketType::Connack => self.dice.within(1..40),
            PacketType::Subscribe | PacketType::Suback => self.dice.within(1..20),
            _ => self.dice.within(1..150),
        };
        let delay = if self.dice.once_in(2) { 0 } else { self.dice.within(0..3_000) };
        Some(Trigger { way, kind, packets, delay: Duration::from_micros(delay) })
    }

    async fn start_again(&mut self) -> Result<(), Vec<Violation>> {
        let down = match self.dice.within(0..8) {
            0 => self.dice.within(500..2_500),
            _ => self.dice.within(0..100),
        };
        sleep(Duration::from_millis(down)).await;
        self.last_logs.push(self.broker.log());
        if self.dice.once_in(5) {
            self.journal.record(Event::StartKilled);
            self.kill_at_start().await;
        }
        let broken = |promise, what| vec![Violation { promise, what }];
        let started = BrokerProcess::start(&mut (self.plan.broker)(self.directory.path()));
        self.broker = started.map_err(|what| broken(6, what))?;
        self.journal.listening(self.broker.killer());
        self.report.slowest_start = self.report.slowest_start.max(self.broker.started_in());
        self.journal.record(Event::Recovered(self.recovered()));
        self.found()?;
        self.look_at_retained().await
    }

    /// Kills a broker that has hardly begun.
    async fn kill_at_start(&mut self) {
        let mut command = (self.plan.broker)(self.directory.path());
        let command = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().expect("it was started before");
        sleep(Duration::from_millis(self.dice.within(1..80))).await;
        child.kill().expect("it is not waited for");
        child.wait().expect("it was started");
    }

    /// What the log says that was recovered.
    fn recovered(&self) -> Option<Recovered> {
        let log = self.broker.log_with(" started ");
        let line = log.iter().find(|line| line.contains("recovered from the store"))?;
        let number = |name: &str| line.split(name).nth(1)?.split([' ', ',']).next()?.parse().ok();
        Some(Recovered {
            sessions: number(" sessions=")?,
            interrupted: number(" interrupted=")?,
            subscriptions: number(" subscriptions=")?,
            queued: number(" queued=")?,
        })
    }

    async fn look_at_retained(&mut self) -> Result<(), Vec<Violation>> {
        let topics = probe::retained(self.broker.address(), &self.journal).await;
        let topics = topics.unwrap_or_else(|why| {
            self.journal.record(Event::Refused { client: "probe", why });
            BTreeMap::new()
        });
        self.journal.record(Event::Retained { topics });
        self.found()
    }

    /// Everything comes to its end, and is compared.
    async fn quiet(&mut self, round: u64, all: bool) -> Result<(), Vec<Violation>> {
        let address = Some(self.broker.address());
        self.tell(address, Mode::Finish { all });
        let (patience, heeds) = (self.plan.patience, self.plan.heeds);
        let stuck = |who: String| {
            let stuck = Violation { promise: 0, what: format!("{who} within {patience:?}") };
            if heeds(&stuck) { Err(vec![stuck]) } else { Ok(()) }
        };
        let mut expected = self.roster.subscribers.clone();
        if all {
            expected.extend(&self.roster.hermits);
        }
        let unfinished = |journal: &Journal| {
            let mut unfinished = journal.who_is_unfinished();
            unfinished.extend(journal.who_is_not_ready(&expected));
            unfinished
        };
        let finished = self.journal.until(patience, |journal| unfinished(journal).is_empty()).await;
        self.found()?;
        if !finished {
            let unfinished = unfinished(&self.journal);
            return stuck(format!(
                "{}: no answers, as {unfinished:?}",
                unfinished.first().unwrap_or(&"nobody")
            ));
        }
        self.tell(address, Mode::Fence { all, number: round });
        let before = |journal: &Journal| journal.before_fence(&expected, round);
        let passed = self.journal.until(patience, |journal| before(journal).is_empty()).await;
        self.found()?;
        let missing = self.missing().await;
        if !missing.is_empty() {
            return Err(missing);
        }
        if !passed {
            let unfinished = before(&self.journal);
            return stuck(format!("{}: no end, as {unfinished:?}", unfinished.first().unwrap_or(&"nobody")));
        }
        self.look_at_retained().await?;
        if all {
            self.journal.oracle(|oracle| oracle.close());
        }
        Ok(())
    }

    /// What has not come; what goes another way than over the fence gets some time.
    async fn missing(&self) -> Vec<Violation> {
        let latest = Instant::now() + self.plan.patience / 3;
        loop {
            let now = self.journal.now();
            let missing = self.journal.oracle(|oracle| oracle.missing(now));
            if missing.is_empty() || Instant::now() > latest {
                return missing;
            }
            sleep(Duration::from_millis(50)).await;
        }
    }

    fn found(&self) -> Result<(), Vec<Violation>> {
        let mut violations = self.journal.oracle(|oracle| oracle.take_violations());
        violations.retain(self.plan.heeds);
        if violations.is_empty() { Ok(()) } else { Err(violations) }
    }

    fn failure(&self, violations: Vec<Violation>) -> Failure {
        let mut text = format!("round {} of seed {}:\n", self.report.rounds, self.plan.seed);
        for violation in violations.iter().take(10) {
            let _ = writeln!(text, "{violation}\n{}", self.journal.about(&violation.what));
        }
        let _ = writeln!(text, "{} violations", violations.len());
        for log in self.last_logs.iter().rev().take(2).rev().chain([&self.broker.log()]) {
            let _ = writeln!(text, "log of a broker:\n{}", log.join("\n"));
        }
        Failure { violations, text }
    }
}
