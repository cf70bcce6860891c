//! Wills: when they become due, and when they are cancelled.

use opifex_storage::{Epoch, NewWill, SessionId, Timestamp, WillRecord};
use rusqlite::Row;

use crate::checksum::{Field, KeyOrder, WILLS};
use crate::fault::{Result, note_damage};
use crate::message::{Stored, read_message};
use crate::state::{State, int, optional_time, time, uint};
use crate::tally::Counted;

/// The columns that [`read_row`] reads, of `wills w`.
macro_rules! will_row_columns {
    () => {
        "w.session, w.epoch, w.message, w.retain, w.delay_secs, w.expiry_secs, w.due_at, w.checksum"
    };
}
pub(crate) use will_row_columns;

/// The columns that [`read_will`] reads, of `wills w LEFT JOIN messages m`.
macro_rules! will_columns {
    () => {
        concat!(crate::will::will_row_columns!(), ", ", crate::message::message_columns!())
    };
}
pub(crate) use will_columns;

/// A row of `wills`.
struct WillRow {
    session: SessionId,
    epoch: Epoch,
    message: i64,
    retain: bool,
    delay_secs: u32,
    expiry_secs: Option<u32>,
    due_at: Option<Timestamp>,
}

impl WillRow {
    fn fields(&self) -> [Field<'static>; 7] {
        [
            int(self.session.0).into(),
            int(self.epoch.0).into(),
            self.message.into(),
            i64::from(self.retain).into(),
            i64::from(self.delay_secs).into(),
            self.expiry_secs.map(i64::from).into(),
            self.due_at.map(time).into(),
        ]
    }
}

impl State<'_> {
    pub(crate) fn insert_will(&self, id: SessionId, epoch: Epoch, will: &NewWill) -> Result<()> {
        self.put_will(&WillRow {
            session: id,
            epoch,
            message: self.store_message(&will.message, 1, &mut Stored::default())?,
            retain: will.retain,
            delay_secs: will.delay_secs,
            expiry_secs: will.expiry_secs,
            due_at: None,
        })?;
        self.count_rows(Counted::Wills, 1, 0);
        Ok(())
    }

    /// The connection of `epoch` was taken over and its session goes on: its will is cancelled while its delay runs,
    /// and is due when there is no delay. Answers whether it is due.
    pub(crate) fn take_over_will(&self, id: SessionId, epoch: Epoch, now: Timestamp) -> Result<bool> {
        match self.will_row(id, epoch)? {
            None => Ok(false),
            Some(WillRow { due_at: Some(at), .. }) if at <= now => Ok(true),
            Some(will @ WillRow { due_at: None, delay_secs: 0, .. }) => {
                self.put_will(&WillRow { due_at: Some(now), ..will })?;
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
        let mut wills = Vec::new();
        {
            let sql = concat!("SELECT ", will_row_columns!(), " FROM wills w WHERE w.session = ?1");
            let mut statement = self.db()?.prepare_cached(sql)?;
            let mut rows = statement.query([int(id.0)])?;
            while let Some(row) = rows.next()? {
                // A damaged one is left to those who look for what is due.
                wills.extend(note_damage(read_row(row), &mut Vec::new())?);
            }
        }
        for will in &wills {
            if will.due_at.is_none_or(|at| at > now) {
                self.put_will(&WillRow { due_at: Some(now), ..*will })?;
            }
        }
        Ok(!wills.is_empty())
    }

    /// The connection closed at `since`: the will is due after its delay, at the latest when the session ends.
    pub(crate) fn time_will(
        &self,
        id: SessionId,
        epoch: Epoch,
        since: Timestamp,
        session_ends: Option<Timestamp>,
    ) -> Result<()> {
        let Some(will) = self.will_row(id, epoch)? else { return Ok(()) };
        let after_delay = since.plus_secs(will.delay_secs);
        let due_at = Some(session_ends.map_or(after_delay, |end| end.min(after_delay)));
        self.put_will(&WillRow { due_at, ..will })
    }

    /// Removes a will. Answers whether it was there.
    pub(crate) fn remove_will(&self, id: SessionId, epoch: Epoch) -> Result<bool> {
        let sql = "DELETE FROM wills WHERE session = ?1 AND epoch = ?2 \
                   RETURNING session, epoch, message, retain, delay_secs, expiry_secs, due_at, checksum";
        let Some(removed) = self.remove(sql, [int(id.0), int(epoch.0)], read_row)? else {
            return Ok(false);
        };
        self.count_rows(Counted::Wills, 0, 1);
        if let Some(will) = removed {
            self.release_message(will.message, 1)?;
        }
        Ok(true)
    }

    pub(crate) fn move_will(&self, id: SessionId, epoch: Epoch, at: Timestamp) -> Result<()> {
        if let Some(will) = self.will_row(id, epoch)? {
            self.put_will(&WillRow { due_at: Some(at), ..will })?;
        }
        Ok(())
    }

    /// Whether there is a will of this session and epoch that is due at `now`.
    pub(crate) fn will_is_due(&self, id: SessionId, epoch: Epoch, now: Timestamp) -> Result<bool> {
        Ok(self.will_row(id, epoch)?.and_then(|will| will.due_at).is_some_and(|at| at <= now))
    }

    fn will_row(&self, id: SessionId, epoch: Epoch) -> Result<Option<WillRow>> {
        let sql =
            concat!("SELECT ", will_row_columns!(), " FROM wills w WHERE w.session = ?1 AND w.epoch = ?2");
        self.record(sql, [int(id.0), int(epoch.0)], read_row)
    }

    fn put_will(&self, will: &WillRow) -> Result<()> {
        let sql = "INSERT OR REPLACE INTO wills \
                   (session, epoch, message, retain, delay_secs, expiry_secs, due_at, checksum) \
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
        self.write(&WILLS, sql, &will.fields())?;
        Ok(())
    }

    /// The wills behind a place, as long as `take` wants more.
    pub(crate) fn wills_after(
        &self,
        after: (SessionId, Epoch),
        mut take: impl FnMut(Result<WillRecord>) -> Result<bool>,
    ) -> Result<bool> {
        let sql = concat!(
            "SELECT ",
            will_columns!(),
            " FROM wills w LEFT JOIN messages m ON m.id = w.message \
              WHERE (w.session, w.epoch) > (?1, ?2) ORDER BY w.session, w.epoch"
        );
        let mut statement = self.db()?.prepare_cached(sql)?;
        let mut rows = statement.query([int(after.0.0), int(after.1.0)])?;
        let mut order = KeyOrder::default();
        while let Some(row) = rows.next()? {
            if !take(order.follows(&WILLS, row).and_then(|()| read_will(row)))? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

fn read_row(row: &Row<'_>) -> Result<WillRow> {
    WILLS.read(row, 0, || {
        Ok(WillRow {
            session: SessionId(uint(row, 0)?),
            epoch: Epoch(uint(row, 1)?),
            message: row.get(2)?,
            retain: row.get(3)?,
            delay_secs: row.get(4)?,
            expiry_secs: row.get(5)?,
            due_at: optional_time(row, 6)?,
        })
    })
}

/// The will of a row with the columns of [`will_columns`].
pub(crate) fn read_will(row: &Row<'_>) -> Result<WillRecord> {
    let will = read_row(row)?;
    let message = WILLS.read(row, 0, || read_message(row, 8, will.message))?;
    Ok(WillRecord {
        session: will.session,
        epoch: will.epoch,
        will: NewWill {
            message,
            retain: will.retain,
            delay_secs: will.delay_secs,
            expiry_secs: will.expiry_secs,
        },
        due_at: will.due_at,
    })
}
