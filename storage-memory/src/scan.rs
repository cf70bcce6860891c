//! Walks over all records of one kind, and what all walks have in common: cursors and the work that a page may do.

use opifex_packet::PacketId;
use opifex_storage::{
    Cursor, Epoch, ErrorKind, Inbound, Page, PageLimit, Record, RecordKind, Result, Seq, SessionId,
    StoreError,
};

use crate::session::Contents;
use crate::state::State;

/// A page looks at no more nodes than this, whatever it finds, so that nobody waits long for the lock.
pub(crate) const MAX_EXAMINED: usize = 1024;

/// Whether a page with so many items and bytes takes no more.
pub(crate) fn is_full(items: usize, bytes: usize, limit: &PageLimit) -> bool {
    items >= limit.items.max(1) || (items > 0 && bytes >= limit.bytes)
}

/// What is answered to a cursor that this store did not make.
pub(crate) fn bad_cursor() -> StoreError {
    StoreError::not_applied(ErrorKind::Unsupported, "the cursor is not one of this store and walk")
}

impl State {
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
            RecordKind::Subscription => self.scan_contents(after, &mut walk, subscriptions)?,
            RecordKind::Queued => self.scan_contents(after, &mut walk, queued)?,
            RecordKind::Inbound => self.scan_contents(after, &mut walk, inbound)?,
            RecordKind::Retained => self.scan_retained(after, &mut walk)?,
            RecordKind::Will => self.scan_wills(after, &mut walk)?,
            RecordKind::Ended => self.scan_ended(after, &mut walk)?,
        }
        Ok(walk.page)
    }

    fn scan_sessions(&self, after: Option<&[u8]>, walk: &mut Walk) -> Result<()> {
        let first = after.map(number).transpose()?.map_or(0, |id| id.saturating_add(1));
        for id in self.session_order.range(SessionId(first)..) {
            if !walk.take(
                || id.0.to_be_bytes().to_vec(),
                0,
                || Record::Session(self.sessions[id].record(*id)),
            ) {
                break;
            }
        }
        Ok(())
    }

    fn scan_ended(&self, after: Option<&[u8]>, walk: &mut Walk) -> Result<()> {
        let first = after.map(number).transpose()?.map_or(0, |id| id.saturating_add(1));
        for (id, ended) in self.ended.range(SessionId(first)..) {
            let record = || Record::Ended(ended.session.record(*id), ended.at);
            if !walk.take(|| id.0.to_be_bytes().to_vec(), 0, record) {
                break;
            }
        }
        Ok(())
    }

    fn scan_retained(&self, after: Option<&[u8]>, walk: &mut Walk) -> Result<()> {
        let after = after.map(std::str::from_utf8).transpose().map_err(|_| bad_cursor())?;
        for (key, retained) in self.retained.after(after) {
            let size = retained.message.size_bytes();
            if !walk.take(|| key.as_bytes().to_vec(), size, || Record::Retained(retained)) {
                break;
            }
        }
        Ok(())
    }

    fn scan_wills(&self, after: Option<&[u8]>, walk: &mut Walk) -> Result<()> {
        let after = match after.map(<[u8]>::split_first_chunk::<8>) {
            None => (SessionId(0), Epoch(0)),
            Some(None) => return Err(bad_cursor()),
            Some(Some((id, epoch))) => (SessionId(u64::from_be_bytes(*id)), Epoch(number(epoch)?)),
        };
        use std::ops::Bound::{Excluded, Unbounded};
        for ((id, epoch), will) in self.wills.range((Excluded(after), Unbounded)) {
            let place = || [id.0.to_be_bytes(), epoch.0.to_be_bytes()].concat();
            if !walk.take(place, will.will.message.size_bytes(), || Record::Will(will.clone())) {
                break;
            }
        }
        Ok(())
    }

    /// Walks what hangs on sessions, session after session. A cursor is a session's id and a place in that session;
    /// without one, at its beginning.
    fn scan_contents(
        &self,
        after: Option<&[u8]>,
        walk: &mut Walk,
        records: impl Fn(SessionId, &Contents, Option<&[u8]>, &mut Walk) -> Result<bool>,
    ) -> Result<()> {
        let (first, mut place) = match after.map(<[u8]>::split_first_chunk::<8>) {
            None => (SessionId(0), None),
            Some(None) => return Err(bad_cursor()),
            Some(Some((id, place))) => {
                (SessionId(u64::from_be_bytes(*id)), Some(place).filter(|p| !p.is_empty()))
            }
        };
        for id in self.session_order.range(first..) {
            if !walk.look_at_session(*id) {
                break;
            }
            let within = place.take().filter(|_| *id == first);
            if !records(*id, &self.sessions[id].contents, within, walk)? {
                break;
            }
        }
        Ok(())
    }
}

fn subscriptions(id: SessionId, contents: &Contents, after: Option<&[u8]>, walk: &mut Walk) -> Result<bool> {
    let after = after.map(std::str::from_utf8).transpose().map_err(|_| bad_cursor())?;
    let mut records = contents.subscriptions.after(after);
    Ok(records.all(|record| {
        let filter = record.filter.clone();
        let place = || [&id.0.to_be_bytes()[..], filter.as_str().as_bytes()].concat();
        walk.take(place, 0, || Record::Subscription(id, record))
    }))
}

fn queued(id: SessionId, contents: &Contents, after: Option<&[u8]>, walk: &mut Walk) -> Result<bool> {
    let after = Seq(after.map(number).transpose()?.unwrap_or(0));
    Ok(contents.queue.after(after).all(|entry| {
        let seq = entry.seq.0;
        let place = || [id.0.to_be_bytes(), seq.to_be_bytes()].concat();
        let size = entry.message.as_ref().map_or(0, |message| message.size_bytes());
        walk.take(place, size, || Record::Queued(id, entry))
    }))
}

fn inbound(id: SessionId, contents: &Contents, after: Option<&[u8]>, walk: &mut Walk) -> Result<bool> {
    let after = after.map(number).transpose()?.and_then(|id| PacketId::new(id as u16));
    Ok(contents.inbound.after(after).all(|packet_id| {
        let place = || [id.0.to_be_bytes(), u64::from(packet_id.get()).to_be_bytes()].concat();
        walk.take(place, 0, || Record::Inbound(Inbound { session: id, packet_id }))
    }))
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
    fn take(
        &mut self,
        place: impl FnOnce() -> Vec<u8>,
        bytes: usize,
        record: impl FnOnce() -> Record,
    ) -> bool {
        self.page.items.push(record());
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
