//! Broken stores: right in each step that a case takes, wrong in a sequence that none of them goes through. What is
//! found of these is found by histories that nobody wrote.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use opifex_storage::{
    Author, Due, DueItem, ErrorKind, FullPolicy, Op, Outcome, QueuedState, Record, RecordKind, StoreError,
    TargetOutcome,
};
use opifex_storage_memory::MemoryOptions;

use crate::broken::{Behaviour, honest};
use crate::idempotency::{Kept, keeping};
use crate::mutant::{Found, judge, mutants};

mutants! {
    /// what is settled after the store was opened again still counts against the session's bytes
    "MOD-01" bytes_settled_after_reopening_still_count: {
        let (reopened, settled) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(HashMap::<_, u64>::new())));
        let (also_reopened, also_settled) = (Arc::clone(&reopened), Arc::clone(&settled));
        honest()
            .reopen(move |_| reopened.store(true, Ordering::Relaxed))
            .batches(move |engine, batch| {
                let Some(id) = batch.author.session().filter(|_| also_reopened.load(Ordering::Relaxed)) else { return };
                for op in &batch.ops {
                    let Op::Settle(seq) = op else { continue };
                    let entry = engine.entries(id).into_iter().find(|entry| entry.seq == *seq);
                    let bytes = entry.and_then(|entry| entry.message).map_or(0, |message| message.size_bytes());
                    *settled.lock().expect("nobody panics with it").entry(id).or_default() += bytes as u64;
                }
            })
            .records(move |_, records| {
                let settled = also_settled.lock().expect("nobody panics with it");
                for record in records {
                    if let Record::Session(session) = record {
                        session.queued_bytes += settled.get(&session.id).copied().unwrap_or(0);
                    }
                }
            })
    };

    /// an expiry that becomes shorter while the session is offline leaves its will's deadline
    "MOD-01" a_changed_expiry_leaves_the_wills_deadline: {
        let before = Arc::new(Mutex::new(HashMap::new()));
        let (shown, due) = (Arc::clone(&before), Arc::clone(&before));
        honest()
            .batches(move |engine, batch| {
                let Some(id) = batch.author.session() else { return };
                if !batch.ops.iter().any(|op| matches!(op, Op::SetExpiry(_))) {
                    return;
                }
                for record in engine.all(RecordKind::Will) {
                    if let Record::Will(will) = record
                        && let Some(at) = will.due_at.filter(|at| will.session == id && *at > batch.now)
                    {
                        before.lock().expect("nobody panics with it").entry((id, will.epoch.0)).or_insert(at);
                    }
                }
            })
            .records(move |_, records| {
                let shown = shown.lock().expect("nobody panics with it");
                for record in records {
                    if let Record::Will(will) = record {
                        let at = shown.get(&(will.session, will.epoch.0)).copied();
                        will.due_at = at.or(will.due_at);
                    }
                }
            })
            .dues(move |_, now, dues| {
                let before = due.lock().expect("nobody panics with it");
                dues.retain(|due| match due.item {
                    DueItem::Will(id) => before.get(&(id, due.version.0)).is_none_or(|at| *at <= now),
                    _ => true,
                });
            })
    };

    /// what the receiver has acknowledged gives way when the queue is full: its packet id is free too early
    "MOD-01" what_was_released_gives_way: honest().outcomes(|engine, batch, outcomes| {
        for (op, outcome) in batch.ops.iter().zip(outcomes) {
            let (Op::Enqueue { targets, .. }, Outcome::Enqueued(answers)) = (op, outcome) else { continue };
            for (target, answer) in targets.iter().zip(answers) {
                let full = matches!(answer, TargetOutcome::Dropped(_));
                if full && target.limits.policy == FullPolicy::DropOldest {
                    let entries = engine.entries(target.session).into_iter();
                    let mut released = entries.filter(|entry| matches!(entry.state, QueuedState::Released(_)));
                    engine.write(target.session, batch.now, released.next().map(|entry| Op::Settle(entry.seq)));
                }
            }
        }
    });

    /// what an ended session left does not expire: a claim of it is refused for ever
    "MOD-01" remains_cannot_be_claimed_at_their_expiry: honest().submit(|engine, batch| match &batch.author {
        Author::Claim(Due { item: DueItem::QueuedExpired(id, _), .. }) if engine.session(*id).is_none() => {
            Err(StoreError::not_applied(ErrorKind::Conflict, "the session has ended"))
        }
        _ => engine.submit(batch),
    });

    /// a subscription that was restored is made again as if it were not there
    "MOD-01" a_restored_subscription_does_not_exist: {
        let restored = Mutex::new(HashSet::new());
        honest().outcomes(move |_, batch, outcomes| {
            let mut restored = restored.lock().expect("nobody panics with it");
            for (op, outcome) in batch.ops.iter().zip(outcomes) {
                match (op, outcome) {
                    (Op::Restore(what), _) => {
                        if let Record::Subscription(id, subscription) = &what.record {
                            restored.insert((*id, subscription.filter.as_str().to_owned()));
                        }
                    }
                    (Op::Subscribe(subscription), Outcome::Subscribed { existed }) => {
                        let own = batch.author.session().map(|id| (id, subscription.filter.as_str().to_owned()));
                        *existed &= !own.is_some_and(|own| restored.remove(&own));
                    }
                    _ => {}
                }
            }
        })
    };

    /// a batch without a key lets the writers' keys be forgotten
    "MOD-01" a_batch_without_a_key_forgets_keys: {
        let kept = Kept::default();
        keeping(&kept, |key| key).batches(move |_, batch| {
            if batch.key.is_none() {
                kept.lock().expect("nobody panics with it").clear();
            }
        })
    };

    /// retained messages that expired still count against the most that there may be
    "MOD-01" what_expired_still_takes_room: {
        let expired = AtomicUsize::new(0);
        small().submit(move |engine, batch| {
            let is_new = |op: &Op| matches!(op, Op::Retain(new) if engine.kept_on(&new.topic).is_none());
            let is_full = engine.kept().len() + expired.load(Ordering::Relaxed) >= MOST;
            if is_full && batch.ops.iter().any(is_new) {
                return Err(StoreError::not_applied(ErrorKind::Full, "as many retained messages as may be"));
            }
            let is_expiry =
                matches!(&batch.author, Author::Claim(Due { item: DueItem::RetainedExpired(_), .. }));
            let outcomes = engine.submit(batch)?;
            expired.fetch_add(usize::from(is_expiry), Ordering::Relaxed);
            Ok(outcomes)
        })
    };

    /// a page that is asked for again, because its answer got lost, is the next one
    "MOD-01" a_page_that_is_asked_for_again_is_the_next: {
        let last = Mutex::new(None);
        honest().scan(move |engine, (kind, cursor, limit)| {
            let page = engine.scan(kind, cursor.clone(), limit)?;
            let before = last.lock().expect("nobody panics with it").replace((kind, cursor.clone()));
            match &page.next {
                Some(next) if cursor.is_some() && before == Some((kind, cursor)) => {
                    engine.scan(kind, Some(next.clone()), limit)
                }
                _ => Ok(page),
            }
        })
    };
}

/// The room for retained messages of a store that is soon full.
const MOST: usize = 3;

/// A store that is soon full, and otherwise keeps its word.
fn small() -> Behaviour {
    Behaviour { limits: MemoryOptions { max_retained_messages: MOST, ..honest().limits }, ..honest() }
}

#[test]
fn a_store_that_is_soon_full_passes_histories() {
    assert_eq!(judge(small, "MOD-01"), Found::Passed);
}
