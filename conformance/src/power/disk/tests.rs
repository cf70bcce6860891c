//! The model by examples: what each kind of sync saves, and what it does not.

use super::*;

const ROOT: &str = "/disk";
const FILE: Object = Object { run: 0, number: 1 };
const DIRECTORY: Object = Object { run: 0, number: 2 };

/// A disk on which `/disk/file` was made, and its events are given.
struct Script {
    disk: Disk,
    id: u64,
}

impl Script {
    fn new() -> Script {
        let mut script = Script { disk: Disk::new(Path::new(ROOT)), id: 0 };
        script.open(DIRECTORY, ROOT, OpenKind::Directory);
        script.open(FILE, "/disk/file", OpenKind::File);
        script
    }

    fn event(&mut self, object: Object, phase: Phase, call: Call) {
        self.disk.apply(&Event { phase, id: self.id, object, call });
    }

    fn open(&mut self, object: Object, path: &str, kind: OpenKind) {
        let (creates, truncates, inode) = (kind == OpenKind::File, false, 7);
        let call = Call::Open { path: path.into(), creates, truncates, kind, inode };
        self.event(object, Phase::End { result: 3 }, call);
    }

    fn whole(&mut self, object: Object, call: Call, result: i64) {
        self.id += 1;
        self.event(object, Phase::Begin, call.clone());
        let call =
            if let Call::Write { .. } = call { Call::Write { offset: 0, bytes: Vec::new() } } else { call };
        self.event(object, Phase::End { result }, call);
    }

    fn write(&mut self, offset: u64, bytes: &[u8]) {
        self.whole(FILE, Call::Write { offset, bytes: bytes.to_vec() }, bytes.len() as i64);
    }

    fn sync(&mut self, object: Object) {
        self.whole(object, Call::Sync, 0);
    }

    fn rename(&mut self, from: &str, to: &str) {
        self.event(FILE, Phase::End { result: 0 }, Call::Rename { from: from.into(), to: to.into() });
    }

    fn left(&self, path: &str) -> Option<Vec<u8>> {
        self.disk.synced_alone().get(Path::new(path)).cloned().flatten()
    }
}

#[test]
fn a_file_is_there_after_the_sync_of_its_directory_alone() {
    let mut script = Script::new();
    script.write(0, b"bytes");
    script.sync(FILE);
    assert_eq!(script.left("/disk/file"), None);
    script.sync(DIRECTORY);
    assert_eq!(script.left("/disk/file").unwrap(), b"bytes");
}

#[test]
fn what_was_written_after_the_sync_began_is_not_synced() {
    let mut script = Script::new();
    script.sync(DIRECTORY);
    script.write(0, b"before");
    script.id = 100;
    script.event(FILE, Phase::Begin, Call::Sync);
    script.id = 10;
    script.write(0, b"during");
    script.id = 100;
    script.event(FILE, Phase::End { result: 0 }, Call::Sync);
    assert_eq!(script.left("/disk/file").unwrap(), b"before");
    assert_eq!(script.disk.as_seen()[Path::new("/disk/file")].as_deref(), Some(&b"during"[..]));
}

#[test]
fn a_write_that_has_not_returned_is_not_synced() {
    let mut script = Script::new();
    script.sync(DIRECTORY);
    script.event(FILE, Phase::Begin, Call::Write { offset: 0, bytes: b"late".to_vec() });
    script.id = 10;
    script.sync(FILE);
    assert_eq!(script.left("/disk/file").unwrap(), b"");
}

#[test]
fn a_sync_that_failed_saves_nothing() {
    let mut script = Script::new();
    script.sync(DIRECTORY);
    script.write(0, b"bytes");
    script.whole(FILE, Call::Sync, -5);
    assert_eq!(script.left("/disk/file").unwrap(), b"");
    script.event(FILE, Phase::End { result: 0 }, Call::RangeSync);
    assert_eq!(script.left("/disk/file").unwrap(), b"");
}

#[test]
fn short_and_failed_writes_count_for_what_they_wrote() {
    let mut script = Script::new();
    script.sync(DIRECTORY);
    script.whole(FILE, Call::Write { offset: 0, bytes: b"whole".to_vec() }, 2);
    script.whole(FILE, Call::Write { offset: 2, bytes: b"never".to_vec() }, -28);
    script.whole(FILE, Call::Truncate { len: 3 }, 0);
    script.sync(FILE);
    assert_eq!(script.left("/disk/file").unwrap(), b"wh\0");
}

#[test]
fn names_move_and_go_with_their_directory() {
    let mut script = Script::new();
    script.write(0, b"bytes");
    script.sync(FILE);
    script.sync(DIRECTORY);
    script.rename("/disk/file", "/disk/new");
    assert_eq!(script.left("/disk/file").unwrap(), b"bytes");
    script.sync(DIRECTORY);
    assert_eq!((script.left("/disk/file"), script.left("/disk/new").unwrap()), (None, b"bytes".to_vec()));
    script.event(FILE, Phase::End { result: 0 }, Call::Unlink { path: "/disk/new".into() });
    assert_eq!(script.left("/disk/new").unwrap(), b"bytes");
    script.sync(DIRECTORY);
    assert_eq!(script.left("/disk/new"), None);
}

#[test]
fn what_was_not_synced_is_left_in_any_part() {
    let mut script = Script::new();
    script.sync(DIRECTORY);
    script.write(0, &[1; 1_024]);
    script.write(512, &[2; 512]);
    let mut seen = std::collections::BTreeSet::new();
    for seed in 0..200 {
        let image = script.disk.random_part(50, &mut Chance::new(seed));
        let bytes = image[Path::new("/disk/file")].clone().unwrap();
        seen.insert((bytes.len(), bytes.first().copied(), bytes.get(512).copied()));
    }
    let parts = [(0, None), (512, Some(1)), (1_024, Some(0)), (1_024, Some(1))];
    for (len, first) in parts {
        assert!(seen.iter().any(|part| (part.0, part.1) == (len, first)), "{len} {first:?} of {seen:?}");
    }
    assert!(
        seen.contains(&(1_024, Some(0), Some(1))) && seen.contains(&(1_024, Some(1), Some(2))),
        "{seen:?}"
    );
    let torn = script.disk.last_write_torn(100)[Path::new("/disk/file")].clone().unwrap();
    assert_eq!((torn[511], torn[512], torn[611], torn[612]), (1, 2, 2, 1));
}

#[test]
fn what_a_sync_has_failed_on_no_later_one_saves_unless_it_is_written_again() {
    let mut script = Script::new();
    script.sync(DIRECTORY);
    script.write(0, b"first");
    script.sync(FILE);
    script.write(5, b"second");
    script.whole(FILE, Call::Sync, -5);
    script.write(11, b"third");
    script.sync(FILE);
    assert_eq!(script.left("/disk/file").unwrap(), b"first\0\0\0\0\0\0third");
    script.write(7, b"CO");
    script.sync(FILE);
    assert_eq!(script.left("/disk/file").unwrap(), b"first\0\0CO\0\0third");
    let seen = script.disk.as_seen();
    assert_eq!(seen[Path::new("/disk/file")].as_deref().unwrap(), b"firstseCOndthird");
    assert_eq!(script.disk.pending(), 2, "the two ends of what is not there");
}
