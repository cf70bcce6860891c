//! What becomes due, in order of its time: pages of the index, claims, and what a claim does.

use crate::encoding::{DueRow, QueuedRow, key, key::DueKey, unseal};
use crate::kv_persistence::page::{MAX_EXAMINED, is_full};
use crate::kv_persistence::transaction::{Rows, Transaction};
use crate::{
    Due, DueItem, Epoch, ErrorKind, KvSnapshot, Page, PageLimit, Result, StoreError, Timestamp, WillRecord,
};

/// What is due at `now`, earliest first.
pub(super) fn due_page(rows: &impl KvSnapshot, now: Timestamp, limit: PageLimit) -> Result<Page<Due>> {
    let mut page = Page::new();
    let mut bytes = 0;
    let (from, to) = key::due_until(now);
    for row in rows.range(&from, &to) {
        if is_full(page.items.len(), bytes, &limit) || page.examined >= MAX_EXAMINED {
            break;
        }
        page.examined += 1;
        let (key, value) = row?;
        let (at, item) = key::due_of(&key)?;
        let version = unseal::<DueRow>(&key, &value)?.version;
        let mut will = None;
        let item = match item {
            DueKey::Session(id) => DueItem::SessionExpired(id),
            DueKey::Will(id, epoch) => {
                will = rows.record::<WillRecord>(&key::will(id, epoch))?;
                if will.is_none() {
                    let name = key::describe(&key::will(id, epoch));
                    return Err(StoreError::not_applied(ErrorKind::Corrupt, format!("{name} is missing")));
                }
                DueItem::Will(id)
            }
            DueKey::Ended(id) => DueItem::SessionEnded(id),
            DueKey::Queued(id, seq) => DueItem::QueuedExpired(id, seq),
            DueKey::Retained(topic) => DueItem::RetainedExpired(topic),
        };
        bytes += will.as_ref().map_or(0, |will| will.will.message.size_bytes());
        page.items.push(Due { item, at, version, will });
    }
    Ok(page)
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
