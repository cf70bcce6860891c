//! Broken stores: what becomes due too early, too late, never, or to the wrong hands.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};

use opifex_storage::{
    Author, Batch, Due, DueItem, ErrorKind, Message, Op, Outcome, Record, RecordVersion, SessionExpiry,
    SessionId, StoreError, Timestamp,
};

use crate::broken::{Behaviour, honest};
use crate::engine::Engine;
use crate::mutant::mutants;

/// A store that never says of these that they are due.
fn never_due(what: fn(&DueItem) -> bool) -> Behaviour {
    honest().dues(move |_, _, dues| dues.retain(|due| !what(&due.item)))
}

/// A store that believes a claim of these, and does this when it does not hold any more.
fn believing(carry_out: fn(&Engine, &DueItem, Timestamp) -> bool) -> Behaviour {
    honest().refusals(move |engine, batch, error| match &batch.author {
        Author::Claim(due)
            if error.kind() == ErrorKind::Conflict && carry_out(engine, &due.item, batch.now) =>
        {
            Ok(vec![Outcome::Done; batch.ops.len()])
        }
        _ => Err(error),
    })
}

/// Says of a session that it expired.
fn expired(id: SessionId, at: Timestamp, epoch: u64) -> Due {
    Due { item: DueItem::SessionExpired(id), at, version: RecordVersion(epoch), will: None }
}

mutants! {
    /// sessions do not expire
    "EXP-01" sessions_are_never_due: never_due(|item| matches!(item, DueItem::SessionExpired(_)));

    /// the clock of a session starts when it is opened
    "EXP-02" sessions_expire_while_they_are_connected: {
        let opened = Arc::new(Mutex::new(Vec::new()));
        let also = Arc::clone(&opened);
        honest()
            .opened(move |_, open, opened_now| {
                let deadline = open.expiry.deadline(open.now);
                opened.lock().expect("nobody panics with it").push((opened_now.session.clone(), deadline));
            })
            .dues(move |engine, now, dues| {
                for (session, deadline) in &*also.lock().expect("nobody panics with it") {
                    if let Some(at) = deadline.filter(|at| *at <= now)
                        && engine.session(session.id).is_some_and(|session| session.offline_since.is_none())
                    {
                        dues.push(expired(session.id, at, session.epoch.0));
                    }
                }
            })
    };

    /// "never" is a very long interval
    "EXP-03" never_is_136_years: honest().opens(|_, open| {
        if open.expiry == SessionExpiry::Never {
            open.expiry = SessionExpiry::Secs(u32::MAX);
        }
    });

    /// an expiry of 0 is taken for none
    "EXP-04" an_expiry_of_0_is_never: honest().opens(|_, open| {
        if open.expiry == SessionExpiry::WITH_CONNECTION {
            open.expiry = SessionExpiry::Never;
        }
    });

    /// an interval is multiplied to milliseconds in 32 bits
    "EXP-05" a_long_interval_wraps: honest().opens(|_, open| {
        if let SessionExpiry::Secs(secs) = &mut open.expiry {
            *secs = secs.wrapping_mul(1000) / 1000;
        }
    });

    /// a claim of an expiry does not end the session
    "EXP-06" a_claim_ends_no_session: honest().submit(|engine, batch| match &batch.author {
        Author::Claim(Due { item: DueItem::SessionExpired(_), .. }) => Ok(vec![Outcome::Absent; batch.ops.len()]),
        _ => engine.submit(batch),
    });

    /// a claim of an expiry names the session alone: whatever became of it meanwhile, it ends
    "EXP-08" a_claim_of_an_expiry_has_no_version: believing(|engine, item, now| match item {
        DueItem::SessionExpired(id) if engine.session(*id).is_some() => {
            engine.administer(now, [Op::EndSession(*id)]);
            true
        }
        _ => false,
    });

    /// who comes back before anybody has claimed the expiry continues what is over
    "EXP-09" a_session_is_over_when_it_is_claimed: honest().opens(|engine, open| {
        if let Some(since) = engine.session_of(&open.client_id).and_then(|session| session.offline_since) {
            open.now = since;
        }
    });

    /// a session is over when it goes offline
    "EXP-10" who_went_offline_begins_anew: honest().opens(|engine, open| {
        let session = engine.session_of(&open.client_id);
        if session.is_some_and(|session| session.offline_since.is_some() && session.expiry != SessionExpiry::Never) {
            open.clean_start = true;
        }
    });

    /// an expiry that changes while the session is offline counts for the next time
    "EXP-11" a_changed_expiry_moves_no_deadline: honest().skips(|engine, batch, op| {
        let session = batch.author.session().and_then(|id| engine.session(id))?;
        let offline = session.offline_since.is_some() && matches!(op, Op::SetExpiry(_));
        offline.then_some(Outcome::Done)
    });

    /// clocks that ran stand still when the store is opened again
    "EXP-13" reopening_stops_the_clocks_of_sessions: honest().forgets(|record| match record {
        Record::Session(mut session) => {
            session.offline_since = None;
            Some(Record::Session(session))
        }
        other => Some(other),
    });

    /// deadlines of queued messages are kept in memory alone
    "EXP-13" reopening_forgets_the_expiry_of_what_is_queued: honest().forgets(|record| match record {
        Record::Queued(id, mut entry) => {
            entry.message = entry.message.map(|message| Arc::new(Message { expires_at: None, ..(*message).clone() }));
            Some(Record::Queued(id, entry))
        }
        other => Some(other),
    });

    /// queued messages do not expire
    "EXP-14" queued_messages_are_never_due: never_due(|item| matches!(item, DueItem::QueuedExpired(..)));

    /// a message expires also when it was sent
    "EXP-15" what_is_in_flight_expires: {
        let expiring = Arc::new(Mutex::new(Vec::new()));
        let also = Arc::clone(&expiring);
        honest()
            .batches(move |engine, batch| {
                for op in &batch.ops {
                    let (Op::Assign { seq, .. }, Some(id)) = (op, batch.author.session()) else { continue };
                    let entry = engine.entries(id).into_iter().find(|entry| entry.seq == *seq);
                    if let Some(at) = entry.and_then(|entry| entry.message).and_then(|message| message.expires_at) {
                        expiring.lock().expect("nobody panics with it").push((at, id, *seq));
                    }
                }
            })
            .dues(move |_, now, dues| {
                for (at, id, seq) in &*also.lock().expect("nobody panics with it") {
                    if *at <= now {
                        let (item, version) = (DueItem::QueuedExpired(*id, *seq), RecordVersion(seq.0));
                        dues.push(Due { item, at: *at, version, will: None });
                    }
                }
            })
    };

    /// a message that was sent after it was read as due is dropped by the claim
    "EXP-16" a_claim_takes_what_is_in_flight: believing(|engine, item, now| match item {
        DueItem::QueuedExpired(id, seq) if engine.entries(*id).iter().any(|entry| entry.seq == *seq) => {
            engine.write(*id, now, [Op::Settle(*seq)]);
            true
        }
        _ => false,
    });

    /// a claim of what is gone is taken as done
    "EXP-17" a_claim_of_what_is_settled_is_done: believing(|engine, item, _| match item {
        DueItem::QueuedExpired(id, seq) => !engine.entries(*id).iter().any(|entry| entry.seq == *seq),
        _ => false,
    });

    /// a message that expires in one queue goes from all
    "EXP-18" a_message_expires_for_all: honest().outcomes(|engine, batch, _| {
        if let Author::Claim(Due { item: DueItem::QueuedExpired(_, seq), .. }) = &batch.author {
            for session in engine.sessions() {
                engine.write(session.id, batch.now, [Op::Settle(*seq)]);
            }
        }
    });

    /// retained messages do not expire
    "EXP-19" retained_messages_are_never_due: never_due(|item| matches!(item, DueItem::RetainedExpired(_)));

    /// the claim of an expiry removes whatever is retained by then
    "EXP-20" a_claim_removes_the_new_retained_message: believing(|engine, item, now| match item {
        DueItem::RetainedExpired(topic) if engine.kept_on(topic).is_some() => {
            engine.administer(now, [Op::Unretain(topic.clone())]);
            true
        }
        _ => false,
    });

    /// the deadline of a retained message stays when the message is replaced
    "EXP-21" the_old_deadline_holds_for_the_new_message: {
        let deadlines = Arc::new(Mutex::new(Vec::<Due>::new()));
        let also = Arc::clone(&deadlines);
        honest()
            .outcomes(move |_, batch, outcomes| {
                for (op, outcome) in batch.ops.iter().zip(outcomes) {
                    if let (Op::Retain(message), Outcome::Retained(version)) = (op, outcome)
                        && let Some(at) = message.expires_at
                    {
                        let item = DueItem::RetainedExpired(message.topic.clone());
                        let due = Due { item, at, version: *version, will: None };
                        deadlines.lock().expect("nobody panics with it").push(due);
                    }
                }
            })
            .dues(move |engine, now, dues| {
                for due in &*also.lock().expect("nobody panics with it") {
                    let DueItem::RetainedExpired(topic) = &due.item else { continue };
                    let there = engine.kept_on(topic).is_some();
                    if due.at <= now && there && !dues.iter().any(|other| other.item == due.item) {
                        dues.push(due.clone());
                    }
                }
            })
    };

    /// a claim is believed about its time
    "EXP-22" a_claim_before_its_time_is_taken: honest().batches(|_, batch| {
        if let Author::Claim(_) = batch.author {
            batch.now = Timestamp(u64::MAX);
        }
    });

    /// what is due comes kind by kind
    "EXP-23" due_items_come_kind_by_kind: honest().dues(|_, _, dues| dues.sort_by_key(|due| due.item.clone()));

    /// the latest due item comes first
    "EXP-23" due_items_come_latest_first: honest().dues(|_, _, dues| dues.reverse());

    /// the number of due items that is asked for is not kept
    "EXP-23" a_page_of_due_items_has_no_limit: honest().due(|engine, (now, cursor, _)| engine.due(now, cursor, crate::engine::EVERYTHING));

    /// a page of what is due says that it looked at nothing
    "EXP-23" a_page_of_due_items_does_not_count_its_work: honest().due(|engine, (now, cursor, limit)| {
        Ok(opifex_storage::Page { examined: 0, ..engine.due(now, cursor, limit)? })
    });

    /// asking takes: who asks and dies has lost it
    "EXP-24" asking_for_what_is_due_claims_it: {
        let asked = Mutex::new(HashSet::new());
        honest().dues(move |_, _, dues| {
            let mut asked = asked.lock().expect("nobody panics with it");
            dues.retain(|due| asked.insert((due.item.clone(), due.version)));
        })
    };

    /// the claim of a batch that is refused has been carried out
    "EXP-25" a_refused_batch_has_claimed: honest().refusals(|engine, batch, error| {
        if error.kind() == ErrorKind::Unsupported {
            let _ = engine.submit(Batch { ops: Vec::new(), ..batch });
        }
        Err(error)
    });

    /// a claimed expiry ends the session behind the batch, which finds it there
    "EXP-26" a_claimed_expiry_ends_the_session_afterwards: honest().outcomes(|_, batch, outcomes| {
        if let Author::Claim(Due { item: DueItem::SessionExpired(_), .. }) = &batch.author {
            outcomes.fill(Outcome::Done);
        }
    });

    /// a session that was opened after its expiry was read is ended by the claim
    "EXP-27" a_claim_ends_the_clients_new_session: {
        let ended = Arc::new(Mutex::new(Vec::new()));
        let also = Arc::clone(&ended);
        honest()
            .opened(move |_, _, opened| {
                ended.lock().expect("nobody panics with it").push((opened.ended, opened.session.id));
            })
            .refusals(move |engine, batch, error| {
                let Author::Claim(Due { item: DueItem::SessionExpired(id), .. }) = &batch.author else {
                    return Err::<Vec<Outcome>, StoreError>(error);
                };
                let opened = also.lock().expect("nobody panics with it");
                let new = opened.iter().find(|(old, _)| *old == Some(*id)).map(|(_, new)| *new);
                engine.administer(batch.now, new.map(Op::EndSession));
                if new.is_some() { Ok(vec![Outcome::Done; batch.ops.len()]) } else { Err(error) }
            })
    };

    /// the deadline of a session that came back stays
    "EXP-28" a_session_that_came_back_expires: {
        let deadlines = Arc::new(Mutex::new(Vec::new()));
        let also = Arc::clone(&deadlines);
        honest()
            .opens(move |engine, open| {
                let session = engine.session_of(&open.client_id);
                let due = session.and_then(|session| {
                    Some(expired(session.id, session.expiry.deadline(session.offline_since?)?, session.epoch.0))
                });
                deadlines.lock().expect("nobody panics with it").extend(due);
            })
            .dues(move |engine, now, dues| {
                for due in &*also.lock().expect("nobody panics with it") {
                    let DueItem::SessionExpired(id) = due.item else { continue };
                    if due.at <= now && engine.session(id).is_some_and(|session| session.offline_since.is_none()) {
                        dues.push(due.clone());
                    }
                }
            })
    };

    /// time runs backwards: a batch is written at the time of the first
    "EXP-06" time_is_that_of_the_first_batch: {
        let first = Mutex::new(None::<Timestamp>);
        honest().batches(move |_, batch| {
            let mut first = first.lock().expect("nobody panics with it");
            batch.now = *first.get_or_insert(batch.now);
        })
    };
}
