//! The journal of a run: everything that its clients send and see passes here, in one order, with its time. It hands it
//! to the oracle, counts what is on its way, and pulls the trigger of a kill that waits for a packet.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use opifex_packet::{Packet, PacketType};
use tokio::sync::Notify;

use crate::broker_process::Killer;
use crate::event::{Client, Ending, Event, MessageId, Millis, Publication};
use crate::in_flight::{Census, InFlight};
use crate::oracle::Oracle;

/// Events that are kept to be shown with a violation.
const KEPT_EVENTS: usize = 200_000;

/// A handle; all share one journal.
#[derive(Clone)]
pub(crate) struct Journal {
    begun: Instant,
    inner: Arc<Mutex<Inner>>,
    /// For the one who waits for something.
    changed: Arc<Notify>,
}

#[derive(Default)]
struct Inner {
    oracle: Oracle,
    events: VecDeque<(u64, Millis, Event)>,
    ticks: u64,
    last_message: u64,
    in_flight: InFlight,
    connected: BTreeSet<Client>,
    trigger: Option<Trigger>,
    killer: Option<Killer>,
    /// Whose subscriptions stand.
    ready: BTreeSet<Client>,
    /// The last fence that each client has passed.
    fences: BTreeMap<Client, u64>,
    /// PUBLISH that are not acknowledged to the end, by publisher.
    unfinished: BTreeMap<Client, usize>,
}

/// When to kill: some time after so many packets of that kind have left, or have come.
#[derive(Copy, Clone, Debug)]
pub(crate) struct Trigger {
    pub(crate) way: Way,
    pub(crate) kind: PacketType,
    pub(crate) packets: u64,
    pub(crate) delay: Duration,
}

/// Which way a packet goes, as the clients see it.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Out,
    In,
}

impl Journal {
    pub(crate) fn new() -> Journal {
        Journal { begun: Instant::now(), inner: Arc::default(), changed: Arc::default() }
    }

    /// Waits until that holds, at most so long; answers whether it does.
    pub(crate) async fn until(&self, patience: Duration, holds: impl Fn(&Journal) -> bool) -> bool {
        let wait = async {
            while !holds(self) {
                self.changed.notified().await;
            }
        };
        tokio::time::timeout(patience, wait).await.is_ok()
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("nobody panics with it")
    }

    pub(crate) fn now(&self) -> Millis {
        self.begun.elapsed().as_millis() as Millis
    }

    pub(crate) fn record(&self, event: Event) {
        let mut inner = self.inner();
        let now = self.now();
        match &event {
            Event::Connected { client, .. } => {
                inner.connected.insert(client);
            }
            Event::Ended { client, how } => {
                inner.connected.remove(client);
                inner.ready.remove(client);
                if *how != Ending::Lost {
                    inner.in_flight.ended(client);
                }
            }
            _ => {}
        }
        inner.ticks += 1;
        inner.oracle.observe(now, &event);
        let tick = inner.ticks;
        inner.events.push_back((tick, now, event));
        if inner.events.len() > KEPT_EVENTS {
            inner.events.pop_front();
        }
        drop(inner);
        self.changed.notify_one();
    }

    /// A number for a message that is going to be sent.
    pub(crate) fn made(&self, publication: Publication) -> MessageId {
        let message = {
            let mut inner = self.inner();
            inner.last_message += 1;
            MessageId(inner.last_message)
        };
        self.record(Event::Made { message, publication });
        message
    }

    /// A packet is about to leave.
    pub(crate) fn leaves(&self, client: Client, packet: &Packet<'_>) {
        self.inner().in_flight.leaves(client, packet);
    }

    /// A packet has left: a kill may have waited for it.
    pub(crate) fn has_left(&self, packet: &Packet<'_>) {
        self.pull_trigger(Way::Out, packet);
    }

    fn pull_trigger(&self, way: Way, packet: &Packet<'_>) {
        let mut inner = self.inner();
        let Some(trigger) = &mut inner.trigger else { return };
        if way != trigger.way || packet.packet_type() != trigger.kind {
            return;
        }
        trigger.packets = trigger.packets.saturating_sub(1);
        if trigger.packets > 0 {
            return;
        }
        let delay = trigger.delay;
        inner.trigger = None;
        let Some(killer) = inner.killer.clone() else { return };
        drop(inner);
        if delay.is_zero() {
            self.kill(&killer);
        } else {
            let journal = self.clone();
            // The runtime's timers are too coarse for it.
            std::thread::spawn(move || {
                std::thread::sleep(delay);
                journal.kill(&killer);
            });
        }
    }

    pub(crate) fn comes(&self, client: Client, packet: &Packet<'_>) {
        self.inner().in_flight.comes(client, packet);
        self.pull_trigger(Way::In, packet);
    }

    pub(crate) fn arm(&self, trigger: Trigger) {
        self.inner().trigger = Some(trigger);
    }

    pub(crate) fn disarm(&self) {
        self.inner().trigger = None;
    }

    /// A broker runs, and this ends it.
    pub(crate) fn listening(&self, killer: Killer) {
        self.inner().killer = Some(killer);
        self.record(Event::Listening);
    }

    /// Kills the broker, unless somebody did.
    pub(crate) fn kill(&self, killer: &Killer) {
        let current = self.inner().killer.take_if(|current| current.is(killer));
        if current.is_some() {
            self.record(Event::Killed);
            killer.kill();
        }
    }

    /// Whether the broker is believed to run.
    pub(crate) fn broker_lives(&self) -> bool {
        self.inner().killer.is_some()
    }

    pub(crate) fn take_census(&self) -> Census {
        self.inner().in_flight.take()
    }

    pub(crate) fn connected(&self) -> BTreeSet<Client> {
        self.inner().connected.clone()
    }

    /// A client's subscriptions stand, and it begins nothing any more.
    pub(crate) fn is_ready(&self, client: Client) {
        self.inner().ready.insert(client);
        self.changed.notify_one();
    }

    /// Who of these is not ready.
    pub(crate) fn who_is_not_ready(&self, clients: &[Client]) -> Vec<Client> {
        let inner = self.inner();
        clients.iter().filter(|client| !inner.ready.contains(*client)).copied().collect()
    }

    pub(crate) fn passed_fence(&self, client: Client, fence: u64) {
        self.inner().fences.insert(client, fence);
        self.changed.notify_one();
    }

    /// Who of these has not passed that fence.
    pub(crate) fn before_fence(&self, clients: &[Client], fence: u64) -> Vec<Client> {
        let inner = self.inner();
        let before = |client: &&Client| inner.fences.get(*client).is_none_or(|passed| *passed < fence);
        clients.iter().filter(before).copied().collect()
    }

    pub(crate) fn unfinished(&self, client: Client, messages: usize) {
        self.inner().unfinished.insert(client, messages);
        self.changed.notify_one();
    }

    /// Publishers that still wait for acknowledgements.
    pub(crate) fn who_is_unfinished(&self) -> Vec<Client> {
        let inner = self.inner();
        inner.unfinished.iter().filter(|(_, messages)| **messages > 0).map(|(client, _)| *client).collect()
    }

    pub(crate) fn oracle<T>(&self, ask: impl FnOnce(&mut Oracle) -> T) -> T {
        ask(&mut self.inner().oracle)
    }

    /// The part of the journal that a line about a violation speaks of.
    pub(crate) fn about(&self, what: &str) -> String {
        let inner = self.inner();
        let number = |text: &str| text.split_once("MessageId(")?.1.split(')').next()?.parse().ok();
        let message = number(what).map(MessageId);
        let client = what.split(&[':', ' '][..]).next().unwrap_or_default();
        let mentions = |event: &Event| match event {
            Event::Killed | Event::StartKilled | Event::Listening | Event::Recovered(_) => true,
            Event::Connecting { client: of, .. }
            | Event::Connected { client: of, .. }
            | Event::Leaving { client: of }
            | Event::Ended { client: of, .. }
            | Event::Refused { client: of, .. } => *of == client,
            Event::Made { publication, .. } if publication.publisher == client => true,
            Event::Made { message: of, .. }
            | Event::Sent { message: of }
            | Event::Accepted { message: of }
            | Event::Forgotten { message: of } => Some(*of) == message,
            Event::Subscribing { client: of, .. }
            | Event::Subscribed { client: of, .. }
            | Event::Unsubscribing { client: of, .. }
            | Event::Unsubscribed { client: of, .. } => *of == client,
            Event::Arrived { arrival, .. } => Some(arrival.message) == message,
            Event::Released { client: of, .. } | Event::Acked { client: of, .. } => *of == client,
            Event::Retained { .. } => false,
        };
        let lines = inner.events.iter().filter(|(_, _, event)| mentions(event));
        let mut lines: Vec<String> =
            lines.rev().take(150).map(|(tick, at, event)| format!("  #{tick} {at} ms {event:?}\n")).collect();
        lines.reverse();
        let described = message.and_then(|message| inner.oracle.describe(message));
        lines.extend(described.map(|described| format!("  {described}\n")));
        lines.concat()
    }
}
