//! A full disk, a real one: what grows is refused and not applied, what makes room works, nothing is lost, the database
//! gives its room back, and the store goes on. Also when somebody else takes the last byte, and over a reopening.
//!
//! Not a test harness: the program is its own child, on a small disk of its own.

use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};
use std::{fs, thread};

use opifex_conformance::Backlog;
use opifex_conformance::small_disk::{on_a_small_disk, take_the_last_byte};
use opifex_storage::{Durability, ErrorKind};
use opifex_storage_sqlite::{SqliteOptions, SqliteStore};

const BATCH: u64 = 16;
const RESERVE: u64 = 4 << 20;

/// Longer than it may take until a store has found that it has room again.
const PATIENCE: Duration = Duration::from_secs(20);

fn main() -> ExitCode {
    on_a_small_disk(24 << 20, |directory| {
        let store = directory.join("store");
        let next = a_full_disk_drains_and_fills_again(&store);
        somebody_else_takes_the_last_byte(&store, &directory.join("theirs"), next);
    })
}

fn open(directory: &Path) -> SqliteStore {
    let options = SqliteOptions { reserve_bytes: RESERVE, ..SqliteOptions::new(directory) };
    SqliteStore::open(options).expect("it opens, with a full disk, too")
}

/// Messages of a kilobyte.
fn backlog(store: &SqliteStore) -> Backlog<'_, SqliteStore> {
    Backlog::open(store, Durability::Disk, 1000)
}

/// Publishes from `next` on until the disk is full; answers the first number that was refused.
fn fill(backlog: &Backlog<'_, SqliteStore>, next: u64) -> u64 {
    let (next, error) = backlog.fill(next);
    assert_eq!(error.kind(), ErrorKind::Full, "{error}");
    next
}

fn bytes(directory: &Path) -> u64 {
    let entries = fs::read_dir(directory).expect("it is read");
    entries.map(|entry| entry.and_then(|entry| entry.metadata()).expect("it is there").len()).sum()
}

/// Files send no events: it is looked at again and again, with an end to the patience.
fn wait_until(what: &str, mut reached: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !reached() {
        assert!(begun.elapsed() < PATIENCE, "{what}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// Answers the number that the next message would have had, of a store whose disk is full.
fn a_full_disk_drains_and_fills_again(directory: &Path) -> u64 {
    let store = open(directory);
    let backlog = backlog(&store);
    let empty = bytes(directory);
    let (mut next, mut first_round) = (0, 0);
    for round in 0..3 {
        let first = next;
        wait_until("there is room again", || backlog.publish(next..next + BATCH).is_ok());
        next = fill(&backlog, next + BATCH);
        println!("round {round}: full with {} messages", next - first);
        let least = if round == 0 { 5_000 } else { first_round * 9 / 10 };
        assert!(next - first >= least, "round {round}: room for {} messages", next - first);
        first_round = first_round.max(next - first);
        let told: Vec<_> = (first..next).collect();
        assert_eq!(backlog.numbers(), told, "all that was told, and nothing refused");
        backlog.settle(&backlog.entries()).expect("what makes room works");
        assert_eq!(backlog.entries(), []);
        wait_until("the files are as small as before", || bytes(directory) <= empty + (1 << 20));
    }
    fill(&backlog, next)
}

/// Also what the reserve had left, which is what nobody can do anything about.
fn somebody_else_takes_the_last_byte(directory: &Path, theirs: &Path, next: u64) {
    let store = open(directory);
    let filled = backlog(&store);
    assert_eq!(filled.numbers().last(), Some(&(next - 1)));
    // Opening may have made some room.
    let next = fill(&filled, next);
    let before = filled.numbers();
    take_the_last_byte(theirs);
    let error = filled.publish(next..next + 1).expect_err("there is no room");
    assert_eq!(error.kind(), ErrorKind::Full, "{error}");
    drop(store);
    let Err(error) = SqliteStore::open(directory) else { panic!("not even its shared memory has room") };
    assert!(error.to_string().contains("opifex.db") && error.to_string().contains("no room"), "{error}");
    fs::remove_file(theirs).expect("it can be removed");
    let store = open(directory);
    let left = backlog(&store);
    assert_eq!(left.numbers(), before);
    left.settle(&left.entries()).expect("what makes room works");
    wait_until("there is room again", || left.publish(next..next + 1).is_ok());
}
