//! The rows as a group of batches leaves them: a snapshot and the changes that are not written yet.
//!
//! Reading sees the changes. A batch that fails half-way (a damaged row, an engine that cannot read) is taken back
//! without a trace in those before it.
//!
//! Sessions are held decoded for as long as the group lasts, since every message changes the counts of one: each is
//! read once and written once a group.

use std::collections::{BTreeMap, HashMap, btree_map};
use std::iter::Peekable;

use bytes::Bytes;

use super::numbers::Numbers;
use crate::encoding::{Counters, SessionRow, StoredRecord, key, seal, unseal};
use crate::{
    Epoch, ErrorKind, KvRange, KvSnapshot, RecordVersion, Result, Seq, SessionId, SpentNumbers, StoreError,
    WriteBatch,
};

/// A snapshot and changes on it.
pub(super) struct Transaction<'a, S> {
    snapshot: &'a S,
    changes: BTreeMap<Bytes, Change>,
    /// What the changes of the batch at hand replaced, oldest first.
    undo: Vec<(Bytes, Option<Change>)>,
    /// The live sessions that were read or changed. No row of one is among the changes until the end.
    sessions: HashMap<SessionId, Held>,
    undo_sessions: Vec<(SessionId, Option<Held>)>,
    /// Numbers of entries that are not given again.
    spent: &'a SpentNumbers,
    numbers: Numbers,
    room: Room,
    /// Numbers are never taken back: one that somebody may have seen is not given again. What is counted is.
    counters: &'a mut Counters,
}

/// What becomes of a row.
#[derive(Clone)]
struct Change {
    /// `None`: it is removed.
    value: Option<Bytes>,
    /// Whether the snapshot is known to have no such row.
    is_new: bool,
}

/// What may grow.
#[derive(Copy, Clone)]
pub(super) struct Room {
    /// Whether anything may.
    pub(super) for_growth: bool,
    /// The most retained messages.
    pub(super) max_retained: Option<usize>,
}

/// A live session as it is now; `None` when there is none.
struct Held {
    row: Option<SessionRow>,
    changed: bool,
}

impl<'a, S: KvSnapshot> Transaction<'a, S> {
    pub(super) fn new(
        snapshot: &'a S,
        counters: &'a mut Counters,
        spent: &'a SpentNumbers,
        room: Room,
    ) -> Transaction<'a, S> {
        Transaction {
            snapshot,
            changes: BTreeMap::new(),
            undo: Vec::new(),
            sessions: HashMap::new(),
            undo_sessions: Vec::new(),
            spent,
            numbers: Numbers::default(),
            room,
            counters,
        }
    }

    /// Runs a batch, and takes its changes back if it fails.
    pub(super) fn all_or_nothing<T>(&mut self, batch: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        let retained = self.counters.retained;
        let given = self.numbers.given.len();
        let result = batch(self);
        if result.is_err() {
            self.counters.retained = retained;
            self.numbers.given.truncate(given);
            while let Some((key, before)) = self.undo.pop() {
                match before {
                    Some(change) => self.changes.insert(key, change),
                    None => self.changes.remove(&key),
                };
            }
            while let Some((id, before)) = self.undo_sessions.pop() {
                match before {
                    Some(held) => self.sessions.insert(id, held),
                    None => self.sessions.remove(&id),
                };
            }
        }
        self.undo.clear();
        self.undo_sessions.clear();
        result
    }

    /// Refuses what stores something new when there is no room for it.
    pub(super) fn need_room(&self) -> Result<()> {
        if self.room.for_growth {
            return Ok(());
        }
        Err(StoreError::not_applied(
            ErrorKind::Full,
            "the store has no room: what settles and removes still works",
        ))
    }

    /// The changes, with the counters if something changes. What is changed is counted here, once a group, and for that
    /// each row that is not new is looked up as it was.
    pub(super) fn into_batch(mut self) -> Result<WriteBatch> {
        for (id, held) in self.sessions.drain().filter(|(_, held)| held.changed) {
            let key = key::session(id);
            let value = held.row.map(|row| seal(&key, &row));
            self.changes.insert(key, Change { value, is_new: false });
        }
        let mut changes = Vec::with_capacity(self.changes.len() + 1);
        let mut tally = self.counters.tally;
        for (key, change) in self.changes {
            if let Some(tally) = &mut tally {
                let before = if change.is_new { None } else { self.snapshot.get(&key)? };
                tally.change(&key, before.as_deref(), change.value.as_deref());
            }
            changes.push((key, change.value));
        }
        if !changes.is_empty() {
            self.counters.tally = tally;
            let key = key::counters();
            let value = seal(&key, self.counters);
            let place = changes.partition_point(|(other, _)| *other < key);
            changes.insert(place, (key, Some(value)));
        }
        Ok(WriteBatch(changes))
    }

    /// The session, if it has not ended.
    pub(super) fn live(&mut self, id: SessionId) -> Result<Option<SessionRow>> {
        if let Some(held) = self.sessions.get(&id) {
            return Ok(held.row.clone());
        }
        let mut row: Option<SessionRow> = self.snapshot.record(&key::session(id))?;
        let mut changed = false;
        if let Some(row) = &mut row
            && let Some(next) = self.spent.next(id, row.next_seq)
        {
            (row.next_seq, changed) = (next, true);
            self.numbers.raised.push((id, next));
        }
        self.sessions.insert(id, Held { row: row.clone(), changed });
        Ok(row)
    }

    /// The next number of a session's queue is given.
    pub(super) fn note_given(&mut self, id: SessionId, seq: Seq) {
        self.numbers.given.push((id, seq));
    }

    /// The numbers that it has given, when there are no more to come.
    pub(super) fn take_numbers(&mut self) -> Numbers {
        std::mem::take(&mut self.numbers)
    }

    /// What the live session is from now on; `None`: it is gone.
    pub(super) fn set_live(&mut self, id: SessionId, row: Option<SessionRow>) {
        let before = self.sessions.insert(id, Held { row, changed: true });
        self.undo_sessions.push((id, before));
    }

    pub(super) fn put<R: StoredRecord>(&mut self, key: Bytes, record: &R) {
        let value = seal(&key, record);
        self.change(key, Some(value), false);
    }

    /// The same for a row whose key has a number in it that was not given before.
    pub(super) fn put_new<R: StoredRecord>(&mut self, key: Bytes, record: &R) {
        let value = seal(&key, record);
        self.change(key, Some(value), true);
    }

    pub(super) fn remove(&mut self, key: Bytes) {
        self.change(key, None, false);
    }

    fn change(&mut self, key: Bytes, value: Option<Bytes>, is_new: bool) {
        let before = match self.changes.entry(key.clone()) {
            btree_map::Entry::Occupied(mut change) => {
                let is_new = change.get().is_new;
                Some(change.insert(Change { value, is_new }))
            }
            btree_map::Entry::Vacant(place) => {
                place.insert(Change { value, is_new });
                None
            }
        };
        self.undo.push((key, before));
    }

    pub(super) fn next_epoch(&mut self) -> Epoch {
        self.counters.last_epoch += 1;
        Epoch(self.counters.last_epoch)
    }

    pub(super) fn next_version(&mut self) -> RecordVersion {
        self.counters.last_version += 1;
        RecordVersion(self.counters.last_version)
    }

    /// Sees to it that numbers given later are higher than these.
    pub(super) fn raise_counters(&mut self, epoch: Epoch, version: RecordVersion) {
        self.counters.last_epoch = self.counters.last_epoch.max(epoch.0);
        self.counters.last_version = self.counters.last_version.max(version.0);
    }

    /// How many retained messages there may be.
    pub(super) fn max_retained(&self) -> Option<usize> {
        self.room.max_retained
    }

    /// How many retained messages there are.
    pub(super) fn retained_count(&self) -> u64 {
        self.counters.retained.unwrap_or(0)
    }

    /// There is one more.
    pub(super) fn count_retained(&mut self) {
        self.counters.retained = Some(self.retained_count() + 1);
    }

    /// There is one less.
    pub(super) fn uncount_retained(&mut self) {
        self.counters.retained = Some(self.retained_count().saturating_sub(1));
    }

    pub(super) fn next_body(&mut self) -> u64 {
        self.counters.last_body += 1;
        self.counters.last_body
    }
}

impl<S: KvSnapshot> KvSnapshot for Transaction<'_, S> {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>> {
        match self.changes.get(key) {
            Some(change) => Ok(change.value.clone()),
            None => self.snapshot.get(key),
        }
    }

    fn range(&self, from: &[u8], to: &[u8]) -> KvRange<'_> {
        let changes = self.changes.range(Bytes::copy_from_slice(from)..Bytes::copy_from_slice(to));
        Box::new(Merged { stored: self.snapshot.range(from, to).peekable(), changes: changes.peekable() })
    }
}

/// Stored rows and changes in one order; a change hides the row that it changes.
struct Merged<'a> {
    stored: Peekable<KvRange<'a>>,
    changes: Peekable<btree_map::Range<'a, Bytes, Change>>,
}

impl Iterator for Merged<'_> {
    type Item = Result<(Bytes, Bytes)>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let changed = match (self.stored.peek(), self.changes.peek()) {
                (Some(Ok((stored, _))), Some((changed, _))) => {
                    if stored == *changed {
                        self.stored.next();
                        continue;
                    }
                    *changed < stored
                }
                (Some(_), _) => false,
                (None, Some(_)) => true,
                (None, None) => return None,
            };
            if !changed {
                return self.stored.next();
            }
            if let Some((key, Change { value: Some(value), .. })) = self.changes.next() {
                return Some(Ok((key.clone(), value.clone())));
            }
        }
    }
}

/// What is found in a row.
pub(super) enum Found<R> {
    Absent,
    Whole(R),
    Damaged(StoreError),
}

/// Reading records instead of bytes.
pub(super) trait Rows: KvSnapshot {
    /// The record in the row with this key.
    fn record<R: StoredRecord>(&self, key: &[u8]) -> Result<Option<R>> {
        self.get(key)?.map(|value| unseal(key, &value)).transpose()
    }

    /// The same for those who go on when the record is damaged: to replace it, to remove it, to leave it out.
    fn look<R: StoredRecord>(&self, key: &[u8]) -> Result<Found<R>> {
        match self.record(key) {
            Ok(None) => Ok(Found::Absent),
            Ok(Some(record)) => Ok(Found::Whole(record)),
            Err(error) if error.kind() == ErrorKind::Corrupt => Ok(Found::Damaged(error)),
            Err(error) => Err(error),
        }
    }

    /// Whether the row is there, whole or damaged.
    fn has(&self, key: &[u8]) -> Result<bool> {
        Ok(self.get(key)?.is_some())
    }

    /// Up to so many keys of a range.
    fn keys(&self, (from, to): &(Bytes, Bytes), limit: usize) -> Result<Vec<Bytes>> {
        self.range(from, to).take(limit).map(|row| row.map(|(key, _)| key)).collect()
    }
}

impl<S: KvSnapshot> Rows for S {}
