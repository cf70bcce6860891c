//! Broken stores: sessions opened, continued and ended wrongly.

use std::sync::{Arc, Mutex};

use opifex_storage::{Author, Batch, Epoch, ErrorKind, Op, Outcome, Record};

use crate::broken::honest;
use crate::mutant::mutants;

/// Operations that are about the author's own session.
fn needs_a_session(op: &Op) -> bool {
    !matches!(
        op,
        Op::Enqueue { .. }
            | Op::Retain(_)
            | Op::Unretain(_)
            | Op::EndSession(_)
            | Op::Purge { .. }
            | Op::Restore(_)
    )
}

mutants! {
    /// a new client's session is answered as found
    "SES-01" every_session_is_said_to_be_present: honest().opened(|_, _, opened| opened.present = true);

    /// what was continued is answered as new, so that clients subscribe again
    "SES-02" no_session_is_said_to_be_present: honest().opened(|_, _, opened| opened.present = false);

    /// an open that continues a session answers the epoch that the session had
    "SES-03" an_open_that_continues_answers_the_old_epoch: {
        let last = Mutex::new(Epoch(0));
        honest().opened(move |_, _, opened| {
            let mut last = last.lock().expect("nobody panics with it");
            match opened.present {
                true => opened.session.epoch = *last,
                false => *last = opened.session.epoch,
            }
        })
    };

    /// clean start is not asked for
    "SES-04" clean_start_is_ignored: honest().opens(|_, open| open.clean_start = false);

    /// clean start empties nothing but the queue
    "SES-04" clean_start_keeps_the_subscriptions: {
        let kept = Arc::new(Mutex::new(Vec::new()));
        let also = Arc::clone(&kept);
        honest()
            .opens(move |engine, open| {
                let old = engine.session_of(&open.client_id).filter(|_| open.clean_start);
                let subscriptions = old.map(|old| engine.subscriptions(old.id));
                *kept.lock().expect("nobody panics with it") = subscriptions.unwrap_or_default();
            })
            .opened(move |engine, open, opened| {
                let kept = std::mem::take(&mut *also.lock().expect("nobody panics with it"));
                opened.subscriptions.extend(kept.iter().cloned());
                engine.write(opened.session.id, open.now, kept.into_iter().map(Op::Subscribe));
            })
    };

    /// which session an open has ended is not answered, so its shares are handed on to nobody
    "SES-04" an_open_does_not_say_what_it_ended: honest().opened(|_, _, opened| opened.ended = None);

    /// clean start of a client without a session names one that it ended
    "SES-05" clean_start_ends_what_never_was: honest().opened(|_, open, opened| {
        if open.clean_start && opened.ended.is_none() {
            opened.ended = Some(opened.session.id);
        }
    });

    /// the next open after a clean start finds no session: the client points to none
    "SES-06" clean_start_leaves_no_pointer: {
        let cleaned = Mutex::new(Vec::new());
        honest().opens(move |_, open| {
            let mut cleaned = cleaned.lock().expect("nobody panics with it");
            if open.clean_start {
                cleaned.push(open.client_id.clone());
            } else if let Some(place) = cleaned.iter().position(|client| *client == open.client_id) {
                cleaned.swap_remove(place);
                open.clean_start = true;
            }
        })
    };

    /// an open reads what is durable, and so misses the batch that nobody has waited for
    "SES-07" an_open_reads_only_what_is_durable: {
        let pending = Arc::new(Mutex::new(Vec::<Op>::new()));
        let (submitted, durable) = (Arc::clone(&pending), Arc::clone(&pending));
        let store = honest()
            .outcomes(move |_, batch, _| {
                submitted.lock().expect("nobody panics with it").extend(batch.ops.iter().cloned());
            })
            .opened(move |_, _, opened| {
                for op in &*pending.lock().expect("nobody panics with it") {
                    match op {
                        Op::Subscribe(record) => opened.subscriptions.retain(|own| own.filter != record.filter),
                        Op::PutInbound(id) => opened.inbound.retain(|own| own != id),
                        _ => {}
                    }
                }
            });
        let durable = Arc::new(move || durable.lock().expect("nobody panics with it").clear());
        crate::broken::Behaviour { durable, ..store }
    };

    /// a session keeps the expiry of its first open
    "SES-08" the_expiry_of_the_first_open_stays: honest().opens(|engine, open| {
        if let Some(session) = engine.session_of(&open.client_id) {
            open.expiry = session.expiry;
        }
    });

    /// the expiry that a DISCONNECT brings is not taken
    "SES-09" a_changed_expiry_is_not_taken:
        honest().skips(|_, _, op| matches!(op, Op::SetExpiry(_)).then_some(Outcome::Done));

    /// a second time offline moves the first
    "SES-10" going_offline_again_is_stamped_again: {
        let last = Arc::new(Mutex::new(None));
        let also = Arc::clone(&last);
        honest()
            .outcomes(move |_, batch, _| {
                if batch.ops.contains(&Op::GoOffline) {
                    *last.lock().expect("nobody panics with it") = batch.author.session().zip(Some(batch.now));
                }
            })
            .records(move |_, records| {
                let last = *also.lock().expect("nobody panics with it");
                for record in records {
                    match (record, last) {
                        (Record::Session(session), Some((id, at))) if session.id == id => {
                            session.offline_since = session.offline_since.map(|_| at);
                        }
                        _ => {}
                    }
                }
            })
    };

    /// an open leaves the session's clocks running
    "SES-11" an_open_leaves_the_session_offline: {
        let since = Arc::new(Mutex::new(None));
        let also = Arc::clone(&since);
        honest()
            .opens(move |engine, open| {
                let session = engine.session_of(&open.client_id);
                *since.lock().expect("nobody panics with it") = session.and_then(|session| session.offline_since);
            })
            .opened(move |engine, _, opened| {
                let since = also.lock().expect("nobody panics with it").take().filter(|_| opened.present);
                if let Some(since) = since {
                    engine.write(opened.session.id, since, [Op::GoOffline]);
                }
            })
    };

    /// a session's own end is answered and not carried out
    "SES-12" a_session_does_not_end_itself: honest().skips(|_, batch, op| match op {
        Op::EndSession(id) if batch.author.session() == Some(*id) => Some(Outcome::Done),
        _ => None,
    });

    /// ending what has ended is answered as done
    "SES-13" what_has_ended_ends_again: honest().outcomes(|_, batch, outcomes| {
        for (op, outcome) in batch.ops.iter().zip(outcomes) {
            if matches!(op, Op::EndSession(_)) {
                *outcome = Outcome::Done;
            }
        }
    });

    /// any session may end any other
    "SES-14" a_session_ends_another: honest().refusals(|engine, batch, error| {
        let ends = batch.ops.iter().all(|op| matches!(op, Op::EndSession(_)));
        match ends && error.kind() == ErrorKind::Unsupported {
            true => engine.submit(Batch { author: Author::Broker, ..batch }),
            false => Err(error),
        }
    });

    /// what the broker asks for of a session that it does not have is answered as absent
    "SES-15" the_broker_may_write_for_no_session: honest().refusals(|_, batch, error| {
        let broker = batch.author == Author::Broker && error.kind() == ErrorKind::Unsupported;
        match broker && batch.ops.iter().any(needs_a_session) {
            true => Ok(vec![Outcome::Absent; batch.ops.len()]),
            false => Err(error),
        }
    });

    /// behind its end a session's operations are answered as done
    "SES-16" a_session_goes_on_behind_its_end: honest().outcomes(|_, batch, outcomes| {
        let end = batch.ops.iter().position(|op| matches!(op, Op::EndSession(_)));
        for outcome in outcomes.iter_mut().skip(end.unwrap_or(usize::MAX)) {
            if *outcome == Outcome::Absent {
                *outcome = Outcome::Done;
            }
        }
    });

    /// sessions that are offline are not there when the store is opened again
    "SES-17" reopening_forgets_sessions_that_are_offline: honest().forgets(|record| match record {
        Record::Session(session) if session.offline_since.is_some() => None,
        other => Some(other),
    });

    /// subscriptions are not there when the store is opened again
    "SES-17" reopening_forgets_subscriptions: honest().forgets(|record| match record {
        Record::Subscription(..) => None,
        other => Some(other),
    });

    /// inbound ids are not there when the store is opened again: QoS 2 messages come twice
    "SES-17" reopening_forgets_inbound_ids: honest().forgets(|record| match record {
        Record::Inbound(_) => None,
        other => Some(other),
    });

    /// sessions that ended are back when the store is opened again
    "SES-18" reopening_revives_sessions_that_ended: honest().forgets(|record| match record {
        Record::Ended(session, _) => Some(Record::Session(session)),
        other => Some(other),
    });
}
