//! Queues: entries by session and number; what a session's queue holds is counted in the session's row.

use std::sync::Arc;

use opifex_packet::PacketId;
use opifex_storage::{
    DropReason, FullPolicy, Message, PageLimit, QueueLimits, QueuePage, Queued, QueuedState, Seq, SessionId,
    Target, TargetOutcome,
};
use rusqlite::{Row, params};

use crate::fault::{Result, corrupt};
use crate::inbound::packet_id;
use crate::message::{Stored, message_columns, qos, read_message};
use crate::restore::Body;
use crate::scan::{MAX_EXAMINED, is_full};
use crate::session_row::SessionRow;
use crate::state::{State, int, time, uint};

/// An entry that was removed.
struct Removed {
    message: Option<i64>,
    size: u64,
    waiting: bool,
}

impl SessionRow {
    /// Counts an entry that comes, and answers its number.
    fn count(&mut self, size: u64) -> Seq {
        let seq = self.next_seq;
        self.next_seq = seq.next();
        self.queued_items += 1;
        self.queued_bytes += size;
        self.waiting_items += 1;
        self.waiting_bytes += size;
        seq
    }

    /// Counts an entry no more.
    fn forget(&mut self, removed: &Removed) {
        self.queued_items -= 1;
        self.queued_bytes -= removed.size;
        if removed.waiting {
            self.waiting_items -= 1;
            self.waiting_bytes -= removed.size;
        }
    }
}

/// By how much a queue exceeds its limits with one more entry.
struct Over {
    items: u64,
    bytes: u64,
}

impl Over {
    /// An error: nothing that may give way makes room.
    fn with(row: &SessionRow, size: u64, limits: &QueueLimits) -> Result<Over, DropReason> {
        let items = (row.queued_items + 1).saturating_sub(limits.items);
        let bytes = row.queued_bytes.saturating_add(size).saturating_sub(limits.bytes);
        let drops_oldest = limits.policy == FullPolicy::DropOldest;
        if items > 0 && !(drops_oldest && items <= row.waiting_items) {
            return Err(DropReason::QueueItems);
        }
        if bytes > 0 && !(drops_oldest && bytes <= row.waiting_bytes) {
            return Err(DropReason::QueueBytes);
        }
        Ok(Over { items, bytes })
    }
}

impl State<'_> {
    /// Queues a message for each target, within the target's limits.
    pub(crate) fn enqueue(
        &self,
        message: &Arc<Message>,
        targets: &[Target],
        stored: &mut Stored,
    ) -> Result<Vec<TargetOutcome>> {
        let size = message.size_bytes() as u64;
        let (mut body, mut queued) = (None, 0);
        let mut outcomes = Vec::with_capacity(targets.len());
        for target in targets {
            let Some(over) = self.live(target.session, |row| Over::with(row, size, &target.limits))? else {
                outcomes.push(TargetOutcome::Gone);
                continue;
            };
            let displaced = match self.make_room(target.session, over)? {
                Ok(displaced) => displaced,
                Err(reason) => {
                    outcomes.push(TargetOutcome::Dropped(reason));
                    continue;
                }
            };
            let body = match body {
                Some(id) => id,
                // Counted for all targets at first, so that a body which gives way to itself stays.
                None => *body.insert(self.store_message(message, targets.len(), stored)?),
            };
            let seq = self.change_counts(target.session, |row| row.count(size))?;
            self.insert_entry(target, seq, body, size, message)?;
            queued += 1;
            outcomes.push(TargetOutcome::Queued { seq, displaced });
        }
        if let Some(body) = body.filter(|_| queued < targets.len()) {
            self.release_message(body, targets.len() - queued)?;
        }
        Ok(outcomes)
    }

    fn insert_entry(&self, target: &Target, seq: Seq, body: i64, size: u64, message: &Message) -> Result<()> {
        let sql = "INSERT INTO queue \
                   (session, seq, message, size, qos, retain, expires_at, subscription_ids, share) \
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
        self.execute(
            sql,
            params![
                int(target.session.0),
                int(seq.0),
                body,
                int(size),
                u8::from(target.qos),
                target.retain,
                message.expires_at.map(time),
                joined(&target.subscription_ids),
                target.share.as_deref(),
            ],
        )?;
        Ok(())
    }

    /// Writes an entry of another store.
    pub(crate) fn insert_restored(
        &self,
        session: SessionId,
        entry: &Queued,
        body: Option<Body>,
        packet_id: Option<PacketId>,
    ) -> Result<()> {
        let size = body.as_ref().map_or(0, |body| body.size);
        let expires_at = body.as_ref().and_then(|body| body.expires_at);
        let sql = "INSERT INTO queue \
                   (session, seq, message, size, qos, retain, packet_id, expires_at, subscription_ids, share) \
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";
        self.execute(
            sql,
            params![
                int(session.0),
                int(entry.seq.0),
                body.map(|body| body.id),
                int(size),
                u8::from(entry.qos),
                entry.retain,
                packet_id.map(PacketId::get),
                expires_at.filter(|_| packet_id.is_none()).map(time),
                joined(&entry.subscription_ids),
                entry.share.as_deref(),
            ],
        )?;
        self.change_counts(session, |row| {
            row.next_seq = row.next_seq.max(entry.seq.next());
            row.queued_items += 1;
            row.queued_bytes += size;
            if packet_id.is_none() {
                row.waiting_items += 1;
                row.waiting_bytes += size;
            }
        })
    }

    /// Changes what a session's row says of its queue.
    fn change_counts<T>(&self, session: SessionId, change: impl FnOnce(&mut SessionRow) -> T) -> Result<T> {
        let changed = self.change_session(session, change)?;
        changed.ok_or_else(|| corrupt(format_args!("the queue of session {session} has no session")))
    }

    /// Sees to it that an entry fits: all that has to give way does, or nothing.
    fn make_room(
        &self,
        session: SessionId,
        over: Result<Over, DropReason>,
    ) -> Result<Result<Vec<Seq>, DropReason>> {
        let mut over = match over {
            Ok(over) => over,
            Err(reason) => return Ok(Err(reason)),
        };
        let mut displaced = Vec::new();
        while over.items > 0 || over.bytes > 0 {
            let sql = "SELECT seq FROM queue WHERE session = ?1 AND packet_id IS NULL ORDER BY seq LIMIT 1";
            let seq = self.find(sql, [int(session.0)], |row| uint(row, 0).map(Seq))?;
            let seq = seq.ok_or_else(|| corrupt(format_args!("session {session} miscounts what waits")))?;
            let Some(removed) = self.remove_entry(session, seq)? else { break };
            self.change_counts(session, |row| row.forget(&removed))?;
            over.items = over.items.saturating_sub(1);
            over.bytes = over.bytes.saturating_sub(removed.size);
            displaced.push(seq);
        }
        Ok(Ok(displaced))
    }

    /// Removes an entry and its part in the message, not in the counts.
    fn remove_entry(&self, session: SessionId, seq: Seq) -> Result<Option<Removed>> {
        let sql = "DELETE FROM queue WHERE session = ?1 AND seq = ?2 RETURNING message, size, packet_id";
        let removed = self.remove(sql, params![int(session.0), int(seq.0)], |row| {
            let packet_id: Option<u16> = row.get(2)?;
            Ok(Removed { message: row.get(0)?, size: uint(row, 1)?, waiting: packet_id.is_none() })
        })?;
        if let Some(message) = removed.as_ref().and_then(|removed| removed.message) {
            self.release_message(message, 1)?;
        }
        Ok(removed)
    }

    /// Removes an entry of a session, or of what an ended one left. Answers whether it was there.
    pub(crate) fn settle(&self, session: SessionId, seq: Seq) -> Result<bool> {
        let Some(removed) = self.remove_entry(session, seq)? else { return Ok(false) };
        self.change_counts(session, |row| row.forget(&removed))?;
        self.forget_if_empty(session)?;
        Ok(true)
    }

    /// Removes the oldest entries of an ended session. Answers how many.
    pub(crate) fn purge_queue(&self, session: SessionId, limit: usize) -> Result<usize> {
        let mut removed_count = 0;
        while removed_count < limit {
            let sql = "SELECT seq FROM queue WHERE session = ?1 ORDER BY seq LIMIT 1";
            let Some(seq) = self.find(sql, [int(session.0)], |row| uint(row, 0).map(Seq))? else { break };
            let Some(removed) = self.remove_entry(session, seq)? else { break };
            self.change_counts(session, |row| row.forget(&removed))?;
            removed_count += 1;
        }
        Ok(removed_count)
    }

    /// Records the packet id of an entry, which then expires no more. Answers whether it was there.
    pub(crate) fn assign(&self, session: SessionId, seq: Seq, packet_id: PacketId) -> Result<bool> {
        let key = params![int(session.0), int(seq.0)];
        let sql = "SELECT size, packet_id FROM queue WHERE session = ?1 AND seq = ?2";
        let found = self.find(sql, key, |row| Ok((uint(row, 0)?, row.get::<_, Option<u16>>(1)?)))?;
        let Some((size, before)) = found else { return Ok(false) };
        let sql = "UPDATE queue SET packet_id = ?3, expires_at = NULL WHERE session = ?1 AND seq = ?2";
        self.execute(sql, params![int(session.0), int(seq.0), packet_id.get()])?;
        if before.is_none() {
            self.change_counts(session, |row| {
                row.waiting_items -= 1;
                row.waiting_bytes -= size;
            })?;
        }
        Ok(true)
    }

    /// Lets the message of an entry go that has a packet id. Answers whether there was one.
    pub(crate) fn release(&self, session: SessionId, seq: Seq) -> Result<bool> {
        let sql = "SELECT message, size FROM queue \
                   WHERE session = ?1 AND seq = ?2 AND packet_id IS NOT NULL";
        let found = self.find(sql, params![int(session.0), int(seq.0)], |row| {
            Ok((row.get::<_, Option<i64>>(0)?, uint(row, 1)?))
        })?;
        let Some((message, size)) = found else { return Ok(false) };
        if let Some(message) = message {
            let sql = "UPDATE queue SET message = NULL, size = 0 WHERE session = ?1 AND seq = ?2";
            self.execute(sql, params![int(session.0), int(seq.0)])?;
            self.change_counts(session, |row| row.queued_bytes -= size)?;
            self.release_message(message, 1)?;
        }
        Ok(true)
    }

    /// A page of a session's queue; an ended session's entries are read until they are removed.
    pub(crate) fn queue_page(&self, session: SessionId, after: Seq, limit: PageLimit) -> Result<QueuePage> {
        let Some(next_seq) = self.session(session, |row| row.next_seq.0)? else {
            return Ok(QueuePage { items: Vec::new(), final_up_to: after, more: false, damaged: Vec::new() });
        };
        let (mut items, mut bytes, mut more) = (Vec::new(), 0, false);
        self.queue_after(session, after, |read| {
            if is_full(items.len(), bytes, &limit) || items.len() >= MAX_EXAMINED {
                more = true;
                return Ok(false);
            }
            let entry = read()?;
            bytes += entry.message.as_ref().map_or(0, |message| message.size_bytes());
            items.push(entry);
            Ok(true)
        })?;
        let final_up_to = match items.last() {
            Some(item) if more => item.seq,
            _ => Seq(next_seq - 1).max(after),
        };
        Ok(QueuePage { items, final_up_to, more, damaged: Vec::new() })
    }

    /// The entries of a session behind `after`, as long as `take` wants more; it reads those that it wants.
    pub(crate) fn queue_after(
        &self,
        session: SessionId,
        after: Seq,
        mut take: impl FnMut(&mut dyn FnMut() -> Result<Queued>) -> Result<bool>,
    ) -> Result<bool> {
        let sql = concat!(
            "SELECT q.seq, q.qos, q.retain, q.packet_id, q.subscription_ids, q.share, q.message, ",
            message_columns!(),
            " FROM queue q LEFT JOIN messages m ON m.id = q.message \
              WHERE q.session = ?1 AND q.seq > ?2 ORDER BY q.seq"
        );
        let mut statement = self.db.prepare_cached(sql)?;
        let mut rows = statement.query([int(session.0), int(after.0)])?;
        while let Some(row) = rows.next()? {
            if !take(&mut || read_entry(row))? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

fn read_entry(row: &Row<'_>) -> Result<Queued> {
    let message = match row.get::<_, Option<i64>>(6)? {
        Some(_) => Some(read_message(row, 7)?),
        None => None,
    };
    let state = match (row.get::<_, Option<u16>>(3)?, &message) {
        (None, _) => QueuedState::Waiting,
        (Some(id), Some(_)) => QueuedState::Assigned(packet_id(id)?),
        (Some(id), None) => QueuedState::Released(packet_id(id)?),
    };
    let subscription_ids = match row.get::<_, Option<String>>(4)? {
        None => Vec::new(),
        Some(ids) => ids
            .split(',')
            .map(|id| id.parse().map_err(|_| corrupt(format_args!("subscription identifiers {ids:?}"))))
            .collect::<Result<_>>()?,
    };
    Ok(Queued {
        seq: Seq(uint(row, 0)?),
        message,
        qos: qos(row.get(1)?)?,
        retain: row.get(2)?,
        subscription_ids,
        share: row.get::<_, Option<String>>(5)?.map(Arc::from),
        state,
    })
}

/// Subscription identifiers as they are stored: decimal, separated by commas.
fn joined(ids: &[u32]) -> Option<String> {
    match ids {
        [] => None,
        ids => Some(ids.iter().map(u32::to_string).collect::<Vec<_>>().join(",")),
    }
}
