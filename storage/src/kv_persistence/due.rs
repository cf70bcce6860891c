//! What becomes due, in order of its time: pages of the index, claims, and what a claim does.

use crate::encoding::{DueRow, QueuedRow, RetainedRow, SessionRow, key, key::DueKey, unseal};
use crate::kv_persistence::page::{MAX_EXAMINED, bad_cursor, go_past, is_full, next_row};
use crate::kv_persistence::rows::Rows;
use crate::kv_persistence::transaction::Transaction;
use crate::{
    Cursor, Due, DueItem, Epoch, ErrorKind, KvSnapshot, Page, PageLimit, RecordVersion, Result, StoreError,
    Timestamp, WillRecord,
};

/// What is due at `now`, earliest first; a cursor is the key at which the walk goes on. Items of which nothing whole is left
/// are named and left out: they could never be claimed.
pub(super) fn due_page(
    rows: &impl KvSnapshot,
    now: Timestamp,
    cursor: Option<Cursor>,
    limit: PageLimit,
) -> Result<Page<Due>> {
    let mut page = Page::new();
    let mut bytes = 0;
    let (mut from, to) = key::due_until(now);
    if let Some(Cursor(key)) = cursor {
        if key.first() != from.first() {
            return Err(bad_cursor());
        }
        from = key;
    }
    if from >= to {
        return Ok(page);
    }
    let mut range = rows.range(&from, &to);
    while let Some((key, value)) = next_row(&mut range, &mut page.damaged)? {
        if is_full(page.items.len(), bytes, &limit) || page.examined >= MAX_EXAMINED {
            page.next = Some(Cursor(key));
            break;
        }
        page.examined += 1;
        let read = unseal::<DueRow>(&key, &value).and_then(|row| due_item(rows, &key, row.version));
        let Some(due) = go_past(&mut page.damaged, read)? else { continue };
        bytes += due.will.as_ref().map_or(0, |will| will.will.message.size_bytes());
        page.items.push(due);
    }
    Ok(page)
}

/// The item of a row of the index, with a look at the record behind it.
pub(super) fn due_item(rows: &impl KvSnapshot, key: &[u8], version: RecordVersion) -> Result<Due> {
    let (at, item) = key::due_of(key)?;
    let epoch_of = |key| Ok(rows.record::<SessionRow>(key)?.map(|row| RecordVersion(row.epoch.0)));
    let mut will = None;
    let (item, found) = match item {
        DueKey::Session(id) => (DueItem::SessionExpired(id), epoch_of(&key::session(id))?),
        DueKey::Ended(id) => (DueItem::SessionEnded(id), epoch_of(&key::ended(id))?),
        DueKey::Will(id, epoch) => {
            will = rows.record::<WillRecord>(&key::will(id, epoch))?;
            (DueItem::Will(id), will.as_ref().map(|will| RecordVersion(will.epoch.0)))
        }
        DueKey::Queued(id, seq) => {
            let is_there = rows.record::<QueuedRow>(&key::queued(id, seq))?.is_some();
            (DueItem::QueuedExpired(id, seq), is_there.then_some(RecordVersion(seq.0)))
        }
        DueKey::Retained(topic) => {
            let row: Option<RetainedRow> = rows.record(&key::retained(&topic))?;
            (DueItem::RetainedExpired(topic), row.map(|row| row.version))
        }
    };
    if found != Some(version) {
        let what = format!("{} is of a record that is not there", key::describe(key));
        return Err(StoreError::not_applied(ErrorKind::Corrupt, what));
    }
    Ok(Due { item, at, version, will })
}

impl<S: KvSnapshot> Transaction<'_, S> {
    /// Whether a due item is still there, unchanged, and due at `now`.
    pub(super) fn check_claim(&mut self, due: &Due, now: Timestamp) -> Result<()> {
        let version = due.version.0;
        let due_now = |at: Option<Timestamp>| at.is_some_and(|at| at <= now);
        let holds = match &due.item {
            DueItem::SessionExpired(id) => {
                self.live(*id)?.is_some_and(|row| row.epoch.0 == version && due_now(row.deadline()))
            }
            DueItem::Will(id) => {
                let will: Option<WillRecord> = self.record(&key::will(*id, Epoch(version)))?;
                will.is_some_and(|will| due_now(will.due_at))
            }
            DueItem::SessionEnded(id) => {
                self.ended(*id)?.is_some_and(|row| row.epoch.0 == version && due_now(row.ended_at))
            }
            DueItem::QueuedExpired(id, seq) => {
                let entry: Option<QueuedRow> = self.record(&key::queued(*id, *seq))?;
                seq.0 == version && entry.is_some_and(|entry| due_now(entry.deadline()))
            }
            DueItem::RetainedExpired(topic) => self
                .retained_row(topic)?
                .is_some_and(|row| row.version == due.version && due_now(row.message.expires_at)),
        };
        if holds {
            Ok(())
        } else {
            Err(StoreError::not_applied(ErrorKind::Conflict, format!("{:?} is not due any more", due.item)))
        }
    }

    /// The first effect of a batch under a claim that was checked.
    pub(super) fn carry_out_claim(&mut self, due: &Due, now: Timestamp) -> Result<()> {
        match &due.item {
            DueItem::SessionExpired(id) => {
                if let Some(row) = self.live(*id)? {
                    self.end_session(*id, row, now)?;
                }
            }
            DueItem::Will(id) => {
                self.remove_will(*id, Epoch(due.version.0))?;
            }
            DueItem::SessionEnded(_) => {}
            DueItem::QueuedExpired(id, seq) => {
                self.settle(*id, *seq)?;
            }
            DueItem::RetainedExpired(topic) => {
                self.unretain(topic)?;
            }
        }
        Ok(())
    }
}
