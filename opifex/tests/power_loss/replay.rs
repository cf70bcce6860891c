//! The promises, checked at every sync point of a record: the disk as a power loss would have left it there is written
//! out, opened as a store, and asked for all that was acknowledged before.
//!
//! A crash happens just before a sync ends: what that sync would have saved is not saved, and every acknowledgement
//! that was on its way then counts.

use std::collections::HashSet;
use std::fmt;
use std::path::Path;
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use opifex_conformance::power::disk::{Disk, Image, write_out};
use opifex_conformance::{Chance, block_on};
use opifex_storage::Persistence as _;
use opifex_storage_sqlite::{SqliteOptions, SqliteStore};

use crate::found;
use crate::promises::Promises;
use crate::shim::{Call, Event, Phase};
use crate::trace::Passed;

/// How many crash points, and what is left at each.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Plan {
    /// About so many crash points, evenly spread, besides those that tell most: the last one, and every sync of what is
    /// not the log, with the one after it. Others are passed over.
    pub(crate) points: usize,
    /// Random parts of what was not synced, at each point.
    pub(crate) parts: usize,
    pub(crate) seed: u64,
    /// About as long as it may take: points are passed over while their turn in the record has come before their turn
    /// in this time, so that those that are checked spread over all of it.
    pub(crate) at_most: Option<Duration>,
}

/// What came of it.
#[derive(Default)]
pub(crate) struct Outcome {
    pub(crate) sync_points: usize,
    pub(crate) checked_points: usize,
    pub(crate) images: usize,
    /// Changes that were not synced, over all checked points.
    pub(crate) pending: usize,
    pub(crate) broken: Vec<Broken>,
    /// The files as the model has them in the end: they must be those that are there.
    pub(crate) as_seen: Image,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Outcome { sync_points, checked_points, images, pending, broken, .. } = self;
        write!(
            f,
            "{sync_points} syncs, crashes at {checked_points} of them, {pending} changes not synced then, "
        )?;
        write!(f, "{images} disks opened, {} of them wrong", broken.len())
    }
}

/// A crash after which a promise is not kept.
pub(crate) struct Broken {
    at: usize,
    left: Left,
    what: Vec<String>,
}

impl fmt::Debug for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "crash before event {}, {:?}: {} broken:", self.at, self.left, self.what.len())?;
        self.what.iter().take(5).try_for_each(|what| write!(f, "\n    {what}"))
    }
}

/// What a crash leaves.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
enum Left {
    SyncedAlone,
    AllButTornTo(usize),
    Part { percent: u64 },
}

struct Job {
    at: usize,
    left: Left,
    image: Image,
    promises: Arc<Promises>,
}

/// Replays a record of a program whose watched directory was `root`.
pub(crate) fn check(events: &[Event], packets: &[Passed], root: &Path, plan: Plan) -> Outcome {
    let ends = |event: &&Event| event.call == Call::Sync && matches!(event.phase, Phase::End { result: 0 });
    let mut outcome = Outcome { sync_points: events.iter().filter(ends).count(), ..Outcome::default() };
    let stride = (outcome.sync_points / plan.points).max(1);
    let broken = Mutex::new(Vec::new());
    let (jobs, taken) = sync_channel::<Job>(4);
    let taken = Mutex::new(taken);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| work(&taken, root, &broken));
        }
        let begun = Instant::now();
        let (mut disk, mut promises, mut packets) =
            (Disk::new(root), Promises::default(), packets.iter().peekable());
        let (mut logs, mut point, mut tells_most) = (HashSet::new(), 0, true);
        for (at, event) in events.iter().enumerate() {
            while let Some(passed) = packets.next_if(|passed| passed.at < at) {
                promises.take(passed);
            }
            if let Call::Open { path, .. } = &event.call
                && path.extension().is_some_and(|name| name == "db-wal")
            {
                logs.insert(event.object);
            }
            let last = at + 1 == events.len();
            if ends(&event) || last {
                point += 1;
                let told_most = std::mem::replace(&mut tells_most, !logs.contains(&event.object));
                let turn = |at_most: Duration| at_most.mul_f64(point as f64 / outcome.sync_points as f64);
                let in_time = plan.at_most.is_none_or(|at_most| begun.elapsed() <= turn(at_most));
                if in_time && (point % stride == 0 || told_most || tells_most) || last {
                    outcome.checked_points += 1;
                    outcome.pending += disk.pending();
                    let promises = Arc::new(promises.clone());
                    // Of this point alone, whichever others are checked.
                    let mut chance = Chance::new(plan.seed.wrapping_add(at as u64));
                    for (left, image) in images(&disk, plan, &mut chance) {
                        outcome.images += 1;
                        let promises = Arc::clone(&promises);
                        jobs.send(Job { at, left, image, promises }).expect("they work on");
                    }
                }
            }
            disk.apply(event);
        }
        outcome.as_seen = disk.as_seen();
        drop(jobs);
    });
    outcome.broken = broken.into_inner().expect("nobody panicked");
    outcome.broken.sort_by_key(|broken| broken.at);
    outcome
}

fn images(disk: &Disk, plan: Plan, chance: &mut Chance) -> Vec<(Left, Image)> {
    let mut images = vec![(Left::SyncedAlone, disk.synced_alone())];
    if plan.parts > 0 && disk.pending() > 0 {
        // At a sector's end, and in the middle of one.
        for len in [512 * chance.below(9) as usize, chance.below(4_200) as usize | 1] {
            images.push((Left::AllButTornTo(len), disk.last_write_torn(len)));
        }
        for _ in 0..plan.parts {
            let percent = [10, 50, 90][chance.below(3) as usize];
            images.push((Left::Part { percent }, disk.random_part(percent, chance)));
        }
    }
    images
}

fn work(jobs: &Mutex<Receiver<Job>>, root: &Path, broken: &Mutex<Vec<Broken>>) {
    loop {
        let job = jobs.lock().expect("nobody panicked").recv();
        let Ok(Job { at, left, image, promises }) = job else { return };
        let what = broken_by(&image, root, &promises);
        if !what.is_empty() {
            broken.lock().expect("nobody panicked").push(Broken { at, left, what });
        }
    }
}

/// Opens what the crash has left, and answers what is wrong with it.
fn broken_by(image: &Image, root: &Path, promises: &Promises) -> Vec<String> {
    let place = memory_dir();
    write_out(image, root, place.path()).unwrap();
    let data = place.path().join("data");
    let options = SqliteOptions { readers: 1, reserve_bytes: 0, ..SqliteOptions::new(&data) };
    let store = match SqliteStore::open(options) {
        Ok(store) => store,
        Err(error) => return vec![format!("it does not open: {error}")],
    };
    let mut broken = match found::read(&store) {
        Ok(found) => promises.broken_by(&found),
        Err(error) => vec![format!("it cannot be read: {error}")],
    };
    if let Err(error) = block_on(store.close()) {
        broken.push(format!("it does not close: {error}"));
    }
    drop(store);
    let db = rusqlite::Connection::open(data.join("opifex.db")).unwrap();
    let sound: String = db.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    if sound != "ok" {
        broken.push(format!("integrity_check: {sound}"));
    }
    broken
}

/// A directory where syncs cost nothing: what is tested here was made elsewhere.
fn memory_dir() -> tempfile::TempDir {
    let mut builder = tempfile::Builder::new();
    let builder = builder.prefix("opifex-replay-");
    builder.tempdir_in("/dev/shm").or_else(|_| builder.tempdir()).unwrap()
}
