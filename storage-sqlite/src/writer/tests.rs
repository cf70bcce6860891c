//! What happens to batches when the engine fails: who is told what, and whether the store goes on.

use std::cell::Cell;
use std::future::Future;
use std::pin::pin;
use std::sync::atomic::AtomicBool;
use std::task::{Context, Poll, Waker};

use opifex_conformance::block_on;
use opifex_conformance::script::{connect, message, topic};
use opifex_storage::{Author, Batch, Certainty, CommitMark, Op, Outcome, RecordVersion, Timestamp};
use tempfile::TempDir;

use super::*;
use crate::answer::{Answer, answer};
use crate::command::Ordered;

/// A writer that runs on the thread of its test, over what was queued before.
struct Bench {
    writer: Writer,
    failed: Arc<AtomicBool>,
    place: TempDir,
}

impl Bench {
    fn new() -> Bench {
        Bench::with_log("opifex.db-wal")
    }

    /// One that syncs the file of this name.
    fn with_log(name: &str) -> Bench {
        let place = tempfile::tempdir().expect("a directory");
        let engine = Engine::open(&place.path().join("opifex.db"), 1, 1 << 20).expect("it opens");
        let commands = Arc::new(Channel::new(100, usize::MAX));
        let failed = Arc::new(AtomicBool::new(false));
        let fail = {
            let (failed, commands) = (Arc::clone(&failed), Arc::clone(&commands));
            move || {
                failed.store(true, Ordering::Relaxed);
                commands.abandon();
            }
        };
        let syncer = {
            let commands = Arc::clone(&commands);
            let mark = CommitMark::open(place.path()).expect("it is made");
            let done = move || commands.wake_receiver();
            Syncer::start(place.path().join(name), mark, done).expect("a thread")
        };
        let writer = Writer {
            engine,
            commands,
            counters: Arc::default(),
            max_durability: Durability::Disk,
            max_retained: None,
            fail: Box::new(fail),
            syncer,
            pace: Pace::default(),
            tally: Tally::default(),
            settled: Tally::default(),
            unsettled: Given::default(),
            spent: Spent::default(),
            holds: Cell::new(true),
            unsynced: false,
        };
        Bench { writer, failed, place }
    }

    fn put(&self, command: Command) {
        let mut sending = pin!(self.writer.commands.send(1, command));
        let sent = sending.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        assert!(matches!(sent, Poll::Ready(Ok(()))), "there is room");
    }

    fn submit(&self, op: Op) -> Answer<Result<Ordered>> {
        let (asker, ordered) = answer();
        let batch = Batch::new(Author::Broker, Durability::Disk, Timestamp(1)).with(op);
        self.put(Command::Submit(batch, asker));
        ordered
    }

    /// One transaction of what is queued. Answers whether the writer goes on.
    fn transact(&mut self) -> bool {
        let first = self.writer.commands.try_receive_if(|_| true).expect("something is queued");
        self.writer.transact(first)
    }

    /// Waits until the last sync has ended, and makes a failure good.
    fn find_out(&mut self) {
        let _ = self.writer.has_settled();
    }

    fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Relaxed)
    }
}

fn retain(name: &str, payload: impl AsRef<[u8]>) -> Op {
    Op::Retain(Arc::new(message(name, payload)))
}

fn ordered(answer: Answer<Result<Ordered>>) -> Result<Ordered> {
    block_on(answer).expect("it is answered")
}

#[test]
fn what_waits_is_one_transaction() {
    let mut bench = Bench::new();
    let answers: Vec<_> = (0..50).map(|n| bench.submit(retain(&format!("r/{n}"), ""))).collect();
    assert!(bench.transact());
    for answer in answers {
        let batch = ordered(answer).expect("it is applied");
        assert_eq!(block_on(batch.commitment.wait()), Ok(Durability::Disk));
    }
    assert_eq!(bench.writer.counters.commits.load(Ordering::Relaxed), 1);
}

#[test]
fn a_commit_that_fails_fails_every_batch_of_it() {
    let mut bench = Bench::new();
    // A key that is checked at the commit, and does not hold.
    let sabotage = "PRAGMA foreign_keys = ON;
                    CREATE TABLE sabotage (x REFERENCES sessions (id) DEFERRABLE INITIALLY DEFERRED);
                    CREATE TRIGGER sabotaged AFTER INSERT ON messages BEGIN INSERT INTO sabotage VALUES (99); END";
    bench.writer.engine.db().execute_batch(sabotage).expect("it is set up");
    let answers = [bench.submit(Op::Unretain(topic("a"))), bench.submit(retain("b", ""))];
    let (asker, opened) = answer();
    bench.put(Command::Open(connect("c"), asker));
    assert!(!bench.transact(), "nobody knows what is wrong with the database");
    assert!(bench.has_failed(), "and the store is closed");
    for answer in answers {
        let batch = ordered(answer).expect("it was ordered before the commit");
        let error = block_on(batch.commitment.wait()).expect_err("the commit failed");
        assert_eq!((error.kind(), error.certainty()), (ErrorKind::Fatal, Certainty::Unknown), "{error}");
    }
    let error = block_on(opened).expect("it is answered").expect_err("an open is durable or nothing");
    assert_eq!(error.kind(), ErrorKind::Fatal, "{error}");
    let stored: i64 = bench
        .writer
        .engine
        .db()
        .query_row("SELECT (SELECT count(*) FROM messages) + (SELECT count(*) FROM sessions)", [], |row| {
            row.get(0)
        })
        .expect("it counts");
    assert_eq!(stored, 0, "all of it was taken back");
}

#[test]
fn a_batch_that_fails_half_done_leaves_no_trace_and_its_neighbours_keep_their_outcomes() {
    let mut bench = Bench::new();
    let poison = "CREATE TRIGGER poisoned BEFORE INSERT ON retained WHEN NEW.key = CAST('poison' AS BLOB)
                  BEGIN SELECT RAISE(ABORT, 'poison'); END";
    bench.writer.engine.db().execute_batch(poison).expect("it is set up");
    let before = [bench.submit(retain("a", "1")), bench.submit(retain("b", "1"))];
    let (asker, opened) = answer();
    bench.put(Command::Open(connect("c"), asker));
    let (asker, failing) = answer();
    let batch = Batch::new(Author::Broker, Durability::Disk, Timestamp(1));
    let batch = batch.with(retain("half", "1")).with(retain("a", "2")).with(retain("poison", "1"));
    bench.put(Command::Submit(batch, asker));
    let after = bench.submit(retain("c", "1"));
    while let Some(first) = bench.writer.commands.try_receive_if(|_| true) {
        assert!(bench.writer.transact(first), "one batch is no reason to end");
    }
    let error = match ordered(failing) {
        Ok(_) => panic!("it was applied"),
        Err(error) => error,
    };
    assert_eq!((error.kind(), error.certainty()), (ErrorKind::Corrupt, Certainty::NotApplied), "{error}");
    let opened = block_on(opened).expect("it is answered").expect("it is open");
    assert_eq!(opened.session.epoch.0, 1);
    let versions = before.into_iter().chain([after]).map(|answer| {
        let batch = ordered(answer).expect("it is applied");
        assert_eq!(block_on(batch.commitment.wait()), Ok(Durability::Disk));
        batch.outcomes
    });
    let expected = [1, 2, 3].map(|version| vec![Outcome::Retained(RecordVersion(version))]);
    assert_eq!(versions.collect::<Vec<_>>(), expected, "as if the failed batch had never been");
    let sql =
        "SELECT group_concat(topic || CAST(payload AS TEXT), ' ') FROM retained_messages ORDER BY topic";
    let stored: String = bench.writer.engine.db().query_row(sql, [], |row| row.get(0)).expect("it is read");
    assert_eq!(stored, "a1 b1 c1");
    let sessions: i64 = bench
        .writer
        .engine
        .db()
        .query_row("SELECT count(*) FROM sessions", [], |row| row.get(0))
        .expect("it counts");
    assert_eq!(sessions, 1);
}

#[test]
fn a_table_that_takes_no_row_fails_those_who_wait_together_once_and_then_each_for_itself() {
    let mut bench = Bench::new();
    let poison = "CREATE TRIGGER poisoned BEFORE INSERT ON messages WHEN NEW.topic = 'poison'
                  BEGIN SELECT RAISE(ABORT, 'poison'); END";
    bench.writer.engine.db().execute_batch(poison).expect("it is set up");
    let (asker, opened) = answer();
    bench.put(Command::Open(connect("c"), asker));
    assert!(bench.transact());
    let session = block_on(opened).expect("it is answered").expect("it is open").session.id;
    let enqueue = |bench: &Bench, name: &str| {
        let targets = vec![opifex_conformance::script::target(session)];
        bench.submit(Op::Enqueue { message: Arc::new(message(name, "")), targets })
    };
    // Their rows wait for each other; which of them the table refuses is not known.
    let together = ["a", "poison", "b"].map(|name| enqueue(&bench, name));
    assert!(bench.transact(), "the store goes on");
    for answer in together {
        let batch = ordered(answer).expect("it was ordered before its row was written");
        let error = block_on(batch.commitment.wait()).expect_err("all of it was taken back");
        assert_eq!((error.kind(), error.certainty()), (ErrorKind::Corrupt, Certainty::NotApplied), "{error}");
    }
    let again = ["a", "poison", "b"].map(|name| enqueue(&bench, name));
    while let Some(first) = bench.writer.commands.try_receive_if(|_| true) {
        assert!(bench.writer.transact(first), "the store goes on");
    }
    let is_stored = again.map(|answer| match ordered(answer) {
        Ok(batch) => block_on(batch.commitment.wait()).is_ok(),
        Err(error) => {
            assert_eq!((error.kind(), error.certainty()), (ErrorKind::Corrupt, Certainty::NotApplied));
            false
        }
    });
    assert_eq!(is_stored, [true, false, true]);
    let sql = "SELECT group_concat(topic) FROM queued_messages";
    let stored: String = bench.writer.engine.db().query_row(sql, [], |row| row.get(0)).expect("it is read");
    assert_eq!(stored, "a,b");
}

#[test]
fn a_full_database_refuses_what_grows_and_takes_what_removes() {
    let mut bench = Bench::new();
    let small = bench.submit(retain("small", [0; 9000]));
    assert!(bench.transact());
    ordered(small).expect("there is room");
    let pages: i64 =
        bench.writer.engine.db().pragma_query_value(None, "page_count", |row| row.get(0)).expect("it counts");
    bench.writer.engine.db().pragma_update(None, "max_page_count", pages + 2).expect("it is set");

    let large = bench.submit(retain("large", vec![0; 1 << 20]));
    let removal = bench.submit(Op::Unretain(topic("small")));
    while let Some(first) = bench.writer.commands.try_receive_if(|_| true) {
        assert!(bench.writer.transact(first), "a full disk is no reason to end");
    }
    let error = match ordered(large) {
        Ok(_) => panic!("a megabyte fits into two pages"),
        Err(error) => error,
    };
    assert_eq!((error.kind(), error.certainty()), (ErrorKind::Full, Certainty::NotApplied), "{error}");
    let removed = ordered(removal).expect("it is applied");
    assert_eq!(removed.outcomes, [Outcome::Done]);
    assert_eq!(block_on(removed.commitment.wait()), Ok(Durability::Disk));
    assert!(!bench.has_failed());
}

#[test]
fn a_writer_that_goes_leaves_nobody_waiting() {
    let bench = Bench::new();
    let queued = bench.submit(retain("r", ""));
    let group = Group::new();
    let commitment = Arc::clone(&group.waiters.commitment);
    drop(group);
    let error = block_on(commitment.wait()).expect_err("it was never committed");
    assert_eq!(error.kind(), ErrorKind::Fatal);
    drop(bench.writer);
    assert!(block_on(queued).is_none(), "its asker is gone");
}

#[test]
fn what_asks_for_less_is_not_synced_and_what_asks_for_more_begins_anew() {
    let mut bench = Bench::with_log("there is no such file");
    let submit = |bench: &Bench, durability| {
        let (asker, ordered) = answer();
        let batch = Batch::new(Author::Broker, durability, Timestamp(1)).with(retain("r", ""));
        bench.put(Command::Submit(batch, asker));
        ordered
    };
    let weak = submit(&bench, Durability::Process);
    let strong = submit(&bench, Durability::Disk);
    let weak_again = submit(&bench, Durability::Memory);
    assert!(bench.transact(), "nothing is synced");
    let weak = ordered(weak).expect("it is applied");
    assert_eq!(block_on(weak.commitment.wait()), Ok(Durability::Process));
    assert!(bench.transact(), "the sync is under way");
    bench.find_out();
    for answer in [strong, weak_again] {
        let error = block_on(ordered(answer).expect("it is applied").commitment.wait()).expect_err("no sync");
        assert_eq!((error.kind(), error.certainty()), (ErrorKind::Retry, Certainty::NotApplied), "{error}");
        assert!(error.to_string().contains("there is no such file"), "{error}");
    }
}

#[test]
fn after_a_sync_that_failed_the_store_goes_on_without_what_it_was_for() {
    let mut bench = Bench::with_log("there is no such file");
    let first = [bench.submit(retain("a", "")), bench.submit(retain("b", ""))];
    assert!(bench.transact(), "the sync is under way");
    let behind = bench.submit(retain("c", ""));
    assert!(bench.transact(), "it begins anew");
    for answer in first {
        let error = block_on(ordered(answer).expect("it is applied").commitment.wait()).expect_err("no sync");
        assert_eq!((error.kind(), error.certainty()), (ErrorKind::Retry, Certainty::NotApplied), "{error}");
    }
    // Applied before the failure was known or after it: that cannot be synced either.
    let behind = ordered(behind).expect("it is applied");
    block_on(behind.commitment.wait()).expect_err("it was taken back");
    std::fs::write(bench.place.path().join("there is no such file"), "").expect("now there is");
    let last = bench.submit(retain("d", ""));
    assert!(bench.transact());
    assert_eq!(block_on(ordered(last).expect("it is applied").commitment.wait()), Ok(Durability::Disk));
    let sql = "SELECT group_concat(topic, ' ') FROM retained_messages";
    let stored: String = bench.writer.engine.db().query_row(sql, [], |row| row.get(0)).expect("it is read");
    assert_eq!(stored, "d");
    assert!(!bench.has_failed());
}

#[test]
fn what_asks_for_more_and_changes_nothing_is_synced_for_what_asked_for_less_before_it() {
    let mut bench = Bench::with_log("there is no such file");
    let (asker, weak) = answer();
    let batch = Batch::new(Author::Broker, Durability::Process, Timestamp(1)).with(retain("r", ""));
    bench.put(Command::Submit(batch, asker));
    assert!(bench.transact());
    ordered(weak).expect("it is applied");
    let strong = bench.submit(Op::Unretain(topic("of nothing")));
    assert!(bench.transact());
    bench.find_out();
    let error = block_on(ordered(strong).expect("it is applied").commitment.wait()).expect_err("no sync");
    assert!(error.to_string().contains("there is no such file"), "{error}");
}

#[test]
fn nothing_is_synced_for_what_changed_nothing() {
    let mut bench = Bench::with_log("there is no such file");
    let answers = [bench.submit(Op::Unretain(topic("a"))), bench.submit(Op::Unretain(topic("b")))];
    assert!(bench.transact());
    for answer in answers {
        assert_eq!(block_on(ordered(answer).expect("applied").commitment.wait()), Ok(Durability::Disk));
    }
    assert!(!bench.has_failed());
}

mod failed_sync;
mod held;
mod numbers;
