//! Packet ids of QoS 2 messages that came in.

use opifex_packet::PacketId;
use opifex_storage::SessionId;
use rusqlite::params;

use crate::fault::{Result, corrupt};
use crate::state::{State, int};

impl State<'_> {
    /// Answers whether it was not there.
    pub(crate) fn insert_inbound(&self, session: SessionId, id: PacketId) -> Result<bool> {
        let sql = "INSERT OR IGNORE INTO inbound (session, packet_id) VALUES (?1, ?2)";
        Ok(self.execute(sql, params![int(session.0), id.get()])? == 1)
    }

    /// Answers whether it was there.
    pub(crate) fn remove_inbound(&self, session: SessionId, id: PacketId) -> Result<bool> {
        let sql = "DELETE FROM inbound WHERE session = ?1 AND packet_id = ?2";
        Ok(self.execute(sql, params![int(session.0), id.get()])? == 1)
    }

    /// Removes the first of a session. Answers how many.
    pub(crate) fn purge_inbound(&self, session: SessionId, limit: usize) -> Result<usize> {
        let sql = "DELETE FROM inbound WHERE session = ?1 AND packet_id IN \
                   (SELECT packet_id FROM inbound WHERE session = ?1 ORDER BY packet_id LIMIT ?2)";
        self.execute(sql, params![int(session.0), limit as i64])
    }

    /// The ids of a session behind `after`, ascending, as long as `take` wants more.
    pub(crate) fn inbound_after(
        &self,
        session: SessionId,
        after: u16,
        mut take: impl FnMut(PacketId) -> bool,
    ) -> Result<bool> {
        let sql = "SELECT packet_id FROM inbound WHERE session = ?1 AND packet_id > ?2 ORDER BY packet_id";
        let mut statement = self.db.prepare_cached(sql)?;
        let mut rows = statement.query(params![int(session.0), after])?;
        while let Some(row) = rows.next()? {
            let id = packet_id(row.get(0)?)?;
            if !take(id) {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// A stored packet id.
pub(crate) fn packet_id(value: u16) -> Result<PacketId> {
    PacketId::new(value).ok_or_else(|| corrupt("packet id 0"))
}
