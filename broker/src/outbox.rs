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
use opifex_packet::QoS;
use opifex_storage::{FullPolicy, Timestamp};

use crate::access::Identity;
use crate::inflight::{Inflight, Stage};
use crate::limits::Limits;
use crate::pending::{Orphan, Pending};
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

/// Sees to it that a replay of retained messages leaves out those whose topic got a newer one meanwhile, so that an
/// older value never comes after a newer one.
enum ReplayGuard {
    /// A page is being read: topics that got a new message since.
    Reading { changed: HashSet<Box<str>>, overflown: bool, limit: usize },
    /// The page is being sent: its topics that got none.
    Sending { current: HashSet<Box<str>> },
}

/// The guard's limit while a page is read for the first time; beyond it the page is read again, with a higher one.
const REPLAY_TOPICS: usize = 4_096;

impl Outbox {
    pub(crate) fn for_durable(queue: DurableQueue) -> Outbox {
        Outbox { durable: Some(Box::new(queue)), ..Outbox::default() }
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.link.is_some()
    }

    /// Whether one more QoS 1 or 2 message may be sent now. What can wait fills half of the outbox: a full one stops the
    /// reading of the client's acknowledgements, and a long queue would keep it full.
    fn has_room(&self, limits: &Limits) -> bool {
        let assigned = self.durable.as_ref().map_or(0, |durable| durable.assigned_bytes());
        self.link.as_ref().is_some_and(|link| {
            link.outstanding < link.window
                && link.outlet.queued_bytes() + assigned < limits.max_outbox_bytes / 2
        })
    }

    /// Whether something that waits could be sent: its owner is to be woken.
    pub(crate) fn wants_owner(&self, limits: &Limits) -> bool {
        (!self.queue.is_empty() && self.has_room(limits))
            || self.durable.as_ref().is_some_and(|durable| durable.has_owner_work(self.queue.len()))
    }

    /// Bytes that wait for the transport.
    pub(crate) fn outlet_bytes(&self) -> usize {
        self.link.as_ref().map_or(0, |link| link.outlet.queued_bytes())
    }

    /// Sends a message to a session that is not durable, or lets it wait, within the session's limits.
    pub(crate) fn send_or_enqueue(&mut self, pending: Pending, step: &mut Step<'_>) {
        if !self.queue.is_empty() || !self.has_room(step.limits) {
            self.enqueue(pending, step);
            self.pump(step);
        } else if let Err(pending) = self.send(pending, step) {
            self.enqueue(pending, step);
        }
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
    pub(crate) fn detach(&mut self) -> (Option<Link>, Vec<Orphan>) {
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
        // A QoS 2 message that had a packet id may have arrived.
        let sent = inflight.iter().filter(|(_, entry)| entry.stage == Stage::Puback);
        let orphans = sent
            .filter_map(|(_, entry)| entry.shared.clone())
            .chain(queue.iter().filter_map(Pending::orphan))
            .collect();
        (link, orphans)
    }

    /// Who the client is: of the connection, or of the last one; `None`: it was never connected to this process.
    pub(crate) fn identity(&self) -> Option<Arc<Identity>> {
        self.link.as_ref().map(|link| link.identity.clone()).or_else(|| self.last_identity.clone())
    }

    /// Watches for retained messages that change from now on, while a page of them is read, for the so manieth time.
    pub(crate) fn read_replay_page(&mut self, tries: u32) {
        let limit = REPLAY_TOPICS << (2 * tries);
        self.replay =
            Some(Box::new(ReplayGuard::Reading { changed: HashSet::new(), overflown: false, limit }));
    }

    /// The page was read: watches on for these topics of it, as long as they are being sent. `false`: too much has
    /// changed meanwhile, the page must be read again.
    pub(crate) fn send_replay_page<'t>(&mut self, topics: impl Iterator<Item = &'t str>) -> bool {
        let Some(ReplayGuard::Reading { changed, overflown, .. }) = self.replay.as_deref() else {
            return true;
        };
        if *overflown {
            return false;
        }
        let current = topics.filter(|topic| !changed.contains(*topic)).map(Box::from).collect();
        self.replay = Some(Box::new(ReplayGuard::Sending { current }));
        true
    }

    /// Whether the page's message of this topic is still the newest.
    pub(crate) fn is_replay_current(&self, topic: &str) -> bool {
        match self.replay.as_deref() {
            Some(ReplayGuard::Sending { current }) => current.contains(topic),
            _ => false,
        }
    }

    pub(crate) fn end_replay(&mut self) {
        self.replay = None;
    }

    /// A message that is also its topic's retained one is being delivered.
    pub(crate) fn note_retained(&mut self, topic: &str) {
        match self.replay.as_deref_mut() {
            Some(ReplayGuard::Reading { changed, limit, .. }) if changed.len() < *limit => {
                changed.insert(topic.into());
            }
            Some(ReplayGuard::Reading { overflown, .. }) => *overflown = true,
            Some(ReplayGuard::Sending { current }) => {
                current.remove(topic);
            }
            None => {}
        }
    }

    /// Whether a message of this size, sent apart from all others, would go out, or (at QoS 1 and 2) into the queue,
    /// within the limits. One that is larger than them waits for nothing.
    pub(crate) fn takes(&self, qos: QoS, size_bytes: usize, limits: &Limits) -> bool {
        if !self.is_connected() {
            return true;
        }
        let outlet = self.outlet_bytes();
        let queued = self.queue.len() as u64;
        let queue_takes = queued < limits.max_queued_messages
            && (self.queue_bytes + size_bytes) as u64 <= limits.max_queued_bytes;
        (outlet == 0 || outlet + size_bytes <= limits.max_outbox_bytes)
            && (qos == QoS::AtMostOnce || queued == 0 || queue_takes)
    }
}
