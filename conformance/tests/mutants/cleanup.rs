//! Broken stores: what ended sessions leave, to be handed on or removed.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use opifex_packet::TopicFilter;
use opifex_storage::{
    Author, Due, DueItem, ErrorKind, Op, Outcome, QueuedState, Record, RecordKind, RecordVersion,
    TargetOutcome,
};

use crate::broken::honest;
use crate::engine::EVERYTHING;
use crate::mutant::mutants;

mutants! {
    /// of what an ended member leaves nobody can say what was sent
    "SHA-01" an_end_forgets_what_was_sent: honest().pages(|engine, (id, ..), page| {
        if engine.session(id).is_none() {
            for entry in &mut page.items {
                entry.state = QueuedState::Waiting;
            }
        }
    });

    /// an entry that is handed on stays where it was: it is delivered twice
    "SHA-02" what_is_handed_on_stays: honest().skips(|_, batch, op| match (op, &batch.author) {
        (Op::Settle(_), Author::Claim(Due { item: DueItem::SessionEnded(_), .. })) => Some(Outcome::Done),
        _ => None,
    });

    /// handing on to a member that ended settles the entry: it is lost
    "SHA-03" what_is_handed_on_to_nobody_is_settled: honest().outcomes(|engine, batch, outcomes| {
        let gone = outcomes.iter().any(|outcome| match outcome {
            Outcome::Enqueued(targets) => targets.contains(&TargetOutcome::Gone),
            _ => false,
        });
        if let Author::Claim(due) = &batch.author
            && let DueItem::SessionEnded(id) = due.item
            && gone
        {
            let first = engine.entries(id).into_iter().find(|entry| entry.share.is_some());
            engine.claim(due, batch.now, first.map(|entry| Op::Settle(entry.seq)));
        }
    });

    /// the item of an ended session stays until somebody purges it, though nothing is left
    "SHA-04" the_item_stays_when_nothing_is_left: {
        let seen = Arc::new(Mutex::new(Vec::<Due>::new()));
        let also = Arc::clone(&seen);
        honest()
            .outcomes(move |_, batch, _| {
                let purges = batch.ops.iter().any(|op| matches!(op, Op::Purge { .. }));
                if let (Author::Claim(due), false) = (&batch.author, purges)
                    && matches!(due.item, DueItem::SessionEnded(_))
                {
                    seen.lock().expect("nobody panics with it").push(due.clone());
                }
            })
            .dues(move |_, _, dues| {
                let seen = also.lock().expect("nobody panics with it");
                dues.extend(seen.first().filter(|seen| !dues.contains(seen)).cloned().into_iter().collect::<Vec<_>>());
            })
    };

    /// the client's new session takes the place of what the old one left
    "SHA-05" a_new_session_removes_what_the_old_one_left: honest().opened(|engine, open, opened| {
        let Some(old) = opened.ended else { return };
        let dues = engine.due(open.now, None, EVERYTHING).map(|page| page.items).unwrap_or_default();
        for due in dues.into_iter().filter(|due| due.item == DueItem::SessionEnded(old)) {
            engine.claim(&due, open.now, [Op::Purge { limit: usize::MAX }]);
        }
    });

    /// what ended sessions left is not there when the store is opened again
    "SHA-06" reopening_forgets_what_ended_sessions_left: honest().forgets(|record| match record {
        Record::Ended(..) => None,
        other => Some(other),
    });

    /// what ended sessions left is never due: it stays for ever
    "CLE-01" remains_are_never_due:
        honest().dues(|_, _, dues| dues.retain(|due| !matches!(due.item, DueItem::SessionEnded(_))));

    /// a session that left nothing is due all the same
    "CLE-02" an_end_is_due_when_nothing_is_left: {
        let ended = Arc::new(Mutex::new(Vec::new()));
        let also = Arc::clone(&ended);
        honest()
            .outcomes(move |_, batch, _| {
                for op in &batch.ops {
                    if let (Op::EndSession(id), Author::Session(_, epoch)) = (op, &batch.author) {
                        let (item, version) = (DueItem::SessionEnded(*id), RecordVersion(epoch.0));
                        let due = Due { item, at: batch.now, version, will: None };
                        ended.lock().expect("nobody panics with it").push(due);
                    }
                }
            })
            .dues(move |engine, _, dues| {
                for due in &*also.lock().expect("nobody panics with it") {
                    let DueItem::SessionEnded(id) = due.item else { continue };
                    if engine.entries(id).is_empty() && !dues.contains(due) {
                        dues.push(due.clone());
                    }
                }
            })
    };

    /// walks show sessions that ended
    "CLE-03" walks_show_sessions_that_ended: honest().scan(|engine, (kind, cursor, limit)| {
        let first = cursor.is_none();
        let mut page = engine.scan(kind, cursor, limit)?;
        if kind == RecordKind::Session && first {
            let ended = engine.all(RecordKind::Ended).into_iter().filter_map(|record| match record {
                Record::Ended(session, _) => Some(Record::Session(session)),
                _ => None,
            });
            page.items.extend(ended);
        }
        Ok(page)
    });

    /// a purge removes everything at once
    "CLE-04" a_purge_has_no_limit: honest().batches(|_, batch| {
        for op in &mut batch.ops {
            if let Op::Purge { limit } = op {
                *limit = usize::MAX;
            }
        }
    });

    /// every purge says that nothing is left, so that nobody comes back
    "CLE-05" a_purge_always_says_that_it_was_all: honest().outcomes(|_, _, outcomes| {
        for outcome in outcomes {
            if let Outcome::Purged { more } = outcome {
                *more = false;
            }
        }
    });

    /// a purge that reaches its limit says that there is more
    "CLE-06" a_full_purge_says_that_there_is_more: honest().outcomes(|engine, batch, outcomes| {
        let left = batch.author.session().map_or(0, |id| engine.entries(id).len());
        for (op, outcome) in batch.ops.iter().zip(outcomes) {
            if let (Op::Purge { limit }, Outcome::Purged { more }) = (op, outcome) {
                *more |= *limit == 9 && left == 0;
            }
        }
    });

    /// a session that leaves no queue leaves nothing to be due
    "CLE-07" a_queue_alone_is_what_is_left: honest().dues(|engine, _, dues| {
        dues.retain(|due| match due.item {
            DueItem::SessionEnded(id) => !engine.entries(id).is_empty(),
            _ => true,
        });
    });

    /// a purge is answered whoever asks for it
    "CLE-08" anybody_may_purge: honest().refusals(|engine, mut batch, error| {
        let before = batch.ops.len();
        batch.ops.retain(|op| !matches!(op, Op::Purge { .. }));
        if error.kind() != ErrorKind::Unsupported || batch.ops.len() == before {
            return Err(error);
        }
        let mut outcomes = engine.submit(batch)?;
        outcomes.resize(before, Outcome::Purged { more: false });
        Ok(outcomes)
    });

    /// the end of a session is claimed by whatever version
    "CLE-08" an_end_is_claimed_by_another_version: honest().batches(|engine, batch| {
        let dues = engine.due(batch.now, None, EVERYTHING).map(|page| page.items).unwrap_or_default();
        if let Author::Claim(due) = &mut batch.author
            && matches!(due.item, DueItem::SessionEnded(_))
            && let Some(known) = dues.iter().find(|known| known.item == due.item)
        {
            due.version = known.version;
        }
    });

    /// claiming the end of a session removes what it left
    "CLE-09" a_claim_of_the_end_purges: honest().batches(|_, batch| {
        if let (Author::Claim(Due { item: DueItem::SessionEnded(_), .. }), true) = (&batch.author, batch.ops.is_empty()) {
            batch.ops.push(Op::Purge { limit: usize::MAX });
        }
    }).outcomes(|_, batch, outcomes| outcomes.truncate(batch.ops.len()));

    /// a message for a session that ended is queued for nobody, and answered as queued
    "CLE-10" what_comes_late_is_queued_for_the_dead: honest().outcomes(|engine, batch, outcomes| {
        for (op, outcome) in batch.ops.iter().zip(outcomes) {
            let (Op::Enqueue { targets, .. }, Outcome::Enqueued(answers)) = (op, outcome) else { continue };
            for (target, answer) in targets.iter().zip(answers) {
                let left = engine.entries(target.session);
                if let (TargetOutcome::Gone, Some(last)) = (&answer, left.last()) {
                    *answer = TargetOutcome::Queued { seq: last.seq.next(), displaced: Vec::new() };
                }
            }
        }
    });

    /// purging an old session unsubscribes the client's new one
    "CLE-11" a_purge_reaches_the_clients_new_session: {
        let clients = Arc::new(Mutex::new(HashMap::new()));
        let also = Arc::clone(&clients);
        honest()
            .opened(move |_, open, opened| {
                let id = opened.session.id;
                clients.lock().expect("nobody panics with it").insert(id, open.client_id.clone());
            })
            .outcomes(move |engine, batch, _| {
                let purges = batch.ops.iter().any(|op| matches!(op, Op::Purge { .. }));
                let Some(old) = batch.author.session().filter(|_| purges) else { return };
                let clients = also.lock().expect("nobody panics with it");
                let new = clients.get(&old).and_then(|client| engine.session_of(client));
                if let Some(session) = new {
                    let filters = engine.subscriptions(session.id).into_iter();
                    let filters: Vec<TopicFilter<'static>> = filters.map(|record| record.filter).collect();
                    engine.write(session.id, batch.now, filters.into_iter().map(Op::Unsubscribe));
                }
            })
    };

    /// purging takes the body of a message from all that have it queued
    "CLE-12" a_purge_takes_bodies_from_others: honest().batches(|engine, batch| {
        let purges = batch.ops.iter().any(|op| matches!(op, Op::Purge { .. }));
        let Some(id) = batch.author.session().filter(|_| purges) else { return };
        let bodies: Vec<_> = engine.entries(id).into_iter().filter_map(|entry| entry.message).collect();
        for session in engine.sessions() {
            let same = engine.entries(session.id).into_iter().filter(|entry| {
                entry.message.as_ref().is_some_and(|message| bodies.iter().any(|body| Arc::ptr_eq(body, message)))
            });
            engine.write(session.id, batch.now, same.map(|entry| Op::Settle(entry.seq)));
        }
    });

    /// an entry that was purged is still due at its expiry
    "CLE-13" purged_entries_expire: {
        let purged = Arc::new(Mutex::new(Vec::new()));
        let also = Arc::clone(&purged);
        honest()
            .batches(move |engine, batch| {
                let purges = batch.ops.iter().any(|op| matches!(op, Op::Purge { .. }));
                let Some(id) = batch.author.session().filter(|_| purges) else { return };
                for entry in engine.entries(id) {
                    if let Some(at) = entry.message.and_then(|message| message.expires_at) {
                        let (item, version) = (DueItem::QueuedExpired(id, entry.seq), RecordVersion(entry.seq.0));
                        purged.lock().expect("nobody panics with it").push(Due { item, at, version, will: None });
                    }
                }
            })
            .dues(move |_, now, dues| {
                let purged = also.lock().expect("nobody panics with it");
                dues.extend(purged.iter().filter(|due| due.at <= now).cloned());
            })
    };

    /// of a client's ended sessions the last alone is due
    "CLE-14" remains_hang_on_the_client: honest().dues(|engine, _, dues| {
        let client = |due: &Due| {
            let ended = engine.all(RecordKind::Ended).into_iter();
            ended.into_iter().find_map(|record| match record {
                Record::Ended(session, _) if due.item == DueItem::SessionEnded(session.id) => Some(session.client_id),
                _ => None,
            })
        };
        let clients: Vec<_> = dues.iter().map(client).collect();
        let mut place = 0;
        dues.retain(|_| {
            place += 1;
            let own = &clients[place - 1];
            own.is_none() || !clients[place..].contains(own)
        });
    });
}
