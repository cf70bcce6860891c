//! A full disk: what grows is refused and not applied, what makes room works, nothing is lost, and the store goes on when
//! there is space again. When somebody else takes the last byte, the store closes, without a hang, and what it had told
//! is there when it is opened again.
//!
//! Not a test harness: the program is its own child, on a small disk of its own.

use std::fs;
use std::path::Path;
use std::process::ExitCode;

use opifex_conformance::Backlog;
use opifex_conformance::small_disk::{on_a_small_disk, take_the_last_byte};
use opifex_storage::{Durability, ErrorKind, Result};
use opifex_storage_sled::{SledOptions, SledStore};

fn main() -> ExitCode {
    on_a_small_disk(40 << 20, |directory| {
        let store = directory.join("store");
        let told = a_full_disk_drains_and_fills_again(&store);
        somebody_else_takes_the_last_byte(&store, &directory.join("theirs"), told);
    })
}

fn open(directory: &Path) -> Result<SledStore> {
    let options = SledOptions { reserve_bytes: 5 << 20, cache_bytes: 4 << 20, ..SledOptions::default() };
    SledStore::open_with(directory, options)
}

/// Messages of a kilobyte.
fn backlog(store: &SledStore) -> Backlog<'_, SledStore> {
    Backlog::open(store, Durability::Process, 1000)
}

/// Answers the number that the next message would have had, of a store whose disk is full.
fn a_full_disk_drains_and_fills_again(directory: &Path) -> u64 {
    let store = open(directory).expect("it opens");
    let backlog = backlog(&store);
    let mut next = 0;
    for round in 0..2 {
        let first = next;
        let error;
        (next, error) = backlog.fill(first);
        assert_eq!(error.kind(), ErrorKind::Full, "round {round}");
        assert!(next - first > 1_000, "round {round}: room for {} messages", next - first);
        println!("round {round}: full with {} messages", next - first);
        let told: Vec<_> = (first..next).collect();
        assert_eq!(backlog.numbers(), told, "all that was told, and nothing refused");
        backlog.settle(&backlog.entries()).expect("what makes room works");
        assert_eq!(backlog.entries(), []);
        // Whether there is room again is looked at once a second.
        std::thread::sleep(std::time::Duration::from_millis(1100));
    }
    let (next, error) = backlog.fill(next);
    assert_eq!(error.kind(), ErrorKind::Full);
    next
}

fn somebody_else_takes_the_last_byte(directory: &Path, theirs: &Path, next: u64) {
    let store = open(directory).expect("a store with a full disk opens");
    let filled = backlog(&store);
    let before = filled.entries();
    assert_eq!(before.last().map(|(_, number)| *number), Some(next - 1));
    take_the_last_byte(theirs);
    let (mut settled, mut refused) = (0, None);
    while refused.is_none() && settled < before.len() {
        let some = &before[settled..before.len().min(settled + 10)];
        match filled.settle(some) {
            Ok(()) => settled += some.len(),
            Err(error) => refused = Some(error),
        }
    }
    println!("somebody took the last byte: {settled} of {} were settled, then {refused:?}", before.len());
    drop(store);
    fs::remove_file(theirs).expect("it can be removed");
    let store = open(directory).expect("with space again it opens");
    let left = backlog(&store);
    let after = left.entries();
    // The batch that was refused may be there or not.
    let gone = before.len() - after.len();
    assert!((settled..=settled + 10).contains(&gone), "{gone} are gone, {settled} were settled");
    assert_eq!(after, before[gone..], "what was told to be settled is, and nothing else is gone");
    left.settle(&after).expect("it drains");
}
