//! Walks over all records of one kind. A cursor is the key at which the walk goes on.
//!
//! What hangs on a session whose own record is damaged is left out with it: nobody could say whose it is.

use bytes::Bytes;

use crate::encoding::key::{self, DueKey, kind};
use crate::encoding::{
    BodyReferences, ClientPointer, Marker, QueuedBody, QueuedRow, RetainedRow, SessionRow, SubscriptionRow,
    unseal,
};
use crate::kv_persistence::page::{MAX_EXAMINED, bad_cursor, go_past, is_full, next_row};
use crate::kv_persistence::queue::queued;
use crate::kv_persistence::rows::{Found, Rows};
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
        let mut range = rows.range(&from, &to);
        while let Some((key, value)) = next_row(&mut range, &mut page.damaged)? {
            if is_full(page.items.len(), bytes, &limit) || page.examined >= MAX_EXAMINED {
                page.next = Some(Cursor(key));
                return Ok(page);
            }
            page.examined += 1;
            if hangs_on_session {
                let Some(id) = go_past(&mut page.damaged, key::session_of(&key))? else { continue };
                if last_session != Some(id) {
                    if !is_live(rows, id, &key, &mut page.damaged)? {
                        from = key::of_session(row_kind, id).1;
                        continue 'ranges;
                    }
                    last_session = Some(id);
                }
            }
            let read = read(rows, record_kind, &key, &value);
            let Some((record, size)) = go_past(&mut page.damaged, read)? else { continue };
            note_beside(rows, &record, &key, &value, &mut page.damaged)?;
            bytes += size;
            page.items.push(record);
        }
        return Ok(page);
    }
}

/// Whether the session that a row hangs on has not ended; names what keeps that from being known.
fn is_live(rows: &impl KvSnapshot, id: SessionId, row: &[u8], damaged: &mut Vec<StoreError>) -> Result<bool> {
    match rows.look::<SessionRow>(&key::session(id))? {
        Found::Whole(_) => return Ok(true),
        Found::Damaged(error) => damaged.push(error),
        Found::Absent if go_past(damaged, rows.has(&key::ended(id)))? != Some(false) => {}
        Found::Absent => {
            let what = format!("{} is of a session that is not there", key::describe(row));
            damaged.push(StoreError::not_applied(ErrorKind::Corrupt, what));
        }
    }
    Ok(false)
}

/// Names what is damaged, or missing, of the rows beside a record that no walk of its own comes by.
fn note_beside(
    rows: &impl KvSnapshot,
    record: &Record,
    key: &[u8],
    value: &Bytes,
    damaged: &mut Vec<StoreError>,
) -> Result<()> {
    let mut note = |what: String| damaged.push(StoreError::not_applied(ErrorKind::Corrupt, what));
    let due = match record {
        Record::Session(session) => {
            let pointer = key::client(&session.client_id);
            match rows.look::<ClientPointer>(&pointer)? {
                Found::Whole(ClientPointer(id)) if id == session.id => {}
                Found::Damaged(error) => note(error.to_string()),
                Found::Whole(_) | Found::Absent => {
                    note(format!("{} does not point to session {}", key::describe(&pointer), session.id));
                }
            }
            let at = session.offline_since.and_then(|since| session.expiry.deadline(since));
            at.map(|at| key::due(at, &DueKey::Session(session.id)))
        }
        Record::Queued(id, entry) => {
            let row: QueuedRow = unseal(key, value)?;
            if let QueuedBody::Row(body) = row.body
                && let Found::Damaged(error) = rows.look::<BodyReferences>(&key::references(body))?
            {
                note(error.to_string());
            }
            row.deadline().map(|at| key::due(at, &DueKey::Queued(*id, entry.seq)))
        }
        Record::Retained(retained) => {
            let item = DueKey::Retained(retained.message.topic.clone());
            retained.message.expires_at.map(|at| key::due(at, &item))
        }
        Record::Will(will) => will.due_at.map(|at| key::due(at, &DueKey::Will(will.session, will.epoch))),
        Record::Ended(session, at) => Some(key::due(*at, &DueKey::Ended(session.id))),
        Record::Subscription(..) | Record::Inbound(_) => None,
    };
    if let Some(due) = due
        && go_past(damaged, rows.has(&due))? == Some(false)
    {
        let what = format!("{} is missing", key::describe(&due));
        damaged.push(StoreError::not_applied(ErrorKind::Corrupt, what));
    }
    Ok(())
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
