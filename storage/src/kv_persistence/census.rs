//! The census of a store that is opened: all rows are counted and held against what the last commit counted, and what
//! hangs on each session against its record. What an engine has lost leaves no damaged row behind: it shows here alone.
//!
//! Rows are counted by their seals; none is decoded but those of sessions, and nothing is repaired. What was found is
//! what is counted from then on.

use bytes::Bytes;

use crate::encoding::key::{self, kind};
use crate::encoding::{Lot, SessionRow, Tally, seal_of, unseal};
use crate::kv_persistence::rows::{Found, Rows};
use crate::{ErrorKind, FaultList, KvSnapshot, Result, SessionId, StoreError};

/// What hangs on a session and is counted in its record.
const CONTENTS: [u8; 3] = [kind::QUEUED, kind::SUBSCRIPTION, kind::INBOUND];

/// Counts all rows. What disagrees with `told` or with the records of sessions is added to `damaged`, and so is what the
/// engine cannot read of damaged rows: then the next kind is gone on with, and what was told of this one stands. `None`: not
/// even that is known of all rows. An engine that fails otherwise has shown nothing of its rows: that is no damage, but an
/// error.
pub(super) fn take(
    rows: &impl KvSnapshot,
    told: Option<Tally>,
    damaged: &mut Vec<StoreError>,
) -> Result<Option<Tally>> {
    let mut census =
        Census { tally: told.unwrap_or_default(), is_whole: true, sessions: Vec::new(), damaged };
    // Sessions first: the rest is held against them.
    for kind in [kind::SESSION, kind::ENDED] {
        census.count(rows, kind, told, Census::note_session)?;
    }
    census.sessions.sort_unstable_by_key(|session| session.id);
    for kind in Tally::KINDS {
        if let Some(content) = CONTENTS.iter().position(|other| *other == kind) {
            let mut place = 0;
            let is_whole = census
                .count(rows, kind, told, |census, key, _| census.note_content(content, &mut place, key))?;
            if is_whole {
                census.compare(rows, content);
            }
        } else if ![kind::SESSION, kind::ENDED].contains(&kind) {
            census.count(rows, kind, told, |_, _, _| {})?;
        }
    }
    Ok((census.is_whole || told.is_some()).then_some(census.tally))
}

struct Census<'a> {
    tally: Tally,
    /// Whether all rows could be walked through.
    is_whole: bool,
    /// By their ids.
    sessions: Vec<Session>,
    damaged: &'a mut Vec<StoreError>,
}

/// What a session's record counts of each of [`CONTENTS`], less what was found.
struct Session {
    id: SessionId,
    missing: [i64; CONTENTS.len()],
}

impl Census<'_> {
    fn note(&mut self, what: String) {
        self.damaged.push(StoreError::not_applied(ErrorKind::Corrupt, what));
    }

    /// Counts the rows of a kind, and shows each to `see`. Answers whether all of them could be walked through.
    fn count(
        &mut self,
        rows: &impl KvSnapshot,
        kind: u8,
        told: Option<Tally>,
        mut see: impl FnMut(&mut Self, &Bytes, &Bytes),
    ) -> Result<bool> {
        let (from, to) = key::all(kind);
        let mut found = Lot::default();
        for row in rows.range(&from, &to) {
            match row {
                Ok((key, value)) => {
                    found.add(seal_of(&value));
                    see(self, &key, &value);
                }
                Err(error) if error.kind() != ErrorKind::Corrupt => return Err(error),
                Err(error) => {
                    let name = key::plural(kind);
                    self.note(format!("{name} cannot be counted, some cannot be read: {error}"));
                    self.is_whole = false;
                    return Ok(false);
                }
            }
        }
        let (name, counted) = (key::plural(kind), told.map_or(found, |told| told.lot(kind)));
        if found.rows != counted.rows {
            let (found, counted) = (found.rows, counted.rows);
            let what =
                if found < counted { "are lost or damaged" } else { "are found that were not counted" };
            self.note(format!("{name} {what}: {counted} were counted, and {found} are found"));
        } else if found.sum != counted.sum {
            let found = found.rows;
            self.note(format!(
                "{name} are not those that were written last: {found} were counted and are found, and some of them are \
                 damaged, or as they were before"
            ));
        }
        self.tally.set(kind, found);
        Ok(true)
    }

    fn note_session(&mut self, key: &Bytes, value: &Bytes) {
        // One that is damaged is found by the walk over sessions.
        if let (Ok(id), Ok(row)) = (key::session_of(key), unseal::<SessionRow>(key, value)) {
            self.sessions.push(Session { id, missing: counts(&row).map(|count| count as i64) });
        }
    }

    /// Counts a row that hangs on a session, at the place of the last one or behind it.
    fn note_content(&mut self, content: usize, place: &mut usize, key: &[u8]) {
        let Ok(id) = key::session_of(key) else { return };
        while self.sessions.get(*place).is_some_and(|session| session.id < id) {
            *place += 1;
        }
        if let Some(session) = self.sessions.get_mut(*place).filter(|session| session.id == id) {
            session.missing[content] -= 1;
        }
    }

    /// Names the sessions whose records count other rows than there are.
    fn compare(&mut self, rows: &impl KvSnapshot, content: usize) {
        let name = key::plural(CONTENTS[content]);
        let mut faults = FaultList::default();
        for session in self.sessions.iter().filter(|session| session.missing[content] != 0) {
            let (missing, id) = (session.missing[content], session.id);
            faults.note(|| match record(rows, id) {
                Ok(Some(row)) => {
                    let (client, counted) = (&row.client_id, counts(&row)[content]);
                    let found = counted as i64 - missing;
                    format!(
                        "session {id} of client {client:?} counts {counted} {name}, and {found} are found"
                    )
                }
                // It was there a moment ago.
                _ => format!("session {id} counts {missing} {name} more than are found"),
            });
        }
        self.damaged.append(&mut faults.into_lines());
    }
}

/// What a session's record counts, in the order of [`CONTENTS`].
fn counts(row: &SessionRow) -> [u64; CONTENTS.len()] {
    [row.queued_items, row.subscriptions, row.inbound]
}

fn record(rows: &impl KvSnapshot, id: SessionId) -> Result<Option<SessionRow>> {
    match rows.look(&key::session(id))? {
        Found::Whole(row) => Ok(Some(row)),
        Found::Absent | Found::Damaged(_) => rows.record(&key::ended(id)),
    }
}
