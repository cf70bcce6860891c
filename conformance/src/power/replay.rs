//! Power losses of an engine with files: a child is recorded while it writes, the disk that a power loss would have left
//! is rebuilt at its syncs, opened, and asked for all that was durable before.
//!
//! A power loss happens just before a sync ends: what that sync would have saved is not saved, and everything that was
//! told until then counts.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use opifex_storage::{Durability, Persistence};

use super::disk::{Disk, Image, write_out};
use super::record::{self, Call, Event, Phase};
use super::shim;
use crate::crash::aftermath;
use crate::crash::books::Books;
use crate::crash::child::{self, Kill, Orders};
use crate::crash::oracle::Oracle;
use crate::crash::told::{Line, Told};
use crate::{Chance, Directory, Factory};

/// How many power losses, and what is left at each.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Plan {
    /// About so many, evenly spread, besides those that tell most: where another file is synced than before.
    /// [`Plan::EVERY`]: at each sync.
    pub(crate) points: usize,
    /// Random parts of what was not synced, at each.
    pub(crate) parts: usize,
    pub(crate) seed: u64,
}

impl Plan {
    /// Power is lost at each sync, none left out.
    pub(crate) const EVERY: usize = usize::MAX;

    /// Each so-manieth sync of so many.
    pub(super) fn stride(&self, syncs: usize) -> usize {
        (syncs / self.points.max(1)).max(1)
    }
}

/// What was checked.
#[derive(Copy, Clone, Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) sync_points: usize,
    /// Power losses: just before the end of a sync, and one at the very end.
    pub(crate) checked_points: usize,
    pub(crate) images: usize,
    /// Changes that were not synced, over all that was checked.
    pub(crate) pending: usize,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Outcome { sync_points, checked_points, images, pending } = self;
        match checked_points > sync_points {
            true => write!(f, "power lost at each of {sync_points} syncs and at the end, ")?,
            false => write!(f, "power lost at {checked_points} of {sync_points} syncs, ")?,
        }
        write!(f, "{pending} changes not synced then, {images} disks opened")
    }
}

/// Why there is no outcome.
#[derive(Debug)]
pub(crate) enum Failure {
    /// It cannot be checked here.
    NotVerified(String),
    /// Something is not as it has to be.
    Wrong(String),
}

impl From<String> for Failure {
    fn from(what: String) -> Failure {
        Failure::Wrong(what)
    }
}

/// Where a child writes, and what is written down of it.
struct Scene {
    /// All that is watched: the place, and the file in which the child tells.
    watched: Directory,
    log: PathBuf,
    _beside: Directory,
}

impl Scene {
    fn new() -> Result<Scene, Failure> {
        let (watched, beside) = (Directory::new(), Directory::new());
        // The recorder compares names, and a temporary directory may be a link.
        let path = fs::canonicalize(watched.path());
        if path.is_ok_and(|path| path != watched.path()) {
            return Err(Failure::NotVerified(format!(
                "{} has symbolic links in it",
                watched.path().display()
            )));
        }
        let scene = Scene { log: beside.path().join("record"), watched, _beside: beside };
        fs::create_dir(scene.place()).map_err(|error| format!("{}: {error}", scene.place().display()))?;
        Ok(scene)
    }

    fn place(&self) -> PathBuf {
        self.watched.path().join("place")
    }

    fn told(&self) -> PathBuf {
        self.watched.path().join("told")
    }

    /// What the child did.
    fn record(&self, orders: &Orders) -> Result<Vec<Event>, Failure> {
        let mut command = orders.command().map_err(Failure::NotVerified)?;
        shim::watch(&mut command, self.watched.path(), None, Some(&self.log))
            .map_err(|why| Failure::NotVerified(why.to_owned()))?;
        if !child::run(command, Kill::Never)?.success {
            return Err(Failure::Wrong(
                "the child that was recorded failed; what it says stands above".to_owned(),
            ));
        }
        let events = record::read(0, &fs::read(&self.log).unwrap_or_default());
        if !events.iter().any(|event| matches!(&event.call, Call::Open { path, .. } if *path == self.told()))
        {
            let what = "no call of the child has passed the recorder; is it linked statically?";
            return Err(Failure::NotVerified(what.to_owned()));
        }
        let past = events.iter().find_map(|event| match &event.call {
            Call::Unmodelled { what } => Some(what),
            _ => None,
        });
        match past {
            Some(what) => Err(Failure::NotVerified(format!(
                "the store does what the recorder has no words for: {what}"
            ))),
            None => Ok(events),
        }
    }
}

/// Records a child that writes to a new place, and loses power at its syncs.
pub(crate) async fn at_every_sync<F: Factory>(
    factory: &Arc<F>,
    orders: Orders,
    plan: Plan,
) -> Result<Outcome, Failure> {
    let scene = Scene::new()?;
    let orders = Orders { directory: scene.place(), tell: Some(scene.told()), ..orders };
    let events = scene.record(&orders)?;
    let lines = told_in(&events, &scene.told());
    let mut all = vec![Told::default(); orders.writers];
    for line in lines.values() {
        all.get_mut(line.writer)
            .ok_or_else(|| "a writer tells that there is not".to_owned())?
            .take(line.news);
    }
    let oracle = |(writer, told)| Oracle::new(orders.scribe(writer), &Books::default(), told);
    let oracles = all.iter().enumerate().map(oracle).collect::<Result<Vec<_>, _>>()?;

    let ends = |event: &&Event| event.call == Call::Sync && matches!(event.phase, Phase::End { result: 0 });
    let mut outcome = Outcome { sync_points: events.iter().filter(ends).count(), ..Outcome::default() };
    let stride = plan.stride(outcome.sync_points);
    let (mut chance, mut disk) = (Chance::new(plan.seed), Disk::new(&scene.place()));
    let mut durable: Vec<BTreeSet<usize>> = vec![BTreeSet::new(); orders.writers];
    let (mut of_told, mut point, mut synced_last) = (HashSet::new(), 0_usize, None);
    // One more power loss at the very end: a store that never syncs has no other.
    for (at, event) in events.iter().map(Some).chain([None]).enumerate() {
        if let Some(Line { writer, news }) = lines.get(&at) {
            let mut told = Told::default();
            told.take(*news);
            durable[*writer].extend(told.durable);
        }
        if let Some(event) = event {
            if matches!(&event.call, Call::Open { path, .. } if *path == scene.told()) {
                of_told.insert(event.object);
            }
            if of_told.contains(&event.object) {
                continue;
            }
        }
        if event.as_ref().is_none_or(ends) {
            point += 1;
            let object = event.map(|event| event.object);
            let is_other = synced_last.replace(object) != Some(object);
            if point.is_multiple_of(stride) || is_other {
                outcome.checked_points += 1;
                outcome.pending += disk.pending();
                for (left, image) in images(&disk, plan, &mut chance) {
                    outcome.images += 1;
                    let goes_on = outcome.images.is_multiple_of(4).then_some(orders.durability);
                    let checked =
                        check(&**factory, &image, &scene.place(), &oracles, &durable, goes_on).await;
                    checked.map_err(|what| {
                        let syncs = outcome.sync_points;
                        format!("power loss before the end of sync {point} of {syncs}, {left}: {what}")
                    })?;
                }
            }
        }
        if let Some(event) = event {
            disk.apply(event);
        }
    }
    let every = plan.points != Plan::EVERY || outcome.checked_points == outcome.sync_points + 1;
    assert!(every, "a sync was left out: {outcome}");
    match past_the_recorder(&disk.as_seen(), &scene.place()) {
        Some(what) => Err(Failure::NotVerified(what)),
        None => Ok(outcome),
    }
}

/// What the child told, by the place of its write in the record.
fn told_in(events: &[Event], file: &Path) -> BTreeMap<usize, Line> {
    let mut objects = HashSet::new();
    let mut lines = BTreeMap::new();
    for (at, event) in events.iter().enumerate() {
        match (&event.call, event.phase) {
            (Call::Open { path, .. }, _) if path == file => drop(objects.insert(event.object)),
            (Call::Write { bytes, .. }, Phase::Begin) if objects.contains(&event.object) => {
                let line = Line::parse(String::from_utf8_lossy(bytes).trim_end());
                lines.extend(line.map(|line| (at, line)));
            }
            _ => {}
        }
    }
    lines
}

fn images(disk: &Disk, plan: Plan, chance: &mut Chance) -> Vec<(String, Image)> {
    let mut images = vec![("what was synced alone".to_owned(), disk.synced_alone())];
    if disk.pending() > 0 && plan.points == Plan::EVERY {
        images.push(("all that was written".to_owned(), disk.as_seen()));
    }
    if plan.parts > 0 && disk.pending() > 0 {
        // At a sector's end, and in the middle of one.
        for len in [512 * chance.below(9) as usize, chance.below(4_200) as usize | 1] {
            images.push((format!("all, the last write torn to {len} bytes"), disk.last_write_torn(len)));
        }
        for _ in 0..plan.parts {
            let percent = [10, 50, 90][chance.below(3) as usize];
            let image = disk.random_part(percent, chance);
            images.push((format!("{percent} percent of what was not synced"), image));
        }
    }
    images
}

async fn check<F: Factory>(
    factory: &F,
    image: &Image,
    root: &Path,
    oracles: &[Oracle],
    durable: &[BTreeSet<usize>],
    goes_on: Option<Durability>,
) -> Result<(), String> {
    let directory = Directory::quick();
    write_out(image, root, directory.path())
        .map_err(|error| format!("a disk cannot be written out: {error}"))?;
    let place = factory.adopt(directory.path()).ok_or("the factory adopts no directory")?;
    let store = factory.open(&place).await.map_err(|error| format!("the store does not open: {error}"))?;
    wrong_with(&store, oracles, durable, goes_on).await?;
    store.close().await.map_err(|error| format!("the store does not close: {error}"))
}

/// Asks a store behind a power loss for what was durable, and, when a level is given, whether it goes on.
///
/// # Errors
/// The first thing that is wrong, and how many there are.
pub(crate) async fn wrong_with(
    store: &impl Persistence,
    oracles: &[Oracle],
    durable: &[BTreeSet<usize>],
    goes_on: Option<Durability>,
) -> Result<(), String> {
    let found = Books::read(store).await?;
    for (oracle, durable) in oracles.iter().zip(durable) {
        let wrong = oracle.check(&found, durable);
        if let Some(first) = wrong.first() {
            return Err(format!("{} things are wrong, the first: {first}", wrong.len()));
        }
    }
    match goes_on {
        // Epochs that were never durable may be given again.
        Some(level) => aftermath::goes_on(store, &found, 0, level).await.map(drop),
        None => Ok(()),
    }
}

/// The files as the record has them are those that the child has left; else something has written past the recorder.
fn past_the_recorder(seen: &Image, place: &Path) -> Option<String> {
    let mut directories = vec![place.to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).ok()?.flatten() {
            let path = entry.path();
            if path.is_dir() {
                directories.push(path);
            } else if !path.to_string_lossy().ends_with("-shm")
                && seen.get(&path).and_then(Option::as_ref) != fs::read(&path).ok().as_ref()
            {
                return Some(format!("{} was written past the recorder", path.display()));
            }
        }
    }
    None
}
