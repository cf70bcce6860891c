//! Histories on a store: each step is done there and in the model, answers and everything readable are compared. A
//! history that disagrees is made shorter until nothing can be left out, and printed.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use opifex_storage::{
    Author, Batch, Certainty, Due, DueItem, OpenSession, OpenedSession, Outcome, PageLimit, Persistence,
    RecordVersion, SessionId, StoreError, Timestamp,
};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};
use proptest_state_machine::ReferenceStateMachine;

use super::declared::Declared;
use super::history::History;
use super::spent::Lagging;
use super::step::Step;
use super::world::{Call, World};
use crate::{Factory, Subject};

/// The variable that repeats one history.
const VARIABLE: &str = "OPIFEX_CONFORMANCE_SEED";

/// The variable that says for how many seconds at most a history that disagrees is made shorter; 60 without.
const SHRINK: &str = "OPIFEX_CONFORMANCE_SHRINK";

/// What is run.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Plan {
    /// The numbers that histories are drawn from.
    pub(crate) seeds: Seeds,
    /// At least so many histories,
    pub(crate) at_least: usize,
    /// and more until so much time has passed.
    pub(crate) for_at_least: Duration,
    /// The most steps of a history.
    pub(crate) steps: usize,
    /// Everything readable is compared behind every so-manieth step, and in the end; what is due behind each.
    pub(crate) compare_every: usize,
}

impl Plan {
    /// The histories of the quick tier: few and short, chosen out of thousands so that together they meet everything (there
    /// is a test of it), and find all stores that are broken for them.
    pub(crate) const QUICK: Plan = Plan {
        seeds: Seeds::These(&QUICK_SEEDS),
        at_least: QUICK_SEEDS.len(),
        for_at_least: Duration::ZERO,
        steps: 120,
        compare_every: 6,
    };
}

const QUICK_SEEDS: [u64; 8] = [303, 470, 477, 510, 532, 777, 989, 1055];

/// Where histories begin.
#[derive(Copy, Clone, Debug)]
pub(crate) enum Seeds {
    These(&'static [u64]),
    From(u64),
}

impl Seeds {
    /// The seed of the history with this number.
    pub(crate) fn nth(self, number: usize) -> u64 {
        match self {
            Seeds::These(seeds) => seeds[number % seeds.len()],
            Seeds::From(first) => first.wrapping_add(number as u64),
        }
    }
}

/// Runs histories, or the one that the environment names.
///
/// # Panics
/// When one disagrees: the message has the shortest script that was found.
pub(crate) fn histories<F: Factory>(s: &Subject<F>, plan: Plan) -> usize {
    // On a thread of its own: the factory's runtime is not entered twice.
    let run = || thread::scope(|scope| scope.spawn(|| all(s, plan)).join());
    match run() {
        Ok(Ok(count)) => count,
        Ok(Err(report)) => panic!("{report}"),
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

fn all<F: Factory>(s: &Subject<F>, plan: Plan) -> Result<usize, String> {
    if let Ok(text) = env::var(VARIABLE) {
        let seed = text.parse().map_err(|_| format!("{VARIABLE} is a number, not `{text}`"))?;
        return one(s, seed, plan).map(|()| 1);
    }
    let began = Instant::now();
    let mut count = 0;
    while count < plan.at_least || began.elapsed() < plan.for_at_least {
        one(s, plan.seeds.nth(count), plan)?;
        count += 1;
    }
    Ok(count)
}

/// Draws one history and runs it; when it disagrees, answers the shortest script that does.
fn one<F: Factory>(s: &Subject<F>, seed: u64, plan: Plan) -> Result<(), String> {
    let secs = shrink_secs()?;
    let config = Config {
        cases: 1,
        failure_persistence: None,
        max_shrink_iters: if secs == 0 { 0 } else { 20_000 },
        max_shrink_time: secs * 1_000,
        ..Config::default()
    };
    let mut runner = TestRunner::new_with_rng(config, rng(seed));
    let drawn = History::sequential_strategy(1..=plan.steps);
    // One that disagrees is made shorter by looking behind each step.
    let every = Cell::new(plan.compare_every);
    let result = runner.run(&drawn, |(_, steps, seen)| {
        let agrees = s.block_on(script(s, &steps, seen, every.get()));
        agrees.map_err(|what| {
            every.set(1);
            TestCaseError::fail(what)
        })
    });
    match result {
        Ok(()) => Ok(()),
        Err(TestError::Abort(reason)) => Err(format!("no history could be drawn from {seed}: {reason}")),
        Err(TestError::Fail(reason, (_, steps, _))) => Err(report(seed, &steps, reason.message())),
    }
}

fn shrink_secs() -> Result<u32, String> {
    let Ok(text) = env::var(SHRINK) else { return Ok(60) };
    let secs = text.parse().ok().filter(|secs: &u32| *secs <= 3_600);
    secs.ok_or_else(|| format!("{SHRINK} is a number of seconds up to 3600, not `{text}`"))
}

/// What a history is drawn with. (ChaCha, which proptest has by default, takes most of a run in a debug build: drawing
/// by strategies seeds a generator for each alternative.)
pub(super) fn rng(seed: u64) -> TestRng {
    let spread = |n: u64| seed.wrapping_add(n).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(29) | 1;
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&spread(1).to_le_bytes());
    bytes[8..].copy_from_slice(&spread(0x1234_5678).to_le_bytes());
    TestRng::from_seed(RngAlgorithm::XorShift, &bytes)
}

fn report(seed: u64, steps: &[Step], reason: &str) -> String {
    let mut text = format!(
        "the store and the model disagree; {VARIABLE}={seed} repeats this history. \
         The shortest script that was found:\n"
    );
    for (index, step) in steps.iter().enumerate() {
        let _ = writeln!(text, "{:3}. {step}", index + 1);
    }
    text.push_str(reason);
    text
}

/// A history that is always the same one, in one store and without keys.
pub(crate) fn drawn(seed: u64, steps: usize) -> Vec<Step> {
    let mut runner = TestRunner::new_with_rng(Config::default(), rng(seed));
    let tree = History::sequential_strategy(steps..=steps).new_tree(&mut runner);
    let mut steps = tree.expect("steps can always be drawn").current().1;
    steps.retain(|step| !matches!(step, Step::Move | Step::Again { .. }));
    for step in &mut steps {
        if let Step::Batch { writer, .. } = step {
            *writer = None;
        }
    }
    steps
}

/// Runs a history on a store of its own.
async fn script<F: Factory>(
    s: &Subject<F>,
    steps: &[Step],
    seen: Option<Arc<AtomicUsize>>,
    compare_every: usize,
) -> Result<(), String> {
    let mut run = Run::new(s.another().await);
    for (index, step) in steps.iter().enumerate() {
        if let Some(seen) = &seen {
            seen.fetch_add(1, Ordering::SeqCst);
        }
        run.step(step).await.map_err(|what| format!("at step {}: {what}", index + 1))?;
        let compared = match (index + 1).is_multiple_of(compare_every) || index + 1 == steps.len() {
            true => run.compare(index / compare_every).await,
            false => run.compare_due(PageLimit::items(3)).await,
        };
        compared.map_err(|what| format!("after step {}: {what}", index + 1))?;
    }
    Ok(())
}

/// A store and the model of it.
pub(crate) struct Run<F: Factory> {
    pub(super) subject: Subject<F>,
    pub(super) world: World,
    /// The version that the store gave to each state of a record that was due.
    pub(super) due_versions: BTreeMap<(DueItem, RecordVersion), RecordVersion>,
    /// Every version that a topic ever had.
    pub(super) retained_versions: BTreeSet<(String, RecordVersion)>,
    /// The highest epoch that was given.
    pub(super) last_epoch: u64,
    /// Whether each page is asked for twice.
    pub(super) loses_answers: bool,
    pub(super) lagging: Lagging,
}

impl<F: Factory> Run<F> {
    pub(crate) fn new(subject: Subject<F>) -> Run<F> {
        let world = World::new(subject.strongest(), Declared::by(subject.capabilities()));
        Run {
            subject,
            world,
            due_versions: BTreeMap::new(),
            retained_versions: BTreeSet::new(),
            last_epoch: 0,
            loses_answers: false,
            lagging: Lagging::new(),
        }
    }

    /// Does a step on both sides and compares the answers.
    pub(crate) async fn step(&mut self, step: &Step) -> Result<(), String> {
        if let Step::Wait(secs) = step {
            self.world.now = self.world.now.plus_secs(*secs);
        }
        // A script that was made shorter may speak of what is not there now.
        match self.world.call(step) {
            None | Some(Call::Nothing) => {}
            Some(Call::Reopen) => self.subject.reopen().await,
            Some(Call::Move) => self.move_everything().await?,
            Some(Call::Open(open)) => {
                if let (Some(opened), Step::Open { client, .. }) = (self.open(open).await?, step) {
                    self.world.note_open(*client, opened.session.id, opened.session.epoch);
                }
            }
            Some(Call::Submit(batch)) => {
                let outcomes = self.submit(&batch).await?;
                self.world.note_sent(&batch, outcomes.as_deref());
            }
            Some(Call::SubmitAgain(batch, first)) if self.world.model.declared.keeps_keys => {
                match self.answer(&batch).await? {
                    Ok(outcomes) if outcomes == first => {}
                    other => return Err(format!("the batch answered {first:?} and then {other:?}")),
                }
            }
            Some(Call::SubmitAgain(batch, _)) => drop(self.submit(&batch).await?),
        }
        self.world.note_due();
        Ok(())
    }

    /// `None`: it was refused, as it has to be.
    async fn open(&mut self, open: OpenSession) -> Result<Option<OpenedSession>, String> {
        let opened = self.subject.store().open_session(open.clone()).await;
        match (opened, self.world.model.open_refusal(&open)) {
            (Ok(opened), None) => self.check_opened(&open, opened).map(Some),
            (Err(error), Some(reason)) if error.kind() == reason => Ok(None),
            (Ok(_), Some(reason)) => Err(format!("the open was done, must be {reason:?}")),
            (Err(error), _) => Err(format!("the open failed: {error}")),
        }
    }

    /// Opens in the model, too, and compares the answers.
    pub(super) fn check_opened(
        &mut self,
        open: &OpenSession,
        mut opened: OpenedSession,
    ) -> Result<OpenedSession, String> {
        let epoch = opened.session.epoch;
        if epoch.0 <= self.last_epoch {
            return Err(format!("epoch {epoch} was given after {}", self.last_epoch));
        }
        self.last_epoch = epoch.0;
        let expected = self.world.model.open(open, epoch);
        self.caught_up(opened.session.id);
        opened.subscriptions.sort_by(|a, b| a.filter.as_str().cmp(b.filter.as_str()));
        if opened != expected {
            return Err(format!("the open answered\n  {opened:?}\nand not\n  {expected:?}"));
        }
        Ok(opened)
    }

    /// Answers the outcomes. `None`: it was refused, as it has to be.
    async fn submit(&mut self, batch: &Batch) -> Result<Option<Vec<Outcome>>, String> {
        let answer = self.answer(batch).await?;
        let outcomes = answer.as_ref().ok().cloned();
        self.check_submitted(batch, answer)?;
        Ok(outcomes)
    }

    /// What the store answers, when it is durable.
    async fn answer(&self, batch: &Batch) -> Result<Result<Vec<Outcome>, StoreError>, String> {
        let asked = self.as_the_store_knows(batch)?;
        match self.subject.store().submit(asked).await {
            Ok(receipt) => {
                let outcomes = receipt.outcomes().to_vec();
                let durable = receipt.durable().await;
                let commit = durable.map_err(|error| format!("it did not become durable: {error}"))?;
                if commit.durability < batch.durability {
                    return Err(format!("it reached {} only", commit.durability));
                }
                Ok(Ok(outcomes))
            }
            Err(error) if error.certainty() == Certainty::NotApplied => Ok(Err(error)),
            Err(error) => Err(format!("nobody knows whether it was applied: {error}")),
        }
    }

    /// The batch with the store's version of what it claims.
    pub(super) fn as_the_store_knows(&self, batch: &Batch) -> Result<Batch, String> {
        let mut asked = batch.clone();
        if let Author::Claim(due) = &mut asked.author {
            let known = (due.item.clone(), due.version);
            let version = self.due_versions.get(&known);
            due.version = *version.ok_or_else(|| format!("{known:?} was due and not shown"))?;
        }
        Ok(asked)
    }

    /// Applies a batch in the model, too, and compares the answers.
    pub(super) fn check_submitted(
        &mut self,
        batch: &Batch,
        answer: Result<Vec<Outcome>, StoreError>,
    ) -> Result<(), String> {
        let retained = answer.iter().flatten().filter_map(|outcome| match outcome {
            Outcome::Retained(version) => Some(*version),
            _ => None,
        });
        let versions: Vec<_> = retained.collect();
        let mut given = versions.iter().copied();
        let expected =
            self.world.model.submit(batch, &mut || given.next().unwrap_or(RecordVersion(u64::MAX)));
        match (&answer, &expected) {
            (Ok(outcomes), Ok(expected)) if outcomes == expected => {}
            (Err(error), Err(reasons)) if reasons.contains(&error.kind()) => {}
            (Err(error), expected) => {
                return Err(format!("the batch was refused: {:?}, {error}; not {expected:?}", error.kind()));
            }
            (Ok(outcomes), expected) => {
                return Err(format!("the batch answered\n  {outcomes:?}\nand not\n  {expected:?}"));
            }
        }
        self.note_told(batch, answer.as_deref().unwrap_or_default());
        self.note_versions(batch, &versions)
    }

    /// A topic never has a version twice.
    pub(super) fn note_versions(&mut self, batch: &Batch, versions: &[RecordVersion]) -> Result<(), String> {
        let retained = batch.ops.iter().filter_map(|op| match op {
            opifex_storage::Op::Retain(message) => Some(message.topic.as_str().to_owned()),
            _ => None,
        });
        for (topic, version) in retained.zip(versions) {
            if !self.retained_versions.insert((topic.clone(), *version)) {
                return Err(format!("the retained message of {topic} had version {version} before"));
            }
        }
        Ok(())
    }

    /// What a due item of the store is in the model; its version is compared with what it was before.
    pub(super) fn know(&mut self, due: &Due, shown: RecordVersion) -> Result<(), String> {
        let known = (due.item.clone(), due.version);
        let other = self
            .due_versions
            .iter()
            .find(|((item, version), given)| *item == known.0 && *version != known.1 && **given == shown);
        if let Some((state, _)) = other {
            return Err(format!("{known:?} has the version {shown} that {state:?} had"));
        }
        let before = *self.due_versions.entry(known.clone()).or_insert(shown);
        if before != shown {
            return Err(format!("the version of {known:?} changed from {before} to {shown}"));
        }
        Ok(())
    }

    pub(crate) fn subject(&self) -> &Subject<F> {
        &self.subject
    }

    /// Every session that ever was, and one that never was.
    pub(super) fn sessions_ever(&self) -> Vec<SessionId> {
        let mut ids = self.world.sessions_ever();
        ids.push(SessionId(1 << 40));
        ids
    }

    pub(super) fn now(&self) -> Timestamp {
        self.world.now
    }
}
