//! What time brings, and what leaves: both are asked for by whoever has a clock and a transport.

use std::time::Instant;

use opifex_packet::Packet;

use super::awaited::Awaited;
use super::keep_alive::{Due, KeepAlive, earlier};
use super::{Link, Machine};
use crate::store::SessionStore;
use crate::{Cause, Event};

impl<S: SessionStore> Machine<S> {
    /// When [`tick`](Machine::tick) is to be called at the latest.
    pub fn deadline(&self) -> Option<Instant> {
        match self.link {
            Link::Connecting { deadline } => Some(deadline),
            Link::Connected => {
                let timeout = self.options.response_timeout;
                let requests = self.requests.values().filter_map(|request| request.answer.deadline(timeout));
                let keep_alive = self.keep_alive.as_ref().and_then(KeepAlive::deadline);
                let acks = self.acks_awaited.deadline(self.options.ack_timeout);
                let auth = self.auth_awaited.deadline(timeout);
                earlier(earlier(keep_alive, acks), earlier(auth, requests.min()))
            }
            Link::Idle | Link::Closing => None,
        }
    }

    /// Time has passed.
    pub fn tick(&mut self, now: Instant) {
        match self.link {
            Link::Connecting { deadline } if deadline <= now => self.fail(Cause::Timeout("CONNACK")),
            Link::Connected => match self.due(now) {
                Due::Nothing => {}
                Due::Unanswered(what) => self.fail(Cause::Timeout(what)),
                // 3.1.1 [MQTT-3.1.2-23], 5.0 [MQTT-3.1.2-20]
                Due::Ping => {
                    self.send(&Packet::Pingreq);
                    if let Some(keep_alive) = &mut self.keep_alive {
                        keep_alive.asked(now);
                    }
                }
                // 3.1.2.10
                Due::Dead => self.fail(Cause::Timeout("PINGRESP")),
            },
            Link::Connecting { .. } | Link::Idle | Link::Closing => {}
        }
    }

    fn due(&self, now: Instant) -> Due {
        let timeout = self.options.response_timeout;
        if self.acks_awaited.is_over(self.options.ack_timeout, now) {
            return Due::Unanswered("acknowledgement");
        }
        if self.auth_awaited.is_over(timeout, now) {
            return Due::Unanswered("AUTH");
        }
        let mut requests = self.requests.values();
        if let Some(request) = requests.find(|request| request.answer.is_over(timeout, now)) {
            return Due::Unanswered(request.answered_by());
        }
        self.keep_alive.as_ref().map_or(Due::Nothing, |keep_alive| keep_alive.due(now))
    }

    /// Appends what is to be written now; false when there is nothing. All that it tells of is in the store by then, and
    /// so is all that was published, also without a connection. What could not be stored is tried again with each call.
    pub fn poll_transmit(&mut self, now: Instant, into: &mut Vec<u8>) -> bool {
        self.pump();
        match self.store.flush() {
            Ok(()) => self.unstored = false,
            Err(error) => {
                // Nothing leaves that rests on what is not stored; without a word the server keeps the session and the
                // will.
                if matches!(self.link, Link::Connecting { .. } | Link::Connected) {
                    self.close(Cause::Store(error));
                } else if !self.unstored {
                    self.events.push_back(Event::StoreFailed { error });
                }
                self.unstored = true;
                self.out.clear();
            }
        }
        if self.link == Link::Connected {
            if self.acks_awaited == Awaited::Nothing && self.outgoing.in_flight() > 0 {
                self.acks_awaited = Awaited::Soon;
            }
            self.acks_awaited.sent(now);
            self.requests.values_mut().for_each(|request| request.answer.sent(now));
        }
        self.auth_awaited.sent(now);
        if self.out.is_empty() {
            return false;
        }
        into.append(&mut self.out);
        if let Some(keep_alive) = &mut self.keep_alive {
            keep_alive.sent(now);
        }
        true
    }
}
