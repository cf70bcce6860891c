//! Wills: when they become due, and when they are cancelled.

use opifex_storage::{Epoch, NewWill, SessionId, Timestamp, WillRecord};
use rusqlite::{Row, params};

use crate::fault::Result;
use crate::message::{Stored, read_message};
use crate::state::{State, int, optional_time, time, uint};

/// The columns that [`read_will`] reads, of `wills w JOIN messages m`.
macro_rules! will_columns {
    () => {
        concat!(
            "w.session, w.epoch, w.retain, w.delay_secs, w.expiry_secs, w.due_at, ",
            crate::message::message_columns!()
        )
    };
}
pub(crate) use will_columns;

impl State<'_> {
    pub(crate) fn insert_will(&self, id: SessionId, epoch: Epoch, will: &NewWill) -> Result<()> {
        let message = self.store_message(&will.message, 1, &mut Stored::default())?;
        let sql = "INSERT INTO wills (session, epoch, message, retain, delay_secs, expiry_secs) \
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
        let key = (int(id.0), int(epoch.0));
        self.execute(sql, params![key.0, key.1, message, will.retain, will.delay_secs, will.expiry_secs])?;
        Ok(())
    }

    /// The connection of `epoch` was taken over and its session goes on: its will is cancelled while its delay runs,
    /// and is due when there is no delay. Answers whether it is due.
    pub(crate) fn take_over_will(&self, id: SessionId, epoch: Epoch, now: Timestamp) -> Result<bool> {
        let sql = "SELECT due_at, delay_secs FROM wills WHERE session = ?1 AND epoch = ?2";
        let will = self.find(sql, [int(id.0), int(epoch.0)], |row| {
            Ok((optional_time(row, 0)?, row.get::<_, u32>(1)?))
        })?;
        match will {
            None => Ok(false),
            Some((Some(at), _)) if at <= now => Ok(true),
            Some((None, 0)) => {
                self.move_will(id, epoch, now)?;
                Ok(true)
            }
            // [MQTT-3.1.3-9]: a new connection before the delay has passed, and the will is not sent.
            Some(_) => {
                self.remove_will(id, epoch)?;
                Ok(false)
            }
        }
    }

    /// The session ended: its wills wait no longer. Answers whether there is one.
    pub(crate) fn end_wills(&self, id: SessionId, now: Timestamp) -> Result<bool> {
        let sql = "UPDATE wills SET due_at = ?2 WHERE session = ?1 AND (due_at IS NULL OR due_at > ?2)";
        self.execute(sql, [int(id.0), time(now)])?;
        self.exists("SELECT 1 FROM wills WHERE session = ?1", [int(id.0)])
    }

    /// The connection closed at `since`: the will is due after its delay, at the latest when the session ends.
    pub(crate) fn time_will(
        &self,
        id: SessionId,
        epoch: Epoch,
        since: Timestamp,
        session_ends: Option<Timestamp>,
    ) -> Result<()> {
        let sql = "SELECT delay_secs FROM wills WHERE session = ?1 AND epoch = ?2";
        let delay = self.find(sql, [int(id.0), int(epoch.0)], |row| row.get(0))?;
        let Some(delay) = delay else { return Ok(()) };
        let after_delay = since.plus_secs(delay);
        self.move_will(id, epoch, session_ends.map_or(after_delay, |end| end.min(after_delay)))
    }

    /// Removes a will. Answers whether it was there.
    pub(crate) fn remove_will(&self, id: SessionId, epoch: Epoch) -> Result<bool> {
        let sql = "DELETE FROM wills WHERE session = ?1 AND epoch = ?2 RETURNING message";
        let Some(message) = self.remove(sql, [int(id.0), int(epoch.0)], |row| row.get(0))? else {
            return Ok(false);
        };
        self.release_message(message, 1)?;
        Ok(true)
    }

    pub(crate) fn move_will(&self, id: SessionId, epoch: Epoch, at: Timestamp) -> Result<()> {
        let sql = "UPDATE wills SET due_at = ?3 WHERE session = ?1 AND epoch = ?2";
        self.execute(sql, [int(id.0), int(epoch.0), time(at)])?;
        Ok(())
    }

    /// The wills behind a place, as long as `take` wants more.
    pub(crate) fn wills_after(
        &self,
        after: (SessionId, Epoch),
        mut take: impl FnMut(WillRecord) -> bool,
    ) -> Result<bool> {
        let sql = concat!(
            "SELECT ",
            will_columns!(),
            " FROM wills w JOIN messages m ON m.id = w.message \
              WHERE (w.session, w.epoch) > (?1, ?2) ORDER BY w.session, w.epoch"
        );
        let mut statement = self.db.prepare_cached(sql)?;
        let mut rows = statement.query([int(after.0.0), int(after.1.0)])?;
        while let Some(row) = rows.next()? {
            if !take(read_will(row)?) {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// The will of a row with the columns of [`will_columns`].
pub(crate) fn read_will(row: &Row<'_>) -> Result<WillRecord> {
    Ok(WillRecord {
        session: SessionId(uint(row, 0)?),
        epoch: Epoch(uint(row, 1)?),
        will: NewWill {
            message: read_message(row, 6)?,
            retain: row.get(2)?,
            delay_secs: row.get(3)?,
            expiry_secs: row.get(4)?,
        },
        due_at: optional_time(row, 5)?,
    })
}
