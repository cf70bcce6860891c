//! The arithmetic of the derived figures.

use std::io::Write;

use super::*;
use crate::power::record::Object;

fn figures(syncs: u64) -> Figures {
    let messages = (SUBMITTERS * ROUNDS) as u64;
    Figures { syncs, written_bytes: 1_500 * messages + messages / 4, full_bytes: 5 << 20, empty_bytes: 1_535 }
}

#[test]
fn figures_are_per_sync_and_per_message() {
    // 3,200 messages.
    assert_eq!(figures(50).cells(), "64.0 | 1500 | 5120 KiB | 1 KiB");
    assert_eq!(figures(6_400).cells(), "0.5 | 1500 | 5120 KiB | 1 KiB");
}

#[test]
fn a_store_that_does_not_sync_has_no_figure_for_it() {
    assert!(figures(0).cells().starts_with("no sync | 1500 |"));
}

#[test]
fn what_is_counted_is_written_once_and_synced_with_success() {
    let event = |phase, call| Event { object: Object { run: 0, number: 1 }, id: 1, phase, call };
    let write = |len| Call::Write { offset: 0, bytes: vec![0; len] };
    let events = [
        event(Phase::Begin, write(4096)),
        event(Phase::End { result: 4096 }, write(0)),
        event(Phase::Begin, Call::Sync),
        event(Phase::End { result: 0 }, Call::Sync),
        event(Phase::Begin, write(10)),
        event(Phase::End { result: 10 }, write(0)),
        event(Phase::Begin, Call::Sync),
        event(Phase::End { result: -5 }, Call::Sync),
        event(Phase::Begin, Call::RangeSync),
        event(Phase::End { result: 0 }, Call::RangeSync),
    ];
    assert_eq!(counted(&events), (1, 4106));
    assert_eq!(counted(&events[..3]), (0, 4096));
}

#[test]
fn what_the_child_tells_is_read_back() {
    let told = Told { publishing: [3, 4_000_000_000], full_bytes: 5, empty_bytes: 6 };
    assert_eq!(parse(&format!("{ORDERS} 3 4000000000 5 6")), Some(told));
    assert_eq!(parse(&format!("{ORDERS} 3 4000000000 5")), None);
    assert_eq!(parse("running 0 tests"), None);
}

#[test]
fn the_files_of_all_directories_count() {
    let directory = Directory::new();
    fs::create_dir(directory.path().join("below")).expect("it is ours");
    assert_eq!(on_disk(directory.path()).expect("it can be read"), 0);
    let block = vec![1; 64 << 10];
    for name in ["one", "below/other"] {
        let file = fs::File::create(directory.path().join(name)).expect("it is ours");
        (&file).write_all(&block).and_then(|()| file.sync_all()).expect("it takes 64 KiB");
    }
    let bytes = on_disk(directory.path()).expect("it can be read");
    assert!(bytes >= 2 * block.len() as u64, "{bytes}");
}
