//! The first look into an engine: whether it holds a store, none yet, or somebody else's rows; and what of the store's
//! own row can be made good when it is damaged.

use crate::encoding::key::{self, kind};
use crate::encoding::{Counters, RetainedRow, SessionRow, StoredRecord, seal, unseal};
use crate::kv_persistence::page::MAX_EXAMINED;
use crate::kv_persistence::transaction::{Found, Rows};
use crate::{
    ErrorKind, KvRange, KvSnapshot, OrderedKv, Result, SessionId, StoreError, WillRecord, WriteBatch,
};

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
        if counters.retained.is_none() {
            counters.retained = Some(count_retained(&snapshot)?);
        }
        note_strangers(&snapshot, &mut damaged)?;
        return Ok(Founding { counters, damaged });
    }
    drop(snapshot);
    let counters = Counters { retained: Some(0), ..Counters::default() };
    let value = seal(&key, &counters);
    kv.write(&WriteBatch([(key, Some(value))].into()))?;
    kv.sync()?;
    Ok(Founding { counters, damaged })
}

fn somebody_elses() -> StoreError {
    StoreError::not_applied(
        ErrorKind::Unsupported,
        "what is stored there is not a store of this broker: it has rows, and no counters",
    )
}

/// Counters that have given out every number of the whole records; `None` when there is no such record.
fn rebuilt(rows: &impl KvSnapshot) -> Result<Option<Counters>> {
    let mut counters = Counters::default();
    let mut is_ours = false;
    let mut saw = |number: &mut u64, seen: u64| {
        is_ours = true;
        *number = seen.max(*number);
    };
    for of_sessions in [kind::SESSION, kind::ENDED] {
        for found in whole::<SessionRow>(rows, of_sessions) {
            let (id, row): (SessionId, _) = found?;
            saw(&mut counters.last_epoch, row.epoch.0.max(id.0));
        }
    }
    for found in whole::<WillRecord>(rows, kind::WILL) {
        saw(&mut counters.last_epoch, found?.1.epoch.0);
    }
    let (from, to) = key::all(kind::RETAINED);
    for row in rows.range(&from, &to) {
        let (key, value) = row?;
        if let Ok(row) = unseal::<RetainedRow>(&key, &value) {
            saw(&mut counters.last_version, row.version.0);
        }
    }
    let (from, to) = key::all(kind::BODY);
    for row in rows.range(&from, &to) {
        // A damaged number leaps as well as a whole one, and bodies do not say whose they are.
        let number = key::session_of(&row?.0).map_or(0, |id| id.0);
        counters.last_body = counters.last_body.max(number.min(u64::MAX >> 1));
    }
    counters.last_epoch += LEAP;
    counters.last_version += LEAP;
    counters.last_body += LEAP;
    Ok(is_ours.then_some(counters))
}

/// How many retained messages there are: once, for a store that did not count them or has lost the count.
fn count_retained(rows: &impl KvSnapshot) -> Result<u64> {
    let (from, to) = key::all(kind::RETAINED);
    rows.range(&from, &to).try_fold(0, |count, row| row.map(|_| count + 1))
}

/// The whole records of a kind that hang on sessions.
fn whole<R: StoredRecord>(
    rows: &impl KvSnapshot,
    of_kind: u8,
) -> impl Iterator<Item = Result<(SessionId, R)>> {
    let (from, to) = key::all(of_kind);
    let range: KvRange<'_> = rows.range(&from, &to);
    range.filter_map(|row| match row {
        Ok((key, value)) => Some(Ok((key::session_of(&key).ok()?, unseal(&key, &value).ok()?))),
        Err(error) => Some(Err(error)),
    })
}

/// Names rows between the kinds, which no walk of records comes by.
fn note_strangers(rows: &impl KvSnapshot, damaged: &mut Vec<StoreError>) -> Result<()> {
    let mut kinds = kind::ALL;
    kinds.sort_unstable();
    let mut from = 0;
    for next in kinds.into_iter().chain([u8::MAX]) {
        if from < next {
            for row in rows.range(&[from], &[next]).take(MAX_EXAMINED) {
                let what = key::describe(&row?.0);
                damaged.push(StoreError::not_applied(ErrorKind::Corrupt, what));
            }
        }
        from = next + u8::from(next < u8::MAX);
    }
    Ok(())
}
