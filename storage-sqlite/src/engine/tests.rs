//! What is left of the log when the database is opened anew, and of the file when its pages are free.

use tempfile::TempDir;

use super::*;

fn engine() -> (TempDir, Engine) {
    let place = tempfile::tempdir().expect("a directory");
    let engine = Engine::open(&place.path().join("opifex.db"), 2, 1 << 20).expect("it opens");
    (place, engine)
}

fn put(db: &Connection, name: &str) {
    db.execute("INSERT INTO counters (name, value) VALUES (?1, 1)", [name]).expect("it is written");
}

fn has(db: &Connection, name: &str) -> bool {
    let mut found = db.prepare("SELECT 1 FROM counters WHERE name = ?1").expect("it is a query");
    found.exists([name]).expect("it is read")
}

fn read(engine: &Engine, name: &str) -> Vec<bool> {
    engine
        .readers()
        .iter()
        .map(|slot| has(slot.lock().as_ref().expect("there is a connection"), name))
        .collect()
}

#[test]
fn what_stands_in_the_log_behind_the_last_commit_is_not_there_when_it_is_opened_anew() {
    let (_place, mut engine) = engine();
    put(engine.db(), "committed");
    engine.note_settled();
    // A commit that this writer knows nothing of, as one whose sync failed.
    let other = Connection::open(&engine.path).expect("it opens");
    put(&other, "failed");
    assert!(has(engine.db(), "failed"));
    drop(other);
    engine.reopen().expect("the disk is well");
    assert!(has(engine.db(), "committed") && !has(engine.db(), "failed"));
    assert_eq!((read(&engine, "committed"), read(&engine, "failed")), (vec![true; 2], vec![false; 2]));
    assert_eq!(std::fs::metadata(engine.log_path()).expect("it is there").len(), 0, "all is in the database");
    put(engine.db(), "next");
    assert_eq!(read(&engine, "next"), [true; 2]);
}

#[test]
fn a_log_that_was_copied_as_a_whole_is_not_needed_when_it_is_opened_anew() {
    let (_place, mut engine) = engine();
    put(engine.db(), "committed");
    engine.log_pages.store(engine.long_log(), Ordering::Relaxed);
    engine.checkpoint().expect("the disk is well");
    assert_eq!(engine.log_pages.load(Ordering::Relaxed), 0);
    engine.note_settled();
    // It begins the log anew.
    let other = Connection::open(&engine.path).expect("it opens");
    put(&other, "failed");
    drop(other);
    engine.reopen().expect("the disk is well");
    assert!(has(engine.db(), "committed") && !has(engine.db(), "failed"));
}

#[test]
fn a_database_that_cannot_be_opened_again_is_opened_when_it_can() {
    let (place, mut engine) = engine();
    put(engine.db(), "committed");
    engine.shorten_log().expect("the disk is well");
    let (database, away) = (engine.path.clone(), place.path().join("away"));
    let database_bytes = std::fs::read(&database).expect("it is there");
    std::fs::write(&database, "no database at all").expect("it is written");
    let error = engine.reopen().expect_err("it is no database");
    assert!(error.to_string().contains(database.to_str().expect("plain text")), "{error}");
    assert!(!engine.is_open() && !engine.is_to_be_opened(), "it was tried just now");
    assert!(engine.readers().iter().all(|slot| slot.lock().is_none()));
    std::fs::write(&away, database_bytes)
        .and_then(|()| std::fs::rename(&away, &database))
        .expect("it is put back");
    engine.tried = None;
    assert!(engine.is_to_be_opened());
    engine.reopen().expect("it is there again");
    assert!(has(engine.db(), "committed"));
}

#[test]
fn free_pages_go_back_to_the_file_system_step_by_step() {
    let (_place, mut engine) = engine();
    let len = |engine: &Engine| std::fs::metadata(&engine.path).expect("it is there").len();
    let empty = len(&engine);
    engine.db().execute_batch("CREATE TABLE ballast (bytes BLOB)").expect("it is made");
    for _ in 0..600 {
        engine.db().execute("INSERT INTO ballast VALUES (zeroblob(12000))", []).expect("it is written");
    }
    engine.shorten_log().expect("the disk is well");
    let full = len(&engine);
    assert!(full > 7_000_000, "{full}");
    engine.db().execute("DELETE FROM ballast WHERE rowid % 10 = 0", []).expect("it is removed");
    assert!(!engine.give_back_some().expect("the disk is well"), "a tenth is needed again");
    assert_eq!(len(&engine), full);
    engine.db().execute("DELETE FROM ballast", []).expect("it is removed");
    let mut steps = 0;
    while engine.give_back_some().expect("the disk is well") {
        steps += 1;
        assert!(len(&engine) < full, "each step shows");
    }
    assert!(steps > 1, "{steps}");
    let left = len(&engine);
    assert!(left < empty + FREE_PAGES as u64 * 4096 + (1 << 16), "{left} of {full}, {empty} when empty");
}
