//! Wills: when they become due, and when they are cancelled.
//!
//! A damaged one holds up neither the session nor its end: it stays where it is, and a scan names it.

use crate::encoding::{DueRow, key, key::DueKey};
use crate::kv_persistence::rows::{Found, Rows};
use crate::kv_persistence::transaction::Transaction;
use crate::{Epoch, KvSnapshot, RecordVersion, Result, SessionId, Timestamp, WillRecord};

impl<S: KvSnapshot> Transaction<'_, S> {
    /// The connection of `epoch` was taken over and its session goes on: its will is cancelled while its delay runs,
    /// and is due when there is no delay. Answers whether it is due.
    pub(super) fn take_over_will(&mut self, id: SessionId, epoch: Epoch, now: Timestamp) -> Result<bool> {
        let Found::Whole(will) = self.look::<WillRecord>(&key::will(id, epoch))? else { return Ok(false) };
        match will.due_at {
            Some(at) if at <= now => Ok(true),
            None if will.will.delay_secs == 0 => {
                self.move_will(will, now)?;
                Ok(true)
            }
            // [MQTT-3.1.3-9]: a new connection before the delay has passed, and the will is not sent.
            _ => {
                self.remove_will(id, epoch)?;
                Ok(false)
            }
        }
    }

    /// The session ended: its wills wait no longer. Answers whether there is one.
    pub(super) fn end_wills(&mut self, id: SessionId, now: Timestamp) -> Result<bool> {
        let keys = self.keys(&key::of_session(key::kind::WILL, id), usize::MAX)?;
        for key in &keys {
            let Found::Whole(will) = self.look::<WillRecord>(key)? else { continue };
            if will.due_at.is_none_or(|at| at > now) {
                self.move_will(will, now)?;
            }
        }
        Ok(!keys.is_empty())
    }

    /// The connection closed at `since`: the will is due after its delay, at the latest when the session ends.
    pub(super) fn time_will(
        &mut self,
        id: SessionId,
        epoch: Epoch,
        since: Timestamp,
        session_ends: Option<Timestamp>,
    ) -> Result<()> {
        let Found::Whole(will) = self.look::<WillRecord>(&key::will(id, epoch))? else { return Ok(()) };
        let after_delay = since.plus_secs(will.will.delay_secs);
        self.move_will(will, session_ends.map_or(after_delay, |end| end.min(after_delay)))
    }

    /// Removes a will. Answers whether it was there.
    pub(super) fn remove_will(&mut self, id: SessionId, epoch: Epoch) -> Result<bool> {
        let key = key::will(id, epoch);
        match self.look::<WillRecord>(&key)? {
            Found::Absent => return Ok(false),
            Found::Whole(WillRecord { due_at: Some(at), .. }) => {
                self.remove_or_leave(key::due(at, &DueKey::Will(id, epoch)))?;
            }
            Found::Whole(_) | Found::Damaged(_) => {}
        }
        self.remove(key);
        Ok(true)
    }

    fn move_will(&mut self, mut will: WillRecord, at: Timestamp) -> Result<()> {
        let item = DueKey::Will(will.session, will.epoch);
        if let Some(before) = will.due_at.replace(at) {
            self.remove_or_leave(key::due(before, &item))?;
        }
        self.put(key::due(at, &item), &DueRow { version: RecordVersion(will.epoch.0) });
        self.put(key::will(will.session, will.epoch), &will);
        Ok(())
    }
}
