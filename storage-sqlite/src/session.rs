//! Sessions: the record, opening (take over, continue, create) and ending.
//!
//! Ending marks the session's row and touches none of its entries; who removes them is `purge`.

use opifex_storage::{Epoch, OpenSession, OpenedSession, Seq, SessionExpiry, SessionId, Timestamp};

use crate::fault::{Result, corrupt};
use crate::session_row::SessionRow;
use crate::state::{State, int, uint};

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
        let session = self.live(id, SessionRow::record)?;
        let session = session.ok_or_else(|| corrupt("a session is gone that was opened"))?;
        let (mut subscriptions, mut inbound, mut damaged) = (Vec::new(), Vec::new(), Vec::new());
        self.subscriptions_after(id, "", &mut damaged, |record| {
            subscriptions.push(record);
            true
        })?;
        self.inbound_after(id, 0, &mut damaged, |packet_id| {
            inbound.push(packet_id);
            true
        })?;
        Ok(OpenedSession { session, present, ended, will_due, subscriptions, inbound, damaged })
    }

    /// The session of a client.
    pub(crate) fn session_of(&self, client_id: &str) -> Result<Option<SessionRow>> {
        let sql = "SELECT id FROM sessions WHERE client_id = ?1 AND ended_at IS NULL";
        let Some(id) = self.find(sql, [client_id], |row| uint(row, 0).map(SessionId))? else {
            return Ok(None);
        };
        let session = self.live(id, SessionRow::clone)?;
        // The index has no checksum, and nobody gets the session of somebody else.
        if session.as_ref().is_none_or(|session| *session.client_id != *client_id) {
            return Err(corrupt(format_args!(
                "the index of clients does not lead to the session of {client_id:?}"
            )));
        }
        Ok(session)
    }

    /// The epoch of a session that has not ended.
    pub(crate) fn epoch_of(&self, id: SessionId) -> Result<Option<Epoch>> {
        self.live(id, |row| row.epoch)
    }

    /// Gives a session that goes on its new epoch. Answers whether a will is due.
    fn take_over(
        &self,
        old: &SessionRow,
        expiry: SessionExpiry,
        epoch: Epoch,
        now: Timestamp,
    ) -> Result<bool> {
        self.change_session(old.id, |row| {
            (row.epoch, row.expiry, row.offline_since, row.due_at) = (epoch, expiry, None, None);
        })?;
        self.take_over_will(old.id, old.epoch, now)
    }

    fn create(&self, open: &OpenSession, epoch: Epoch) -> Result<SessionId> {
        let id = SessionId(epoch.0);
        self.insert_session(SessionRow {
            id,
            client_id: open.client_id.clone(),
            epoch,
            expiry: open.expiry,
            offline_since: None,
            ended_at: None,
            due_at: None,
            next_seq: Seq(1),
            queued_items: 0,
            queued_bytes: 0,
            waiting_items: 0,
            waiting_bytes: 0,
            subscriptions: 0,
            inbound_ids: 0,
        })?;
        Ok(id)
    }

    /// Ends a session that exists: the client's pointer goes, its wills are due, what remains becomes a due item.
    /// Answers whether a will is due.
    pub(crate) fn end_session(&self, id: SessionId, now: Timestamp) -> Result<bool> {
        self.change_session(id, |row| (row.ended_at, row.due_at) = (Some(now), Some(now)))?;
        // The client is looked up by an index, which has to know.
        self.write_sessions()?;
        self.forget_if_empty(id)?;
        self.end_wills(id, now)
    }

    /// Starts the clocks of expiry and will delay; they run on if they had started.
    pub(crate) fn go_offline(&self, id: SessionId, now: Timestamp) -> Result<bool> {
        match self.live(id, |row| row.offline_since)? {
            None => Ok(false),
            Some(Some(_)) => Ok(true),
            Some(None) => {
                self.change_session(id, |row| row.offline_since = Some(now))?;
                self.restart_clocks(id)
            }
        }
    }

    pub(crate) fn set_expiry(&self, id: SessionId, expiry: SessionExpiry) -> Result<bool> {
        if self.epoch_of(id)?.is_none() {
            return Ok(false);
        }
        self.change_session(id, |row| row.expiry = expiry)?;
        self.restart_clocks(id)
    }

    /// When a session and its will are due by its expiry and its offline time. Answers that it is there.
    fn restart_clocks(&self, id: SessionId) -> Result<bool> {
        let clocks = self.change_session(id, |row| {
            row.due_at = row.offline_since.and_then(|since| row.expiry.deadline(since));
            (row.epoch, row.offline_since, row.due_at)
        })?;
        if let Some((epoch, Some(since), deadline)) = clocks {
            self.time_will(id, epoch, since, deadline)?;
        }
        Ok(clocks.is_some())
    }

    /// Removes up to `limit` of what an ended session left, the queue first and in its order. Answers whether some
    /// is left. What is lost is not waited for: when nothing else is found any more, nothing is left.
    pub(crate) fn purge(&self, id: SessionId, limit: usize) -> Result<bool> {
        if self.session(id, SessionRow::has_ended)? != Some(true) {
            return Ok(false);
        }
        let mut left = limit.max(1);
        left -= self.purge_queue(id, left)?;
        if left > 0 {
            left -= self.purge_subscriptions(id, left)?;
        }
        if left > 0 {
            left -= self.purge_inbound(id, left)?;
        }
        if left > 0 {
            self.change_session(id, |row| row.queued_items = 0)?;
        }
        Ok(!self.forget_if_empty(id)?)
    }

    /// Forgets a session if it ended and nothing is left of it. Answers whether it did.
    pub(crate) fn forget_if_empty(&self, id: SessionId) -> Result<bool> {
        let may_go = self.session(id, |row| row.has_ended() && row.queued_items == 0)?;
        if may_go != Some(true)
            || self.exists("SELECT 1 FROM subscriptions WHERE session = ?1", [int(id.0)])?
            || self.exists("SELECT 1 FROM inbound WHERE session = ?1", [int(id.0)])?
        {
            return Ok(false);
        }
        self.delete_session(id)?;
        Ok(true)
    }
}

/// Whether the session is over when somebody else connects: a connection that still stands closes with that.
fn has_expired(session: &SessionRow, now: Timestamp) -> bool {
    session.expiry.deadline(session.offline_since.unwrap_or(now)).is_some_and(|at| at <= now)
}
