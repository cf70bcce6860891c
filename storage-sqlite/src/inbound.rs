//! Packet ids of QoS 2 messages that came in.

use opifex_packet::PacketId;
use opifex_storage::{SessionId, StoreError};
use rusqlite::params;

use crate::checksum::{INBOUND, KeyOrder};
use crate::fault::{Result, corrupt, note_damage};
use crate::state::{State, int};

impl State<'_> {
    /// Answers whether it was not there.
    pub(crate) fn insert_inbound(&self, session: SessionId, id: PacketId) -> Result<bool> {
        let sql = "INSERT OR IGNORE INTO inbound (session, packet_id, checksum) VALUES (?1, ?2, ?3)";
        let is_new = self.write(&INBOUND, sql, &[int(session.0).into(), i64::from(id.get()).into()])? == 1;
        if is_new {
            self.change_session(session, |row| row.inbound_ids += 1)?;
        }
        Ok(is_new)
    }

    /// Answers whether it was there.
    pub(crate) fn remove_inbound(&self, session: SessionId, id: PacketId) -> Result<bool> {
        let sql = "DELETE FROM inbound WHERE session = ?1 AND packet_id = ?2";
        let removed = self.execute(sql, params![int(session.0), id.get()])?;
        self.count_fewer_inbound(session, removed)?;
        Ok(removed == 1)
    }

    /// Removes the first of a session. Answers how many.
    pub(crate) fn purge_inbound(&self, session: SessionId, limit: usize) -> Result<usize> {
        let sql = "DELETE FROM inbound WHERE session = ?1 AND packet_id IN \
                   (SELECT packet_id FROM inbound WHERE session = ?1 ORDER BY packet_id LIMIT ?2)";
        let removed = self.execute(sql, params![int(session.0), limit as i64])?;
        self.count_fewer_inbound(session, removed)?;
        Ok(removed)
    }

    fn count_fewer_inbound(&self, session: SessionId, fewer: usize) -> Result<()> {
        if fewer > 0 {
            self.change_session(session, |row| {
                row.inbound_ids = row.inbound_ids.saturating_sub(fewer as u64)
            })?;
        }
        Ok(())
    }

    /// The ids of a session behind `after`, ascending, as long as `take` wants more.
    pub(crate) fn inbound_after(
        &self,
        session: SessionId,
        after: u16,
        damaged: &mut Vec<StoreError>,
        mut take: impl FnMut(PacketId) -> bool,
    ) -> Result<bool> {
        let sql = "SELECT session, packet_id, checksum FROM inbound \
                   WHERE session >= ?1 ORDER BY session, packet_id";
        let mut statement = self.db()?.prepare_cached(sql)?;
        let mut rows = statement.query([int(session.0)])?;
        self.check_before(&INBOUND, &[int(session.0).into(), 0.into()], damaged)?;
        let (mut order, mut found) = (KeyOrder::default(), 0);
        while let Some(row) = rows.next()? {
            if INBOUND.is_behind(row, int(session.0))? {
                break;
            }
            if note_damage(order.follows(&INBOUND, row), damaged)?.is_none() {
                continue;
            }
            found += 1;
            // From the session's beginning each time: a damaged key can hide what a seek goes past.
            if row.get_ref(1)?.as_i64().is_ok_and(|id| id <= i64::from(after)) {
                continue;
            }
            let id = INBOUND.read(row, 0, || packet_id(row.get(1)?));
            if let Some(id) = note_damage(id, damaged)?
                && !take(id)
            {
                return Ok(false);
            }
        }
        // A session's row that is damaged itself is found by who reads it.
        let counted = note_damage(self.session(session, |row| row.inbound_ids), &mut Vec::new())?.flatten();
        damaged.extend(counted.and_then(|counted| INBOUND.hidden(session, found, counted)));
        Ok(true)
    }
}

/// A stored packet id.
pub(crate) fn packet_id(value: u16) -> Result<PacketId> {
    PacketId::new(value).ok_or_else(|| corrupt("packet id 0"))
}
