//! Ends: of a connection, and whether another follows; of the client, when everybody is answered.

use std::future::poll_fn;
use std::sync::Arc;

use super::link::Link;
use super::timer::now;
use super::{Driver, Leaving, Waits};
use crate::handle::queue::Command;
use crate::handle::slots::{Answer, SlotId};
use crate::handle::status::Status;
use crate::machine::after;
use crate::reconnect::worth_another;
use crate::{Cause, Error};

impl Driver {
    /// The transport is gone.
    pub(super) fn lost(&mut self, link: Link) {
        self.machine.connection_lost();
        self.take_events(now());
        let unwritten = link.slots.into_iter().chain(self.unwritten.drain(..));
        self.answers.extend(unwritten.map(|slot| (slot, Err(Error::Lost))));
        self.answers.extend(self.reauthenticating.take().map(|slot| (slot, Err(Error::Lost))));
        self.answer();
    }

    /// Whether there is another attempt; waits for its time. If not, the client has ended.
    pub(super) async fn goes_on(&mut self, cause: Cause) -> bool {
        let left = self.leaving.as_ref().is_some_and(|leaving| leaving.farewell.is_some());
        let cause = Arc::new(if left { Cause::Asked } else { cause });
        self.tell(Status::Lost { cause: Arc::clone(&cause) });
        // One that lasted is a success, also without an acknowledgement, unless it owes one: a server may accept each and
        // never acknowledge what it is sent on them.
        let lasted = self.accepted.take().map(|since| now().saturating_duration_since(since));
        if lasted.is_some_and(|lasted| lasted > self.reconnect.longest_wait(self.attempt))
            && self.machine.pending().next().is_none()
        {
            self.attempt = 0;
        }
        let again = worth_another(&cause) && (self.was_connected || self.reconnect.from_the_start);
        let Some(wait) = again.then(|| self.reconnect.wait(self.attempt)).flatten() else {
            self.end(&cause);
            return false;
        };
        self.attempt = self.attempt.saturating_add(1);
        self.tell(Status::Waiting { attempt: self.attempt, wait });
        let until = after(now(), wait);
        let goes_on = poll_fn(|cx| self.poll_offline(cx, until)).await;
        if !goes_on {
            self.end(&Arc::new(Cause::Asked));
        }
        goes_on
    }

    pub(super) fn tell(&self, status: Status) {
        // Nobody has to listen.
        let _listeners = self.statuses.send(status);
    }

    pub(super) fn answer(&mut self) {
        self.shared.answer(&mut self.answers, &mut self.wakers);
    }

    /// Answers everybody, and takes no more.
    fn end(&mut self, cause: &Arc<Cause>) {
        self.backlog.extend(self.shared.end(Arc::clone(cause)));
        let over = || Err(Error::Ended(Arc::clone(cause)));
        let mut slots: Vec<SlotId> =
            std::mem::take(&mut self.backlog).into_iter().map(Command::into_slot).collect();
        slots.extend(self.deliveries.drain().filter_map(|(_, waits)| match waits {
            Waits::Publisher(slot) => Some(slot),
            Waits::Requester(_) => None,
        }));
        slots.append(&mut self.unwritten);
        let asks = std::mem::take(&mut self.asks);
        slots.extend(asks.waiting.into_iter().chain(asks.asked.into_values()).filter_map(|ask| ask.slot));
        slots.extend(self.responses.take().into_iter().flat_map(|mut responses| responses.take_all()));
        slots.extend(self.reauthenticating.take());
        slots.extend(self.connected.take());
        self.answers.extend(slots.into_iter().map(|slot| (slot, over())));
        if let Some(Leaving { slot: Some(slot), unfinished, .. }) = self.leaving.take() {
            let answer = match (&**cause, unfinished) {
                (Cause::Asked, 0) => Ok(Answer::Done),
                (Cause::Asked, unfinished) => Err(Error::Unfinished(unfinished)),
                _ => over(),
            };
            self.answers.push((slot, answer));
        }
        self.routes.end();
        self.answer();
        self.tell(Status::Ended { cause: Arc::clone(cause) });
    }
}

/// Also when the task is torn down with its runtime, nobody waits for ever.
impl Drop for Driver {
    fn drop(&mut self) {
        if self.shared.ended().is_none() {
            self.end(&Arc::new(Cause::Lost));
        }
    }
}
