//! What must hold, checked against what the clients of a run saw and did. A pure type: events go in, violations come
//! out; it knows neither sockets nor the broker. What a client cannot know (whether something that was not
//! acknowledged has happened) counts as possible and never as required.

mod message;
mod recovery;
mod retained;
mod session;
mod subscription;
mod wills;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use opifex_packet::QoS;

use crate::event::{Arrival, Client, Ending, Event, MessageId, Millis, Recovered, Violation};
use message::Message;
use recovery::Recoverable;
use retained::RetainedTopic;
use session::Session;
use wills::Wills;

/// The place of an event in the run.
type Tick = u64;

/// How long after its moment a will may come before it counts as lost: the broker looks once a second, and the one who
/// watches may be busy.
const WILL_LATE: Millis = 8_000;
/// What the clocks of broker and test may differ by: both count milliseconds.
const CLOCK_SLACK: Millis = 100;
/// How long after its expiry a message may be seen that left in time: what a loaded machine takes to carry it.
const EXPIRY_SLACK: Millis = 4_000;

/// See the module's documentation.
#[derive(Default)]
pub(crate) struct Oracle {
    tick: Tick,
    now: Millis,
    killed_at: Millis,
    kills: u64,
    messages: BTreeMap<MessageId, Message>,
    sessions: BTreeMap<Client, Session>,
    wills: Wills,
    retained: BTreeMap<String, RetainedTopic>,
    /// Who of a group got a QoS 2 message.
    group_got: HashMap<(&'static str, MessageId), Client>,
    /// When a session with that shared subscription last ended.
    group_left: HashMap<&'static str, Tick>,
    /// All messages up to this one have been dealt with.
    closed_up_to: Option<MessageId>,
    /// Of these, wills that may wait in queues still.
    closed_wills: u64,
    /// A broker was killed before it said what it recovers.
    start_killed: bool,
    /// What the broker that started last has to have found.
    recoverable: Recoverable,
    violations: Vec<Violation>,
    tally: OracleTally,
}

/// What a run was made of.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct OracleTally {
    /// Messages that were acknowledged to their publishers.
    pub(crate) accepted: u64,
    /// Deliveries that were required and came.
    pub(crate) delivered: u64,
    /// PUBLISH that came with DUP.
    pub(crate) repeated: u64,
    /// Wills that had to be published and were.
    pub(crate) wills: u64,
    /// Retained topics compared.
    pub(crate) retained: u64,
    /// Sessions found expired, or not, as they had to be.
    pub(crate) expiries: u64,
    /// Starts that said what they recovered.
    pub(crate) starts: u64,
    /// Queued messages that they spoke of.
    pub(crate) queued: u64,
}

impl Oracle {
    pub(crate) fn observe(&mut self, now: Millis, event: &Event) {
        self.tick += 1;
        self.now = now;
        match event {
            Event::Killed => {
                self.kills += 1;
                self.killed_at = now;
                self.wills.killed();
            }
            Event::StartKilled => self.start_killed = true,
            Event::Recovered(said) => {
                if let Err(what) = self.recoverable.check(*said) {
                    self.violated(6, what);
                }
                self.tally.starts += 1;
                self.tally.queued += said.map_or(0, |said| said.queued);
            }
            Event::Listening => {
                self.recoverable = self.recoverable(now);
                self.start_killed = false;
                self.sessions.values_mut().for_each(|session| session.listening(now));
                self.wills.listening(now);
            }
            Event::Connecting { client, clean_start, expiry_secs, will } => {
                if let Some(will) = will {
                    if let Some(message) = self.messages.get_mut(&will.message) {
                        message.first_sent = Some(self.tick);
                        message.will = true;
                    }
                    self.wills.connecting(client, *will, now);
                }
                let session = self.sessions.entry(client).or_default();
                for filter in session.connecting(*clean_start, *expiry_secs, now, self.tick) {
                    self.group_left.insert(filter, self.tick);
                }
            }
            Event::Connected { client, present } => self.connected(client, *present),
            Event::Leaving { client } => self.sessions.entry(client).or_default().leaving(now),
            Event::Ended { client, how } => {
                let since = match how {
                    Ending::Lost => self.killed_at,
                    _ => now,
                };
                self.sessions.entry(client).or_default().ended(*how, since);
                if let Some(message) = self.wills.ended(client, *how, since, now) {
                    self.will_is_due(message);
                }
            }
            Event::Refused { client, why } => self.violated(0, format!("{client}: {why}")),
            Event::Made { message, publication } => {
                if publication.retain {
                    let topic = self.retained.entry(publication.topic.clone()).or_default();
                    topic.made(*message, publication.clears);
                }
                self.messages.insert(*message, Message::new(publication.clone()));
            }
            Event::Sent { message } => {
                if let Some(message) = self.messages.get_mut(message) {
                    message.sends += 1;
                    message.first_sent.get_or_insert(self.tick);
                }
            }
            Event::Accepted { message } => {
                if let Some(known) = self.messages.get_mut(message)
                    && known.accepted.is_none()
                {
                    known.accepted = Some((self.tick, now));
                    self.tally.accepted += 1;
                    if let Some(topic) = self.retained.get_mut(&known.publication.topic) {
                        topic.accepted(*message);
                    }
                }
            }
            Event::Forgotten { message } => {
                self.violated(
                    5,
                    format!("{message:?} was acknowledged by PUBREC, its id is not known at PUBREL"),
                );
            }
            Event::Subscribing { client, filter, qos } => {
                self.sessions.entry(client).or_default().subscribing(filter, *qos, self.tick);
            }
            Event::Subscribed { client, filter } => {
                self.sessions.entry(client).or_default().subscribed(filter, self.tick);
            }
            Event::Unsubscribing { client, filter } => {
                self.sessions.entry(client).or_default().unsubscribing(filter, self.tick);
                self.group_left.insert(filter, self.tick);
            }
            Event::Unsubscribed { client, filter } => {
                self.sessions.entry(client).or_default().unsubscribed(filter, self.tick);
            }
            Event::Arrived { client, arrival } => {
                self.tally.repeated += u64::from(arrival.dup);
                self.arrived(client, *arrival);
            }
            Event::Released { client, packet_id } => {
                let broken = self.sessions.entry(client).or_default().released(*packet_id);
                self.judge(client, broken);
            }
            Event::Acked { client, ack, packet_id } => {
                self.sessions.entry(client).or_default().acked(*ack, *packet_id);
            }
            Event::Retained { topics } => self.compare_retained(topics),
        }
    }

    fn connected(&mut self, client: Client, present: bool) {
        let (now, tick) = (self.now, self.tick);
        let session = self.sessions.entry(client).or_default();
        let connecting_at = session.connecting_at();
        let (told, broken) = session.connected(present, now, tick);
        self.tally.expiries += u64::from(told);
        self.judge(client, broken);
        if let Some(message) = self.wills.connected(client, present, connecting_at, now) {
            self.will_is_due(message);
        }
    }

    /// From now on somebody who watches has to get it, some time.
    fn will_is_due(&mut self, message: MessageId) {
        if let Some(message) = self.messages.get_mut(&message) {
            message.accepted.get_or_insert((self.tick, self.now));
            message.sends = message.sends.max(1);
        }
    }

    fn arrived(&mut self, client: Client, arrival: Arrival) {
        let id = arrival.message;
        let mut broken = Vec::new();
        let session = self.sessions.entry(client).or_default();
        let resent = self.messages.get(&id).is_some_and(|message| message.sends > 1);
        let unknown_to_receiver = session.received(arrival, resent, &mut broken);
        // What was retained comes to each new subscription again, and what removes it has no number.
        if unknown_to_receiver && !arrival.retain && id != MessageId::NONE {
            match self.messages.get_mut(&id) {
                Some(message) => {
                    if !session.may_get(message, arrival.qos) {
                        broken.push(Violation {
                            promise: 4,
                            what: format!("{id:?} comes without a subscription"),
                        });
                    }
                    if message.has_expired(self.now) && !arrival.dup {
                        broken.push(Violation { promise: 4, what: format!("{id:?} comes after its expiry") });
                    }
                    if message.will {
                        broken.extend(self.wills.arrived(id, self.now));
                        // It was published: whoever watches gets it.
                        message.accepted.get_or_insert((self.tick, self.now));
                        message.sends = message.sends.max(1);
                    }
                    let shared = session.shared_filter(message);
                    // A QoS 1 message may leave before it is stored. What the broker publishes or hands on by itself
                    // it does again when it died in between.
                    let by_broker = message.will || shared.is_some();
                    let new = session.arrived(arrival, message, by_broker, &mut broken);
                    if let Some(filter) = shared {
                        message.group_members.insert(client);
                        let first = self.group_got.entry((filter, id)).or_insert(client);
                        if new && arrival.qos == QoS::ExactlyOnce && *first != client {
                            let what = format!("{id:?} of {filter} came to {first}, too");
                            broken.push(Violation { promise: 2, what });
                        }
                    }
                }
                None if self.closed_up_to.is_some_and(|closed| id <= closed) => {
                    let what = format!("{id:?} comes again after everything was settled");
                    broken.push(Violation { promise: 5, what });
                }
                None => broken.push(Violation { promise: 0, what: format!("{id:?} was never sent") }),
            }
        }
        self.judge(client, broken);
    }

    fn compare_retained(&mut self, seen: &BTreeMap<String, MessageId>) {
        let mut broken = Vec::new();
        for (topic, expected) in &self.retained {
            self.tally.retained += 1;
            if let Err(what) = expected.check(seen.get(topic).copied()) {
                broken.push(format!("retained on {topic}: {what}"));
            }
        }
        for topic in seen.keys().filter(|topic| !self.retained.contains_key(*topic)) {
            broken.push(format!("{topic} was never retained"));
        }
        for what in broken {
            self.violated(4, what);
        }
    }

    /// What was acknowledged, and has not come to a session that is connected and has to get it.
    pub(crate) fn missing(&mut self, now: Millis) -> Vec<Violation> {
        for message in self.wills.overdue(now, WILL_LATE) {
            self.will_is_due(message);
        }
        let mut missing = Vec::new();
        let groups = self.groups();
        for (id, message) in &self.messages {
            if !message.is_promised() || (message.will && !self.wills.is_late(*id, now, WILL_LATE)) {
                continue;
            }
            for (client, session) in &self.sessions {
                if session.is_connected() && session.must_get(message) && !session.has(*id) {
                    let promise = if message.will { 4 } else { 1 };
                    missing
                        .push(Violation { promise, what: format!("{client} has not got {id:?}: {message}") });
                }
            }
            for filter in &groups {
                if self.group_must_get(filter, message) && message.group_members.is_empty() {
                    let what = format!("nobody of {filter} has got {id:?}: {message}");
                    missing.push(Violation { promise: 1, what });
                }
            }
        }
        missing
    }

    fn groups(&self) -> BTreeSet<&'static str> {
        self.sessions.values().flat_map(Session::shared_filters).collect()
    }

    fn group_must_get(&self, filter: &str, message: &Message) -> bool {
        let Some(first_sent) = message.first_sent else { return false };
        let covered = self.sessions.values().any(|session| session.covers_shared(filter, message));
        // What a session takes along that ends is handed on, unless it is of QoS 2 and was on its way.
        let left = self.group_left.get(filter).is_some_and(|left| *left > first_sent);
        covered && !(left && message.publication.qos == QoS::ExactlyOnce)
    }

    /// Everybody has got everything, and has acknowledged it durably: nothing of it may ever come again.
    pub(crate) fn close(&mut self) {
        for message in self.messages.values().filter(|message| message.is_promised()) {
            for session in self.sessions.values() {
                let delivered = session.must_get(message);
                self.tally.delivered += u64::from(delivered);
                self.tally.wills += u64::from(delivered && message.will);
            }
        }
        self.closed_up_to = self.messages.keys().next_back().copied().or(self.closed_up_to);
        let wills = &self.wills;
        let over = self.messages.iter().filter(|(id, message)| message.will && wills.is_over(**id));
        self.closed_wills = over.count() as u64;
        self.messages.retain(|id, message| message.will && !wills.is_over(*id));
        let kept: BTreeSet<MessageId> = self.messages.keys().copied().collect();
        self.sessions.values_mut().for_each(|session| session.close(&kept));
        self.group_got.clear();
        self.group_left.clear();
    }

    /// Takes the violations that were found since this was last asked.
    pub(crate) fn take_violations(&mut self) -> Vec<Violation> {
        std::mem::take(&mut self.violations)
    }

    /// Messages that are not dealt with, as they are understood.
    pub(crate) fn describe(&self, id: MessageId) -> Option<String> {
        self.messages.get(&id).map(ToString::to_string)
    }

    pub(crate) fn tally(&self) -> OracleTally {
        self.tally
    }

    /// What a broker that starts now finds in its store.
    fn recoverable(&self, now: Millis) -> Recoverable {
        let mut recoverable = Recoverable::default();
        for session in self.sessions.values() {
            let (mut least, mut most) = session.recoverable(now);
            if self.start_killed {
                least.interrupted = 0;
            }
            if session.is_stored(now) {
                let waits = |(id, message): (&MessageId, &Message)| {
                    message.is_promised() && !message.will && session.must_get(message) && !session.has(*id)
                };
                least.queued =
                    self.messages.iter().filter(|(id, message)| waits((id, message))).count() as u64;
            }
            if session.may_be_stored() {
                let may_wait = |(id, message): (&MessageId, &Message)| match session.may_hold(*id, message) {
                    // What the broker publishes by itself it does again when it died in between.
                    true if message.will => 1 + self.kills,
                    true => message.sends,
                    false => 0,
                };
                most.queued = self.messages.iter().map(may_wait).sum::<u64>()
                    + session.replays() * self.retained.len() as u64
                    + self.closed_wills;
            }
            recoverable.add(least, most);
        }
        recoverable.add(Recovered::default(), self.of_the_probe());
        recoverable
    }

    /// The one who looks at what is retained has a session, too, with two subscriptions; it begins anew each time, and
    /// nobody knows what it has acknowledged.
    fn of_the_probe(&self) -> Recovered {
        let retained = self.messages.values().filter(|message| message.publication.retain);
        let queued = retained.map(|message| message.sends).sum::<u64>() + self.retained.len() as u64 + 1;
        Recovered { sessions: 1, interrupted: 1, subscriptions: 2, queued }
    }

    fn judge(&mut self, client: Client, broken: Vec<Violation>) {
        for violation in broken {
            self.violated(violation.promise, format!("{client}: {}", violation.what));
        }
    }

    fn violated(&mut self, promise: u8, what: String) {
        self.violations.push(Violation { promise, what });
    }
}
