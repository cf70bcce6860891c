//! A disconnect that was asked for, or that follows when nobody holds the client any more: what it waits for, and its
//! last word. What becomes of those who wait then is in `ending.rs`.

use std::time::Instant;

use opifex_packet::{Properties, ReasonCode};

use super::link::Link;
use super::{Driver, FAREWELL};
use crate::Refusal;
use crate::handle::PATIENCE;
use crate::handle::slots::SlotId;
use crate::machine::after;

/// An end that is wanted.
pub(super) struct Leaving {
    reason: ReasonCode,
    properties: Properties<'static>,
    /// Until then what is under way may come to its end; `None` behind it.
    deadline: Option<Instant>,
    pub(super) slot: Option<SlotId>,
    /// DISCONNECT is said: so long it may take to be written.
    pub(super) farewell: Option<Instant>,
    /// What was not at its end then.
    pub(super) unfinished: usize,
}

impl Leaving {
    /// Somebody has asked for it, and waits.
    pub(super) fn asked(
        reason: ReasonCode,
        properties: Properties<'static>,
        deadline: Instant,
        slot: SlotId,
    ) -> Self {
        let (deadline, slot) = (Some(deadline), Some(slot));
        Leaving { reason, properties, deadline, slot, farewell: None, unfinished: 0 }
    }

    /// Nobody holds the client, or waits for acknowledgements; what was accepted is written.
    pub(super) fn unasked(now: Instant) -> Self {
        Leaving {
            reason: ReasonCode::NORMAL_DISCONNECTION,
            properties: Properties::new(),
            deadline: Some(after(now, PATIENCE)),
            slot: None,
            farewell: None,
            unfinished: 0,
        }
    }

    /// When it is to be looked at; after the farewell it has been.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.deadline.filter(|_| self.farewell.is_none())
    }
}

impl Driver {
    pub(super) fn leave(&mut self, leaving: Leaving) {
        if self.leaving.as_ref().is_some_and(|known| known.slot.is_some()) {
            let refused = Refusal::forbidden("MQTT5 3.14.4", "the client is disconnecting already");
            self.answers.extend(leaving.slot.map(|slot| (slot, Err(refused.into()))));
            return;
        }
        self.leaving = Some(leaving);
    }

    /// Says DISCONNECT when it is time. Without a connection: whether the client is to end.
    pub(super) fn leave_when_done(&mut self, now: Instant, link: Option<&Link>) -> bool {
        let Some(leaving) = &mut self.leaving else { return false };
        if leaving.farewell.is_some() {
            return false;
        }
        // It is looked at once: what has to be written behind it has deadlines of its own.
        leaving.deadline.take_if(|deadline| *deadline <= now);
        let unacknowledged = if leaving.slot.is_some() { self.deliveries.len() } else { 0 };
        let unfinished = unacknowledged + self.backlog.len() + self.shared.publishes();
        let unwritten = link.is_some() && !self.unwritten.is_empty();
        let waits =
            (unfinished > 0 && leaving.deadline.is_some()) || (unwritten && !self.machine.is_connected());
        if waits {
            return false;
        }
        let properties = std::mem::take(&mut leaving.properties);
        match self.machine.disconnect(leaving.reason, properties) {
            Ok(()) => {}
            Err(Refusal::NotConnected) if link.is_none() => {}
            // In front of CONNACK nothing can be said.
            Err(Refusal::NotConnected) => self.machine.connection_lost(),
            Err(refusal) => {
                let slot = leaving.slot;
                self.leaving = None;
                self.answers.extend(slot.map(|slot| (slot, Err(refusal.into()))));
                return false;
            }
        }
        leaving.farewell = Some(after(now, FAREWELL));
        leaving.unfinished = unfinished;
        true
    }
}
