//! Everything on its way to one session: what waits, what is in flight, and the connection's write side. One lock
//! (the session's) guards all of it; nothing here awaits, and only `flush` touches a transport.

mod acks;
mod durable;
mod link;
mod run;
mod send;

pub(crate) use durable::{DurableQueue, OwnerWork};
pub(crate) use link::{Command, Link, OutgoingAliases};
pub(crate) use run::{EncodedRun, Item};
pub(crate) use send::SHARE_PAYLOAD_FROM_BYTES;

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::task::Context;

use opifex_connection::Flush;
use opifex_storage::{FullPolicy, Timestamp};

use crate::access::Identity;
use crate::inflight::Inflight;
use crate::limits::Limits;
use crate::pending::Pending;
use crate::stats::{DropCause, Tally};

/// The way to one session.
#[derive(Default)]
pub(crate) struct Outbox {
    /// The connection, while there is one.
    pub(crate) link: Option<Link>,
    /// QoS 1 and 2 messages that wait for the in-flight window or for room in the outlet, in order.
    queue: VecDeque<Pending>,
    queue_bytes: usize,
    inflight: Inflight,
    /// Present for a durable session.
    durable: Option<Box<DurableQueue>>,
    /// Present while retained messages are being replayed to this session.
    replay: Option<Box<ReplayGuard>>,
    /// Who the client was when it was last connected.
    last_identity: Option<Arc<Identity>>,
}

/// What the outbox needs to know of its surroundings for one step.
pub(crate) struct Step<'a> {
    pub(crate) limits: &'a Limits,
    pub(crate) now: Timestamp,
    pub(crate) tally: &'a mut Tally,
}

/// Topics that got a new retained message while older ones are being replayed: the replay leaves them out, so that an
/// older value never comes after a newer one.
#[derive(Default)]
struct ReplayGuard {
    topics: HashSet<Box<str>>,
    overflown: bool,
}

/// The replay guard's limit; beyond it the page is read again.
const REPLAY_TOPICS: usize = 4_096;

impl Outbox {
    pub(crate) fn for_durable(queue: DurableQueue) -> Outbox {
        Outbox { durable: Some(Box::new(queue)), ..Outbox::default() }
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.link.is_some()
    }

    /// Whether one more QoS 1 or 2 message may be sent now.
    fn has_room(&self, limits: &Limits) -> bool {
        self.link.as_ref().is_some_and(|link| {
            link.outstanding < link.window && link.outlet.queued_bytes() < limits.max_outbox_bytes
        })
    }

    /// Whether something that waits could be sent: its owner is to be woken.
    pub(crate) fn wants_owner(&self, limits: &Limits) -> bool {
        (!self.queue.is_empty() && self.has_room(limits))
            || self.durable.as_ref().is_some_and(|durable| durable.has_owner_work())
    }

    /// Messages that wait here.
    pub(crate) fn queue_len(&self) -> usize {
        self.queue.len()
    }

    /// Bytes that wait for the transport.
    pub(crate) fn outlet_bytes(&self) -> usize {
        self.link.as_ref().map_or(0, |link| link.outlet.queued_bytes())
    }

    /// Queues a message for a session that is not durable, within its limits.
    pub(crate) fn enqueue(&mut self, pending: Pending, step: &mut Step<'_>) {
        let size = pending.size_bytes();
        let limits = step.limits;
        while self.queue.len() as u64 >= limits.max_queued_messages
            || (self.queue_bytes + size) as u64 > limits.max_queued_bytes
        {
            step.tally.drop(DropCause::QueueFull);
            match limits.queue_full {
                FullPolicy::DropNewest => return,
                FullPolicy::DropOldest => match self.pop() {
                    Some(_) => {}
                    None => return,
                },
            }
        }
        self.push(pending);
    }

    fn push(&mut self, pending: Pending) {
        self.queue_bytes += pending.size_bytes();
        self.queue.push_back(pending);
    }

    fn pop(&mut self) -> Option<Pending> {
        let pending = self.queue.pop_front()?;
        self.queue_bytes -= pending.size_bytes();
        if self.queue.is_empty() && self.queue.capacity() > 64 {
            self.queue = VecDeque::new();
        }
        Some(pending)
    }

    /// Sends what waits, as far as window and outlet allow.
    pub(crate) fn pump(&mut self, step: &mut Step<'_>) {
        while self.has_room(step.limits) {
            let Some(pending) = self.pop() else { return };
            if let Err(pending) = self.send(pending, step) {
                self.queue_bytes += pending.size_bytes();
                self.queue.push_front(pending);
                return;
            }
        }
    }

    /// Writes what waits for the transport, by whoever holds the lock.
    pub(crate) fn flush(&mut self) -> Flush {
        match &mut self.link {
            Some(link) => link.outlet.flush(),
            None => Flush::Drained,
        }
    }

    /// The same by the owner, who alone may take up a transport that was not ready.
    pub(crate) fn flush_as_owner(&mut self, cx: &mut Context<'_>) -> Flush {
        match &mut self.link {
            Some(link) => link.outlet.flush_as_owner(cx),
            None => Flush::Drained,
        }
    }

    /// Takes the connection away. A durable session keeps its ids for the resend; another one is over, and what it
    /// had of shared subscriptions is handed back, to go to other members.
    pub(crate) fn detach(&mut self) -> (Option<Link>, Vec<Pending>) {
        let link = self.link.take();
        self.last_identity = link.as_ref().map(|link| link.identity.clone());
        self.replay = None;
        let queue = std::mem::take(&mut self.queue);
        self.queue_bytes = 0;
        if let Some(durable) = &mut self.durable {
            durable.detach(&mut self.inflight);
            return (link, Vec::new());
        }
        let inflight = std::mem::take(&mut self.inflight);
        let sent =
            inflight.iter().filter_map(|(_, entry)| entry.shared.as_deref().cloned()).filter(|pending| {
                // A QoS 2 message that had a packet id may have arrived.
                pending.qos == opifex_packet::QoS::AtLeastOnce
            });
        let orphans = sent.chain(queue.into_iter().filter(|pending| pending.share.is_some())).collect();
        (link, orphans)
    }

    /// Who the client is: of the connection, or of the last one; `None`: it was never connected to this process.
    pub(crate) fn identity(&self) -> Option<Arc<Identity>> {
        self.link.as_ref().map(|link| link.identity.clone()).or_else(|| self.last_identity.clone())
    }

    pub(crate) fn begin_replay(&mut self) {
        self.replay = Some(Box::default());
    }

    /// Starts watching for retained messages that change while the next page is read.
    pub(crate) fn watch_replay_page(&mut self) {
        if let Some(replay) = &mut self.replay {
            replay.topics.clear();
            replay.overflown = false;
        }
    }

    /// Whether too much changed while the page was read: it must be read again.
    pub(crate) fn replay_overflown(&self) -> bool {
        self.replay.as_ref().is_some_and(|replay| replay.overflown)
    }

    /// Whether a newer retained message of this topic was delivered since the page was read.
    pub(crate) fn replay_outdated(&self, topic: &str) -> bool {
        self.replay.as_ref().is_some_and(|replay| replay.topics.contains(topic))
    }

    pub(crate) fn end_replay(&mut self) {
        self.replay = None;
    }

    /// A message that is also its topic's retained one is being delivered.
    pub(crate) fn note_retained(&mut self, topic: &str) {
        if let Some(replay) = &mut self.replay {
            if replay.topics.len() < REPLAY_TOPICS {
                replay.topics.insert(topic.into());
            } else {
                replay.overflown = true;
            }
        }
    }
}
