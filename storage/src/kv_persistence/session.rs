//! Sessions: opening (take over, continue, create), the clocks, ending and what is left.
//!
//! Ending moves the session's row to another key and touches nothing that hangs on it; who removes that is `purge`.

use crate::encoding::{ClientPointer, DueRow, SessionRow, key, key::DueKey, unseal};
use crate::kv_persistence::page::next_row;
use crate::kv_persistence::rows::{Found, Rows};
use crate::kv_persistence::transaction::Transaction;
use crate::{
    Epoch, ErrorKind, KvSnapshot, OpenSession, OpenedSession, RecordVersion, Result, SessionExpiry,
    SessionId, Timestamp, WillRecord,
};

impl<S: KvSnapshot> Transaction<'_, S> {
    pub(super) fn open_session(&mut self, open: OpenSession) -> Result<OpenedSession> {
        let epoch = self.next_epoch();
        let client = key::client(&open.client_id);
        let mut damaged = Vec::new();
        let pointed = match self.look::<ClientPointer>(&client)? {
            Found::Whole(ClientPointer(id)) => Some(id),
            Found::Absent => None,
            Found::Damaged(error) => {
                damaged.push(error);
                self.find_session_of(&open.client_id, open.clean_start)?
            }
        };
        let found = match pointed.map(|id| (id, self.live(id))) {
            Some((id, Ok(row))) => row.map(|row| (id, row)),
            // Who begins anew needs nothing of what is damaged. Everybody else must not take its loss for the truth.
            Some((id, Err(error))) if open.clean_start && error.kind() == ErrorKind::Corrupt => {
                damaged.push(error);
                Some((id, self.what_hangs_on(id, &open.client_id)?))
            }
            Some((_, Err(error))) => return Err(error),
            None => None,
        };
        let (mut ended, mut will_due, mut present) = (None, false, false);
        let (id, row) = match found {
            Some((id, row)) if !open.clean_start && !has_expired(&row, open.now) => {
                present = true;
                let (row, due) = self.take_over(id, row, open.expiry, epoch, open.now)?;
                will_due = due;
                (id, row)
            }
            other => {
                if let Some((old, row)) = other {
                    ended = Some(old);
                    will_due = self.end_session(old, row, open.now)?;
                }
                self.need_room()?;
                let id = SessionId(epoch.0);
                let row = SessionRow::new(open.client_id.into(), epoch, open.expiry);
                self.put(client, &ClientPointer(id));
                self.note_made(id);
                self.set_live(id, Some(row.clone()));
                (id, row)
            }
        };
        if let Some(will) = open.will {
            self.put(key::will(id, epoch), &WillRecord { session: id, epoch, will, due_at: None });
        }
        Ok(OpenedSession {
            present,
            ended,
            will_due,
            subscriptions: if present { self.subscriptions(id, &mut damaged)? } else { Vec::new() },
            inbound: if present { self.inbound_ids(id, &mut damaged)? } else { Vec::new() },
            session: row.record(id),
            damaged,
        })
    }

    /// The live session of a client whose pointer is damaged: a walk through all of them. Where some cannot be read, one of
    /// them may be the client's: only who begins anew goes on without.
    fn find_session_of(&mut self, client_id: &str, clean_start: bool) -> Result<Option<SessionId>> {
        let (mut found, mut unreadable) = (None, Vec::new());
        let (from, to) = key::all(key::kind::SESSION);
        let mut range = self.range(&from, &to);
        while let Some((key, value)) = next_row(&mut range, &mut unreadable)? {
            if unseal::<SessionRow>(&key, &value).is_ok_and(|row| *row.client_id == *client_id) {
                found = Some(key::session_of(&key)?);
            }
        }
        match unreadable.pop() {
            Some(error) if found.is_none() && !clean_start => Err(error),
            _ => Ok(found),
        }
    }

    /// What can be said of a session whose record is damaged: as much as its end needs.
    fn what_hangs_on(&self, id: SessionId, client_id: &str) -> Result<SessionRow> {
        let count = |kind| Ok(self.keys(&key::of_session(kind, id), usize::MAX)?.len() as u64);
        let mut row = SessionRow::new(client_id.into(), Epoch(id.0), SessionExpiry::Never);
        row.queued_items = count(key::kind::QUEUED)?;
        row.subscriptions = count(key::kind::SUBSCRIPTION)?;
        row.inbound = count(key::kind::INBOUND)?;
        Ok(row)
    }

    /// Gives a session that goes on its new epoch. Answers whether a will is due, too.
    fn take_over(
        &mut self,
        id: SessionId,
        mut row: SessionRow,
        expiry: SessionExpiry,
        epoch: Epoch,
        now: Timestamp,
    ) -> Result<(SessionRow, bool)> {
        if let Some(at) = row.deadline() {
            self.remove_or_leave(key::due(at, &DueKey::Session(id)))?;
        }
        let old_epoch = std::mem::replace(&mut row.epoch, epoch);
        row.expiry = expiry;
        row.offline_since = None;
        self.set_live(id, Some(row.clone()));
        let will_due = self.take_over_will(id, old_epoch, now)?;
        Ok((row, will_due))
    }

    /// What is left of a session that ended.
    pub(super) fn ended(&self, id: SessionId) -> Result<Option<SessionRow>> {
        self.record(&key::ended(id))
    }

    /// Writes a session's row back: to where it is, live or ended. What is left of nothing goes, with its due item.
    pub(super) fn put_session(&mut self, id: SessionId, row: SessionRow) {
        match row.ended_at {
            None => self.set_live(id, Some(row)),
            Some(at) if row.is_empty() => {
                self.remove(key::due(at, &DueKey::Ended(id)));
                self.remove(key::ended(id));
            }
            Some(_) => self.put(key::ended(id), &row),
        }
    }

    /// Ends a session: the pointer goes, its wills are due, what remains becomes a due item. Answers whether a will
    /// is due.
    pub(super) fn end_session(&mut self, id: SessionId, mut row: SessionRow, now: Timestamp) -> Result<bool> {
        self.end_live_or_leave(id)?;
        self.remove_or_leave(key::client(&row.client_id))?;
        if let Some(at) = row.deadline() {
            self.remove_or_leave(key::due(at, &DueKey::Session(id)))?;
        }
        if !row.is_empty() {
            row.ended_at = Some(now);
            let version = RecordVersion(row.epoch.0);
            self.put(key::due(now, &DueKey::Ended(id)), &DueRow { version });
            self.put(key::ended(id), &row);
        }
        self.end_wills(id, now)
    }

    /// Starts the clocks of expiry and will delay; they run on if they had started.
    pub(super) fn go_offline(&mut self, id: SessionId, now: Timestamp) -> Result<bool> {
        let Some(mut row) = self.live(id)? else { return Ok(false) };
        if row.offline_since.is_none() {
            row.offline_since = Some(now);
            self.restart_clocks(id, &row, None)?;
            self.set_live(id, Some(row));
        }
        Ok(true)
    }

    pub(super) fn set_expiry(&mut self, id: SessionId, expiry: SessionExpiry) -> Result<bool> {
        let Some(mut row) = self.live(id)? else { return Ok(false) };
        let before = row.deadline();
        row.expiry = expiry;
        if row.offline_since.is_some() {
            self.restart_clocks(id, &row, before)?;
        }
        self.set_live(id, Some(row));
        Ok(true)
    }

    /// Brings the due items of an offline session in line with its row; `before` is its indexed deadline.
    fn restart_clocks(&mut self, id: SessionId, row: &SessionRow, before: Option<Timestamp>) -> Result<()> {
        if let Some(at) = before {
            self.remove_or_leave(key::due(at, &DueKey::Session(id)))?;
        }
        let deadline = row.deadline();
        if let Some(at) = deadline {
            let version = RecordVersion(row.epoch.0);
            self.put(key::due(at, &DueKey::Session(id)), &DueRow { version });
        }
        match row.offline_since {
            Some(since) => self.time_will(id, row.epoch, since, deadline),
            None => Ok(()),
        }
    }

    /// Removes up to `limit` of what an ended session left, the queue first and in its order. Answers whether some is
    /// left. What cannot be read or is lost is not waited for: when nothing else is found any more, nothing is left.
    pub(super) fn purge(&mut self, id: SessionId, limit: usize) -> Result<bool> {
        let Some(mut row) = self.ended(id)? else { return Ok(false) };
        let mut left = limit.max(1);
        for entry in self.keys(&key::of_session(key::kind::QUEUED, id), left)? {
            self.remove_entry(id, &mut row, crate::Seq(key::second_number_of(&entry)?))?;
            left -= 1;
        }
        for entry in self.keys(&key::of_session(key::kind::SUBSCRIPTION, id), left)? {
            self.remove(entry);
            row.subscriptions = row.subscriptions.saturating_sub(1);
            left -= 1;
        }
        for entry in self.keys(&key::of_session(key::kind::INBOUND, id), left)? {
            self.remove(entry);
            row.inbound = row.inbound.saturating_sub(1);
            left -= 1;
        }
        if left > 0 {
            (row.queued_items, row.subscriptions, row.inbound) = (0, 0, 0);
        }
        let is_left = !row.is_empty();
        self.put_session(id, row);
        Ok(is_left)
    }
}

/// Whether the session is over when somebody else connects: a connection that still stands closes with that.
fn has_expired(row: &SessionRow, now: Timestamp) -> bool {
    row.expiry.deadline(row.offline_since.unwrap_or(now)).is_some_and(|at| at <= now)
}
