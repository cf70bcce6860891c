//! Walks over all records of one kind. A cursor is the key at which the walk goes on.

use bytes::Bytes;

use crate::encoding::key::{self, kind};
use crate::encoding::{Marker, QueuedRow, RetainedRow, SessionRow, SubscriptionRow, unseal};
use crate::kv_persistence::page::{MAX_EXAMINED, bad_cursor, is_full};
use crate::kv_persistence::queue::queued;
use crate::kv_persistence::transaction::Rows;
use crate::{
    Cursor, ErrorKind, Inbound, KvSnapshot, Page, PageLimit, Record, RecordKind, Result, SessionId,
    StoreError, WillRecord,
};

pub(super) fn scan_page(
    rows: &impl KvSnapshot,
    record_kind: RecordKind,
    cursor: Option<Cursor>,
    limit: PageLimit,
) -> Result<Page<Record>> {
    let row_kind = match record_kind {
        RecordKind::Session => kind::SESSION,
        RecordKind::Subscription => kind::SUBSCRIPTION,
        RecordKind::Queued => kind::QUEUED,
        RecordKind::Inbound => kind::INBOUND,
        RecordKind::Retained => kind::RETAINED,
        RecordKind::Will => kind::WILL,
        RecordKind::Ended => kind::ENDED,
    };
    let hangs_on_session =
        matches!(record_kind, RecordKind::Subscription | RecordKind::Queued | RecordKind::Inbound);
    let mut page = Page::new();
    let (mut from, to) = key::all(row_kind);
    if let Some(Cursor(key)) = cursor {
        if key.first() != Some(&row_kind) {
            return Err(bad_cursor());
        }
        from = key;
    }
    let mut bytes = 0;
    let mut last_session: Option<SessionId> = None;
    // Again and again from behind the remains of an ended session, which are not walked through.
    'ranges: loop {
        page.examined += 1;
        for row in rows.range(&from, &to) {
            let (key, value) = row?;
            if is_full(page.items.len(), bytes, &limit) || page.examined >= MAX_EXAMINED {
                page.next = Some(Cursor(key));
                return Ok(page);
            }
            page.examined += 1;
            if hangs_on_session {
                let id = key::session_of(&key)?;
                if last_session != Some(id) {
                    if !rows.has::<SessionRow>(&key::session(id))? {
                        from = key::of_session(row_kind, id).1;
                        continue 'ranges;
                    }
                    last_session = Some(id);
                }
            }
            let (record, size) = read(rows, record_kind, &key, &value)?;
            bytes += size;
            page.items.push(record);
        }
        return Ok(page);
    }
}

/// The record of a row, and the bytes of its message.
fn read(
    rows: &impl KvSnapshot,
    record_kind: RecordKind,
    key: &[u8],
    value: &Bytes,
) -> Result<(Record, usize)> {
    let session = || key::session_of(key);
    Ok(match record_kind {
        RecordKind::Session => (Record::Session(unseal::<SessionRow>(key, value)?.record(session()?)), 0),
        RecordKind::Subscription => {
            let record = unseal::<SubscriptionRow>(key, value)?.record(key::filter_of(key)?);
            (Record::Subscription(session()?, record), 0)
        }
        RecordKind::Queued => {
            let entry: QueuedRow = unseal(key, value)?;
            let size = usize::try_from(entry.size_bytes).unwrap_or(usize::MAX);
            let entry = queued(rows, key, entry)?;
            (Record::Queued(session()?, entry), size)
        }
        RecordKind::Inbound => {
            unseal::<Marker>(key, value)?;
            (Record::Inbound(Inbound { session: session()?, packet_id: key::packet_id_of(key)? }), 0)
        }
        RecordKind::Retained => {
            let row: RetainedRow = unseal(key, value)?;
            let size = row.message.size_bytes();
            (Record::Retained(row.into()), size)
        }
        RecordKind::Will => {
            let will: WillRecord = unseal(key, value)?;
            let size = will.will.message.size_bytes();
            (Record::Will(will), size)
        }
        RecordKind::Ended => {
            let row: SessionRow = unseal(key, value)?;
            let ended_at = row.ended_at.ok_or_else(|| {
                let name = key::describe(key);
                StoreError::not_applied(ErrorKind::Corrupt, format!("{name} does not say when it ended"))
            })?;
            (Record::Ended(row.record(session()?), ended_at), 0)
        }
    })
}
