//! Broken stores: wills that come too early, too late, twice or never.

use std::sync::{Arc, Mutex};

use opifex_storage::{
    Author, Due, DueItem, Epoch, NewWill, Op, OpenSession, Outcome, Record, RecordKind, SessionId, Timestamp,
    WillRecord,
};

use crate::broken::{Behaviour, honest};
use crate::engine::{EVERYTHING, Engine};
use crate::mutant::mutants;

/// All wills.
fn wills(engine: &Engine) -> Vec<WillRecord> {
    let records = engine.all(RecordKind::Will).into_iter();
    records.filter_map(|record| if let Record::Will(will) = record { Some(will) } else { None }).collect()
}

/// The wills of a client's session.
fn wills_of(engine: &Engine, client: &str) -> Vec<WillRecord> {
    let id = engine.session_of(client).map(|session| session.id);
    wills(engine).into_iter().filter(|will| Some(will.session) == id).collect()
}

/// Removes the due wills of a session that these epochs brought.
fn remove(engine: &Engine, session: SessionId, now: Timestamp, which: impl Fn(Epoch) -> bool) {
    for due in engine.due(now, None, EVERYTHING).map(|page| page.items).unwrap_or_default() {
        if due.item == DueItem::Will(session) && which(Epoch(due.version.0)) {
            engine.claim(&due, now, []);
        }
    }
}

/// A store that does this with the wills that a client had when it opens again.
fn at_an_open(then: fn(&Engine, &OpenSession, Vec<WillRecord>)) -> Behaviour {
    let had = Arc::new(Mutex::new(Vec::new()));
    let also = Arc::clone(&had);
    honest()
        .opens(move |engine, open| {
            *had.lock().expect("nobody panics with it") = wills_of(engine, &open.client_id);
        })
        .opened(move |engine, open, _| {
            let had = std::mem::take(&mut *also.lock().expect("nobody panics with it"));
            then(engine, open, had);
        })
}

/// A store that keeps this of the wills that it is brought.
fn bringing(change: fn(NewWill) -> Option<NewWill>) -> Behaviour {
    honest().opens(move |_, open| open.will = open.will.take().and_then(change))
}

mutants! {
    /// the will that an open brings is not written
    "WIL-01" wills_are_not_written: bringing(|_| None);

    /// whether a will is to be retained is not kept
    "WIL-01" a_wills_retain_flag_is_lost: bringing(|will| Some(NewWill { retain: false, ..will }));

    /// the message expiry of a will is not kept
    "WIL-01" a_wills_expiry_is_lost: bringing(|will| Some(NewWill { expiry_secs: None, ..will }));

    /// DISCONNECT leaves the will: it is published
    "WIL-02" a_taken_will_is_published:
        honest().skips(|_, _, op| matches!(op, Op::TakeWill).then_some(Outcome::Done));

    /// a will is not due when its connection closes
    "WIL-03" wills_without_delay_wait_for_the_session: honest().dues(|engine, _, dues| {
        dues.retain(|due| match (&due.item, &due.will) {
            (DueItem::Will(id), Some(will)) => will.will.delay_secs > 0 || engine.session(*id).is_none(),
            _ => true,
        });
    });

    /// no will waits
    "WIL-04" a_wills_delay_is_ignored: bringing(|will| Some(NewWill { delay_secs: 0, ..will }));

    /// a will waits for its delay, though its session ends before
    "WIL-05" a_will_outwaits_its_session: honest().dues(|engine, now, dues| {
        dues.retain(|due| {
            let DueItem::Will(id) = due.item else { return true };
            let since = engine.session(id).and_then(|session| session.offline_since);
            let delay = due.will.as_ref().map_or(0, |will| will.will.delay_secs);
            since.is_none_or(|since| since.plus_secs(delay) <= now)
        });
    });

    /// a will is due when its session ends, whatever its delay
    "WIL-06" a_will_waits_for_the_session: honest().dues(|engine, now, dues| {
        dues.retain(|due| {
            let DueItem::Will(id) = due.item else { return true };
            let session = engine.session(id);
            let ends = session.and_then(|session| session.expiry.deadline(session.offline_since?));
            ends.is_none_or(|ends| ends <= now)
        });
    });

    /// a will without delay is cancelled when its connection is taken over
    "WIL-09" taking_over_cancels_every_will: at_an_open(|engine, open, had| {
        for will in had.iter().filter(|will| will.due_at.is_none()) {
            remove(engine, will.session, open.now, |epoch| epoch == will.epoch);
        }
    });

    /// a will that waits for its delay is published though the client is back
    "WIL-10" taking_over_cancels_no_will: at_an_open(|engine, open, had| {
        let there = wills(engine);
        for will in had {
            if !there.iter().any(|other| (other.session, other.epoch) == (will.session, will.epoch)) {
                let due_at = Some(will.due_at.unwrap_or(open.now.plus_secs(will.will.delay_secs)));
                engine.put(Record::Will(WillRecord { due_at, ..will }));
            }
        }
    });

    /// a will that was due is cancelled by the client that comes back
    "WIL-12" coming_back_cancels_a_will_that_is_due: at_an_open(|engine, open, had| {
        for will in had.iter().filter(|will| will.will.delay_secs > 0) {
            remove(engine, will.session, open.now, |epoch| epoch == will.epoch);
        }
    });

    /// clean start takes the will with the session
    "WIL-13" clean_start_takes_the_will: at_an_open(|engine, open, had| {
        for will in had.iter().filter(|_| open.clean_start) {
            remove(engine, will.session, open.now, |_| true);
        }
    });

    /// nobody is told that an open made a will due
    "WIL-14" an_open_does_not_say_that_a_will_is_due: honest().opened(|_, _, opened| opened.will_due = false);

    /// a session that ends takes its will with it
    "WIL-15" the_end_takes_the_will: honest().outcomes(|engine, batch, _| {
        for op in &batch.ops {
            if let Op::EndSession(id) = op {
                remove(engine, *id, batch.now, |_| true);
            }
        }
    });

    /// a claim leaves the will: it is published again and again
    "WIL-17" a_claimed_will_stays: honest().outcomes(|engine, batch, _| {
        if let Author::Claim(Due { item: DueItem::Will(_), will: Some(will), .. }) = &batch.author {
            engine.put(Record::Will(will.clone()));
        }
    });

    /// a session has one will: the new connection's takes the place of the old one's
    "WIL-18" a_session_has_one_will: at_an_open(|engine, open, had| {
        for will in had.iter().filter(|_| open.will.is_some()) {
            remove(engine, will.session, open.now, |epoch| epoch == will.epoch);
        }
    });

    /// DISCONNECT of the new connection takes the will that the old one owes
    "WIL-19" the_next_connection_takes_a_due_will: honest().outcomes(|engine, batch, outcomes| {
        let Some(id) = batch.author.session() else { return };
        for (op, outcome) in batch.ops.iter().zip(outcomes) {
            let due = wills(engine).iter().any(|will| will.session == id && will.due_at.is_some());
            if *op == Op::TakeWill && *outcome == Outcome::Absent && due {
                remove(engine, id, batch.now, |_| true);
                *outcome = Outcome::Done;
            }
        }
    });

    /// wills are not there when the store is opened again
    "WIL-21" reopening_forgets_wills: honest().forgets(|record| match record {
        Record::Will(_) => None,
        other => Some(other),
    });

    /// the clock of a will stands still when the store is opened again
    "WIL-21" reopening_stops_the_clocks_of_wills: honest().forgets(|record| match record {
        Record::Will(will) => Some(Record::Will(WillRecord { due_at: None, ..will })),
        other => Some(other),
    });

    /// a will can be claimed while its connection lives
    "WIL-22" any_will_can_be_claimed: honest().refusals(|engine, batch, error| match &batch.author {
        Author::Claim(Due { item: DueItem::Will(id), version, .. })
            if wills(engine).iter().any(|will| (will.session, will.epoch.0) == (*id, version.0)) =>
        {
            engine.write(*id, batch.now, [Op::TakeWill]);
            Ok(vec![Outcome::Done; batch.ops.len()])
        }
        _ => Err(error),
    });
}
