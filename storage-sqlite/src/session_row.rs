//! The rows of sessions, as the open transaction has changed them.
//!
//! Every enqueue and every settle counts in its session's row. So the rows that a transaction needs are read once, changed
//! in memory, and written once, before the commit: a hundred messages for one session are one update. Not for readers,
//! which see what was committed.

use std::cell::RefCell;
use std::collections::BTreeMap;

use opifex_storage::{Epoch, Seq, SessionExpiry, SessionId, SessionRecord, Timestamp};
use rusqlite::Row;

use crate::checksum::{Field, SESSIONS};
use crate::fault::Result;
use crate::state::{State, int, optional_time, time, uint};
use crate::tally::Counted;

/// The columns that [`read_row`] reads.
macro_rules! session_columns {
    () => {
        "id, client_id, epoch, expiry_secs, offline_since, ended_at, due_at, next_seq, queued_items, \
         queued_bytes, waiting_items, waiting_bytes, subscriptions, inbound_ids, checksum"
    };
}
pub(crate) use session_columns;

/// A row of `sessions`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SessionRow {
    pub(crate) id: SessionId,
    pub(crate) client_id: Box<str>,
    pub(crate) epoch: Epoch,
    pub(crate) expiry: SessionExpiry,
    pub(crate) offline_since: Option<Timestamp>,
    pub(crate) ended_at: Option<Timestamp>,
    pub(crate) due_at: Option<Timestamp>,
    pub(crate) next_seq: Seq,
    pub(crate) queued_items: u64,
    pub(crate) queued_bytes: u64,
    /// Of these, without a packet id.
    pub(crate) waiting_items: u64,
    pub(crate) waiting_bytes: u64,
    pub(crate) subscriptions: u64,
    pub(crate) inbound_ids: u64,
}

impl SessionRow {
    pub(crate) fn record(&self) -> SessionRecord {
        SessionRecord {
            id: self.id,
            client_id: self.client_id.clone(),
            epoch: self.epoch,
            expiry: self.expiry,
            offline_since: self.offline_since,
            next_seq: self.next_seq,
            queued_items: self.queued_items,
            queued_bytes: self.queued_bytes,
        }
    }

    fn fields(&self) -> [Field<'_>; 14] {
        [
            int(self.id.0).into(),
            (&*self.client_id).into(),
            int(self.epoch.0).into(),
            secs(self.expiry).map(i64::from).into(),
            self.offline_since.map(time).into(),
            self.ended_at.map(time).into(),
            self.due_at.map(time).into(),
            int(self.next_seq.0).into(),
            int(self.queued_items).into(),
            int(self.queued_bytes).into(),
            int(self.waiting_items).into(),
            int(self.waiting_bytes).into(),
            int(self.subscriptions).into(),
            int(self.inbound_ids).into(),
        ]
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.ended_at.is_some()
    }
}

/// The rows that a transaction has read or made, and whether each has changed since.
#[derive(Default)]
pub(crate) struct SessionRows(RefCell<BTreeMap<SessionId, (SessionRow, bool)>>);

impl State<'_> {
    /// Looks at the row of a session, also of one that ended.
    pub(crate) fn session<T>(&self, id: SessionId, look: impl FnOnce(&SessionRow) -> T) -> Result<Option<T>> {
        if !self.has_row(id)? {
            return Ok(None);
        }
        Ok(self.sessions.0.borrow().get(&id).map(|(row, _)| look(row)))
    }

    /// Looks at the row of a session that has not ended.
    pub(crate) fn live<T>(&self, id: SessionId, look: impl FnOnce(&SessionRow) -> T) -> Result<Option<T>> {
        Ok(self.session(id, |row| if row.has_ended() { None } else { Some(look(row)) })?.flatten())
    }

    /// Changes the row of a session, also of one that ended. It is written before the commit.
    pub(crate) fn change_session<T>(
        &self,
        id: SessionId,
        change: impl FnOnce(&mut SessionRow) -> T,
    ) -> Result<Option<T>> {
        if !self.has_row(id)? {
            return Ok(None);
        }
        self.note_change();
        Ok(self.sessions.0.borrow_mut().get_mut(&id).map(|(row, changed)| {
            *changed = true;
            change(row)
        }))
    }

    /// Brings the row of a session here, if there is one.
    fn has_row(&self, id: SessionId) -> Result<bool> {
        let mut rows = self.sessions.0.borrow_mut();
        if rows.contains_key(&id) {
            return Ok(true);
        }
        let sql = concat!("SELECT ", session_columns!(), " FROM sessions WHERE id = ?1");
        let Some(mut row) = self.record(sql, [int(id.0)], read_row)? else { return Ok(false) };
        let after_spent = self.spent.and_then(|spent| spent.entries.next(id, row.next_seq));
        if let Some(next) = after_spent {
            row.next_seq = next;
            self.raised.borrow_mut().push((id, next));
        }
        rows.insert(id, (row, after_spent.is_some()));
        Ok(true)
    }

    /// Makes the row of a new session.
    pub(crate) fn insert_session(&self, row: SessionRow) -> Result<()> {
        let sql = "INSERT INTO sessions VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, \
                   ?14, ?15)";
        let made = self.write(&SESSIONS, sql, &row.fields())?;
        self.count_rows(Counted::Sessions, made, 0);
        self.sessions.0.borrow_mut().insert(row.id, (row, false));
        Ok(())
    }

    /// Removes the row of a session.
    pub(crate) fn delete_session(&self, id: SessionId) -> Result<()> {
        self.sessions.0.borrow_mut().remove(&id);
        let removed = self.execute("DELETE FROM sessions WHERE id = ?1", [int(id.0)])?;
        self.count_rows(Counted::Sessions, 0, removed);
        Ok(())
    }

    /// Writes the rows that have changed: before the commit, and before the table is asked by anything but the id.
    pub(crate) fn write_sessions(&self) -> Result<()> {
        for (row, changed) in self.sessions.0.borrow_mut().values_mut() {
            if std::mem::take(changed) {
                self.write_session(row)?;
            }
        }
        Ok(())
    }

    fn write_session(&self, row: &SessionRow) -> Result<()> {
        let sql = "UPDATE sessions SET client_id = ?2, epoch = ?3, expiry_secs = ?4, offline_since = ?5, \
                   ended_at = ?6, due_at = ?7, next_seq = ?8, queued_items = ?9, queued_bytes = ?10, \
                   waiting_items = ?11, waiting_bytes = ?12, subscriptions = ?13, inbound_ids = ?14, \
                   checksum = ?15 WHERE id = ?1";
        self.write(&SESSIONS, sql, &row.fields())?;
        Ok(())
    }
}

fn secs(expiry: SessionExpiry) -> Option<u32> {
    match expiry {
        SessionExpiry::Secs(secs) => Some(secs),
        SessionExpiry::Never => None,
    }
}

/// The row with the columns of [`session_columns`].
pub(crate) fn read_row(row: &Row<'_>) -> Result<SessionRow> {
    SESSIONS.read(row, 0, || {
        Ok(SessionRow {
            id: SessionId(uint(row, 0)?),
            client_id: row.get::<_, String>(1)?.into_boxed_str(),
            epoch: Epoch(uint(row, 2)?),
            expiry: row.get::<_, Option<u32>>(3)?.map_or(SessionExpiry::Never, SessionExpiry::Secs),
            offline_since: optional_time(row, 4)?,
            ended_at: optional_time(row, 5)?,
            due_at: optional_time(row, 6)?,
            next_seq: Seq(uint(row, 7)?),
            queued_items: uint(row, 8)?,
            queued_bytes: uint(row, 9)?,
            waiting_items: uint(row, 10)?,
            waiting_bytes: uint(row, 11)?,
            subscriptions: uint(row, 12)?,
            inbound_ids: uint(row, 13)?,
        })
    })
}
