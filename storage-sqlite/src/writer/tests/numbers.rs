//! What becomes of the numbers that a transaction told before it failed: nobody else is given them.

use opifex_conformance::script::{packet_id, target};
use opifex_storage::{Epoch, OpenedSession, Seq, SessionId, TargetOutcome};

use super::*;

/// A session whose open is durable.
fn opened(bench: &mut Bench) -> OpenedSession {
    let (asker, opened) = answer();
    bench.put(Command::Open(connect("c"), asker));
    assert!(bench.transact());
    block_on(opened).expect("it is answered").expect("it is open")
}

fn enqueue(session: &OpenedSession, payload: &str) -> Op {
    let message = Arc::new(message("t", payload));
    Op::Enqueue { message, targets: vec![target(session.session.id)] }
}

fn submit_by(bench: &Bench, session: &OpenedSession, op: Op) -> Answer<Result<Ordered>> {
    let (asker, ordered) = answer();
    let author = Author::Session(session.session.id, session.session.epoch);
    bench.put(Command::Submit(Batch::new(author, Durability::Disk, Timestamp(1)).with(op), asker));
    ordered
}

/// The number that a batch of one message for one session got.
fn number(batch: &Ordered) -> Seq {
    match &batch.outcomes[..] {
        [Outcome::Enqueued(targets)] => match targets[..] {
            [TargetOutcome::Queued { seq, .. }] => seq,
            ref other => panic!("not queued: {other:?}"),
        },
        other => panic!("no enqueue: {other:?}"),
    }
}

fn queued(bench: &Bench) -> Vec<(i64, String)> {
    let sql = "SELECT seq, CAST(payload AS TEXT) FROM queue JOIN messages ON messages.id = queue.message ORDER BY seq";
    let mut statement = bench.writer.engine.db().prepare(sql).expect("it is a query");
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).expect("it is read");
    rows.collect::<Result<_, _>>().expect("every row is whole")
}

/// A writer whose log is synced, until there is no such file.
fn bench_with_a_log() -> (Bench, std::path::PathBuf) {
    let bench = Bench::with_log("log");
    let log = bench.place.path().join("log");
    std::fs::write(&log, "").expect("it is written");
    (bench, log)
}

/// Lets the next sync fail, and the one after it go through.
fn fail_a_sync(
    bench: &mut Bench,
    log: &std::path::Path,
    batches: impl FnOnce(&Bench) -> Vec<Answer<Result<Ordered>>>,
) -> Vec<Ordered> {
    std::fs::remove_file(log).expect("it was there");
    bench.writer.syncer.begin_anew();
    let answers = batches(bench);
    assert!(bench.transact(), "it is no reason to end");
    let told: Vec<_> = answers.into_iter().map(|answer| ordered(answer).expect("it is applied")).collect();
    bench.find_out();
    for batch in &told {
        block_on(batch.commitment.wait()).expect_err("nothing can be synced");
    }
    std::fs::write(log, "").expect("it is written");
    told
}

#[test]
fn a_settlement_of_what_a_failed_sync_took_back_meets_no_other_message() {
    let (mut bench, log) = bench_with_a_log();
    let c = opened(&mut bench);
    let told = fail_a_sync(&mut bench, &log, |bench| {
        vec![bench.submit(enqueue(&c, "lost")), bench.submit(enqueue(&c, "lost, too"))]
    });
    assert_eq!(told.iter().map(number).collect::<Vec<_>>(), [Seq(1), Seq(2)]);
    let other = bench.submit(enqueue(&c, "another"));
    let settled = submit_by(&bench, &c, Op::Settle(Seq(1)));
    let assigned = submit_by(&bench, &c, Op::Assign { seq: Seq(2), packet_id: packet_id(1) });
    assert!(bench.transact());
    assert_eq!(number(&ordered(other).expect("it is applied")), Seq(3));
    for answer in [settled, assigned] {
        assert_eq!(ordered(answer).expect("it is applied").outcomes, [Outcome::Absent]);
    }
    assert_eq!(queued(&bench), [(3, "another".to_owned())]);
}

#[test]
fn numbers_of_several_failures_in_a_row_are_all_spent() {
    let (mut bench, log) = bench_with_a_log();
    let c = opened(&mut bench);
    for n in 1..=5 {
        let told = fail_a_sync(&mut bench, &log, |bench| vec![bench.submit(enqueue(&c, "lost"))]);
        assert_eq!(told.iter().map(number).collect::<Vec<_>>(), [Seq(n)]);
    }
    let other = bench.submit(enqueue(&c, "another"));
    assert!(bench.transact());
    assert_eq!(number(&ordered(other).expect("it is applied")), Seq(6));
    assert!(bench.writer.spent.entries.is_empty(), "the row says it now");
    let next = bench.submit(enqueue(&c, "next"));
    assert!(bench.transact());
    assert_eq!(number(&ordered(next).expect("it is applied")), Seq(7));
}

#[test]
fn what_was_ordered_behind_a_sync_that_failed_is_spent_with_it() {
    let (mut bench, log) = bench_with_a_log();
    let c = opened(&mut bench);
    std::fs::remove_file(&log).expect("it was there");
    bench.writer.syncer.begin_anew();
    let told: Vec<_> = (0..4)
        .flat_map(|_| {
            // Two at once are synced by the thread, while those behind them are applied.
            let both = [bench.submit(enqueue(&c, "lost")), bench.submit(enqueue(&c, "lost, too"))];
            assert!(bench.transact());
            both
        })
        .map(|answer| number(&ordered(answer).expect("it is applied")))
        .collect();
    assert_eq!(told, (1..=8).map(Seq).collect::<Vec<_>>());
    bench.find_out();
    std::fs::write(&log, "").expect("it is written");
    let other = bench.submit(enqueue(&c, "another"));
    assert!(bench.transact());
    assert_eq!(number(&ordered(other).expect("it is applied")), Seq(9));
    assert_eq!(queued(&bench), [(9, "another".to_owned())]);
}

#[test]
fn a_transaction_that_finds_no_room_at_its_end_has_spent_its_numbers() {
    let mut bench = Bench::new();
    // Without a reserve it asks the engine each time.
    bench.writer.engine = Engine::open(&bench.place.path().join("opifex.db"), 1, 0).expect("it opens");
    let c = opened(&mut bench);
    let grows = "CREATE TABLE sabotage (x);
                 CREATE TRIGGER grows AFTER UPDATE ON sessions BEGIN INSERT INTO sabotage VALUES (zeroblob(1 << 20)); END";
    bench.writer.engine.db().execute_batch(grows).expect("it is set up");
    let pages: i64 =
        bench.writer.engine.db().pragma_query_value(None, "page_count", |row| row.get(0)).expect("it counts");
    bench.writer.engine.db().pragma_update(None, "max_page_count", pages + 20).expect("it is set");
    let lost = bench.submit(enqueue(&c, "lost"));
    assert!(bench.transact());
    let lost = ordered(lost).expect("the session's row is written at the end");
    let error = block_on(lost.commitment.wait()).expect_err("there is no room");
    assert_eq!((error.kind(), error.certainty()), (ErrorKind::Full, Certainty::NotApplied), "{error}");
    bench.writer.engine.db().execute_batch("DROP TRIGGER grows").expect("it is there");
    let settled = submit_by(&bench, &c, Op::Settle(number(&lost)));
    let other = bench.submit(enqueue(&c, "another"));
    assert!(bench.transact());
    assert_eq!(ordered(settled).expect("it is applied").outcomes, [Outcome::Absent]);
    assert_eq!(number(&ordered(other).expect("there is room")), Seq(2));
}

#[test]
fn whoever_opens_a_session_learns_how_far_its_numbers_were_told() {
    let (mut bench, log) = bench_with_a_log();
    let c = opened(&mut bench);
    fail_a_sync(&mut bench, &log, |bench| vec![bench.submit(enqueue(&c, "lost"))]);
    let again = opened(&mut bench);
    assert_eq!((again.session.id, again.session.next_seq), (c.session.id, Seq(2)));
    assert!(bench.writer.spent.entries.is_empty(), "the row says it now");
    let sql = "SELECT next_seq FROM sessions";
    let stored: i64 = bench.writer.engine.db().query_row(sql, [], |row| row.get(0)).expect("it is read");
    assert_eq!(stored, 2, "and pages of the queue are final up to there");
}

#[test]
fn versions_and_epochs_are_given_once_too() {
    let (mut bench, log) = bench_with_a_log();
    let told = fail_a_sync(&mut bench, &log, |bench| vec![bench.submit(retain("r", "lost"))]);
    assert_eq!(told[0].outcomes, [Outcome::Retained(RecordVersion(1))]);
    let mut durable = connect("d");
    durable.durability = Durability::Disk;
    std::fs::remove_file(&log).expect("it was there");
    bench.writer.syncer.begin_anew();
    let (asker, failed) = answer();
    bench.put(Command::Open(durable, asker));
    assert!(bench.transact());
    block_on(failed).expect("it is answered").expect_err("it is not durable");
    std::fs::write(&log, "").expect("it is written");
    let c = opened(&mut bench);
    assert_eq!(c.session.epoch, Epoch(2), "whoever read the store may have seen the first");
    assert_eq!(c.session.id, SessionId(2));
    let other = bench.submit(retain("r", "another"));
    assert!(bench.transact());
    assert_eq!(ordered(other).expect("it is applied").outcomes, [Outcome::Retained(RecordVersion(2))]);
}
