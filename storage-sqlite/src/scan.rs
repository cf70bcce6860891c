//! Walks over all records of one kind, and what all walks have in common: cursors and the work that a page may do.

use opifex_storage::{
    Cursor, Epoch, ErrorKind, Inbound, Page, PageLimit, Record, RecordKind, Seq, SessionId, StoreError,
};

use crate::fault::Result;
use crate::session_row::{SESSION_COLUMNS, read_row};
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
        let sql = format!(
            "SELECT {SESSION_COLUMNS} FROM sessions INDEXED BY sessions_live \
             WHERE ended_at IS NULL AND id > ?1 ORDER BY id"
        );
        let mut statement = self.db.prepare_cached(&sql)?;
        let mut rows = statement.query([int(after)])?;
        while let Some(row) = rows.next()? {
            let session = read_row(row)?.record();
            let place = session.id.0.to_be_bytes().to_vec();
            if !walk.take(|| place, 0, Record::Session(session)) {
                break;
            }
        }
        Ok(())
    }

    fn scan_ended(&self, after: Option<&[u8]>, walk: &mut Walk) -> Result<()> {
        let after = after.map(number).transpose()?.unwrap_or(0);
        let sql = format!(
            "SELECT {SESSION_COLUMNS} FROM sessions WHERE ended_at IS NOT NULL AND id > ?1 ORDER BY id"
        );
        let mut statement = self.db.prepare_cached(&sql)?;
        let mut rows = statement.query([int(after)])?;
        while let Some(row) = rows.next()? {
            let row = read_row(row)?;
            let place = row.id.0.to_be_bytes().to_vec();
            let Some(ended_at) = row.ended_at else { continue };
            if !walk.take(|| place, 0, Record::Ended(row.record(), ended_at)) {
                break;
            }
        }
        Ok(())
    }

    fn scan_retained(&self, after: Option<&[u8]>, walk: &mut Walk) -> Result<()> {
        self.retained_after(after.unwrap_or_default(), |key, retained| {
            let size = retained.message.size_bytes();
            walk.take(|| key.to_vec(), size, Record::Retained(retained))
        })
    }

    fn scan_wills(&self, after: Option<&[u8]>, walk: &mut Walk) -> Result<()> {
        let after = match after.map(<[u8]>::split_first_chunk::<8>) {
            None => (SessionId(0), Epoch(0)),
            Some(None) => return Err(bad_cursor().into()),
            Some(Some((id, epoch))) => (SessionId(u64::from_be_bytes(*id)), Epoch(number(epoch)?)),
        };
        self.wills_after(after, |will| {
            let place = [will.session.0.to_be_bytes(), will.epoch.0.to_be_bytes()].concat();
            walk.take(|| place, will.will.message.size_bytes(), Record::Will(will))
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
        let sql = "SELECT id FROM sessions INDEXED BY sessions_live \
                   WHERE ended_at IS NULL AND id >= ?1 ORDER BY id";
        let mut statement = self.db.prepare_cached(sql)?;
        let mut rows = statement.query([int(first)])?;
        while let Some(row) = rows.next()? {
            let id = SessionId(uint(row, 0)?);
            if !walk.look_at_session(id) {
                break;
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
        self.subscriptions_after(id, after, |record| {
            let filter = record.filter.clone();
            let place = || [&id.0.to_be_bytes()[..], filter.as_str().as_bytes()].concat();
            walk.take(place, 0, Record::Subscription(id, record))
        })
    }

    fn scan_queue(&self, id: SessionId, after: &[u8], walk: &mut Walk) -> Result<bool> {
        let after = if after.is_empty() { Seq::ZERO } else { Seq(number(after)?) };
        self.queue_after(id, after, |read| {
            let entry = read()?;
            let place = [id.0.to_be_bytes(), entry.seq.0.to_be_bytes()].concat();
            let size = entry.message.as_ref().map_or(0, |message| message.size_bytes());
            Ok(walk.take(|| place, size, Record::Queued(id, entry)))
        })
    }

    fn scan_inbound(&self, id: SessionId, after: &[u8], walk: &mut Walk) -> Result<bool> {
        let after = if after.is_empty() { 0 } else { number(after)? as u16 };
        self.inbound_after(id, after, |packet_id| {
            let place = || [id.0.to_be_bytes(), u64::from(packet_id.get()).to_be_bytes()].concat();
            walk.take(place, 0, Record::Inbound(Inbound { session: id, packet_id }))
        })
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
