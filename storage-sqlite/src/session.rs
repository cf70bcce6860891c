//! Sessions: the record, opening (take over, continue, create) and ending.
//!
//! Ending marks the session's row and touches none of its entries; who removes them is `purge`.

use opifex_storage::{
    Epoch, OpenSession, OpenedSession, Seq, SessionExpiry, SessionId, SessionRecord, Timestamp,
};
use rusqlite::{Row, params};

use crate::fault::{Result, corrupt};
use crate::state::{State, int, optional_time, time, uint};

/// The columns that [`read_session`] reads.
pub(crate) const SESSION_COLUMNS: &str =
    "id, client_id, epoch, expiry_secs, offline_since, next_seq, queued_items, queued_bytes";

impl State<'_> {
    pub(crate) fn open_session(&self, open: &OpenSession) -> Result<OpenedSession> {
        let epoch = self.next_epoch()?;
        let found = self.session_of(&open.client_id)?;
        let (id, present, ended, will_due) = match found {
            Some(old) if !open.clean_start && !has_expired(&old, open.now) => {
                let will_due = self.take_over(&old, open.expiry, epoch, open.now)?;
                (old.id, true, None, will_due)
            }
            Some(old) => {
                let will_due = self.end_session(old.id, open.now)?;
                (self.create(open, epoch)?, false, Some(old.id), will_due)
            }
            None => (self.create(open, epoch)?, false, None, false),
        };
        if let Some(will) = &open.will {
            self.insert_will(id, epoch, will)?;
        }
        let session = self.live(id)?.ok_or_else(|| corrupt("a session is gone that was opened"))?;
        let (mut subscriptions, mut inbound) = (Vec::new(), Vec::new());
        self.subscriptions_after(id, "", |record| {
            subscriptions.push(record);
            true
        })?;
        self.inbound_after(id, 0, |packet_id| {
            inbound.push(packet_id);
            true
        })?;
        Ok(OpenedSession { session, present, ended, will_due, subscriptions, inbound, damaged: Vec::new() })
    }

    /// The session of a client.
    fn session_of(&self, client_id: &str) -> Result<Option<SessionRecord>> {
        let sql = format!("SELECT {SESSION_COLUMNS} FROM sessions WHERE client_id = ?1 AND ended_at IS NULL");
        self.find(&sql, [client_id], read_session)
    }

    /// The session, if it has not ended.
    pub(crate) fn live(&self, id: SessionId) -> Result<Option<SessionRecord>> {
        let sql = format!("SELECT {SESSION_COLUMNS} FROM sessions WHERE id = ?1 AND ended_at IS NULL");
        self.find(&sql, [int(id.0)], read_session)
    }

    /// The epoch of a session that has not ended.
    pub(crate) fn epoch_of(&self, id: SessionId) -> Result<Option<Epoch>> {
        let sql = "SELECT epoch FROM sessions WHERE id = ?1 AND ended_at IS NULL";
        self.find(sql, [int(id.0)], |row| uint(row, 0).map(Epoch))
    }

    /// Gives a session that goes on its new epoch. Answers whether a will is due.
    fn take_over(
        &self,
        old: &SessionRecord,
        expiry: SessionExpiry,
        epoch: Epoch,
        now: Timestamp,
    ) -> Result<bool> {
        let sql = "UPDATE sessions SET epoch = ?2, expiry_secs = ?3, offline_since = NULL, due_at = NULL \
                   WHERE id = ?1";
        self.execute(sql, params![int(old.id.0), int(epoch.0), secs(expiry)])?;
        self.take_over_will(old.id, old.epoch, now)
    }

    fn create(&self, open: &OpenSession, epoch: Epoch) -> Result<SessionId> {
        let sql = "INSERT INTO sessions (id, client_id, epoch, expiry_secs) VALUES (?1, ?2, ?1, ?3)";
        self.execute(sql, params![int(epoch.0), &*open.client_id, secs(open.expiry)])?;
        Ok(SessionId(epoch.0))
    }

    /// Ends a session that exists: the client's pointer goes, its wills are due, what remains becomes a due item.
    /// Answers whether a will is due.
    pub(crate) fn end_session(&self, id: SessionId, now: Timestamp) -> Result<bool> {
        let sql = "UPDATE sessions SET ended_at = ?2, due_at = ?2 WHERE id = ?1";
        self.execute(sql, [int(id.0), time(now)])?;
        self.forget_if_empty(id)?;
        self.end_wills(id, now)
    }

    /// Starts the clocks of expiry and will delay; they run on if they had started.
    pub(crate) fn go_offline(&self, id: SessionId, now: Timestamp) -> Result<bool> {
        let Some(mut session) = self.live(id)? else { return Ok(false) };
        if session.offline_since.is_none() {
            session.offline_since = Some(now);
            self.restart_clocks(&session)?;
        }
        Ok(true)
    }

    pub(crate) fn set_expiry(&self, id: SessionId, expiry: SessionExpiry) -> Result<bool> {
        let Some(mut session) = self.live(id)? else { return Ok(false) };
        session.expiry = expiry;
        self.restart_clocks(&session)?;
        Ok(true)
    }

    /// Writes expiry and offline time of a session, and when it and its will are due by them.
    fn restart_clocks(&self, session: &SessionRecord) -> Result<()> {
        let deadline = session.offline_since.and_then(|since| session.expiry.deadline(since));
        let sql = "UPDATE sessions SET expiry_secs = ?2, offline_since = ?3, due_at = ?4 WHERE id = ?1";
        let since = session.offline_since.map(time);
        self.execute(sql, params![int(session.id.0), secs(session.expiry), since, deadline.map(time)])?;
        if let Some(since) = session.offline_since {
            self.time_will(session.id, session.epoch, since, deadline)?;
        }
        Ok(())
    }

    /// Removes up to `limit` of what an ended session left, the queue first and in its order. Answers whether some
    /// is left.
    pub(crate) fn purge(&self, id: SessionId, limit: usize) -> Result<bool> {
        if !self.exists("SELECT 1 FROM sessions WHERE id = ?1 AND ended_at IS NOT NULL", [int(id.0)])? {
            return Ok(false);
        }
        let mut left = limit.max(1);
        left -= self.purge_queue(id, left)?;
        if left > 0 {
            left -= self.purge_subscriptions(id, left)?;
        }
        if left > 0 {
            self.purge_inbound(id, left)?;
        }
        Ok(!self.forget_if_empty(id)?)
    }

    /// Forgets a session if it ended and nothing is left of it. Answers whether it did.
    pub(crate) fn forget_if_empty(&self, id: SessionId) -> Result<bool> {
        let sql = "DELETE FROM sessions WHERE id = ?1 AND ended_at IS NOT NULL AND queued_items = 0 \
                   AND NOT EXISTS (SELECT 1 FROM subscriptions WHERE session = ?1) \
                   AND NOT EXISTS (SELECT 1 FROM inbound WHERE session = ?1)";
        Ok(self.execute(sql, [int(id.0)])? == 1)
    }
}

/// Whether the session is over when somebody else connects: a connection that still stands closes with that.
fn has_expired(session: &SessionRecord, now: Timestamp) -> bool {
    session.expiry.deadline(session.offline_since.unwrap_or(now)).is_some_and(|at| at <= now)
}

fn secs(expiry: SessionExpiry) -> Option<u32> {
    match expiry {
        SessionExpiry::Secs(secs) => Some(secs),
        SessionExpiry::Never => None,
    }
}

/// The session of a row with the columns of [`SESSION_COLUMNS`].
pub(crate) fn read_session(row: &Row<'_>) -> rusqlite::Result<SessionRecord> {
    Ok(SessionRecord {
        id: SessionId(uint(row, 0)?),
        client_id: row.get::<_, String>(1)?.into_boxed_str(),
        epoch: Epoch(uint(row, 2)?),
        expiry: row.get::<_, Option<u32>>(3)?.map_or(SessionExpiry::Never, SessionExpiry::Secs),
        offline_since: optional_time(row, 4)?,
        next_seq: Seq(uint(row, 5)?),
        queued_items: uint(row, 6)?,
        queued_bytes: uint(row, 7)?,
    })
}
