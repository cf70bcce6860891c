//! The outgoing queue: dense numbers, fan-out, limits and what gives way, pages.

use std::sync::Arc;

use opifex_packet::QoS;
use opifex_storage::{
    DropReason, FullPolicy, Message, Op, OpenedSession, Outcome, PageLimit, Persistence, QueueLimits, Queued,
    QueuedState, Seq, SessionId, Target, TargetOutcome,
};

use crate::script::{bytes, id, items, message, message_of, packet_id, shared_target, target};
use crate::{Factory, Subject, Tier};

/// Sends one message to the targets in the broker's name.
async fn fan_out<F: Factory>(s: &Subject<F>, message: Message, targets: Vec<Target>) -> Vec<TargetOutcome> {
    match s.one(s.by_broker(), Op::Enqueue { message: Arc::new(message), targets }).await {
        Outcome::Enqueued(outcomes) => outcomes,
        other => panic!("an enqueue answered {other:?}"),
    }
}

/// Queues a message within limits.
async fn push<F: Factory>(
    s: &Subject<F>,
    to: SessionId,
    message: Message,
    limits: QueueLimits,
) -> TargetOutcome {
    fan_out(s, message, vec![Target { limits, ..target(to) }]).await.remove(0)
}

fn queued(seq: u64) -> TargetOutcome {
    TargetOutcome::Queued { seq: Seq(seq), displaced: Vec::new() }
}

fn displacing(seq: u64, displaced: &[u64]) -> TargetOutcome {
    TargetOutcome::Queued { seq: Seq(seq), displaced: displaced.iter().map(|seq| Seq(*seq)).collect() }
}

async fn assign<F: Factory>(s: &Subject<F>, session: &OpenedSession, seq: u64) {
    let op = Op::Assign { seq: Seq(seq), packet_id: packet_id(seq as u16) };
    assert_eq!(s.one(s.by(session), op).await, Outcome::Done);
}

/// Numbers begin at 1 and have no holes.
pub async fn numbers_are_dense_and_in_order<F: Factory>(s: Subject<F>) {
    let c = s.connect("c").await;
    for n in 1..=5 {
        assert_eq!(s.enqueue(id(&c), &n.to_string()).await, Seq(n));
    }
    assert_eq!(s.payloads(id(&c)).await, ["1", "2", "3", "4", "5"]);
    assert_eq!(s.seqs(id(&c)).await, [1, 2, 3, 4, 5]);
}

/// Several enqueues of one batch are numbered in the batch's order.
pub async fn a_batch_is_numbered_in_its_order<F: Factory>(s: Subject<F>) {
    let c = s.connect("c").await;
    let mut batch = s.by_broker();
    for n in 0..100 {
        let message = Arc::new(message("t", format!("{n}")));
        batch.ops.push(Op::Enqueue { message, targets: vec![target(id(&c))] });
    }
    s.submit(batch).await;
    let expected: Vec<_> = (0..100).map(|n| n.to_string()).collect();
    assert_eq!(s.payloads(id(&c)).await, expected);
}

/// One message, one number in each queue.
pub async fn a_fan_out_answers_each_target_in_order<F: Factory>(s: Subject<F>) {
    let (a, b, c) = (s.connect("a").await, s.connect("b").await, s.connect("c").await);
    for session in [&b, &c, &c] {
        s.enqueue(id(session), "before").await;
    }
    let outcomes = fan_out(&s, message("t", "x"), [&c, &a, &b].map(|to| target(id(to))).to_vec()).await;
    assert_eq!(outcomes, [queued(3), queued(1), queued(2)]);
    assert_eq!(s.payloads(id(&a)).await, ["x"]);
    assert_eq!(s.payloads(id(&b)).await, ["before", "x"]);
    assert_eq!(s.payloads(id(&c)).await, ["before", "before", "x"]);
}

/// Nobody to queue for is no error.
pub async fn a_fan_out_to_nobody_answers_nothing<F: Factory>(s: Subject<F>) {
    assert!(fan_out(&s, message("t", "x"), Vec::new()).await.is_empty());
}

/// A subscriber that ended costs its neighbours nothing.
pub async fn a_target_that_ended_is_gone_and_its_neighbours_are_queued<F: Factory>(s: Subject<F>) {
    let (a, b, c) = (s.connect("a").await, s.connect("b").await, s.connect("c").await);
    s.enqueue(id(&b), "remains").await;
    s.one(s.by(&b), Op::EndSession(id(&b))).await;
    let outcomes = fan_out(&s, message("t", "x"), [&a, &b, &c].map(|to| target(id(to))).to_vec()).await;
    assert_eq!(outcomes, [queued(1), TargetOutcome::Gone, queued(1)]);
    assert_eq!(s.payloads(id(&b)).await, ["remains"]);
}

/// The client id points to another session, the old id to none.
pub async fn a_new_session_of_the_client_gets_nothing_that_was_meant_for_the_old<F: Factory>(s: Subject<F>) {
    let old = s.connect("c").await;
    s.one(s.by(&old), Op::EndSession(id(&old))).await;
    let new = s.connect("c").await;
    let outcomes = fan_out(&s, message("t", "x"), vec![target(id(&old))]).await;
    assert_eq!(outcomes, [TargetOutcome::Gone]);
    assert!(s.queue(id(&new)).await.is_empty());
}

/// An id that no session ever had.
pub async fn a_target_that_never_was_is_gone<F: Factory>(s: Subject<F>) {
    let never = SessionId(u64::MAX);
    assert_eq!(fan_out(&s, message("t", "x"), vec![target(never)]).await, [TargetOutcome::Gone]);
    let page = s.store().queue(never, Seq::ZERO, PageLimit::items(10)).await.expect("it is read as empty");
    assert!(page.items.is_empty() && !page.more);
}

/// Everything of the target that delivery needs.
pub async fn an_entry_keeps_what_its_target_says<F: Factory>(s: Subject<F>) {
    let c = s.connect("c").await;
    let shared = Target {
        qos: QoS::ExactlyOnce,
        retain: true,
        subscription_ids: vec![268_435_455, 1, 1, 7],
        ..shared_target(id(&c), "$share/g/+/t")
    };
    let message = message("t", "x");
    fan_out(&s, message.clone(), vec![shared, target(id(&c))]).await;
    let message = Some(Arc::new(message));
    let first = Queued {
        seq: Seq(1),
        message: message.clone(),
        qos: QoS::ExactlyOnce,
        retain: true,
        subscription_ids: vec![268_435_455, 1, 1, 7],
        share: Some(Arc::from("$share/g/+/t")),
        state: QueuedState::Waiting,
    };
    let second = Queued {
        seq: Seq(2),
        message,
        qos: QoS::AtLeastOnce,
        retain: false,
        subscription_ids: Vec::new(),
        share: None,
        state: QueuedState::Waiting,
    };
    assert_eq!(s.queue(id(&c)).await, [first, second]);
}

/// The message that comes is dropped, and takes no number.
pub async fn drop_newest_refuses_what_exceeds_the_items<F: Factory>(s: Subject<F>) {
    let c = s.connect("c").await;
    let limits = items(2, FullPolicy::DropNewest);
    assert_eq!(push(&s, id(&c), message("t", "1"), limits).await, queued(1));
    assert_eq!(push(&s, id(&c), message("t", "2"), limits).await, queued(2));
    let dropped = TargetOutcome::Dropped(DropReason::QueueItems);
    assert_eq!(push(&s, id(&c), message("t", "3"), limits).await, dropped);
    assert_eq!(s.one(s.by(&c), Op::Settle(Seq(1))).await, Outcome::Done);
    assert_eq!(push(&s, id(&c), message("t", "4"), limits).await, queued(3));
    assert_eq!(s.payloads(id(&c)).await, ["2", "4"]);
}

/// A limit is reached by what exceeds it, not by what meets it.
pub async fn drop_newest_refuses_what_exceeds_the_bytes<F: Factory>(s: Subject<F>) {
    let c = s.connect("c").await;
    let limits = bytes(100, FullPolicy::DropNewest);
    assert_eq!(push(&s, id(&c), message_of(60), limits).await, queued(1));
    let dropped = TargetOutcome::Dropped(DropReason::QueueBytes);
    assert_eq!(push(&s, id(&c), message_of(41), limits).await, dropped);
    assert_eq!(push(&s, id(&c), message_of(40), limits).await, queued(2));
    assert_eq!(s.seqs(id(&c)).await, [1, 2]);
}

/// The oldest entry goes, and the outcome says which.
pub async fn drop_oldest_displaces_the_oldest_item<F: Factory>(s: Subject<F>) {
    let c = s.connect("c").await;
    let limits = items(2, FullPolicy::DropOldest);
    for n in 1..=2 {
        assert_eq!(push(&s, id(&c), message("t", n.to_string()), limits).await, queued(n));
    }
    assert_eq!(push(&s, id(&c), message("t", "3"), limits).await, displacing(3, &[1]));
    assert_eq!(push(&s, id(&c), message("t", "4"), limits).await, displacing(4, &[2]));
    assert_eq!(s.payloads(id(&c)).await, ["3", "4"]);
}

/// One large message may need the room of several small ones.
pub async fn drop_oldest_displaces_as_many_bytes_as_are_needed<F: Factory>(s: Subject<F>) {
    let c = s.connect("c").await;
    let limits = bytes(100, FullPolicy::DropOldest);
    for n in 1..=4 {
        assert_eq!(push(&s, id(&c), message_of(25), limits).await, queued(n));
    }
    assert_eq!(push(&s, id(&c), message_of(30), limits).await, displacing(5, &[1, 2]));
    assert_eq!(s.seqs(id(&c)).await, [3, 4, 5]);
}

/// A limit that became smaller takes effect with the next message.
pub async fn drop_oldest_comes_down_to_a_smaller_limit<F: Factory>(s: Subject<F>) {
    let c = s.connect("c").await;
    for _ in 0..5 {
        s.enqueue(id(&c), "x").await;
    }
    let outcome = push(&s, id(&c), message("t", "y"), items(2, FullPolicy::DropOldest)).await;
    assert_eq!(outcome, displacing(6, &[1, 2, 3, 4]));
    assert_eq!(s.seqs(id(&c)).await, [5, 6]);
}

/// What is in flight has its packet id at the client.
pub async fn drop_oldest_spares_what_has_a_packet_id<F: Factory>(s: Subject<F>) {
    let c = s.connect("c").await;
    let limits = items(3, FullPolicy::DropOldest);
    for n in 1..=3 {
        push(&s, id(&c), message("t", n.to_string()), limits).await;
    }
    assign(&s, &c, 1).await;
    assign(&s, &c, 3).await;
    assert_eq!(push(&s, id(&c), message("t", "4"), limits).await, displacing(4, &[2]));
    assign(&s, &c, 4).await;
    let dropped = TargetOutcome::Dropped(DropReason::QueueItems);
    assert_eq!(push(&s, id(&c), message("t", "5"), limits).await, dropped);
    assert_eq!(s.payloads(id(&c)).await, ["1", "3", "4"]);
}

/// If all that may go does not make enough room, nothing goes.
pub async fn drop_oldest_displaces_nothing_in_vain<F: Factory>(s: Subject<F>) {
    let c = s.connect("c").await;
    let limits = bytes(100, FullPolicy::DropOldest);
    push(&s, id(&c), message_of(60), limits).await;
    push(&s, id(&c), message_of(40), limits).await;
    assign(&s, &c, 1).await;
    let dropped = TargetOutcome::Dropped(DropReason::QueueBytes);
    assert_eq!(push(&s, id(&c), message_of(41), limits).await, dropped);
    assert_eq!(push(&s, id(&c), message_of(101), limits).await, dropped);
    assert_eq!(s.seqs(id(&c)).await, [1, 2]);
    assert_eq!(s.enqueue(id(&c), "next").await, Seq(3));
}

/// What was settled, or gave way, or is in flight, waits no more: it cannot give way.
pub async fn what_is_gone_makes_no_room_again<F: Factory>(s: Subject<F>) {
    let c = s.connect("c").await;
    let limits = bytes(100, FullPolicy::DropOldest);
    for n in 1..=2 {
        assert_eq!(push(&s, id(&c), message_of(40), limits).await, queued(n));
    }
    s.one(s.by(&c), Op::Settle(Seq(1))).await;
    assert_eq!(push(&s, id(&c), message_of(60), limits).await, queued(3));
    assert_eq!(push(&s, id(&c), message_of(40), limits).await, displacing(4, &[2]));
    assign(&s, &c, 3).await;
    assign(&s, &c, 4).await;
    let dropped = TargetOutcome::Dropped(DropReason::QueueBytes);
    assert_eq!(push(&s, id(&c), message_of(10), limits).await, dropped);
    assert_eq!(s.seqs(id(&c)).await, [3, 4]);
}

/// Zero is a limit, too.
pub async fn a_limit_of_nothing_takes_nothing<F: Factory>(s: Subject<F>) {
    let c = s.connect("c").await;
    for policy in [FullPolicy::DropNewest, FullPolicy::DropOldest] {
        let dropped = TargetOutcome::Dropped(DropReason::QueueItems);
        assert_eq!(push(&s, id(&c), message("t", "x"), items(0, policy)).await, dropped);
        let dropped = TargetOutcome::Dropped(DropReason::QueueBytes);
        assert_eq!(push(&s, id(&c), message("t", "x"), bytes(0, policy)).await, dropped);
    }
    assert!(s.queue(id(&c)).await.is_empty());
}

/// A full queue is that session's business.
pub async fn a_full_queue_does_not_touch_its_neighbours<F: Factory>(s: Subject<F>) {
    let (a, b) = (s.connect("a").await, s.connect("b").await);
    let full = Target { limits: items(1, FullPolicy::DropNewest), ..target(id(&a)) };
    fan_out(&s, message("t", "1"), vec![full.clone(), target(id(&b))]).await;
    let outcomes = fan_out(&s, message("t", "2"), vec![full, target(id(&b))]).await;
    assert_eq!(outcomes, [TargetOutcome::Dropped(DropReason::QueueItems), queued(2)]);
    assert_eq!(s.payloads(id(&b)).await, ["1", "2"]);
}

/// Settling removes one entry and is harmless the second time.
pub async fn settling_removes_an_entry_once<F: Factory>(s: Subject<F>) {
    let c = s.connect("c").await;
    for payload in ["1", "2", "3"] {
        s.enqueue(id(&c), payload).await;
    }
    assert_eq!(s.one(s.by(&c), Op::Settle(Seq(2))).await, Outcome::Done);
    assert_eq!(s.one(s.by(&c), Op::Settle(Seq(2))).await, Outcome::Absent);
    assert_eq!(s.one(s.by(&c), Op::Settle(Seq(99))).await, Outcome::Absent);
    assert_eq!(s.payloads(id(&c)).await, ["1", "3"]);
}

/// The other session's entry has the same number.
pub async fn settling_reaches_only_the_authors_queue<F: Factory>(s: Subject<F>) {
    let (a, b) = (s.connect("a").await, s.connect("b").await);
    fan_out(&s, message("t", "x"), vec![target(id(&a)), target(id(&b))]).await;
    s.one(s.by(&a), Op::Settle(Seq(1))).await;
    assert!(s.queue(id(&a)).await.is_empty());
    assert_eq!(s.payloads(id(&b)).await, ["x"]);
}

/// A number is given once in the session's life, also when the queue ran empty, was taken over or reopened.
pub async fn a_number_is_never_given_again<F: Factory>(mut s: Subject<F>) {
    let c = s.connect("c").await;
    assert_eq!(s.enqueue(id(&c), "1").await, Seq(1));
    s.one(s.by(&c), Op::Settle(Seq(1))).await;
    assert_eq!(s.enqueue(id(&c), "2").await, Seq(2));
    s.one(s.by(&c), Op::Settle(Seq(2))).await;
    let c = s.connect("c").await;
    assert_eq!(c.session.next_seq, Seq(3));
    s.reopen().await;
    let c = s.connect("c").await;
    assert_eq!(c.session.next_seq, Seq(3));
    assert_eq!(s.enqueue(id(&c), "3").await, Seq(3));
}

/// The record counts entries and the bytes of messages that are kept.
pub async fn the_record_counts_items_and_bytes<F: Factory>(s: Subject<F>) {
    let c = s.connect("c").await;
    let size = async || {
        let session = s.session(id(&c)).await.expect("it is there");
        (session.queued_items, session.queued_bytes)
    };
    for bytes in [10, 20, 40] {
        s.enqueue_message(id(&c), message_of(bytes)).await;
    }
    assert_eq!(size().await, (3, 70));
    assign(&s, &c, 2).await;
    s.one(s.by(&c), Op::Release(Seq(2))).await;
    assert_eq!(size().await, (3, 50));
    s.one(s.by(&c), Op::Settle(Seq(2))).await;
    assert_eq!(size().await, (2, 50));
    s.one(s.by(&c), Op::Settle(Seq(1))).await;
    assert_eq!(size().await, (1, 40));
    push(&s, id(&c), message_of(40), bytes(40, FullPolicy::DropOldest)).await;
    assert_eq!(size().await, (1, 40));
    assert_eq!(s.connect("c").await.session.queued_bytes, 40);
}

/// An overlapping shared subscription makes an entry of its own.
pub async fn a_session_can_be_a_target_for_itself_and_for_its_shares<F: Factory>(s: Subject<F>) {
    let c = s.connect("c").await;
    let targets =
        vec![target(id(&c)), shared_target(id(&c), "$share/g/t"), shared_target(id(&c), "$share/h/t")];
    let outcomes = fan_out(&s, message("t", "x"), targets).await;
    assert_eq!(outcomes, [queued(1), queued(2), queued(3)]);
    let shares: Vec<_> = s.queue(id(&c)).await.into_iter().map(|entry| entry.share).collect();
    assert_eq!(shares, [None, Some(Arc::from("$share/g/t")), Some(Arc::from("$share/h/t"))]);
}

/// As many sessions as a batch may have targets, up to 10,000.
pub async fn a_large_fan_out_reaches_every_session<F: Factory>(s: Subject<F>) {
    let count = Tier::of(4_000, 10_000).min(s.capabilities().max_batch_ops - 1);
    let mut sessions = Vec::new();
    for n in 0..count {
        let open = crate::script::connect(&format!("client-{n}"));
        // Nothing here depends on their durability; an open a sync is slow.
        sessions.push(s.store().open_session(open).await.expect("it opens").session.id);
    }
    let outcomes = fan_out(&s, message("t", "x"), sessions.iter().map(|id| target(*id)).collect()).await;
    assert!(outcomes.len() == count && outcomes.iter().all(|outcome| *outcome == queued(1)));
    for session in [0, 1, count / 2, count - 1].map(|index| sessions[index]) {
        assert_eq!(s.payloads(session).await, ["x"]);
    }
    assert_eq!(s.scan(opifex_storage::RecordKind::Queued).await.len(), count);
}

/// Queues that grow and shrink in turns are in one order, whenever the store was opened.
pub async fn order_goes_on_over_reopenings<F: Factory>(mut s: Subject<F>) {
    let sessions = [s.connect("a").await, s.connect("b").await, s.connect("c").await];
    let mut expected = vec![Vec::new(); sessions.len()];
    for round in 0..4_u64 {
        // Of each session another one is left out, and another one settled.
        for n in 0..6 {
            let number = round * 6 + n;
            let reached = sessions.iter().enumerate().filter(|(at, _)| number % 3 != *at as u64);
            let (at, targets): (Vec<_>, Vec<_>) = reached.map(|(at, to)| (at, target(id(to)))).unzip();
            let outcomes = fan_out(&s, message("t", number.to_string()), targets).await;
            for (at, outcome) in at.into_iter().zip(outcomes) {
                let TargetOutcome::Queued { seq, .. } = outcome else { panic!("answered {outcome:?}") };
                expected[at].push((seq, number.to_string()));
            }
        }
        s.reopen().await;
        for (session, expected) in sessions.iter().zip(&mut expected) {
            assert!(expected.is_sorted_by_key(|(seq, _)| *seq), "{expected:?}");
            let found = s.queue(id(session)).await.into_iter().map(|entry| entry.seq);
            assert!(found.eq(expected.iter().map(|(seq, _)| *seq)), "after reopening {round}: {expected:?}");
            let payloads = s.payloads(id(session)).await;
            assert!(payloads.iter().eq(expected.iter().map(|(_, payload)| payload)), "{payloads:?}");
            // From the middle: what is around it stays where it is.
            let again = s.connect(&session.session.client_id).await;
            let (seq, _) = expected.remove(expected.len() / 2);
            assert_eq!(s.one(s.by(&again), Op::Settle(seq)).await, Outcome::Done);
        }
    }
}

/// Many messages are read and settled page by page, after the store was opened anew. No page holds more than it may, so
/// that whoever replays needs no more memory than for a page; nor does a store that keeps its state on disk, of which
/// the long tier looks at the process (`--test-threads=1`, or others are seen too).
pub async fn a_long_queue_is_replayed_page_by_page<F: Factory>(mut s: Subject<F>) {
    const PAYLOAD_BYTES: usize = 256;
    let count = Tier::of(10_000, 1_000_000);
    let c = s.connect("c").await;
    let at_once = (s.capabilities().max_batch_ops / 2)
        .min(s.capabilities().max_batch_bytes / (PAYLOAD_BYTES + 1))
        .min(10_000);
    let numbered = |number: u64| {
        let mut payload = vec![b'.'; PAYLOAD_BYTES];
        payload[..8].copy_from_slice(&number.to_be_bytes());
        message("t", payload)
    };
    let numbers: Vec<u64> = (1..=count).collect();
    for numbers in numbers.chunks(at_once) {
        let mut batch = s.by_broker();
        batch.ops.extend(numbers.iter().map(|number| Op::Enqueue {
            message: Arc::new(numbered(*number)),
            targets: vec![target(id(&c))],
        }));
        s.submit(batch).await;
    }
    s.reopen().await;
    let c = s.connect("c").await;
    assert_eq!((c.session.queued_items, c.session.next_seq), (count, Seq(count + 1)));

    let limit = PageLimit { items: 1_000, bytes: 64 << 10 };
    let (mut after, mut next, before) = (Seq::ZERO, 1, resident_bytes());
    loop {
        let page = s.store().queue(id(&c), after, limit).await.expect("a queue can be read");
        let size: usize =
            page.items.iter().flat_map(|entry| &entry.message).map(|body| body.size_bytes()).sum();
        assert!(page.items.len() <= limit.items, "{} items", page.items.len());
        assert!(size <= limit.bytes + PAYLOAD_BYTES + 1, "{size} bytes where {} are asked for", limit.bytes);
        for entry in &page.items {
            assert_eq!(entry.seq, Seq(next));
            let message = entry.message.as_ref().expect("it was not released");
            assert_eq!(message.payload[..8], next.to_be_bytes());
            next += 1;
        }
        assert!(!page.more || !page.items.is_empty(), "an empty page says that there is more");
        after = page.final_up_to;
        let mut settled = s.by(&c);
        settled.ops.extend(page.items.iter().map(|entry| Op::Settle(entry.seq)));
        s.submit(settled).await;
        if !page.more {
            break;
        }
    }
    assert_eq!(next, count + 1);
    assert!(s.queue(id(&c)).await.is_empty());
    let grown = resident_bytes().zip(before).map(|(after, before)| after.saturating_sub(before) >> 20);
    if let Some(grown) = grown.filter(|_| Tier::of(false, true)) {
        assert!(grown < 128, "the process grew by {grown} MiB over a replay of {count} messages");
    }
}

/// How much of this process is in memory, where the system tells.
fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? << 10)
}
