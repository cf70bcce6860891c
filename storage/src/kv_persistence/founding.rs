//! The first look into an engine: whether it holds a store, none yet, or somebody else's rows; and what of the store's
//! own row can be made good when it is damaged.

use bytes::Bytes;

use crate::encoding::key::{self, kind};
use crate::encoding::{Counters, RetainedRow, SessionRow, StoredRecord, Tally, seal, unseal};
use crate::kv_persistence::census;
use crate::kv_persistence::page::MAX_EXAMINED;
use crate::kv_persistence::transaction::{Found, Rows};
use crate::{ErrorKind, KvSnapshot, OrderedKv, Result, SessionId, StoreError, WillRecord, WriteBatch};

/// How far numbers leap when nobody knows which was given last: further than a store counts in its life.
const LEAP: u64 = 1 << 40;

/// What was found.
pub(super) struct Founding {
    pub(super) counters: Counters,
    /// What is damaged of the store itself. It works all the same.
    pub(super) damaged: Vec<StoreError>,
}

/// Looks into an engine. An empty one gets counters, which marks it as a store.
pub(super) fn found<K: OrderedKv>(kv: &K) -> Result<Founding> {
    let key = key::counters();
    let snapshot = kv.snapshot()?;
    let mut damaged = Vec::new();
    let counters = match snapshot.look::<Counters>(&key)? {
        Found::Whole(counters) => Some(counters),
        Found::Damaged(error) => match rebuilt(&snapshot) {
            Some(counters) => {
                damaged.push(error);
                Some(counters)
            }
            None => return Err(error),
        },
        Found::Absent => match snapshot.range(&[], &[0xff; 16]).next().transpose()? {
            None => None,
            Some(_) => match rebuilt(&snapshot) {
                Some(counters) => {
                    let what = format!("{} is missing", key::describe(&key));
                    damaged.push(StoreError::not_applied(ErrorKind::Corrupt, what));
                    Some(counters)
                }
                None => return Err(somebody_elses()),
            },
        },
    };
    if let Some(mut counters) = counters {
        counters.tally = census::take(&snapshot, counters.tally, &mut damaged);
        if let Some(tally) = &counters.tally {
            counters.retained = Some(tally.lot(kind::RETAINED).rows);
        }
        note_strangers(&snapshot, &mut damaged);
        return Ok(Founding { counters, damaged });
    }
    drop(snapshot);
    let counters = Counters { retained: Some(0), tally: Some(Tally::default()), ..Counters::default() };
    let value = seal(&key, &counters);
    kv.write(&WriteBatch(vec![(key, Some(value))]))?;
    kv.sync()?;
    Ok(Founding { counters, damaged })
}

fn somebody_elses() -> StoreError {
    StoreError::not_applied(
        ErrorKind::Unsupported,
        "what is stored there is not a store of this broker: it has rows, and no counters",
    )
}

/// Counters that have given out every number of the whole records; `None` when there is no such record. What the engine
/// cannot read is left out: the leap is further than its numbers go.
fn rebuilt(rows: &impl KvSnapshot) -> Option<Counters> {
    let mut counters = Counters::default();
    let mut is_ours = false;
    let mut saw = |number: &mut u64, seen: u64| {
        is_ours = true;
        *number = seen.max(*number);
    };
    for of_sessions in [kind::SESSION, kind::ENDED] {
        for (id, row) in whole::<SessionRow>(rows, of_sessions) {
            saw(&mut counters.last_epoch, row.epoch.0.max(id.0));
        }
    }
    for (_, will) in whole::<WillRecord>(rows, kind::WILL) {
        saw(&mut counters.last_epoch, will.epoch.0);
    }
    for (key, value) in readable(rows, kind::RETAINED) {
        if let Ok(row) = unseal::<RetainedRow>(&key, &value) {
            saw(&mut counters.last_version, row.version.0);
        }
    }
    for (key, _) in readable(rows, kind::BODY) {
        // A damaged number leaps as well as a whole one, and bodies do not say whose they are.
        let number = key::session_of(&key).map_or(0, |id| id.0);
        counters.last_body = counters.last_body.max(number.min(u64::MAX >> 1));
    }
    counters.last_epoch += LEAP;
    counters.last_version += LEAP;
    counters.last_body += LEAP;
    is_ours.then_some(counters)
}

/// The whole records of a kind that hang on sessions.
fn whole<R: StoredRecord>(rows: &impl KvSnapshot, of_kind: u8) -> impl Iterator<Item = (SessionId, R)> {
    readable(rows, of_kind)
        .filter_map(|(key, value)| Some((key::session_of(&key).ok()?, unseal(&key, &value).ok()?)))
}

/// The rows of a kind, as far as the engine can read them.
fn readable(rows: &impl KvSnapshot, of_kind: u8) -> impl Iterator<Item = (Bytes, Bytes)> {
    let (from, to) = key::all(of_kind);
    let goes_on = |row: &Result<_>| row.as_ref().err().is_none_or(|error| error.kind() == ErrorKind::Corrupt);
    rows.range(&from, &to).take_while(goes_on).filter_map(Result::ok)
}

/// Names rows between the kinds, which no walk of records comes by.
fn note_strangers(rows: &impl KvSnapshot, damaged: &mut Vec<StoreError>) {
    let mut kinds = kind::ALL;
    kinds.sort_unstable();
    let mut from = 0;
    for next in kinds.into_iter().chain([u8::MAX]) {
        if from < next {
            for row in rows.range(&[from], &[next]).take(MAX_EXAMINED) {
                let what = match row {
                    Ok((key, _)) => key::describe(&key),
                    Err(error) => format!("what lies between the kinds of row cannot be read: {error}"),
                };
                damaged.push(StoreError::not_applied(ErrorKind::Corrupt, what));
            }
        }
        from = next + u8::from(next < u8::MAX);
    }
}
