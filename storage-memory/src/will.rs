//! Wills: when they become due, and when they are cancelled.

use opifex_storage::{Epoch, SessionId, Timestamp};

use crate::due::DueKey;
use crate::state::State;

impl State {
    /// The connection of `epoch` was taken over and its session goes on: its will is cancelled while its delay runs,
    /// and is due when there is no delay. Answers whether it is due.
    pub(crate) fn take_over_will(&mut self, id: SessionId, epoch: Epoch, now: Timestamp) -> bool {
        let Some(will) = self.wills.get(&(id, epoch)) else { return false };
        match will.due_at {
            Some(at) if at <= now => true,
            None if will.will.delay_secs == 0 => {
                self.move_will(id, epoch, now);
                true
            }
            // [MQTT-3.1.3-9]: a new connection before the delay has passed, and the will is not sent.
            _ => {
                self.remove_will(id, epoch);
                false
            }
        }
    }

    /// The session ended: its wills wait no longer. Answers whether there is one.
    pub(crate) fn end_wills(&mut self, id: SessionId, now: Timestamp) -> bool {
        let epochs: Vec<Epoch> =
            self.wills.range((id, Epoch(0))..=(id, Epoch(u64::MAX))).map(|((_, epoch), _)| *epoch).collect();
        for &epoch in &epochs {
            if self.wills[&(id, epoch)].due_at.is_none_or(|at| at > now) {
                self.move_will(id, epoch, now);
            }
        }
        !epochs.is_empty()
    }

    /// The connection closed at `since`: the will is due after its delay, at the latest when the session ends.
    pub(crate) fn time_will(
        &mut self,
        id: SessionId,
        epoch: Epoch,
        since: Timestamp,
        session_ends: Option<Timestamp>,
    ) {
        let Some(will) = self.wills.get(&(id, epoch)) else { return };
        let after_delay = since.plus_secs(will.will.delay_secs);
        self.move_will(id, epoch, session_ends.map_or(after_delay, |end| end.min(after_delay)));
    }

    /// Removes a will. Answers whether it was there.
    pub(crate) fn remove_will(&mut self, id: SessionId, epoch: Epoch) -> bool {
        let Some(will) = self.wills.remove(&(id, epoch)) else { return false };
        if let Some(at) = will.due_at {
            self.due.remove(at, DueKey::Will(id, epoch));
        }
        true
    }

    fn move_will(&mut self, id: SessionId, epoch: Epoch, at: Timestamp) {
        let will = self.wills.get_mut(&(id, epoch)).expect("the caller found the will");
        if let Some(before) = will.due_at.replace(at) {
            self.due.remove(before, DueKey::Will(id, epoch));
        }
        self.due.insert(at, DueKey::Will(id, epoch));
    }
}
