//! What was durable survives the death of the process, at any instant. (Power loss is another matter, and another test.)
//!
//! The test starts itself as a child that writes with several threads and says on its standard output what became
//! durable; it kills the child and reads the store.

use std::collections::HashSet;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use opifex_conformance::block_on;
use opifex_conformance::script::{connect, filter, message, target};
use opifex_storage::{Author, Batch, Durability, Op, PageLimit, Persistence, Seq, Timestamp};
use opifex_storage_sqlite::SqliteStore;

const DIR: &str = "OPIFEX_SQLITE_KILL_DIR";
const ROUND: &str = "OPIFEX_SQLITE_KILL_ROUND";
const THREADS: usize = 4;
const ROUNDS: usize = 12;

#[test]
fn what_was_durable_survives_kill_9() {
    match std::env::var(DIR) {
        Ok(dir) => write_until_killed(Path::new(&dir), &std::env::var(ROUND).unwrap_or_default()),
        Err(_) => kill_and_read(),
    }
}

/// The child: a message for a queue and a retained one in each batch.
fn write_until_killed(dir: &Path, round: &str) {
    let store = SqliteStore::open(dir).expect("it opens");
    let session = block_on(store.open_session(connect("c"))).expect("it opens").session.id;
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let store = &store;
            scope.spawn(move || {
                for n in 0.. {
                    let name = format!("{round}/{thread}/{n}");
                    let body = Arc::new(message(&name, &name));
                    let batch = Batch::new(Author::Broker, Durability::Disk, Timestamp(1))
                        .with(Op::Enqueue { message: Arc::clone(&body), targets: vec![target(session)] })
                        .with(Op::Retain(body));
                    block_on(async { store.submit(batch).await?.durable().await }).expect("it is stored");
                    let mut out = std::io::stdout().lock();
                    writeln!(out, "ack {name}").and_then(|()| out.flush()).expect("somebody reads");
                }
            });
        }
    });
}

fn kill_and_read() {
    let place = tempfile::tempdir().expect("a directory");
    let mut acknowledged = Vec::new();
    for round in 0..ROUNDS {
        let mut child = Command::new(std::env::current_exe().expect("it runs"))
            .args(["--exact", "what_was_durable_survives_kill_9", "--nocapture"])
            .env(DIR, place.path())
            .env(ROUND, round.to_string())
            .stdout(Stdio::piped())
            .spawn()
            .expect("it starts");
        let mut lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        // Another place in the life of the log each time.
        let enough = acknowledged.len() + 1 + round * round * 13;
        let mut killed = false;
        for line in &mut lines {
            let line = line.expect("it is text");
            acknowledged.extend(line.split_once("ack ").map(|(_, name)| name.to_owned()));
            if !killed && acknowledged.len() >= enough {
                // What is still in the pipe was acknowledged, too, and is read on.
                child.kill().expect("it is running");
                killed = true;
            }
        }
        assert!(killed, "the child ended by itself in round {round}");
        child.wait().expect("it was started");
        check(place.path(), &acknowledged);
    }
    println!("{} acknowledged over {ROUNDS} kills, none lost", acknowledged.len());
}

/// Everything that was acknowledged is there once, whole batches only, and the tables are sound.
fn check(dir: &Path, acknowledged: &[String]) {
    let store = SqliteStore::open(dir).expect("it opens after a kill");
    let session = block_on(store.open_session(connect("c"))).expect("it opens").session;
    let (mut queued, mut after) = (Vec::new(), Seq::ZERO);
    loop {
        let page = block_on(store.queue(session.id, after, PageLimit::items(1000))).expect("it is read");
        queued.extend(page.items.iter().filter_map(|entry| entry.message.clone()));
        after = page.final_up_to;
        if !page.more {
            break;
        }
    }
    assert_eq!(session.next_seq.0, queued.len() as u64 + 1, "numbers are dense");
    let queued: Vec<&str> = queued.iter().map(|message| message.topic.as_str()).collect();
    let names: HashSet<&str> = queued.iter().copied().collect();
    assert_eq!(names.len(), queued.len(), "each once");
    let lost: Vec<_> = acknowledged.iter().filter(|name| !names.contains(name.as_str())).collect();
    assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");

    let (mut retained, mut cursor) = (0, None);
    loop {
        let page =
            block_on(store.retained(&[filter("#")], cursor, PageLimit::items(1000))).expect("it is read");
        assert!(page.items.iter().all(|item| names.contains(item.message.topic.as_str())), "half a batch");
        retained += page.items.len();
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(retained, queued.len(), "half a batch");
    block_on(store.close()).expect("it closes");
    let db = rusqlite::Connection::open(dir.join("opifex.db")).expect("it opens");
    let sound: String = db.query_row("PRAGMA integrity_check", [], |row| row.get(0)).expect("it checks");
    assert_eq!(sound, "ok");
    let refs: i64 = db
        .query_row("SELECT count(*) FROM messages WHERE refs <> 2", [], |row| row.get(0))
        .expect("it counts");
    assert_eq!(refs, 0, "every body is named by its entry and by its topic");
}
