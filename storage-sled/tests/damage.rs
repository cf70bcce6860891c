//! Damaged files below sled: flipped bits, cut and zeroed files, missing ones. Whatever is done to them, the store is
//! refused with a line that names its directory, or it opens and what it answers was written; it never panics out of a
//! call, and never hangs. `OPIFEX_DAMAGE_ROUNDS` asks for more rounds, `OPIFEX_DAMAGE_SEED` for those of a failure.

use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use std::{env, io, thread};

use opifex_conformance::block_on;
use opifex_conformance::script::{START, at, connect, filter, message, message_of, subscription, target};
use opifex_storage::{
    Author, Batch, Durability, ErrorKind, Op, OpenSession, PageLimit, Persistence, RecordKind, Result,
    StoreError,
};
use opifex_storage_sled::{SledOptions, SledStore};
use tempfile::TempDir;

const KINDS: [RecordKind; 4] =
    [RecordKind::Session, RecordKind::Subscription, RecordKind::Queued, RecordKind::Retained];

/// Longer than anything here takes.
const HANG: Duration = Duration::from_secs(60);

fn open(directory: &Path) -> Result<SledStore> {
    let options = SledOptions { reserve_bytes: 0, cache_bytes: 4 << 20, ..SledOptions::default() };
    SledStore::open_with(directory, options)
}

/// A store with some hundreds of records in several segments, and large messages in files of their own.
fn fill(directory: &Path) -> SledStore {
    let store = open(directory).expect("it opens");
    for client in 0..8 {
        let open = OpenSession { durability: Durability::Process, ..connect(&format!("c{client}")) };
        let session = block_on(store.open_session(open)).expect("it opens").session;
        let author = Author::Session(session.id, session.epoch);
        let mut batch = Batch::new(author, Durability::Process, START);
        batch.ops.extend((0..4).map(|n| Op::Subscribe(subscription(&format!("s/{n}")))));
        for n in 0..60 {
            let payload = format!("{client} {n} {}", "x".repeat(n * 40));
            let targets = vec![target(session.id)];
            batch.ops.push(Op::Enqueue { message: Arc::new(message("q", &payload)), targets });
            let topic = format!("r/{client}/{n}");
            batch.ops.push(Op::Retain(Arc::new(message(&topic, &payload))));
        }
        let targets = vec![target(session.id)];
        batch.ops.push(Op::Enqueue { message: Arc::new(message_of(300_000 + client)), targets });
        block_on(async { store.submit(batch).await?.durable().await }).expect("it is stored");
    }
    store
}

/// What is read, a line each, and what was said to be damaged.
#[derive(Debug, Default)]
struct Found {
    records: BTreeSet<String>,
    damaged: Vec<String>,
}

fn read_all(store: &SledStore) -> Result<Found> {
    let limit = PageLimit { items: 100, bytes: usize::MAX };
    let mut found = Found::default();
    for kind in KINDS {
        let mut cursor = None;
        loop {
            let page = block_on(store.scan(kind, cursor, limit))?;
            found.records.extend(page.items.iter().map(|record| format!("{record:?}")));
            found.damaged.extend(page.damaged.iter().map(StoreError::to_string));
            cursor = page.next;
            if cursor.is_none() {
                break;
            }
        }
    }
    block_on(store.retained(&[filter("r/+/1")], None, limit))?;
    block_on(store.due(at(10), None, limit))?;
    Ok(found)
}

/// What became of a damaged store.
#[derive(Debug)]
enum End {
    Refused(StoreError),
    Read(Result<Found>),
}

/// Opens, reads, writes and closes, with an eye on the clock.
fn use_it(directory: &Path) -> End {
    let (sender, receiver) = mpsc::channel();
    let at = directory.to_owned();
    let user = thread::spawn(move || {
        let end = match open(&at) {
            Err(error) => End::Refused(error),
            Ok(store) => {
                let found = read_all(&store);
                let open = OpenSession { durability: Durability::Process, ..connect("new") };
                let opened = block_on(store.open_session(open));
                let closed = block_on(store.close());
                drop((opened, closed, store));
                End::Read(found)
            }
        };
        sender.send(end).expect("somebody waits for it");
    });
    let end = receiver.recv_timeout(HANG);
    match end {
        Ok(end) => {
            user.join().expect("it has ended");
            end
        }
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("it hangs"),
        Err(mpsc::RecvTimeoutError::Disconnected) => panic!("a call panicked"),
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).expect("it can be made");
    for entry in fs::read_dir(from).expect("it is a directory").flatten() {
        let to = to.join(entry.file_name());
        if entry.file_type().expect("it has one").is_dir() {
            copy(&entry.path(), &to);
        } else {
            // sled removes files of large values that nothing refers to any more when it gets round to it.
            match fs::copy(entry.path(), to) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                copied => drop(copied.expect("it can be copied")),
            }
        }
    }
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for entry in fs::read_dir(directory).expect("it is a directory").flatten() {
        let path = entry.path();
        match path.is_dir() {
            true => all.extend(files(&path)),
            false if path.ends_with("opifex.lock") => {}
            false => all.push(path),
        }
    }
    all.sort();
    all
}

/// Does something to one of the files; answers what.
fn damage(directory: &Path, seed: &mut u64) -> String {
    let mut random = |below: u64| {
        *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (*seed >> 33) % below.max(1)
    };
    let files = files(directory);
    // Most of what is stored is in the log.
    let path = match random(3) {
        0 => files[random(files.len() as u64) as usize].clone(),
        _ => directory.join("db"),
    };
    let name = path.strip_prefix(directory).expect("it lies there").display().to_string();
    let mut file = OpenOptions::new().read(true).write(true).open(&path).expect("it can be opened");
    let length = file.metadata().expect("it has a length").len();
    let place = random(length);
    let zero = |file: &mut fs::File, bytes: u64| {
        file.seek(SeekFrom::Start(place)).expect("it can be sought");
        file.write_all(&vec![0; bytes.min(length - place) as usize]).expect("it can be written");
    };
    match random(5) {
        0 => {
            file.set_len(place).expect("it can be cut");
            format!("{name} of {length} bytes cut to {place}")
        }
        1 => {
            zero(&mut file, 4096);
            format!("a page of {name} zeroed at {place} of {length}")
        }
        2 if random(4) == 0 => {
            fs::remove_file(&path).expect("it can be removed");
            format!("{name} removed")
        }
        _ => {
            let mut byte = [0];
            file.seek(SeekFrom::Start(place)).expect("it can be sought");
            file.read_exact(&mut byte).expect("it can be read");
            byte[0] ^= 1 << random(8);
            file.seek(SeekFrom::Start(place)).expect("it can be sought");
            file.write_all(&byte).expect("it can be written");
            format!("a bit of {name} flipped at {place} of {length}")
        }
    }
}

/// Where sled still has a damaged page in the part of its log that it plays again when it opens, it refuses the store or
/// takes all that follows for a torn write, which the store says. Else it comes upon the page when a walk does.
#[test]
fn walks_go_on_behind_a_page_that_cannot_be_read() {
    let met_by_a_walk = (0..20).any(|_| match use_with_two_damaged_pages() {
        (written, End::Read(Ok(found))) => {
            let is_said = |line: &String| line.contains("commits that were durable are missing");
            let is_cut = found.damaged.iter().any(is_said);
            if !is_cut {
                expect_walks_to_go_on(&written, &found);
            }
            !is_cut
        }
        (_, End::Refused(error)) => {
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
            false
        }
        (_, end) => panic!("it is not read: {end:?}"),
    });
    assert!(met_by_a_walk, "no page was damaged that sled does not play again");
}

/// What a store holds, and what becomes of it when a page with queue entries and one with retained messages have a
/// flipped bit each.
fn use_with_two_damaged_pages() -> (Found, End) {
    let place = TempDir::new().expect("a directory can be made");
    let directory = place.path().join("store");
    drop(fill(&directory));
    // Opened again, so that nothing of it is read anew that is damaged now.
    let End::Read(Ok(written)) = use_it(&directory) else { panic!("it is whole") };
    let log = directory.join("db");
    let mut bytes = fs::read(&log).expect("it can be read");
    let payload = b"5 30 xxxx";
    let places: Vec<_> =
        bytes.windows(payload.len()).enumerate().filter(|(_, window)| window == payload).collect();
    let places: Vec<_> = places.into_iter().map(|(at, _)| at).collect();
    // In the queue and retained; sled may have kept older copies of the pages.
    assert!(places.len() >= 2, "{places:?}");
    places.into_iter().for_each(|at| bytes[at] ^= 1);
    fs::write(&log, bytes).expect("it can be written");
    let end = use_it(&directory);
    (written, end)
}

fn expect_walks_to_go_on(written: &Found, found: &Found) {
    let is_new = |record: &&String| record.contains("\"new\"");
    let of = |all: &BTreeSet<String>, kind: &str| {
        all.iter().filter(|record| record.starts_with(kind) && !is_new(record)).count()
    };
    for kind in ["Session", "Subscription"] {
        assert_eq!(of(&written.records, kind), of(&found.records, kind), "{kind}");
    }
    for kind in ["Queued", "Retained"] {
        let (left, all) = (of(&found.records, kind), of(&written.records, kind));
        assert!(left < all && left > all * 3 / 4, "{left} of {all} {kind}");
    }
    let named = found.damaged.iter().filter(|line| line.starts_with("sled cannot read")).count();
    assert!(named >= 2, "{:?}", found.damaged);
    assert!(found.records.iter().any(|record| is_new(&record)), "the last session is lost without a word");
    assert!(found.records.iter().all(|record| written.records.contains(record) || is_new(&record)));
}

#[test]
fn whatever_is_done_to_the_files_the_store_is_refused_or_answers_what_was_written() {
    let rounds = env::var("OPIFEX_DAMAGE_ROUNDS").map_or(40, |rounds| rounds.parse().expect("a number"));
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is later than 1970");
    let mut seed =
        env::var("OPIFEX_DAMAGE_SEED").map_or(now.as_nanos() as u64, |seed| seed.parse().expect("a number"));
    let place = TempDir::new().expect("a directory can be made");
    let whole = place.path().join("whole");
    let killed = place.path().join("killed");
    let store = fill(&whole);
    // What a kill leaves: everything that was durable, and no good-bye.
    copy(&whole, &killed);
    drop(store);
    let End::Read(Ok(written)) = use_it(&whole) else { panic!("it is whole") };
    assert_eq!(written.damaged, [""; 0]);
    let (mut counts, mut earlier) = ([0; 4], 0);
    for round in 0..rounds {
        let begin = seed;
        let directory = place.path().join(format!("round {round}"));
        let is_killed = round % 2 == 1;
        copy(if is_killed { &killed } else { &whole }, &directory);
        let what = damage(&directory, &mut seed);
        println!("seed {begin}: {what}");
        match use_it(&directory) {
            End::Refused(error) => {
                assert!(
                    matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Fatal | ErrorKind::Unsupported),
                    "{error}"
                );
                assert!(error.to_string().contains(&directory.display().to_string()), "{error}");
                println!("    refused: {error}");
                counts[0] += 1;
            }
            End::Read(Err(error)) => {
                println!("    read: {error}");
                counts[1] += 1;
            }
            End::Read(Ok(found)) => {
                let other: Vec<_> = found
                    .records
                    .difference(&written.records)
                    .filter(|record| !record.contains("\"new\""))
                    .collect();
                // A log that was cut short holds an earlier state, and says so.
                let is_earlier = found.damaged.iter().any(|line| line.contains("are missing: a log was"));
                earlier += usize::from(is_earlier);
                // What sled leaves out of its log after a kill may leave records as they were before: the counts tell.
                let is_told = is_earlier || is_killed && !found.damaged.is_empty();
                assert!(other.is_empty() || is_told, "read and never written: {other:?}");
                let all = written.records.is_subset(&found.records);
                assert!(all || !found.damaged.is_empty(), "lost without a word: {what}");
                counts[if all { 2 } else { 3 }] += 1;
            }
        }
        fs::remove_dir_all(&directory).expect("it can be removed");
    }
    println!(
        "refused {}, read failed {}, all read {}, the rest read and the damage named {}",
        counts[0], counts[1], counts[2], counts[3]
    );
    println!("of these an earlier state {earlier}");
}
