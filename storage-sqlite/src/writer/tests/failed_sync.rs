//! When those who wait for a sync that failed are told, and what.

use std::sync::mpsc::{self, RecvTimeoutError};

use super::*;

#[test]
fn who_waits_for_a_sync_that_failed_is_told_when_nobody_reads_any_more_what_is_taken_back() {
    let mut bench = Bench::with_log("there is no such file");
    let both = [bench.submit(retain("a", "")), bench.submit(retain("b", ""))];
    assert!(bench.transact(), "the sync is under way");
    let _ = bench.writer.syncer.wait();
    let [first, second] = both.map(|answer| ordered(answer).expect("it is applied").commitment);
    let mut waits = [Box::pin(first.wait()), Box::pin(second.wait())];
    let mut told =
        || waits.each_mut().map(|wait| wait.as_mut().poll(&mut Context::from_waker(Waker::noop())));
    let read = |bench: &Bench| {
        let slot = bench.writer.engine.readers()[0].lock();
        let sql = "SELECT count(*) FROM retained_messages";
        slot.as_ref().expect("it is open").query_row(sql, [], |row| row.get::<_, i64>(0)).expect("it is read")
    };
    assert_eq!(read(&bench), 2, "they are committed");
    assert!(told().iter().all(Poll::is_pending), "and nobody says what they came to");
    bench.find_out();
    assert_eq!(read(&bench), 0);
    for told in told() {
        let Poll::Ready(Err(error)) = told else { panic!("{told:?}") };
        assert_eq!((error.kind(), error.certainty()), (ErrorKind::Retry, Certainty::NotApplied), "{error}");
    }
}

#[test]
fn what_cannot_be_taken_back_is_in_doubt_and_everything_is_refused() {
    let mut bench = Bench::with_log("there is no such file");
    let both = [bench.submit(retain("a", "")), bench.submit(retain("b", ""))];
    assert!(bench.transact(), "the sync is under way");
    let _ = bench.writer.syncer.wait();
    std::fs::write(bench.place.path().join("opifex.db"), "no database at all").expect("it is written");
    bench.find_out();
    for answer in both {
        let error = block_on(ordered(answer).expect("it is applied").commitment.wait()).expect_err("no sync");
        assert_eq!((error.kind(), error.certainty()), (ErrorKind::Retry, Certainty::Unknown), "{error}");
    }
    assert!(bench.writer.engine.readers().iter().all(|slot| slot.lock().is_none()));
    let refused = bench.submit(retain("c", ""));
    assert!(bench.transact());
    let Err(error) = ordered(refused) else { panic!("it was applied") };
    assert_eq!((error.kind(), error.certainty()), (ErrorKind::Retry, Certainty::NotApplied), "{error}");
}

/// A task that cannot be woken.
struct Panics;

impl std::task::Wake for Panics {
    fn wake(self: Arc<Self>) {
        panic!("nobody can be woken");
    }
}

#[test]
fn a_panic_of_the_thread_that_syncs_ends_the_writer_and_leaves_nobody_waiting() {
    let bench = Bench::new();
    let (asker, mut opened) = answer();
    let open = opifex_storage::OpenSession { durability: Durability::Disk, ..connect("c") };
    bench.put(Command::Open(open, asker));
    let other = bench.submit(retain("a", ""));
    let waker = Waker::from(Arc::new(Panics));
    assert!(pin!(&mut opened).poll(&mut Context::from_waker(&waker)).is_pending());
    let Bench { writer, failed, place: _place } = bench;
    let (running, end) = mpsc::channel::<()>();
    std::thread::spawn(move || {
        let _running = running;
        writer.run();
    });
    let ended = end.recv_timeout(Duration::from_secs(60));
    assert_eq!(ended, Err(RecvTimeoutError::Disconnected), "it waits for a sync that nobody makes");
    assert!(failed.load(Ordering::Relaxed), "the store is closed");
    let error = block_on(ordered(other).expect("it is applied").commitment.wait()).expect_err("nobody knows");
    assert_eq!((error.kind(), error.certainty()), (ErrorKind::Fatal, Certainty::Unknown), "{error}");
}

/// How long those wait who are told of a sync that failed, when nobody else comes.
fn time_until_told() -> Duration {
    let bench = Bench::with_log("there is no such file");
    let answers = [bench.submit(retain("a", "")), bench.submit(retain("b", ""))];
    let Bench { writer, place, .. } = bench;
    let commands = Arc::clone(&writer.commands);
    let begun = Instant::now();
    let running = std::thread::spawn(move || writer.run());
    for answer in answers {
        let error = block_on(ordered(answer).expect("it is applied").commitment.wait()).expect_err("no sync");
        assert_eq!((error.kind(), error.certainty()), (ErrorKind::Retry, Certainty::NotApplied), "{error}");
    }
    let took = begun.elapsed();
    commands.close();
    running.join().expect("it ends");
    drop(place);
    took
}

#[test]
fn who_waits_for_a_sync_that_failed_is_told_though_nobody_else_comes_and_before_the_writer_tidies_up() {
    // The machine may be slow once, not each time.
    assert!((0..5).any(|_| time_until_told() < REST), "they waited until the writer had nothing else to do");
}
