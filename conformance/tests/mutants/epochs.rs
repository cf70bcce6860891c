//! Broken stores: who is fenced, and who is not.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use opifex_storage::{Author, Batch, Epoch, ErrorKind, Op, Outcome, Record, StoreError};

use crate::broken::honest;
use crate::engine::Engine;
use crate::mutant::mutants;

/// The batch with its session's epoch of now, when `stale` says so of the one that it carries and that one.
fn pardon(engine: &Engine, batch: &mut Batch, stale: impl Fn(Epoch, Epoch) -> bool) {
    if let Author::Session(id, epoch) = &mut batch.author
        && let Some(session) = engine.session(*id)
        && stale(*epoch, session.epoch)
    {
        *epoch = session.epoch;
    }
}

fn fenced() -> StoreError {
    StoreError::not_applied(ErrorKind::Fenced, "fenced for another's sake")
}

mutants! {
    /// an author that was taken over may write on
    "EPO-01" stale_epochs_are_accepted: honest().batches(|engine, batch| pardon(engine, batch, |is, now| is < now));

    /// an author that was taken over may settle, which is taken to be harmless
    "EPO-01" stale_authors_may_settle: honest().batches(|engine, batch| {
        if batch.ops.iter().all(|op| matches!(op, Op::Settle(_))) && !batch.ops.is_empty() {
            pardon(engine, batch, |is, now| is < now);
        }
    });

    /// the author of a session that ended is answered as if its records were absent
    "EPO-03" authors_of_ended_sessions_find_nothing: honest().refusals(|engine, batch, error| {
        match batch.author {
            Author::Session(id, _) if error.kind() == ErrorKind::Fenced && engine.session(id).is_none() => {
                Ok(vec![Outcome::Absent; batch.ops.len()])
            }
            _ => Err(error),
        }
    });

    /// authors are known by their client, so that one from before a clean start writes into the new session
    "EPO-04" the_epoch_is_that_of_the_client: {
        let clients = Arc::new(Mutex::new(HashMap::new()));
        let also = Arc::clone(&clients);
        honest()
            .opened(move |_, open, opened| {
                let session = &opened.session;
                clients.lock().expect("nobody panics with it").insert(session.id, open.client_id.clone());
            })
            .batches(move |engine, batch| {
                if let Author::Session(id, epoch) = &mut batch.author
                    && engine.session(*id).is_none()
                    && let Some(client) = also.lock().expect("nobody panics with it").get(id)
                    && let Some(new) = engine.session_of(client)
                {
                    (*id, *epoch) = (new.id, new.epoch);
                }
            })
    };

    /// an epoch is compared with less-than alone
    "EPO-05" epochs_of_the_future_are_accepted:
        honest().batches(|engine, batch| pardon(engine, batch, |is, now| is > now));

    /// a publisher is fenced when its subscriber was taken over
    "EPO-06" a_flapping_subscriber_fences_its_publishers: honest().submit(|engine, batch| {
        let flapped = batch.ops.iter().any(|op| match op {
            Op::Enqueue { targets, .. } => targets.iter().any(|target| {
                let session = engine.session(target.session);
                session.is_some_and(|session| session.epoch.0 != session.id.0)
            }),
            _ => false,
        });
        if flapped && matches!(batch.author, Author::Session(..)) { Err(fenced()) } else { engine.submit(batch) }
    });

    /// whoever opens a session fences everybody who opened one before
    "EPO-07" the_last_open_of_all_writes_alone: honest().submit(|engine, batch| {
        let last = engine.sessions().into_iter().map(|session| session.epoch).max();
        match batch.author {
            Author::Session(_, epoch) if Some(epoch) < last => Err(fenced()),
            _ => engine.submit(batch),
        }
    });

    /// taking over drops what the old owner had recorded last
    "EPO-08" a_takeover_undoes_the_last_batch: {
        let last = Arc::new(Mutex::new(None));
        let also = Arc::clone(&last);
        honest()
            .outcomes(move |_, batch, _| {
                let ids = batch.ops.iter().filter_map(|op| match op {
                    Op::PutInbound(id) => Some(*id),
                    _ => None,
                });
                let ids: Vec<_> = ids.collect();
                *last.lock().expect("nobody panics with it") = batch.author.session().zip(Some(ids));
            })
            .opened(move |engine, open, opened| {
                let last = also.lock().expect("nobody panics with it").take();
                if let Some((_, ids)) = last.filter(|(session, _)| *session == opened.session.id) {
                    opened.inbound.retain(|id| !ids.contains(id));
                    engine.write(opened.session.id, open.now, ids.into_iter().map(Op::DeleteInbound));
                }
            })
    };

    /// the counter of epochs begins behind those of the sessions that are there when the store is opened
    "EPO-09" reopening_counts_epochs_from_the_sessions_left: honest().forgets(Some);

    /// a session is at its first epoch when the store is opened
    "EPO-10" reopening_forgets_takeovers: honest().forgets(|record| match record {
        Record::Session(mut session) => {
            session.epoch = Epoch(session.id.0);
            Some(Record::Session(session))
        }
        other => Some(other),
    });
}
