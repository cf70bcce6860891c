//! Files that were damaged while nobody ran: bits that flipped, files that were cut. Either all that was acknowledged is
//! there, or what is damaged is named; never a wrong answer, a panic or a hang.
//!
//! Many places are tried on the store itself, some on the program. What no one can know, and is not asked here: whether
//! the *last* transactions of a write-ahead log were cut off, which is what a crash leaves, too.

use std::fs;
use std::path::{Path, PathBuf};

use opifex_conformance::{Chance, block_on};
use opifex_packet::{QoS, ReasonCode};
use opifex_storage::Persistence as _;
use opifex_storage_sqlite::{SqliteOptions, SqliteStore};

use crate::found::{self, Found};
use crate::process::Process;
use crate::scene::{Books, Fate, subscribe};
use crate::shim::{Answer, Client, Watched};
use crate::token::Token;
use crate::{SQLITE, everything};

/// What is done to a file.
#[derive(Copy, Clone, Debug)]
enum Damage {
    Flip { byte: usize, bit: u8 },
    Cut { len: usize },
    Zero { from: usize, len: usize },
}

impl Damage {
    fn any(len: usize, cuts: bool, chance: &mut Chance) -> Damage {
        let place = |chance: &mut Chance| chance.below(len as u64) as usize;
        match chance.below(4) {
            0 if cuts => Damage::Cut { len: place(chance) },
            1 => Damage::Zero { from: place(chance), len: 1 + chance.below(5_000) as usize },
            _ => Damage::Flip { byte: place(chance), bit: chance.below(8) as u8 },
        }
    }

    fn put(self, file: &mut Vec<u8>) {
        match self {
            Damage::Flip { byte, bit } => file[byte] ^= 1 << bit,
            Damage::Cut { len } => file.truncate(len),
            Damage::Zero { from, len } => {
                let end = (from + len).min(file.len());
                file[from..end].fill(0);
            }
        }
    }
}

/// A data directory that the program has left, with some of everything; stopped, or killed so that the log is long.
fn filled(kill: bool) -> Watched {
    let watched = Watched::new();
    let mut process = Process::start(&mut watched.serve(&SQLITE));
    let address = process.address().unwrap();
    subscribe(address).unwrap();
    let mut books = Books::default();
    assert_eq!(books.publish(address, 60, 300), Fate::Acknowledged);
    let mut client = Client::durable(address, "client").unwrap();
    for n in 0..20 {
        let token = Token { publisher: 2, n };
        let answer = client.publish(QoS::AtLeastOnce, true, &format!("r/{n}"), &token.payload(200)).unwrap();
        assert!(matches!(answer, Answer::Reason(reason) if !reason.is_error()), "{answer:?}");
        assert_eq!(client.subscribe(&format!("s/{n}"), QoS::AtLeastOnce).unwrap(), ReasonCode::GrantedQoS1);
    }
    if !kill {
        assert_eq!(process.stop(), Some(0));
    }
    drop(process);
    watched
}

/// The files of a data directory, but SQLite's shared memory, and the reserve, of which nothing is read.
fn files(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files: Vec<(PathBuf, Vec<u8>)> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| !["-shm", ".reserve"].iter().any(|end| path.to_str().unwrap().ends_with(end)))
        .map(|path| (PathBuf::from(path.file_name().unwrap()), fs::read(&path).unwrap()))
        .collect();
    files.sort();
    files
}

/// Puts the files into a new directory, in memory where there is some.
fn placed(files: &[(PathBuf, Vec<u8>)]) -> tempfile::TempDir {
    let mut builder = tempfile::Builder::new();
    let builder = builder.prefix("opifex-damaged-");
    let dir = builder.tempdir_in("/dev/shm").or_else(|_| builder.tempdir()).unwrap();
    for (name, bytes) in files {
        fs::write(dir.path().join(name), bytes).unwrap();
    }
    dir
}

/// Reads all of a store, or says in a line why not.
fn read(dir: &Path) -> Result<Found, String> {
    let options = SqliteOptions { readers: 1, reserve_bytes: 0, ..SqliteOptions::new(dir) };
    let store = SqliteStore::open(options).map_err(|error| error.to_string())?;
    let found = found::read(&store).map_err(|error| error.to_string());
    // A damaged database may be one that cannot be closed in order.
    let _ = block_on(store.close());
    found
}

/// What is wrong with what was read of a damaged store, if anything is.
fn wrong(whole: &Found, read: &Result<Found, String>) -> Option<String> {
    let found = match read {
        Err(said) if said.lines().count() == 1 && said.len() > 10 => return None,
        Err(said) => return Some(format!("not a clear line: {said:?}")),
        Ok(found) => found,
    };
    for (client, session) in &found.sessions {
        let Some(right) = whole.sessions.get(client) else { return Some(format!("client {client} is new")) };
        if let Some(entry) = session.queue.iter().find(|entry| !right.queue.contains(entry)) {
            return Some(format!("{client}: {entry:?} is new"));
        }
        if !session.filters.is_subset(&right.filters) || !session.inbound.is_subset(&right.inbound) {
            return Some(format!("{client}: {session:?} holds more than {right:?}"));
        }
    }
    if let Some(retained) =
        found.retained.iter().find(|(topic, token)| whole.retained.get(*topic) != Some(token))
    {
        return Some(format!("retained {retained:?} is new"));
    }
    (found.damaged.is_empty() && found != whole)
        .then(|| "something is missing, and nothing says so".to_owned())
}

/// Damages the files that the program has left again and again, and looks at what is then read.
fn try_all(kill: bool) {
    let seed = std::env::var("OPIFEX_FAULTS_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed: u64 = seed.unwrap_or(1);
    println!("OPIFEX_FAULTS_SEED={seed}");
    let mut chance = Chance::new(seed);
    let watched = filled(kill);
    let files = files(&watched.data_dir());
    let whole = read(placed(&files).path()).expect("it is whole");
    assert!(whole.damaged.is_empty() && whole.sessions["away"].queue.len() == 60, "{whole:?}");
    let (mut harmless, mut named) = (0, 0);
    for _ in 0..if everything() { 5_000 } else { 100 } {
        let mut files = files.clone();
        let file = chance.below(files.len() as u64) as usize;
        let (name, bytes) = &mut files[file];
        let log = name.to_str().unwrap().ends_with("-wal");
        // Of the log's last transactions nobody can know whether they were there.
        let len = if log { bytes.len() * 3 / 4 } else { bytes.len() };
        if len == 0 {
            continue;
        }
        let damage = Damage::any(len, !log, &mut chance);
        damage.put(bytes);
        let place = format!("{} of {} bytes, {damage:?}", name.display(), bytes.len());
        let read = read(placed(&files).path());
        if let Some(wrong) = wrong(&whole, &read) {
            panic!("{place}: {wrong}");
        }
        match read {
            Ok(found) if found == whole => harmless += 1,
            _ => named += 1,
        }
    }
    println!("{harmless} without harm, {named} named");
    assert!(harmless > 0 && named > 0);
}

#[test]
fn damage_after_a_crash_is_named_or_does_no_harm() {
    try_all(true);
}

#[test]
fn the_program_names_the_damaged_file_and_does_not_start() {
    let watched = filled(true);
    let log = watched.data_dir().join("opifex.db-wal");
    let mut bytes = fs::read(&log).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&log, bytes).unwrap();
    let mut process = Process::start(&mut watched.serve(&SQLITE));
    assert_eq!((process.address(), process.exit_code()), (None, Some(1)));
    let said = process.said();
    assert!(said.contains("opifex.db-wal is damaged at byte") && said.lines().count() == 1, "{said}");
}
