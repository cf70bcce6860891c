//! Queues: entries by session and number; what a session's queue holds is counted in the session's row.

use std::sync::Arc;

use opifex_packet::PacketId;
use opifex_storage::{
    DropReason, FullPolicy, Message, PageLimit, QueueLimits, QueuePage, Queued, Seq, SessionId, StoreError,
    Target, TargetOutcome, Timestamp,
};
use rusqlite::params;

use crate::checksum::{KeyOrder, QUEUE};
use crate::fault::{Result, corrupt, note_damage};
use crate::message::{Stored, message_columns};
use crate::queue_row::{QueueRow, queue_columns, read_entry};
use crate::restore::Body;
use crate::scan::{MAX_EXAMINED, is_full};
use crate::session_row::SessionRow;
use crate::state::{State, int, uint};

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
    fn forget(&mut self, removed: &QueueRow) {
        // Where rows were damaged, counts may be: none of them is a reason to panic.
        let less = |count: &mut u64, by: u64| *count = count.saturating_sub(by);
        less(&mut self.queued_items, 1);
        less(&mut self.queued_bytes, removed.size);
        if removed.packet_id.is_none() {
            less(&mut self.waiting_items, 1);
            less(&mut self.waiting_bytes, removed.size);
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
            self.insert_entry(QueueRow {
                session: target.session,
                seq,
                message: Some(body),
                size,
                qos: target.qos,
                retain: target.retain,
                packet_id: None,
                expires_at: message.expires_at,
                subscription_ids: joined(&target.subscription_ids),
                share: target.share.clone(),
            })?;
            queued += 1;
            outcomes.push(TargetOutcome::Queued { seq, displaced });
        }
        if let Some(body) = body.filter(|_| queued < targets.len()) {
            self.release_message(body, targets.len() - queued)?;
        }
        Ok(outcomes)
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
        self.insert_entry(QueueRow {
            session,
            seq: entry.seq,
            message: body.map(|body| body.id),
            size,
            qos: entry.qos,
            retain: entry.retain,
            packet_id: packet_id.map(PacketId::get),
            expires_at: expires_at.filter(|_| packet_id.is_none()),
            subscription_ids: joined(&entry.subscription_ids),
            share: entry.share.clone(),
        })?;
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
            let Some(size) = self.remove_entry(session, seq)? else { break };
            over.items = over.items.saturating_sub(1);
            over.bytes = over.bytes.saturating_sub(size);
            displaced.push(seq);
        }
        Ok(Ok(displaced))
    }

    /// Removes an entry, its part in the message and in the counts. Answers its size, if it was there.
    fn remove_entry(&self, session: SessionId, seq: Seq) -> Result<Option<u64>> {
        let sql = "DELETE FROM queue WHERE session = ?1 AND seq = ?2 RETURNING session, seq, message, size, \
                   qos, retain, packet_id, expires_at, subscription_ids, share, checksum";
        let Some(removed) = self.remove(sql, [int(session.0), int(seq.0)], QueueRow::read)? else {
            return Ok(None);
        };
        let Some(entry) = removed else {
            // What it named and counted is not to be trusted: its message stays, and the rest is counted anew.
            self.recount(session)?;
            return Ok(Some(0));
        };
        self.change_counts(session, |row| row.forget(&entry))?;
        if let Some(message) = entry.message {
            self.release_message(message, 1)?;
        }
        Ok(Some(entry.size))
    }

    /// Counts a queue anew, after a damaged entry of it was removed.
    fn recount(&self, session: SessionId) -> Result<()> {
        let sql = "SELECT count(*), ifnull(sum(size), 0), \
                   ifnull(sum(packet_id IS NULL), 0), ifnull(sum(iif(packet_id IS NULL, size, 0)), 0) \
                   FROM queue WHERE session = ?1";
        let counted = self.find(sql, [int(session.0)], |row| {
            Ok((uint(row, 0)?, uint(row, 1)?, uint(row, 2)?, uint(row, 3)?))
        })?;
        if let Some(counted) = counted {
            self.change_counts(session, |row| {
                (row.queued_items, row.queued_bytes, row.waiting_items, row.waiting_bytes) = counted;
            })?;
        }
        Ok(())
    }

    /// Removes an entry of a session, or of what an ended one left. Answers whether it was there.
    pub(crate) fn settle(&self, session: SessionId, seq: Seq) -> Result<bool> {
        if self.remove_entry(session, seq)?.is_none() {
            return Ok(false);
        }
        self.forget_if_empty(session)?;
        Ok(true)
    }

    /// Removes the oldest entries of an ended session. Answers how many.
    pub(crate) fn purge_queue(&self, session: SessionId, limit: usize) -> Result<usize> {
        let (mut removed, mut left_in_place) = (0, 0);
        while removed < limit {
            let entries = self.entries_behind(session, left_in_place, limit - removed)?;
            if entries.is_empty() {
                break;
            }
            for seq in entries {
                match self.remove_entry(session, seq)? {
                    Some(_) => removed += 1,
                    None => left_in_place += 1,
                }
            }
        }
        Ok(removed)
    }

    /// The numbers of entries in the order in which a walk finds them, behind the first so many.
    fn entries_behind(&self, session: SessionId, first: usize, limit: usize) -> Result<Vec<Seq>> {
        let sql = "SELECT seq FROM queue WHERE session = ?1 ORDER BY seq LIMIT ?2 OFFSET ?3";
        let mut statement = self.db()?.prepare_cached(sql)?;
        let rows = statement
            .query_map(params![int(session.0), limit as i64, first as i64], |row| uint(row, 0).map(Seq))?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// Records the packet id of an entry, which then expires no more. Answers whether it was there.
    pub(crate) fn assign(&self, session: SessionId, seq: Seq, packet_id: PacketId) -> Result<bool> {
        let Some(mut entry) = self.entry(session, seq)? else { return Ok(false) };
        let was_waiting = entry.packet_id.replace(packet_id.get()).is_none();
        entry.expires_at = None;
        self.update_entry(&entry)?;
        if was_waiting {
            self.change_counts(session, |row| {
                row.waiting_items = row.waiting_items.saturating_sub(1);
                row.waiting_bytes = row.waiting_bytes.saturating_sub(entry.size);
            })?;
        }
        Ok(true)
    }

    /// Lets the message of an entry go that has a packet id. Answers whether there was one.
    pub(crate) fn release(&self, session: SessionId, seq: Seq) -> Result<bool> {
        let entry = self.entry(session, seq)?.filter(|entry| entry.packet_id.is_some());
        let Some(mut entry) = entry else { return Ok(false) };
        if let Some(message) = entry.message.take() {
            let size = std::mem::take(&mut entry.size);
            self.update_entry(&entry)?;
            self.change_counts(session, |row| row.queued_bytes = row.queued_bytes.saturating_sub(size))?;
            self.release_message(message, 1)?;
        }
        Ok(true)
    }

    /// Whether an entry is there and has expired at `now`.
    pub(crate) fn entry_is_due(&self, session: SessionId, seq: Seq, now: Timestamp) -> Result<bool> {
        Ok(self.entry(session, seq)?.and_then(|entry| entry.expires_at).is_some_and(|at| at <= now))
    }

    pub(crate) fn entry(&self, session: SessionId, seq: Seq) -> Result<Option<QueueRow>> {
        let sql = concat!("SELECT ", queue_columns!(), " FROM queue q WHERE q.session = ?1 AND q.seq = ?2");
        self.record(sql, [int(session.0), int(seq.0)], QueueRow::read)
    }

    fn update_entry(&self, entry: &QueueRow) -> Result<()> {
        let sql = "UPDATE queue SET message = ?3, size = ?4, qos = ?5, retain = ?6, packet_id = ?7, \
                   expires_at = ?8, subscription_ids = ?9, share = ?10, checksum = ?11 \
                   WHERE session = ?1 AND seq = ?2";
        self.write(&QUEUE, sql, &entry.fields())?;
        Ok(())
    }

    /// A page of a session's queue; an ended session's entries are read until they are removed.
    pub(crate) fn queue_page(&self, session: SessionId, after: Seq, limit: PageLimit) -> Result<QueuePage> {
        let (mut items, mut bytes, mut more, mut damaged) = (Vec::new(), 0, false, Vec::new());
        let counts = self.session(session, |row| (row.next_seq.0, row.queued_items));
        let counts = match note_damage(counts, &mut damaged)? {
            Some(None) => return Ok(QueuePage { items, final_up_to: after, more, damaged }),
            Some(counts) => counts,
            // Its entries are read without it.
            None => None,
        };
        let mut seen = 0;
        self.check_before(&QUEUE, &[int(session.0).into(), int(after.0).into()], &mut damaged)?;
        self.queue_after(session, after, |read| {
            if is_full(items.len(), bytes, &limit) || items.len() >= MAX_EXAMINED {
                more = true;
                return Ok(false);
            }
            seen += 1;
            if let Some(entry) = note_damage(read(), &mut damaged)? {
                bytes += entry.message.as_ref().map_or(0, |message| message.size_bytes());
                items.push(entry);
            }
            Ok(true)
        })?;
        if let Some((_, queued)) = counts.filter(|_| !more) {
            damaged.extend(self.hidden_entries(session, after, seen, queued)?);
        }
        let final_up_to = match (items.last(), counts) {
            (Some(item), _) if more => item.seq,
            (_, Some((next_seq, _))) => Seq(next_seq - 1).max(after),
            (last, None) => last.map_or(after, |item| item.seq),
        };
        Ok(QueuePage { items, final_up_to, more, damaged })
    }

    /// Whether the end of a queue was reached with fewer entries than there are: one with a damaged key hides those
    /// behind it.
    pub(crate) fn hidden_entries(
        &self,
        session: SessionId,
        after: Seq,
        seen_behind: u64,
        queued: u64,
    ) -> Result<Option<StoreError>> {
        // A search believes the keys at both ends. One between them may be damaged, and the walk has passed it over.
        let sql = "SELECT ifnull(sum(session = ?1 AND seq BETWEEN 1 AND ?2), 0) FROM queue \
                   WHERE session = ?1 AND seq BETWEEN 1 AND ?2";
        let before = self.find(sql, [int(session.0), int(after.0)], |row| uint(row, 0))?.unwrap_or(0);
        Ok(QUEUE.hidden(session, before + seen_behind, queued))
    }

    /// The entries of a session behind `after`, as long as `take` wants more; it reads those that it wants.
    pub(crate) fn queue_after(
        &self,
        session: SessionId,
        after: Seq,
        mut take: impl FnMut(&mut dyn FnMut() -> Result<Queued>) -> Result<bool>,
    ) -> Result<bool> {
        let sql = concat!(
            "SELECT ",
            queue_columns!(),
            ", ",
            message_columns!(),
            " FROM queue q LEFT JOIN messages m ON m.id = q.message \
              WHERE (q.session, q.seq) > (?1, ?2) ORDER BY q.session, q.seq"
        );
        let mut statement = self.db()?.prepare_cached(sql)?;
        let mut rows = statement.query([int(session.0), int(after.0)])?;
        let mut order = KeyOrder::default();
        while let Some(row) = rows.next()? {
            if QUEUE.is_behind(row, int(session.0))? {
                break;
            }
            if !take(&mut || order.follows(&QUEUE, row).and_then(|()| read_entry(row)))? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// Subscription identifiers as they are stored: decimal, separated by commas.
fn joined(ids: &[u32]) -> Option<Box<str>> {
    match ids {
        [] => None,
        ids => Some(ids.iter().map(u32::to_string).collect::<Vec<_>>().join(",").into()),
    }
}
