//! Several threads at once: one order for all, and numbers without gap or double. (Schedules are not explored here.)

use std::sync::Arc;
use std::thread;

use opifex_storage::{ErrorKind, Op, OpenedSession, Outcome, Persistence, TargetOutcome};

use crate::script::{connect, id, message, packet_id, target};
use crate::{Factory, Subject};

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
