//! The rows as a group of batches leaves them: a snapshot and the changes that are not written yet.
//!
//! Reading sees the changes. A batch that fails half-way (a damaged row, an engine that cannot read) is taken back
//! without a trace in those before it. So is one that changes a row which the engine cannot look up: it could not write
//! it either, and with it nothing of the group.
//!
//! Sessions are held decoded for as long as the group lasts, since every message changes the counts of one: each is
//! read once and written once a group.

use std::collections::{BTreeMap, HashMap, btree_map};
use std::ops::Bound;

use bytes::Bytes;

use super::merged::Merged;
use super::numbers::Numbers;
use crate::encoding::{Counters, SessionRow, StoredRecord, key, seal, seal_of, unseal};
use crate::{
    Certainty, Epoch, ErrorKind, KvRange, KvSnapshot, RecordVersion, Result, Seq, SessionId, SpentNumbers,
    StoreError, WriteBatch,
};

/// A snapshot and changes on it.
pub(super) struct Transaction<'a, S> {
    snapshot: S,
    room: Room,
    pending: Pending<'a>,
}

/// What is to be written, while there is no snapshot: an engine without snapshots has a lock for one, which nobody holds while
/// he waits.
pub(super) struct Pending<'a> {
    changes: BTreeMap<Bytes, Change>,
    /// What the changes of the batch at hand replaced, oldest first.
    undo: Vec<Undo>,
    /// The key of the new row that was put last; empty when there is none, or when it was taken back.
    last_new: Vec<u8>,
    /// The live sessions that were read or changed. No row of one is among the changes until the end.
    sessions: HashMap<SessionId, Held>,
    undo_sessions: Vec<(SessionId, Option<Held>)>,
    /// Numbers of entries that are not given again.
    spent: &'a SpentNumbers,
    numbers: Numbers,
    /// Numbers are never taken back: one that somebody may have seen is not given again. What is counted is.
    counters: &'a mut Counters,
}

/// What becomes of a row.
#[derive(Clone)]
pub(super) struct Change {
    /// `None`: it is removed.
    pub(super) value: Option<Bytes>,
    before: Before,
}

/// How a change is taken back.
struct Undo {
    key: Bytes,
    /// `None`: the row was not changed before.
    replaced: Option<Change>,
    /// Whether the snapshot is still to be asked for what it has in its place.
    unseen: bool,
}

/// What the snapshot has in the place of a change.
#[derive(Copy, Clone)]
enum Before {
    /// Nobody has looked yet.
    Unknown,
    /// Nothing: the key has a number in it that was not given before.
    New,
    /// The row with this seal, or none.
    Row(Option<u32>),
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
    before: Before,
    changed: bool,
}

impl<'a> Pending<'a> {
    pub(super) fn new(counters: &'a mut Counters, spent: &'a SpentNumbers) -> Pending<'a> {
        Pending {
            changes: BTreeMap::new(),
            undo: Vec::new(),
            last_new: Vec::new(),
            sessions: HashMap::new(),
            undo_sessions: Vec::new(),
            spent,
            numbers: Numbers::default(),
            counters,
        }
    }

    /// The numbers that it has given, when there are no more to come.
    pub(super) fn take_numbers(&mut self) -> Numbers {
        std::mem::take(&mut self.numbers)
    }

    /// Whether the last change before a new row is one, too, of the same kind and session.
    fn is_behind_another(&self, key: &[u8]) -> bool {
        let before = (Bound::Unbounded, Bound::Excluded(key));
        let last = self.changes.range::<[u8], _>(before).next_back();
        last.is_some_and(|(last, change)| {
            matches!(change.before, Before::New) && is_next_of_its_kind(last, key)
        })
    }

    /// The changes, with the counters if something changes. What is changed is counted here, once a group.
    pub(super) fn into_batch(mut self) -> WriteBatch {
        for (id, held) in self.sessions.drain().filter(|(_, held)| held.changed) {
            let key = key::session(id);
            let value = held.row.map(|row| seal(&key, &row));
            self.changes.insert(key, Change { value, before: held.before });
        }
        let mut changes = Vec::with_capacity(self.changes.len() + 1);
        for (key, change) in self.changes {
            if let Some(tally) = &mut self.counters.tally {
                tally.change(&key, change.before.seal(), change.value.as_deref().map(seal_of));
            }
            changes.push((key, change.value));
        }
        if !changes.is_empty() {
            let key = key::counters();
            let value = seal(&key, self.counters);
            let place = changes.partition_point(|(other, _)| *other < key);
            changes.insert(place, (key, Some(value)));
        }
        WriteBatch(changes)
    }
}

impl<'a, S: KvSnapshot> Transaction<'a, S> {
    /// Goes on with what is to be written, over a snapshot of rows that nobody has written since it began.
    pub(super) fn over(snapshot: S, room: Room, pending: Pending<'a>) -> Transaction<'a, S> {
        Transaction { snapshot, room, pending }
    }

    /// Lets the snapshot go.
    pub(super) fn pause(self) -> Pending<'a> {
        self.pending
    }

    /// Runs a batch, and takes its changes back if it fails: then nothing of it was applied, whatever the engine says of its
    /// own failure.
    pub(super) fn all_or_nothing<T>(&mut self, batch: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        let retained = self.pending.counters.retained;
        let given = self.pending.numbers.given.len();
        let result = batch(self).and_then(|done| self.look_up_what_changes().map(|()| done));
        if result.is_err() {
            self.pending.counters.retained = retained;
            self.pending.numbers.given.truncate(given);
            self.pending.last_new.clear();
            while let Some(Undo { key, replaced, .. }) = self.pending.undo.pop() {
                match replaced {
                    Some(change) => self.pending.changes.insert(key, change),
                    None => self.pending.changes.remove(&key),
                };
            }
            while let Some((id, before)) = self.pending.undo_sessions.pop() {
                match before {
                    Some(held) => self.pending.sessions.insert(id, held),
                    None => self.pending.sessions.remove(&id),
                };
            }
        }
        self.pending.undo.clear();
        self.pending.undo_sessions.clear();
        result.map_err(|error| match error.certainty() {
            Certainty::NotApplied => error,
            Certainty::Unknown => StoreError::not_applied(error.kind(), error.to_string()),
        })
    }

    /// Looks up, as it was before, what the batch at hand is the first of the group to change: that is counted, and what
    /// cannot be looked up cannot be written. What is new is looked up unless it is the next row behind another new one: an
    /// engine that keeps rows in pages has them in one.
    fn look_up_what_changes(&mut self) -> Result<()> {
        for Undo { key, .. } in self.pending.undo.iter().filter(|undo| undo.unseen) {
            let before = Before::of(self.snapshot.get(key)?.as_deref());
            if let Some(change) = self.pending.changes.get_mut(key)
                && let Before::Unknown = change.before
            {
                change.before = before;
            }
        }
        for (id, _) in self.pending.undo_sessions.iter().filter(|(_, replaced)| replaced.is_none()) {
            if let Some(held) = self.pending.sessions.get_mut(id) {
                held.before = Before::of(self.snapshot.get(&key::session(*id))?.as_deref());
            }
        }
        Ok(())
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

    /// The session, if it has not ended.
    pub(super) fn live(&mut self, id: SessionId) -> Result<Option<SessionRow>> {
        if let Some(held) = self.pending.sessions.get(&id) {
            return Ok(held.row.clone());
        }
        let key = key::session(id);
        let stored = self.snapshot.get(&key)?;
        let before = Before::of(stored.as_deref());
        let mut row: Option<SessionRow> = stored.map(|value| unseal(&key, &value)).transpose()?;
        let mut changed = false;
        if let Some(row) = &mut row
            && let Some(next) = self.pending.spent.next(id, row.next_seq)
        {
            (row.next_seq, changed) = (next, true);
            self.pending.numbers.raised.push((id, next));
        }
        self.pending.sessions.insert(id, Held { row: row.clone(), before, changed });
        Ok(row)
    }

    /// The next number of a session's queue is given.
    pub(super) fn note_given(&mut self, id: SessionId, seq: Seq) {
        self.pending.numbers.given.push((id, seq));
    }

    /// A session is made that never was.
    pub(super) fn note_made(&mut self, id: SessionId) {
        self.pending.numbers.made.push(id);
    }

    /// What the live session is from now on; `None`: it is gone.
    pub(super) fn set_live(&mut self, id: SessionId, row: Option<SessionRow>) {
        let before = self.pending.sessions.get(&id).map_or(Before::Unknown, |held| held.before);
        let replaced = self.pending.sessions.insert(id, Held { row, before, changed: true });
        self.pending.undo_sessions.push((id, replaced));
    }

    /// The live session has ended. A row that the engine cannot read stays: the client's pointer leads to it no more.
    pub(super) fn end_live_or_leave(&mut self, id: SessionId) -> Result<()> {
        if !self.pending.sessions.contains_key(&id)
            && let Err(error) = self.snapshot.get(&key::session(id))
        {
            return if error.kind() == ErrorKind::Corrupt { Ok(()) } else { Err(error) };
        }
        self.set_live(id, None);
        Ok(())
    }

    pub(super) fn put<R: StoredRecord>(&mut self, key: Bytes, record: &R) {
        let value = seal(&key, record);
        self.change(key, Some(value), Before::Unknown);
    }

    /// The same for a row whose key has a number in it that was not given before.
    pub(super) fn put_new<R: StoredRecord>(&mut self, key: Bytes, record: &R) {
        let value = seal(&key, record);
        self.put_new_sealed(key, value);
    }

    /// The same for a row that is sealed already.
    pub(super) fn put_new_sealed(&mut self, key: Bytes, value: Bytes) {
        self.change(key, Some(value), Before::New);
    }

    pub(super) fn remove(&mut self, key: Bytes) {
        self.change(key, None, Before::Unknown);
    }

    /// The same for a row that leads to a record or hangs on one. What the engine cannot read stays: nobody finds it, and no
    /// end of a record fails for it.
    pub(super) fn remove_or_leave(&mut self, key: Bytes) -> Result<()> {
        let before = match self.pending.changes.contains_key(&key) {
            true => Before::Unknown,
            false => match self.snapshot.get(&key) {
                Ok(row) => Before::of(row.as_deref()),
                Err(error) if error.kind() == ErrorKind::Corrupt => return Ok(()),
                Err(error) => return Err(error),
            },
        };
        self.change(key, None, before);
        Ok(())
    }

    fn change(&mut self, key: Bytes, value: Option<Bytes>, before: Before) {
        let undo_key = key.clone();
        let is_new = matches!(before, Before::New);
        // Nearly always the row behind the one that was put last.
        let known = match before {
            Before::Unknown => false,
            Before::New => {
                is_next_of_its_kind(&self.pending.last_new, &key) || self.pending.is_behind_another(&key)
            }
            Before::Row(_) => true,
        };
        if is_new {
            self.pending.last_new.clear();
            self.pending.last_new.extend_from_slice(&key);
        }
        let undo = match self.pending.changes.entry(key) {
            btree_map::Entry::Occupied(mut change) => {
                let before = change.get().before;
                Undo { key: undo_key, replaced: Some(change.insert(Change { value, before })), unseen: false }
            }
            btree_map::Entry::Vacant(place) => {
                place.insert(Change { value, before });
                Undo { key: undo_key, replaced: None, unseen: !known }
            }
        };
        self.pending.undo.push(undo);
    }

    pub(super) fn next_epoch(&mut self) -> Epoch {
        self.pending.counters.last_epoch += 1;
        Epoch(self.pending.counters.last_epoch)
    }

    pub(super) fn next_version(&mut self) -> RecordVersion {
        self.pending.counters.last_version += 1;
        RecordVersion(self.pending.counters.last_version)
    }

    /// Sees to it that numbers given later are higher than these.
    pub(super) fn raise_counters(&mut self, epoch: Epoch, version: RecordVersion) {
        self.pending.counters.last_epoch = self.pending.counters.last_epoch.max(epoch.0);
        self.pending.counters.last_version = self.pending.counters.last_version.max(version.0);
    }

    /// How many retained messages there may be.
    pub(super) fn max_retained(&self) -> Option<usize> {
        self.room.max_retained
    }

    /// How many retained messages there are.
    pub(super) fn retained_count(&self) -> u64 {
        self.pending.counters.retained.unwrap_or(0)
    }

    /// There is one more.
    pub(super) fn count_retained(&mut self) {
        self.pending.counters.retained = Some(self.retained_count() + 1);
    }

    /// There is one less.
    pub(super) fn uncount_retained(&mut self) {
        self.pending.counters.retained = Some(self.retained_count().saturating_sub(1));
    }

    pub(super) fn next_body(&mut self) -> u64 {
        self.pending.counters.last_body += 1;
        self.pending.counters.last_body
    }
}

/// Whether a key is behind another one of the same kind and session: in the number that it ends with they differ alone.
fn is_next_of_its_kind(last: &[u8], key: &[u8]) -> bool {
    let of_session = key.len().saturating_sub(size_of::<u64>());
    last.len() == key.len() && last[..of_session] == key[..of_session] && last < key
}

impl Before {
    fn of(row: Option<&[u8]>) -> Before {
        Before::Row(row.map(seal_of))
    }

    /// The seal of what was there.
    fn seal(self) -> Option<u32> {
        match self {
            Before::Unknown | Before::New => None,
            Before::Row(seal) => seal,
        }
    }
}

impl<S: KvSnapshot> KvSnapshot for Transaction<'_, S> {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>> {
        match self.pending.changes.get(key) {
            Some(change) => Ok(change.value.clone()),
            None => self.snapshot.get(key),
        }
    }

    fn range(&self, from: &[u8], to: &[u8]) -> KvRange<'_> {
        let changes = self.pending.changes.range(Bytes::copy_from_slice(from)..Bytes::copy_from_slice(to));
        Box::new(Merged::new(self.snapshot.range(from, to), changes))
    }
}
