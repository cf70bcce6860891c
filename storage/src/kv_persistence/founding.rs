//! The first look into an engine: whether it holds a store, none yet, or somebody else's rows; and what of the store's
//! own row can be made good when it is damaged.

use std::hash::{BuildHasher, Hasher, RandomState};

use bytes::Bytes;

use crate::encoding::key::{self, kind};
use crate::encoding::{Counters, RetainedRow, SessionRow, Tally, seal, unseal};
use crate::kv_persistence::census;
use crate::kv_persistence::page::{MAX_EXAMINED, next_row};
use crate::kv_persistence::rows::{Found, Rows};
use crate::{ErrorKind, KvSnapshot, OrderedKv, Result, StoreError, WillRecord, WriteBatch};

/// How far numbers leap at least when nobody knows which was given last: further than a store counts in its life.
const LEAP: u64 = 1 << 40;

/// The most leaps that are made at once.
const MAX_LEAPS: u64 = 1 << 16;

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
        Found::Damaged(error) => match rebuilt(&snapshot)? {
            Some(counters) => {
                damaged.push(error);
                Some(counters)
            }
            None => return Err(error),
        },
        Found::Absent => match snapshot.range(&[], &[0xff; 16]).next().transpose()? {
            None => None,
            Some(_) => match rebuilt(&snapshot)? {
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
        counters.tally = census::take(&snapshot, counters.tally, &mut damaged)?;
        if let Some(tally) = &counters.tally {
            counters.retained = Some(tally.lot(kind::RETAINED).rows);
        }
        note_strangers(&snapshot, &mut damaged)?;
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
/// finds damaged is left out: the leap is further than its numbers go, and where those come from a leap before, which nobody
/// knows of any more, another one.
fn rebuilt(rows: &impl KvSnapshot) -> Result<Option<Counters>> {
    let (mut epoch, mut version, mut body) = (None, None, 0);
    for of_sessions in [kind::SESSION, kind::ENDED] {
        each(rows, of_sessions, |key, value| {
            if let (Ok(id), Ok(row)) = (key::session_of(key), unseal::<SessionRow>(key, value)) {
                epoch = epoch.max(Some(row.epoch.0.max(id.0)));
            }
        })?;
    }
    each(rows, kind::WILL, |key, value| {
        if let Ok(will) = unseal::<WillRecord>(key, value) {
            epoch = epoch.max(Some(will.epoch.0));
        }
    })?;
    each(rows, kind::RETAINED, |key, value| {
        if let Ok(row) = unseal::<RetainedRow>(key, value) {
            version = version.max(Some(row.version.0));
        }
    })?;
    each(rows, kind::BODY, |key, _| {
        // A damaged number leaps as well as a whole one, and bodies do not say whose they are.
        let number = key::session_of(key).map_or(0, |id| id.0);
        body = body.max(number.min(u64::MAX >> 1));
    })?;
    if epoch.is_none() && version.is_none() {
        return Ok(None);
    }
    let leap = leap();
    let behind = |number: Option<u64>| number.unwrap_or(0).saturating_add(leap);
    Ok(Some(Counters {
        last_epoch: behind(epoch),
        last_version: behind(version),
        last_body: body + leap,
        ..Counters::default()
    }))
}

/// Another one each time, as chance has it: of numbers that were given behind a leap before, none may be readable.
fn leap() -> u64 {
    let random = RandomState::new().build_hasher().finish();
    LEAP * (1 + random % MAX_LEAPS)
}

/// Shows the rows of a kind, as far as the engine can read them.
fn each(rows: &impl KvSnapshot, of_kind: u8, mut see: impl FnMut(&Bytes, &Bytes)) -> Result<()> {
    let (from, to) = key::all(of_kind);
    let (mut range, mut unreadable) = (rows.range(&from, &to), Vec::new());
    while let Some((key, value)) = next_row(&mut range, &mut unreadable)? {
        see(&key, &value);
    }
    Ok(())
}

/// Names rows between the kinds, which no walk of records comes by.
fn note_strangers(rows: &impl KvSnapshot, damaged: &mut Vec<StoreError>) -> Result<()> {
    let mut kinds = kind::ALL;
    kinds.sort_unstable();
    let mut from = 0;
    for next in kinds.into_iter().chain([u8::MAX]) {
        if from < next {
            for row in rows.range(&[from], &[next]).take(MAX_EXAMINED) {
                let what = match row {
                    Ok((key, _)) => key::describe(&key),
                    Err(error) if error.kind() != ErrorKind::Corrupt => return Err(error),
                    Err(error) => format!("what lies between the kinds of row cannot be read: {error}"),
                };
                damaged.push(StoreError::not_applied(ErrorKind::Corrupt, what));
            }
        }
        from = next + u8::from(next < u8::MAX);
    }
    Ok(())
}
