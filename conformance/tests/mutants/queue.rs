//! Broken stores: queues that lose, double, mix up or misnumber, and limits that are not kept.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use opifex_storage::{
    DropReason, ErrorKind, FullPolicy, Op, Outcome, QueueLimits, Record, Seq, StoreError, Target,
    TargetOutcome,
};

use crate::broken::{Behaviour, honest};
use crate::mutant::mutants;

/// A store to whose targets this is done as they come in.
fn targeting(change: impl Fn(&mut Target) + Send + Sync + 'static) -> Behaviour {
    honest().batches(move |_, batch| {
        for op in &mut batch.ops {
            if let Op::Enqueue { targets, .. } = op {
                targets.iter_mut().for_each(&change);
            }
        }
    })
}

/// A store of which this is said of each target.
fn answering(change: impl Fn(&Target, &mut TargetOutcome) + Send + Sync + 'static) -> Behaviour {
    honest().outcomes(move |_, batch, outcomes| {
        for (op, outcome) in batch.ops.iter().zip(outcomes) {
            if let (Op::Enqueue { targets, .. }, Outcome::Enqueued(answers)) = (op, outcome) {
                targets.iter().zip(answers).for_each(|(target, answer)| change(target, answer));
            }
        }
    })
}

mutants! {
    /// a queue is read from its end
    "QUE-01" the_newest_comes_first: honest().pages(|_, _, page| page.items.reverse());

    /// the enqueues of a batch are applied from its end
    "QUE-02" a_batch_is_queued_backwards: honest().submit(|engine, mut batch| {
        let enqueues = batch.ops.iter().all(|op| matches!(op, Op::Enqueue { .. }));
        if enqueues {
            batch.ops.reverse();
        }
        let mut outcomes = engine.submit(batch)?;
        if enqueues {
            outcomes.reverse();
        }
        Ok(outcomes)
    });

    /// the outcomes of a fan-out come in the order of the sessions, not of the targets
    "QUE-03" outcomes_are_in_the_order_of_sessions: honest().submit(|engine, mut batch| {
        for op in &mut batch.ops {
            if let Op::Enqueue { targets, .. } = op {
                targets.sort_by_key(|target| target.session);
            }
        }
        engine.submit(batch)
    });

    /// a subscriber that ended fails the publisher's batch
    "QUE-05" a_gone_target_fails_the_batch: honest().batches(|_, _| {}).submit(|engine, batch| {
        let gone = batch.ops.iter().any(|op| match op {
            Op::Enqueue { targets, .. } => targets.iter().any(|target| engine.session(target.session).is_none()),
            _ => false,
        });
        match gone {
            true => Err(StoreError::not_applied(ErrorKind::Conflict, "a target is gone")),
            false => engine.submit(batch),
        }
    });

    /// queues hang on the client: what was meant for a session that ended comes to the client's new one
    "QUE-06" a_queue_hangs_on_the_client: {
        let clients = Arc::new(Mutex::new(HashMap::new()));
        let also = Arc::clone(&clients);
        honest()
            .opened(move |_, open, opened| {
                let id = opened.session.id;
                clients.lock().expect("nobody panics with it").insert(id, open.client_id.clone());
            })
            .batches(move |engine, batch| {
                let clients = also.lock().expect("nobody panics with it");
                for op in &mut batch.ops {
                    let Op::Enqueue { targets, .. } = op else { continue };
                    for target in targets {
                        let client = clients.get(&target.session);
                        let new = client.and_then(|client| engine.session_of(client));
                        target.session = new.map_or(target.session, |new| new.id);
                    }
                }
            })
    };

    /// a session that is not there is answered as queued for
    "QUE-07" what_is_queued_for_nobody_is_queued: answering(|_, answer| {
        if *answer == TargetOutcome::Gone {
            *answer = TargetOutcome::Queued { seq: Seq(1), displaced: Vec::new() };
        }
    });

    /// subscription identifiers are a set
    "QUE-08" subscription_identifiers_are_sorted_and_come_once: targeting(|target| {
        target.subscription_ids.sort();
        target.subscription_ids.dedup();
    });

    /// the RETAIN flag is not kept
    "QUE-08" the_retain_flag_is_lost: targeting(|target| target.retain = false);

    /// the share that an entry belongs to is not kept: nobody can hand it on
    "QUE-08" the_share_is_lost: targeting(|target| target.share = None);

    /// queues have no limits
    "QUE-09" limits_are_not_asked: targeting(|target| target.limits = QueueLimits::UNLIMITED);

    /// what is dropped takes a number
    "QUE-09" a_drop_takes_a_number: honest().outcomes(|engine, batch, outcomes| {
        for (op, outcome) in batch.ops.iter().zip(outcomes) {
            let (Op::Enqueue { message, targets }, Outcome::Enqueued(answers)) = (op, outcome) else { continue };
            for (target, answer) in targets.iter().zip(answers) {
                let TargetOutcome::Dropped(_) = answer else { continue };
                let target = Target { limits: QueueLimits::UNLIMITED, ..target.clone() };
                let enqueue = Op::Enqueue { message: Arc::clone(message), targets: vec![target.clone()] };
                engine.administer(batch.now, [enqueue]);
                if let Some(last) = engine.entries(target.session).last() {
                    engine.write(target.session, batch.now, [Op::Settle(last.seq)]);
                }
            }
        }
    });

    /// bytes are not counted, items alone
    "QUE-10" bytes_are_not_limited: targeting(|target| target.limits.bytes = u64::MAX);

    /// what meets the limit in bytes is refused
    "QUE-10" a_queue_is_full_one_byte_early: targeting(|target| {
        target.limits.bytes = target.limits.bytes.saturating_sub(1);
    });

    /// the newest gives way whatever the policy
    "QUE-11" the_policy_is_not_asked: targeting(|target| target.limits.policy = FullPolicy::DropNewest);

    /// what gave way is not said: it is never counted
    "QUE-11" what_gave_way_is_not_said: answering(|_, answer| {
        if let TargetOutcome::Queued { displaced, .. } = answer {
            displaced.clear();
        }
    });

    /// at most one entry gives way to another
    "QUE-13" one_gives_way_at_a_time: honest().batches(|engine, batch| {
        for op in &mut batch.ops {
            let Op::Enqueue { targets, .. } = op else { continue };
            for target in targets {
                let items = engine.session(target.session).map_or(0, |session| session.queued_items);
                target.limits.items = target.limits.items.max(items);
            }
        }
    });

    /// what is in flight gives way, too
    "QUE-14" what_is_in_flight_gives_way: honest().submit(|engine, batch| {
        let mut given_way = Vec::new();
        for op in &batch.ops {
            let Op::Enqueue { targets, .. } = op else { continue };
            for target in targets.iter().filter(|target| target.limits.policy == FullPolicy::DropOldest) {
                let entries = engine.entries(target.session);
                if let Some(first) = entries.first().filter(|_| entries.len() as u64 >= target.limits.items) {
                    engine.write(target.session, batch.now, [Op::Settle(first.seq)]);
                    given_way.push(first.seq);
                }
            }
        }
        let mut outcomes = engine.submit(batch)?;
        if let Some(Outcome::Enqueued(answers)) = outcomes.first_mut()
            && let Some(TargetOutcome::Queued { displaced, .. }) = answers.first_mut()
        {
            displaced.splice(0..0, given_way);
        }
        Ok(outcomes)
    });

    /// what waits gives way though it does not make enough room
    "QUE-15" entries_give_way_in_vain: honest().outcomes(|engine, batch, outcomes| {
        for (op, outcome) in batch.ops.iter().zip(outcomes) {
            let (Op::Enqueue { targets, .. }, Outcome::Enqueued(answers)) = (op, outcome) else { continue };
            for (target, answer) in targets.iter().zip(answers) {
                let in_vain = *answer == TargetOutcome::Dropped(DropReason::QueueBytes);
                if in_vain && target.limits.policy == FullPolicy::DropOldest {
                    let waiting = engine.entries(target.session).into_iter();
                    let waiting = waiting.filter(|entry| entry.state == opifex_storage::QueuedState::Waiting);
                    engine.write(target.session, batch.now, waiting.map(|entry| Op::Settle(entry.seq)));
                }
            }
        }
    });

    /// an empty queue takes a message whatever its limit
    "QUE-16" an_empty_queue_takes_anything: honest().batches(|engine, batch| {
        for op in &mut batch.ops {
            let Op::Enqueue { targets, .. } = op else { continue };
            for target in targets.iter_mut().filter(|target| engine.entries(target.session).is_empty()) {
                target.limits = QueueLimits::UNLIMITED;
            }
        }
    });

    /// one full queue drops the message for everybody
    "QUE-17" one_full_queue_drops_for_all: honest().submit(|engine, mut batch| {
        let mut full = Vec::new();
        for op in &mut batch.ops {
            let Op::Enqueue { targets, .. } = op else { continue };
            let is_full = |target: &Target| engine.entries(target.session).len() as u64 >= target.limits.items;
            if targets.iter().any(is_full) {
                full.push(targets.len());
                targets.clear();
            }
        }
        let mut outcomes = engine.submit(batch)?;
        for (outcome, count) in outcomes.iter_mut().zip(full) {
            *outcome = Outcome::Enqueued(vec![TargetOutcome::Dropped(DropReason::QueueItems); count]);
        }
        Ok(outcomes)
    });

    /// settling what was settled is answered as done
    "QUE-18" settling_always_finds_something: honest().outcomes(|_, batch, outcomes| {
        for (op, outcome) in batch.ops.iter().zip(outcomes) {
            if matches!(op, Op::Settle(_)) {
                *outcome = Outcome::Done;
            }
        }
    });

    /// settling is not carried out: everything comes again after each reconnect
    "QUE-18" settling_is_forgotten: honest().skips(|engine, batch, op| match (op, batch.author.session()) {
        (Op::Settle(seq), Some(id)) if matches!(batch.author, opifex_storage::Author::Session(..)) => {
            let there = engine.entries(id).iter().any(|entry| entry.seq == *seq);
            Some(if there { Outcome::Done } else { Outcome::Absent })
        }
        _ => None,
    });

    /// settling removes every session's entry of the number
    "QUE-19" settling_reaches_every_queue: honest().outcomes(|engine, batch, _| {
        for op in batch.ops.iter().filter(|op| matches!(op, Op::Settle(_))) {
            for session in engine.sessions() {
                engine.write(session.id, batch.now, [op.clone()]);
            }
        }
    });

    /// numbers go on from the last entry that is there when the store is opened
    "QUE-20" reopening_counts_numbers_from_the_entries_left: honest().forgets(|record| match record {
        Record::Session(mut session) => {
            session.next_seq = Seq(1);
            Some(Record::Session(session))
        }
        other => Some(other),
    });

    /// the bytes of a message count after it was released
    "QUE-21" released_messages_count: {
        let released = Arc::new(Mutex::new(HashMap::<_, u64>::new()));
        let also = Arc::clone(&released);
        honest()
            .batches(move |engine, batch| {
                let Some(id) = batch.author.session() else { return };
                for op in &batch.ops {
                    let Op::Release(seq) = op else { continue };
                    let entry = engine.entries(id).into_iter().find(|entry| entry.seq == *seq);
                    let bytes = entry.and_then(|entry| entry.message).map_or(0, |message| message.size_bytes());
                    *released.lock().expect("nobody panics with it").entry(id).or_default() += bytes as u64;
                }
            })
            .records(move |_, records| {
                for record in records {
                    if let Record::Session(session) = record {
                        let released = also.lock().expect("nobody panics with it");
                        session.queued_bytes += released.get(&session.id).copied().unwrap_or(0);
                    }
                }
            })
    };

    /// a session is a target once, whatever its shares
    "QUE-22" shares_and_plain_subscriptions_make_one_entry: honest().batches(|_, batch| {
        for op in &mut batch.ops {
            if let Op::Enqueue { targets, .. } = op {
                targets.dedup_by_key(|target| target.session);
            }
        }
    });

    /// a fan-out is cut off at a thousand sessions, and answers as if it were not
    "QUE-23" a_fan_out_reaches_a_thousand: honest().submit(|engine, mut batch| {
        let mut cut = 0;
        for op in &mut batch.ops {
            if let Op::Enqueue { targets, .. } = op {
                cut = targets.len().saturating_sub(1000);
                targets.truncate(1000);
            }
        }
        let mut outcomes = engine.submit(batch)?;
        if let Some(Outcome::Enqueued(answers)) = outcomes.last_mut() {
            let queued = TargetOutcome::Queued { seq: Seq(1), displaced: Vec::new() };
            answers.extend(std::iter::repeat_n(queued, cut));
        }
        Ok(outcomes)
    });

    /// a message that the queue holds already is not queued again
    "FID-12" equal_messages_are_merged: honest().skips(|engine, _, op| match op {
        Op::Enqueue { message, targets } if targets.len() == 1 => {
            let entries = engine.entries(targets[0].session);
            let same = entries.iter().find(|entry| entry.message.as_ref() == Some(message))?;
            Some(Outcome::Enqueued(vec![TargetOutcome::Queued { seq: same.seq, displaced: Vec::new() }]))
        }
        _ => None,
    });

    /// of a queue 8,192 entries are there when the store is opened again
    "QUE-25" reopening_keeps_8192_entries: honest().forgets(|record| match record {
        Record::Queued(_, entry) if entry.seq > Seq(8_192) => None,
        other => Some(other),
    });

    /// what gave way is taken off what waits a second time when it has gone
    "QUE-26" what_gave_way_makes_room_again: {
        let given_way = Arc::new(AtomicU64::new(0));
        let room = Arc::clone(&given_way);
        targeting(move |target| {
            target.limits.bytes = target.limits.bytes.saturating_add(room.load(Ordering::Relaxed));
        })
        .outcomes(move |_, batch, outcomes| {
            for (op, outcome) in batch.ops.iter().zip(outcomes) {
                let (Op::Enqueue { message, .. }, Outcome::Enqueued(answers)) = (op, &*outcome) else { continue };
                for answer in answers {
                    if matches!(answer, TargetOutcome::Queued { displaced, .. } if !displaced.is_empty()) {
                        given_way.fetch_add(message.size_bytes() as u64, Ordering::Relaxed);
                    }
                }
            }
        })
    };
}
