//! The queues of sessions: one row an entry. The message stands in it when it is small, has one target, and the entry
//! is not written again (QoS 1); otherwise it is a row of its own that entries refer to.

use std::sync::Arc;

use opifex_packet::{PacketId, QoS};

use crate::encoding::Malformed;
use crate::encoding::{DueRow, QueuedBody, QueuedRow, SessionRow, key, key::DueKey, seal, unseal};
use crate::kv_persistence::page::{MAX_EXAMINED, go_past, is_full, next_row};
use crate::kv_persistence::rows::{Found, Rows};
use crate::kv_persistence::transaction::Transaction;
use crate::{
    DropReason, ErrorKind, FullPolicy, KvSnapshot, Message, PageLimit, QueueLimits, QueuePage, Queued,
    QueuedState, RecordVersion, Result, Seq, SessionId, StoreError, Target, TargetOutcome,
};

/// A message up to this size, in bytes, may stand in its entry: what is larger would make the entries' neighbourhood
/// expensive to rewrite in engines that keep rows together in pages.
pub(super) const MAX_INLINE_BYTES: usize = 4096;

impl<S: KvSnapshot> Transaction<'_, S> {
    /// Queues a message for each target.
    pub(super) fn enqueue(&mut self, message: &Message, targets: Vec<Target>) -> Result<Vec<TargetOutcome>> {
        let stands_in_entry = matches!(&targets[..], [only] if only.qos == QoS::AtLeastOnce)
            && message.size_bytes() <= MAX_INLINE_BYTES;
        let body = if stands_in_entry { None } else { Some(self.next_body()) };
        if !targets.is_empty() {
            self.need_room()?;
        }
        let mut is_stored = false;
        let mut outcomes = Vec::with_capacity(targets.len());
        for target in targets {
            let Some(mut session) = self.live(target.session)? else {
                outcomes.push(TargetOutcome::Gone);
                continue;
            };
            let size = message.size_bytes() as u64;
            let displaced = match self.make_room(target.session, &mut session, size, &target.limits)? {
                Ok(displaced) => displaced,
                Err(reason) => {
                    outcomes.push(TargetOutcome::Dropped(reason));
                    continue;
                }
            };
            if let Some(body) = body {
                if !displaced.is_empty() && is_stored {
                    // What gave way may have been an earlier target's entry of this very message.
                    is_stored = self.has(&key::body(body))?;
                }
                self.add_reference(body, message, is_stored)?;
                is_stored = true;
            }
            let seq = self.push(session, body, message, target);
            outcomes.push(TargetOutcome::Queued { seq, displaced });
        }
        Ok(outcomes)
    }

    /// Puts an entry behind all others. `None`: its message stands in it.
    fn push(&mut self, mut session: SessionRow, body: Option<u64>, message: &Message, target: Target) -> Seq {
        let (id, size) = (target.session, message.size_bytes() as u64);
        let seq = session.next_seq;
        session.next_seq = seq.next();
        session.queued_items += 1;
        session.queued_bytes += size;
        session.waiting_items += 1;
        session.waiting_bytes += size;
        self.put_session(id, session);
        self.note_given(id, seq);
        let entry = QueuedRow {
            body: body.map_or(QueuedBody::Gone, QueuedBody::Row),
            size_bytes: size,
            expires_at: message.expires_at,
            qos: target.qos,
            retain: target.retain,
            state: QueuedState::Waiting,
            subscription_ids: target.subscription_ids,
            share: target.share,
        };
        if let Some(at) = entry.deadline() {
            let due = DueRow { version: RecordVersion(seq.0) };
            self.put_new(key::due(at, &DueKey::Queued(id, seq)), &due);
        }
        let key = key::queued(id, seq);
        let value = match body {
            None => entry.seal_with(&key, message),
            Some(_) => seal(&key, &entry),
        };
        self.put_new_sealed(key, value);
        seq
    }

    /// Sees to it that an entry of `size` bytes fits: all that has to give way does, or nothing.
    fn make_room(
        &mut self,
        id: SessionId,
        session: &mut SessionRow,
        size: u64,
        limits: &QueueLimits,
    ) -> Result<Result<Vec<Seq>, DropReason>> {
        let mut items_over = (session.queued_items + 1).saturating_sub(limits.items);
        let mut bytes_over = session.queued_bytes.saturating_add(size).saturating_sub(limits.bytes);
        if items_over == 0 && bytes_over == 0 {
            return Ok(Ok(Vec::new()));
        }
        let drops_oldest = limits.policy == FullPolicy::DropOldest;
        if items_over > 0 && !(drops_oldest && items_over <= session.waiting_items) {
            return Ok(Err(DropReason::QueueItems));
        }
        if bytes_over > 0 && !(drops_oldest && bytes_over <= session.waiting_bytes) {
            return Ok(Err(DropReason::QueueBytes));
        }
        let mut displaced = Vec::new();
        while items_over > 0 || bytes_over > 0 {
            let (seq, entry_bytes) = self.first_waiting(id, session)?;
            self.remove_entry(id, session, seq)?;
            items_over = items_over.saturating_sub(1);
            bytes_over = bytes_over.saturating_sub(entry_bytes);
            displaced.push(seq);
        }
        Ok(Ok(displaced))
    }

    /// The oldest entry without a packet id, and its bytes; a damaged one gives way like them. None ever comes to wait
    /// again, so the search goes on from where the last one ended.
    fn first_waiting(&self, id: SessionId, session: &mut SessionRow) -> Result<(Seq, u64)> {
        let (_, end) = key::of_session(key::kind::QUEUED, id);
        let mut rows = self.range(&key::queued(id, session.waiting_from), &end);
        // What cannot be read is passed: it gives way to nobody.
        while let Some((key, value)) = next_row(&mut rows, &mut Vec::new())? {
            let waiting = match unseal::<QueuedRow>(&key, &value) {
                Ok(entry) => entry.is_waiting().then_some(entry.size_bytes),
                Err(error) if error.kind() == ErrorKind::Corrupt => Some(0),
                Err(error) => return Err(error),
            };
            if let Some(size_bytes) = waiting {
                session.waiting_from = Seq(key::second_number_of(&key)?);
                return Ok((session.waiting_from, size_bytes));
            }
        }
        Err(StoreError::not_applied(
            ErrorKind::Corrupt,
            format!("the queue of session {id} has fewer entries than its record says"),
        ))
    }

    /// Removes an entry of a session, live or ended. Answers whether it was there.
    pub(super) fn settle(&mut self, id: SessionId, seq: Seq) -> Result<bool> {
        let session = match self.live(id)? {
            Some(session) => Some(session),
            None => self.ended(id)?,
        };
        let Some(mut session) = session else { return Ok(false) };
        let removed = self.remove_entry(id, &mut session, seq)?;
        if removed {
            self.put_session(id, session);
        }
        Ok(removed)
    }

    /// Removes an entry and counts it out of the session's row, which the caller writes back. Of a damaged one nobody
    /// knows the bytes, nor the body: the counts are held within what is possible, the body stays.
    pub(super) fn remove_entry(&mut self, id: SessionId, session: &mut SessionRow, seq: Seq) -> Result<bool> {
        let key = key::queued(id, seq);
        let found = self.look::<QueuedRow>(&key)?;
        if let Found::Absent = found {
            return Ok(false);
        }
        self.remove(key);
        session.queued_items = session.queued_items.saturating_sub(1);
        let Found::Whole(entry) = found else {
            session.waiting_items = session.waiting_items.min(session.queued_items);
            if session.queued_items == 0 {
                session.queued_bytes = 0;
            }
            if session.waiting_items == 0 {
                session.waiting_bytes = 0;
            }
            return Ok(true);
        };
        session.queued_bytes = session.queued_bytes.saturating_sub(entry.size_bytes);
        if entry.is_waiting() {
            self.stop_waiting(id, session, seq, &entry)?;
        }
        if let QueuedBody::Row(body) = entry.body {
            self.drop_reference(body)?;
        }
        Ok(true)
    }

    fn stop_waiting(
        &mut self,
        id: SessionId,
        session: &mut SessionRow,
        seq: Seq,
        entry: &QueuedRow,
    ) -> Result<()> {
        session.waiting_items = session.waiting_items.saturating_sub(1);
        session.waiting_bytes = session.waiting_bytes.saturating_sub(entry.size_bytes);
        if let Some(at) = entry.deadline() {
            self.remove_or_leave(key::due(at, &DueKey::Queued(id, seq)))?;
        }
        Ok(())
    }

    /// Records the packet id of an entry, which then expires no more. Answers whether it was there.
    pub(super) fn assign(&mut self, id: SessionId, seq: Seq, packet_id: PacketId) -> Result<bool> {
        let Some(mut session) = self.live(id)? else { return Ok(false) };
        let key = key::queued(id, seq);
        let Some(mut entry) = self.record::<QueuedRow>(&key)? else { return Ok(false) };
        if entry.is_waiting() {
            self.stop_waiting(id, &mut session, seq, &entry)?;
            self.put_session(id, session);
        }
        entry.state = match entry.body {
            QueuedBody::Gone => QueuedState::Released(packet_id),
            QueuedBody::Row(_) | QueuedBody::Inline(_) => QueuedState::Assigned(packet_id),
        };
        self.put(key, &entry);
        Ok(true)
    }

    /// Lets the message of an entry go that has a packet id. Answers whether there was one.
    pub(super) fn release(&mut self, id: SessionId, seq: Seq) -> Result<bool> {
        let Some(mut session) = self.live(id)? else { return Ok(false) };
        let key = key::queued(id, seq);
        let Some(mut entry) = self.record::<QueuedRow>(&key)? else { return Ok(false) };
        let packet_id = match entry.state {
            QueuedState::Waiting => return Ok(false),
            QueuedState::Assigned(packet_id) | QueuedState::Released(packet_id) => packet_id,
        };
        let body = std::mem::replace(&mut entry.body, QueuedBody::Gone);
        if let QueuedBody::Row(body) = body {
            self.drop_reference(body)?;
        }
        if body != QueuedBody::Gone {
            session.queued_bytes = session.queued_bytes.saturating_sub(entry.size_bytes);
            self.put_session(id, session);
        }
        entry.size_bytes = 0;
        entry.state = QueuedState::Released(packet_id);
        self.put(key, &entry);
        Ok(true)
    }
}

/// An entry with its message.
pub(super) fn queued(rows: &impl KvSnapshot, key: &[u8], entry: QueuedRow) -> Result<Queued> {
    let seq = Seq(key::second_number_of(key)?);
    let message = match entry.body {
        QueuedBody::Gone => None,
        QueuedBody::Inline(fields) => match QueuedBody::inline_message(fields) {
            Ok(message) => Some(Arc::new(message)),
            Err(Malformed(expected)) => {
                let what = format!("{} is damaged: {expected} was expected", key::describe(key));
                return Err(StoreError::not_applied(ErrorKind::Corrupt, what));
            }
        },
        QueuedBody::Row(body) => match rows.record::<Message>(&key::body(body))? {
            Some(message) => Some(Arc::new(message)),
            None => {
                let name = key::describe(&key::body(body));
                return Err(StoreError::not_applied(ErrorKind::Corrupt, format!("{name} is missing")));
            }
        },
    };
    Ok(Queued {
        seq,
        message,
        qos: entry.qos,
        retain: entry.retain,
        subscription_ids: entry.subscription_ids,
        share: entry.share,
        state: entry.state,
    })
}

/// A page of a session's queue; an ended session's entries are read until they are removed.
pub(super) fn queue_page(
    rows: &impl KvSnapshot,
    id: SessionId,
    after: Seq,
    limit: PageLimit,
) -> Result<QueuePage> {
    let mut page = QueuePage { items: Vec::new(), final_up_to: after, more: false, damaged: Vec::new() };
    let mut session = rows.look::<SessionRow>(&key::session(id))?;
    if let Found::Absent = session {
        session = rows.look(&key::ended(id))?;
    }
    // The last number that was given out, as far as it is known.
    let last_given = match session {
        Found::Absent => return Ok(page),
        Found::Whole(session) => Some(Seq(session.next_seq.0 - 1)),
        Found::Damaged(error) => {
            page.damaged.push(error);
            None
        }
    };
    let (_, end) = key::of_session(key::kind::QUEUED, id);
    let (mut bytes, mut examined) = (0, 0);
    // From number 0, which only damage can bring, or from behind what was read.
    let from = key::queued(id, after);
    let from = if after == Seq::ZERO { from } else { key::successor(&from) };
    let mut range = rows.range(&from, &end);
    while let Some((key, value)) = next_row(&mut range, &mut page.damaged)? {
        if is_full(page.items.len(), bytes, &limit) || examined >= MAX_EXAMINED {
            page.more = true;
            break;
        }
        examined += 1;
        let Some(seq) = go_past(&mut page.damaged, key::second_number_of(&key).map(Seq))? else { continue };
        let read = unseal::<QueuedRow>(&key, &value).and_then(|entry| {
            let size_bytes = usize::try_from(entry.size_bytes).unwrap_or(usize::MAX);
            Ok((queued(rows, &key, entry)?, size_bytes))
        });
        if let Some((entry, size_bytes)) = go_past(&mut page.damaged, read)? {
            bytes += size_bytes;
            page.items.push(entry);
        }
        if last_given.is_some_and(|last| seq > last) {
            // A number that nobody was given is a damaged key: what is given out later is not settled for that.
            break;
        }
        page.final_up_to = seq;
    }
    if !page.more {
        page.final_up_to = page.final_up_to.max(last_given.unwrap_or(after));
    }
    Ok(page)
}
