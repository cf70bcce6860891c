//! Several threads at once: one order for all, and numbers without gap or double. (Schedules are not explored here.)

use std::future::{Future, poll_fn};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::task::Poll;
use std::thread;
use std::time::Duration;

use opifex_storage::{Durability, ErrorKind, Op, OpenedSession, Outcome, Persistence, TargetOutcome};

use crate::model::run::{Run, drawn};
use crate::model::{dropped, race};
use crate::script::{connect, id, message, packet_id, target};
use crate::{Factory, Subject, Tier};

const THREADS: u64 = 4;
const ROUNDS: u64 = 50;

/// Every publisher gets the numbers that its entries have, and each number is given once.
pub async fn publishers_at_once_get_dense_numbers<F: Factory>(s: Subject<F>) {
    let c = s.connect("c").await;
    thread::scope(|scope| {
        for publisher in 0..THREADS {
            let (s, to) = (&s, id(&c));
            scope.spawn(move || {
                for n in 0..ROUNDS {
                    s.block_on(s.enqueue(to, &format!("{publisher} {n}")));
                }
            });
        }
    });
    assert!(s.seqs(id(&c)).await.into_iter().eq(1..=THREADS * ROUNDS));
    let payloads = s.payloads(id(&c)).await;
    for publisher in 0..THREADS {
        let prefix = format!("{publisher} ");
        let own = payloads.iter().filter_map(|payload| payload.strip_prefix(&prefix)).map(str::to_owned);
        assert!(own.eq((0..ROUNDS).map(|n| n.to_string())), "each publisher's order is kept");
    }
}

/// A batch's entries for several sessions are in the same order for all of them.
pub async fn fan_outs_at_once_have_one_order<F: Factory>(s: Subject<F>) {
    let (a, b) = (s.connect("a").await, s.connect("b").await);
    thread::scope(|scope| {
        for publisher in 0..THREADS {
            let (s, a, b) = (&s, id(&a), id(&b));
            scope.spawn(move || {
                for n in 0..ROUNDS {
                    let message = Arc::new(message("t", format!("{publisher} {n}")));
                    let targets =
                        if n % 2 == 0 { vec![target(a), target(b)] } else { vec![target(b), target(a)] };
                    s.block_on(s.one(s.by_broker(), Op::Enqueue { message, targets }));
                }
            });
        }
    });
    assert_eq!(s.payloads(id(&a)).await, s.payloads(id(&b)).await);
    assert_eq!(s.seqs(id(&a)).await.len() as u64, THREADS * ROUNDS);
}

/// Of all that opened one client at once, each has an epoch of its own and the last one alone may write.
pub async fn one_of_many_takeovers_is_the_last<F: Factory>(s: Subject<F>) {
    let mut opened: Vec<OpenedSession> = thread::scope(|scope| {
        let open = || s.block_on(async { s.store().open_session(connect("c")).await.expect("it opens") });
        let threads: Vec<_> = (0..THREADS)
            .map(|_| scope.spawn(move || (0..ROUNDS).map(|_| open()).collect::<Vec<_>>()))
            .collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("it does not panic")).collect()
    });
    opened.sort_by_key(|opened| opened.session.epoch);
    assert!(opened.windows(2).all(|pair| pair[0].session.epoch < pair[1].session.epoch));
    assert!(opened.iter().all(|other| id(other) == id(&opened[0])), "it is one session");
    assert_eq!(opened.iter().filter(|opened| !opened.present).count(), 1, "one created it");
    let last = opened.pop().expect("there are some");
    s.refuse(s.by(&opened[opened.len() - 1]).with(Op::GoOffline), ErrorKind::Fenced).await;
    assert_eq!(s.one(s.by(&last), Op::GoOffline).await, Outcome::Done);
}

/// A session ends while it is published to: what is queued before is there, what comes after is gone, nothing between.
pub async fn a_session_that_ends_while_it_is_published_to_has_what_was_queued<F: Factory>(s: Subject<F>) {
    let c = s.connect("c").await;
    let queued: u64 = thread::scope(|scope| {
        let publish = || {
            let mut queued = 0;
            for _ in 0..ROUNDS {
                let op = Op::Enqueue { message: Arc::new(message("t", "x")), targets: vec![target(id(&c))] };
                match s.block_on(s.one(s.by_broker(), op)) {
                    Outcome::Enqueued(targets) if targets == [TargetOutcome::Gone] => {}
                    Outcome::Enqueued(_) => queued += 1,
                    other => panic!("an enqueue answered {other:?}"),
                }
            }
            queued
        };
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(publish)).collect();
        s.block_on(s.one(s.by_broker(), Op::EndSession(id(&c))));
        threads.into_iter().map(|thread| thread.join().expect("it does not panic")).sum()
    });
    assert!(s.seqs(id(&c)).await.into_iter().eq(1..=queued));
}

/// Reads see whole batches: the id and the retained message of one batch are both there or both not.
pub async fn a_reader_sees_whole_batches<F: Factory>(s: Subject<F>) {
    let c = s.connect("c").await;
    thread::scope(|scope| {
        scope.spawn(|| {
            for n in 1..=ROUNDS as u16 {
                let both = [format!("pair/{n}/a"), format!("pair/{n}/b")];
                let batch = both.iter().fold(s.by(&c).with(Op::PutInbound(packet_id(n))), |batch, topic| {
                    batch.with(Op::Retain(Arc::new(message(topic, ""))))
                });
                s.block_on(s.submit(batch));
            }
        });
        for _ in 0..ROUNDS {
            let limit = opifex_storage::PageLimit::items(1000);
            let filters = [crate::script::filter("pair/#")];
            let page = s.block_on(s.store().retained(&filters, None, limit)).expect("it can be read");
            if page.next.is_none() {
                assert_eq!(page.items.len() % 2, 0, "half a batch is seen");
            }
        }
    });
}

/// Whatever several tasks do to one client at once, there is an order in which the model would have answered the same.
pub async fn what_tasks_see_at_once_has_an_order<F: Factory>(s: Subject<F>) {
    for number in 0..Tier::of(8, 2000) {
        race::round(&s, number).await;
    }
}

/// A call whose future is dropped at any of its waits was done or was not: nothing is half done, and the store goes on.
pub async fn a_call_that_is_dropped_was_done_or_not<F: Factory>(s: Subject<F>) {
    let mut run = Run::new(s.another().await);
    let steps = drawn(7, 12);
    for step in &steps {
        run.step(step).await.expect("the model knows this history");
        run.compare(3).await.expect("the model knows where it leads");
    }
    for round in 0..Tier::of(3, 100) {
        for polls in 1..=MAX_WAITS {
            let waits = dropped::each_call(&mut run, round * MAX_WAITS + polls, polls as usize);
            if waits.await.unwrap_or_else(|what| panic!("dropped at wait {polls}: {what}")) {
                break;
            }
            assert!(polls < MAX_WAITS, "a call waits more than {MAX_WAITS} times");
        }
    }
}

/// No call of a store waits more often.
const MAX_WAITS: u64 = 100;

/// One thread that submits more than any queue holds gets all of it answered: who waits for room makes room.
pub async fn a_thousand_submits_of_one_thread_are_all_answered<F: Factory>(s: Subject<F>) {
    let c = s.connect("c").await;
    let count = Tier::of(1_000, 50_000);
    let submits = (0..count).map(|n| {
        let message = Arc::new(message("t", format!("{n}")));
        let batch = s.by_broker().with(Op::Enqueue { message, targets: vec![target(id(&c))] });
        async {
            let receipt = s.store().submit(batch).await.expect("it is applied");
            let outcomes = receipt.outcomes().to_vec();
            receipt.durable().await.expect("it becomes durable");
            match outcomes.as_slice() {
                [Outcome::Enqueued(targets)] => match targets.as_slice() {
                    [TargetOutcome::Queued { seq, .. }] => seq.0,
                    other => panic!("not queued: {other:?}"),
                },
                other => panic!("an enqueue answered {other:?}"),
            }
        }
    });
    let mut numbers = all_at_once(submits, |_| {}).await;
    numbers.sort_unstable();
    assert!(numbers.into_iter().eq(1..=count), "each number is given once");
}

/// Nothing blocks the thread that a store is called on: while a thousand submits wait for their durability, others of
/// the same thread run.
///
/// Where the factory can hold the engine, it is held until others have run. A store that is durable at once and claims
/// no more than memory has nothing to wait for.
pub async fn others_of_the_thread_run_while_submits_wait<F: Factory>(s: Subject<F>) {
    let c = s.connect("c").await;
    let submits = (0..1_000).map(|n| {
        let batch = s.by(&c).with(Op::PutInbound(packet_id(1 + n)));
        async {
            let receipt = s.store().submit(batch).await.expect("it is applied");
            receipt.durable().await.expect("it becomes durable");
        }
    });
    let Some(let_go) = s.hold() else {
        let mut turns = 0;
        all_at_once(submits, |_| turns += 1).await;
        if s.strongest() > Durability::Memory {
            assert!(turns > 0, "a thousand submits took the thread until they were durable");
        }
        return;
    };
    let (sing, sung) = mpsc::channel();
    let hears = thread::spawn(move || {
        let heard = sung.recv_timeout(DEADLINE);
        // Also when nobody sang: the thread that is blocked goes on, and the case ends.
        let_go();
        heard
    });
    let durable_while_held = Arc::new(AtomicUsize::new(0));
    let first = Arc::clone(&durable_while_held);
    let mut sing = Some(sing);
    all_at_once(submits, move |done| {
        if let Some(sing) = sing.take() {
            first.store(done, Ordering::Relaxed);
            // Nobody hears it behind the deadline.
            let _ = sing.send(());
        }
    })
    .await;
    let heard = hears.join().expect("it does not panic");
    assert!(heard.is_ok(), "submits took the thread while the engine was held");
    assert_eq!(
        durable_while_held.load(Ordering::Relaxed),
        0,
        "batches were durable while the engine was held"
    );
}

/// How long a blocked thread is waited for: a busy machine must not cost this.
const DEADLINE: Duration = Duration::from_secs(30);

/// Waits for all of them on this thread. Each time that all which are left wait, others of the thread have a turn: they
/// are told how many are done.
async fn all_at_once<T>(
    futures: impl Iterator<Item = impl Future<Output = T>>,
    mut others: impl FnMut(usize),
) -> Vec<T> {
    let mut waiting: Vec<_> = futures.map(|future| Some(Box::pin(future))).collect();
    let mut done = Vec::new();
    poll_fn(|cx| {
        for slot in &mut waiting {
            if let Some(future) = slot
                && let Poll::Ready(value) = future.as_mut().poll(cx)
            {
                done.push(value);
                *slot = None;
            }
        }
        waiting.retain(Option::is_some);
        if waiting.is_empty() {
            return Poll::Ready(());
        }
        others(done.len());
        Poll::Pending
    })
    .await;
    done
}
