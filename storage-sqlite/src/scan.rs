//! Walks over all records of one kind, and what all walks have in common: cursors and the work that a page may do.

use opifex_storage::{
    Cursor, Epoch, ErrorKind, Inbound, Page, PageLimit, Record, RecordKind, Seq, SessionId, StoreError,
};

use rusqlite::types::ValueRef;

use crate::checksum::{KeyOrder, QUEUE, RETAINED, SESSIONS, WILLS};
use crate::fault::{Result, note_damage};
use crate::session_row::{read_row, session_columns};
use crate::state::{State, int, uint};

/// A page looks at no more rows than this, whatever it finds, so that nobody waits long for a reader.
pub(crate) const MAX_EXAMINED: usize = 1024;

/// Whether a page with so many items and bytes takes no more.
pub(crate) fn is_full(items: usize, bytes: usize, limit: &PageLimit) -> bool {
    items >= limit.items.max(1) || (items > 0 && bytes >= limit.bytes)
}

/// What is answered to a cursor that this store did not make.
pub(crate) fn bad_cursor() -> StoreError {
    StoreError::not_applied(ErrorKind::Unsupported, "the cursor is not one of this store and walk")
}

impl State<'_> {
    pub(crate) fn scan(
        &self,
        kind: RecordKind,
        cursor: Option<Cursor>,
        limit: PageLimit,
    ) -> Result<Page<Record>> {
        let mut walk = Walk { page: Page::new(), bytes: 0, limit };
        let after = cursor.as_ref().map(|cursor| &cursor.0[..]);
        match kind {
            RecordKind::Session => self.scan_sessions(after, &mut walk)?,
            RecordKind::Subscription | RecordKind::Queued | RecordKind::Inbound => {
                self.scan_contents(kind, after, &mut walk)?;
            }
            RecordKind::Retained => self.scan_retained(after, &mut walk)?,
            RecordKind::Will => self.scan_wills(after, &mut walk)?,
            RecordKind::Ended => self.scan_ended(after, &mut walk)?,
        }
        Ok(walk.page)
    }

    fn scan_sessions(&self, after: Option<&[u8]>, walk: &mut Walk) -> Result<()> {
        let after = after.map(number).transpose()?.unwrap_or(0);
        let sql = concat!("SELECT ", session_columns!(), " FROM sessions WHERE id > ?1 ORDER BY id");
        let mut statement = self.db()?.prepare_cached(sql)?;
        let mut rows = statement.query([int(after)])?;
        self.check_before(&SESSIONS, &[int(after).into()], &mut walk.page.damaged)?;
        let mut order = KeyOrder::default();
        while let Some(row) = rows.next()? {
            if note_damage(order.follows(&SESSIONS, row), &mut walk.page.damaged)?.is_none() {
                continue;
            }
            let Some(session) = note_damage(read_row(row), &mut walk.page.damaged)? else { continue };
            let place = || session.id.0.to_be_bytes().to_vec();
            let goes_on = match session.has_ended() {
                true => walk.pass(place),
                false => walk.take(place, 0, Record::Session(session.record())),
            };
            if !goes_on {
                break;
            }
        }
        Ok(())
    }

    fn scan_ended(&self, after: Option<&[u8]>, walk: &mut Walk) -> Result<()> {
        let after = after.map(number).transpose()?.unwrap_or(0);
        let sql = concat!(
            "SELECT ",
            session_columns!(),
            " FROM sessions WHERE ended_at IS NOT NULL AND id > ?1 ORDER BY id"
        );
        let mut statement = self.db()?.prepare_cached(sql)?;
        let mut rows = statement.query([int(after)])?;
        while let Some(row) = rows.next()? {
            let Some(row) = note_damage(read_row(row), &mut walk.page.damaged)? else { continue };
            let place = row.id.0.to_be_bytes().to_vec();
            let Some(ended_at) = row.ended_at else { continue };
            if !walk.take(|| place, 0, Record::Ended(row.record(), ended_at)) {
                break;
            }
        }
        Ok(())
    }

    fn scan_retained(&self, after: Option<&[u8]>, walk: &mut Walk) -> Result<()> {
        let place = after.unwrap_or_default();
        self.check_before(&RETAINED, &[place.into()], &mut walk.page.damaged)?;
        self.retained_after(place, |key, retained| {
            let Some(retained) = note_damage(retained, &mut walk.page.damaged)? else { return Ok(true) };
            let size = retained.message.size_bytes();
            Ok(walk.take(|| key.to_vec(), size, Record::Retained(retained)))
        })
    }

    fn scan_wills(&self, after: Option<&[u8]>, walk: &mut Walk) -> Result<()> {
        let after = match after.map(<[u8]>::split_first_chunk::<8>) {
            None => (SessionId(0), Epoch(0)),
            Some(None) => return Err(bad_cursor().into()),
            Some(Some((id, epoch))) => (SessionId(u64::from_be_bytes(*id)), Epoch(number(epoch)?)),
        };
        self.check_before(&WILLS, &[int(after.0.0).into(), int(after.1.0).into()], &mut walk.page.damaged)?;
        self.wills_after(after, |will| {
            let Some(will) = note_damage(will, &mut walk.page.damaged)? else { return Ok(true) };
            let place = [will.session.0.to_be_bytes(), will.epoch.0.to_be_bytes()].concat();
            Ok(walk.take(|| place, will.will.message.size_bytes(), Record::Will(will)))
        })?;
        Ok(())
    }

    /// Walks what hangs on sessions, session after session. A cursor is a session's id and a place in that session;
    /// without one, at its beginning.
    fn scan_contents(&self, kind: RecordKind, after: Option<&[u8]>, walk: &mut Walk) -> Result<()> {
        let (first, mut place): (u64, &[u8]) = match after.map(<[u8]>::split_first_chunk::<8>) {
            None => (0, &[]),
            Some(None) => return Err(bad_cursor().into()),
            Some(Some((id, place))) => (u64::from_be_bytes(*id), place),
        };
        let sql = "SELECT id, ended_at FROM sessions WHERE id >= ?1 ORDER BY id";
        let mut statement = self.db()?.prepare_cached(sql)?;
        let mut rows = statement.query([int(first)])?;
        while let Some(row) = rows.next()? {
            // One with a damaged id is found by the walk over sessions.
            let Ok(id) = uint(row, 0).map(SessionId) else { continue };
            if !walk.look_at_session(id) {
                break;
            }
            if row.get_ref(1)? != ValueRef::Null {
                continue;
            }
            let within = if id.0 == first { std::mem::take(&mut place) } else { &[] };
            let goes_on = match kind {
                RecordKind::Subscription => self.scan_subscriptions(id, within, walk)?,
                RecordKind::Queued => self.scan_queue(id, within, walk)?,
                _ => self.scan_inbound(id, within, walk)?,
            };
            if !goes_on {
                break;
            }
        }
        Ok(())
    }

    fn scan_subscriptions(&self, id: SessionId, after: &[u8], walk: &mut Walk) -> Result<bool> {
        let after = std::str::from_utf8(after).map_err(|_| bad_cursor())?;
        let mut damaged = Vec::new();
        let goes_on = self.subscriptions_after(id, after, &mut damaged, |record| {
            let filter = record.filter.clone();
            let place = || [&id.0.to_be_bytes()[..], filter.as_str().as_bytes()].concat();
            walk.take(place, 0, Record::Subscription(id, record))
        })?;
        walk.page.damaged.extend(damaged);
        Ok(goes_on)
    }

    fn scan_queue(&self, id: SessionId, after: &[u8], walk: &mut Walk) -> Result<bool> {
        let after = if after.is_empty() { Seq::ZERO } else { Seq(number(after)?) };
        let mut seen = 0;
        self.check_before(&QUEUE, &[int(id.0).into(), int(after.0).into()], &mut walk.page.damaged)?;
        let goes_on = self.queue_after(id, after, |read| {
            seen += 1;
            let Some(entry) = note_damage(read(), &mut walk.page.damaged)? else { return Ok(true) };
            let place = [id.0.to_be_bytes(), entry.seq.0.to_be_bytes()].concat();
            let size = entry.message.as_ref().map_or(0, |message| message.size_bytes());
            Ok(walk.take(|| place, size, Record::Queued(id, entry)))
        })?;
        if goes_on {
            // A session's row that is damaged itself is found by the walk over sessions.
            let queued = note_damage(self.session(id, |row| row.queued_items), &mut Vec::new())?.flatten();
            if let Some(queued) = queued {
                walk.page.damaged.extend(self.hidden_entries(id, after, seen, queued)?);
            }
        }
        Ok(goes_on)
    }

    fn scan_inbound(&self, id: SessionId, after: &[u8], walk: &mut Walk) -> Result<bool> {
        let after = if after.is_empty() { 0 } else { number(after)? as u16 };
        let mut damaged = Vec::new();
        let goes_on = self.inbound_after(id, after, &mut damaged, |packet_id| {
            let place = || [id.0.to_be_bytes(), u64::from(packet_id.get()).to_be_bytes()].concat();
            walk.take(place, 0, Record::Inbound(Inbound { session: id, packet_id }))
        })?;
        walk.page.damaged.extend(damaged);
        Ok(goes_on)
    }
}

fn number(bytes: &[u8]) -> Result<u64> {
    Ok(u64::from_be_bytes(bytes.try_into().map_err(|_| bad_cursor())?))
}

/// A page that is being filled.
struct Walk {
    page: Page<Record>,
    bytes: usize,
    limit: PageLimit,
}

impl Walk {
    /// Puts a record into the page. Answers whether the page takes another one; if not, it goes on behind this place.
    fn take(&mut self, place: impl FnOnce() -> Vec<u8>, bytes: usize, record: Record) -> bool {
        self.page.items.push(record);
        self.page.examined += 1;
        self.bytes += bytes;
        let full =
            is_full(self.page.items.len(), self.bytes, &self.limit) || self.page.examined >= MAX_EXAMINED;
        if full {
            self.page.next = Some(Cursor(place().into()));
        }
        !full
    }

    /// Counts a record that is looked at and is none of those sought. Answers like [`Walk::take`].
    fn pass(&mut self, place: impl FnOnce() -> Vec<u8>) -> bool {
        self.page.examined += 1;
        let enough = self.page.examined >= MAX_EXAMINED;
        if enough {
            self.page.next = Some(Cursor(place().into()));
        }
        !enough
    }

    /// Counts a session that is looked at, whatever it holds. Answers whether it may be: if not, the page goes on at
    /// its beginning.
    fn look_at_session(&mut self, id: SessionId) -> bool {
        self.page.examined += 1;
        if self.page.examined < MAX_EXAMINED {
            return true;
        }
        self.page.next = Some(Cursor(id.0.to_be_bytes().to_vec().into()));
        false
    }
}
