//! Another process beside the one that has the store: it may read, and may not open.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use opifex_conformance::block_on;
use opifex_conformance::script::{connect, message, target};
use opifex_storage::{Author, Batch, Durability, Op, Persistence, Timestamp};
use opifex_storage_sqlite::SqliteStore;
use rusqlite::{Connection, OpenFlags};

const DIR: &str = "OPIFEX_SQLITE_OTHER_DIR";

#[test]
fn another_process_reads_while_the_store_writes_and_is_refused_when_it_opens() {
    match std::env::var(DIR) {
        Ok(dir) => read_and_open(Path::new(&dir)),
        Err(_) => write_meanwhile(),
    }
}

/// The other process: what `sqlite3 -readonly` does, again and again, and then what a second broker does.
fn read_and_open(dir: &Path) {
    for _ in 0..20 {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY;
        let db = Connection::open_with_flags(dir.join("opifex.db"), flags).expect("it opens");
        let count: i64 =
            db.query_row("SELECT count(*) FROM queued_messages", [], |row| row.get(0)).expect("it is read");
        println!("rows {count}");
    }
    let error = SqliteStore::open(dir).map(drop).expect_err("somebody has it");
    println!("refused: {error}");
}

fn write_meanwhile() {
    let dir = tempfile::tempdir().expect("a directory");
    let store = SqliteStore::open(dir.path()).expect("it opens");
    let session = block_on(store.open_session(connect("c"))).expect("it opens").session.id;
    let enqueue = || {
        let message = Arc::new(message("t", "x"));
        let batch = Batch::new(Author::Broker, Durability::Disk, Timestamp(1))
            .with(Op::Enqueue { message, targets: vec![target(session)] });
        block_on(async { store.submit(batch).await?.durable().await }).expect("it is stored");
    };
    enqueue();
    let done = AtomicBool::new(false);
    let output = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                enqueue();
            }
        });
        let output = Command::new(std::env::current_exe().expect("it runs"))
            .args(["--exact", "another_process_reads_while_the_store_writes_and_is_refused_when_it_opens"])
            .arg("--nocapture")
            .env(DIR, dir.path())
            .output();
        done.store(true, Ordering::Relaxed);
        output.expect("it starts")
    });
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    let counts: Vec<u64> = said.lines().filter_map(|line| line.split_once("rows ")?.1.parse().ok()).collect();
    assert_eq!(counts.len(), 20, "{said}");
    assert!(counts[0] > 0 && counts.is_sorted(), "{counts:?}");
    let refusal = said.lines().find(|line| line.contains("refused: ")).expect("it was refused");
    let holder = format!("process {}", std::process::id());
    assert!(refusal.contains(&holder) && refusal.contains(&*dir.path().to_string_lossy()), "{refusal}");
}
